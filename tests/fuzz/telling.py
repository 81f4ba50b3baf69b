"""What a fuzzer says while it is at work, and of what came of it."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BUILD = Path(__file__).parents[2] / "build" / "fuzz"
_PAUSE = 60.0


@dataclass
class Tally:
    """What became of damaged inputs; ``slowest`` is in seconds."""

    inputs: int = 0
    hangs: int = 0
    slowest: float = 0.0
    damages: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def progress(name: str) -> Callable[[Tally], None]:
    """Return what says once a minute how far it came."""
    said = time.monotonic()

    def tell(tally: Tally) -> None:
        nonlocal said
        if time.monotonic() - said > _PAUSE:
            said = time.monotonic()
            sys.stderr.write(f"{name}: {tally.inputs} inputs, {len(tally.faults)} faults\n")

    return tell


def conclude(kind: str, name: str, seed: int, tally: Tally, **more: Any) -> bool:
    """Print what came of one of a kind, keep it in ``BUILD``, its faults one by one; return whether there are none."""
    line = {kind: name, "seed": seed} | vars(tally) | {"faults": len(tally.faults), "slowest": round(tally.slowest, 2)}
    text = json.dumps(line | more)
    print(text, flush=True)
    with (BUILD / f"{kind}s.jsonl").open("a") as out:
        out.write(text + "\n")
    if tally.faults:
        (BUILD / f"faults-{name}-{seed}.txt").write_text("\n\n".join(tally.faults))
    return not tally.faults
