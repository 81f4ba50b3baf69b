"""What a fuzzer says while it is at work, and of what came of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

BUILD = Path(__file__).parents[2] / "build" / "fuzz"
_PAUSE = 60.0


class Counted(Protocol):
    """What every tally has."""

    inputs: int
    slowest: float
    faults: list[str]


def progress(name: str) -> Callable[[Counted], None]:
    """Return what says once a minute how far it came."""
    said = time.monotonic()

    def tell(tally: Counted) -> None:
        nonlocal said
        if time.monotonic() - said > _PAUSE:
            said = time.monotonic()
            sys.stderr.write(f"{name}: {tally.inputs} inputs, {len(tally.faults)} faults\n")

    return tell


def conclude(kind: str, name: str, seed: int, tally: Counted, **more: Any) -> bool:
    """Print what came of one of a kind, keep it in ``BUILD``, its faults one by one; return whether there are none."""
    line = {kind: name, "seed": seed} | vars(tally) | {"faults": len(tally.faults), "slowest": round(tally.slowest, 2)}
    text = json.dumps(line | more)
    print(text, flush=True)
    with (BUILD / f"{kind}s.jsonl").open("a") as out:
        out.write(text + "\n")
    if tally.faults:
        (BUILD / f"faults-{name}-{seed}.txt").write_text("\n\n".join(tally.faults))
    return not tally.faults
