"""How long after a kill -9 each service applies its next message, under load on the embedded broker.

    python tests/benchmarks/bench_recovery.py [--times 3]

The house, its load and the kills are those of the ledger (``tests/chaos``), which also counts what was lost or had its
effect twice; it does here, too.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
from figures import tell
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))

from chaos_checks import Evidence, check
from chaos_faults import Faults, Plan
from chaos_house import ChaosHouse
from chaos_load import Load, Rates
from ledger import SETTLED_SECONDS, rest

from easeml.supervisor.roster import SERVICES

RATES = Rates(messages=5.0, rows=1, skips=5.0, new_app=1000.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="kills of each service")
    times, rng = parser.parse_args().times, random.Random(0)
    with tempfile.TemporaryDirectory() as home, ChaosHouse(Path(home), kafka=False) as house:
        with Load(house.settings, 1, 2, RATES) as load:
            load.start()
            house.until(lambda: load.settled() or load.failure, SETTLED_SECONDS, "there are models")
            load.rows.set()
            faults = Faults(house, Plan(times, 0.0, 0.0), rng)
            for name in times * rng.sample(list(SERVICES), len(SERVICES)):
                assert load.failure is None, load.failure
                faults.inject("KILL", (name,))
            load.rows.clear()
            rest(house, load)
        found = check(Evidence.of_house(house), faults.corrupted)
    table = Table("service", "seconds after each kill")
    for name in SERVICES:
        table.add_row(name, ", ".join(f"{one.recovery:.1f}" for one in faults.ledger if one.service == name))
    Console(width=100).print(table)
    taken = [one.recovery for one in faults.ledger]
    tell(f"next message after a kill -9, {len(taken)} kills, p50", np.percentile(taken, 50), "s")
    tell(f"next message after a kill -9, {len(taken)} kills, p95", np.percentile(taken, 95), "s", most=8)
    tell(f"of {found.acked:,} messages: lost or never seen", len(found.lost) + len(found.unseen), most=0)
    tell(f"of {found.acked:,} messages: effects twice", len(found.twice), most=0)


if __name__ == "__main__":
    main()
