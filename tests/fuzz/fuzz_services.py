"""Damage messages by the hundred thousand for every service: ``make fuzz``.

Each service is played in a process of its own, with an address space of ``MEMORY`` bytes. A line of JSON for each one
is printed and written to ``build/fuzz/services.jsonl``; messages that show a fault are written beside it, one a line.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import easeml.market.belief
import easeml.market.prediction

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

from episodes import fuzz
from house import ROOMS, Recording, record_house
from telling import BUILD, conclude, progress

MEMORY = 4 << 30


def play(name: str, recording: Recording, inputs: int, seed: int) -> bool:
    """Play one service, say what happened, and return whether all was well."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logging.disable(logging.WARNING)
    began = time.monotonic()
    tally = fuzz(name, recording, inputs, seed=seed, told=progress(name))
    used = resource.getrusage(resource.RUSAGE_SELF)
    return conclude(
        "service",
        name,
        seed,
        tally,
        wall_seconds=round(time.monotonic() - began, 1),
        cpu_seconds=round(used.ru_utime + used.ru_stime, 1),
        peak_mib=used.ru_maxrss // 1024,
    )


def main() -> int:
    """Play the services that were asked for; 1 when one showed a fault."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=100_000, help="damaged messages for each service")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("services", nargs="*", default=[], help="names of services; all unless given")
    given = options.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    for module, name in (
        (easeml.market.prediction, "_VALUE_TREES"),
        (easeml.market.prediction, "_RESEMBLANCE_TREES"),
        (easeml.market.belief, "_MEMBERS"),
    ):
        setattr(module, name, 5)  # as in the contract tests: what Market finds is not the question here
    sound = True
    with tempfile.TemporaryDirectory() as store:
        recording = record_house(Path(store).as_uri())
        for name in given.services or ROOMS:
            process = multiprocessing.get_context("fork").Process(
                target=_end, args=(name, recording, given.inputs, given.seed)
            )
            process.start()
            process.join()
            if process.exitcode:
                print(f"{name}: ended with {process.exitcode}", file=sys.stderr, flush=True)
            sound &= process.exitcode == 0
    return 0 if sound else 1


def _end(name: str, recording: Recording, inputs: int, seed: int) -> None:
    sys.exit(0 if play(name, recording, inputs, seed) else 1)


if __name__ == "__main__":
    sys.exit(main())
