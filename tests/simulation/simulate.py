"""Let the whole house live through simulated days, one for each seed: ``python tests/simulation/simulate.py``.

With ``--seeds 2000`` it takes about half an hour of one core; ``--first 17 --seeds 1`` lives through the day of seed 17
again. What is wrong is printed with the seed and the command for just that day; 1 is returned when anything was.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from simulated_checks import judge
from simulated_day import Day, tiny


@dataclass(frozen=True)
class Outcome:
    """What became of a day.

    Parameters
    ----------
    digest : str
        Of all its messages; empty when it broke off.
    messages, restarts : int
        Messages on all topics, and how often services were built anew.
    faults : list of str
        What is wrong.
    done : list of str
        What was done to the house.
    """

    digest: str
    messages: int
    restarts: int
    faults: list[str]
    done: list[str]


def simulate(seed: int, store: str, *, short: bool = False) -> Outcome:
    """Live through a day, perhaps a short one, and judge it."""
    day = Day(seed, store, short=short)
    try:
        day.live()
        digest, messages, restarts = day.digest(), len(day.cluster._order), day.cluster.restarts
        faults = judge(day)
    except Exception:
        # Whatever a day breaks off with is its fault; the other seeds go on.
        return Outcome("", len(day.cluster._order), day.cluster.restarts, [traceback.format_exc()], day.done)
    return Outcome(digest, messages, restarts, faults, day.done)


def again(seed: int, *, short: bool = False) -> str:
    """Return the command that lives through one day again."""
    return f"python tests/simulation/simulate.py --first {seed} --seeds 1{' --short' if short else ''}"


def report(seed: int, outcome: Outcome, *, short: bool = False) -> str:
    """Return what is wrong with a day, what had been done, and how to see it again."""
    return "\n".join([f"seed {seed}: {again(seed, short=short)}", *outcome.faults, "what was done:", *outcome.done])


def main() -> int:
    """Live through the days that are asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=100, help="days")
    options.add_argument("--first", type=int, default=0, help="first seed")
    options.add_argument("--short", action="store_true", help="shorter days, as in the tests")
    given = options.parse_args()
    logging.disable(logging.ERROR)  # killed services say so; what matters is judged
    began, bad, messages, restarts = time.process_time(), [], 0, 0
    with tempfile.TemporaryDirectory() as store, tiny():
        for seed in range(given.first, given.first + given.seeds):
            outcome = simulate(seed, Path(store).as_uri(), short=given.short)
            messages, restarts = messages + outcome.messages, restarts + outcome.restarts
            if outcome.faults:
                bad.append(seed)
                print(report(seed, outcome, short=given.short), flush=True)
            elif given.seeds == 1:
                print(f"seed {seed}: all is well, digest {outcome.digest}\n" + "\n".join(outcome.done))
    seconds = time.process_time() - began
    print(
        f"{given.seeds} days from seed {given.first}: {messages:,} messages, {restarts:,} restarts, {len(bad)} with"
        f" faults {bad}, {seconds:.0f} s of one core"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
