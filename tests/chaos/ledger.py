"""Faults for every process of a house under load, and the ledger of what became of them.

``make chaos`` makes the published ledger: the house on Apache Kafka, each fault five times for every process and a STOP
of a minute each, in 50 minutes, and then 75 minutes undisturbed, of another house. ``--part`` makes one of the two, at
another time; the page is made of all parts in its folder. ``python tests/chaos/ledger.py --quick --embedded --out
build`` does each thing once, to all at the same moment, on the embedded broker. It ends with 1 when a message was lost,
never seen, or had its effect twice; where it cannot go on, the logs of the services are left in the folder.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import chaos_report
from chaos_checks import Evidence, check
from chaos_faults import INPUTS, Faults, Plan, schedule
from chaos_house import ChaosHouse
from chaos_load import Load, Rates
from chaos_report import Sample, Summary
from chaos_serving import check_serving

from easeml.stream.topics import TICKS
from easeml.supervisor.roster import PROCESSES
from machines import machine

MINUTES = {"faults": "minutes", "soak": "soak"}
"""Part of the ledger -> option with its length."""
QUICK = {
    "together": len(PROCESSES),
    "times": 1,
    "stop": 8.0,
    "slow": 2.0,
    "kill_batch": 2,
    "apps": 1,
    "models": 2,
    "burst": 0,
    "least": 1.0,
    "skips": 4.0,
    "behind": 50,
    "new_app": 1000.0,
    "minutes": 0.1,
    "soak": 0.0,
}
"""Options where nothing else is said."""
SHARE = 0.5
"""Of what the house can do."""
SELDOM = 10.0
"""In the soak new apps and uploads come so many times more seldom: the house has to keep their rows for good, and what
is looked for is memory that grows although there is no more to keep."""
SOAKING_ROWS = 20
"""And its production messages have so many times more rows: what services keep of them is full after minutes."""
SETTLED_SECONDS = 600.0
REST_SECONDS = 900.0
SILENCE_SECONDS = 5.0
SAMPLE_SECONDS = 5.0


class Watch(threading.Thread):
    """Takes samples of all processes until it is closed, and holds the load while one is too far behind."""

    def __init__(self, house: ChaosHouse, load: Load, behind: int) -> None:
        super().__init__(daemon=True)
        self.held = 0
        self.samples: list[Sample] = []
        self.begun = time.monotonic()
        self._house = house
        self._load = load
        self._behind = behind
        self._done = threading.Event()
        self._since: dict[str, tuple[int, float]] = {}

    def run(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            lags = [self._look(name) for name in PROCESSES]
            self._load.held = max(lags) > self._behind
            self.held += self._load.held

    def _look(self, name: str) -> int:
        now, pid = time.monotonic() - self.begun, self._house.pid(name)
        if not pid:
            return 0
        known, since = self._since.get(name, (0, now))
        if known != pid:
            since = now
        self._since[name] = (pid, since)
        lag = int(self._house.health(name).get("lag", 0))
        self.samples.append(Sample(round(now, 1), name, self._house.megabytes(name), now - since, lag))
        return lag

    def close(self) -> None:
        """Stop."""
        self._done.set()
        self.join(60)


def at_rest(house: ChaosHouse) -> bool:
    """Return whether every service has applied all there is on its inputs, ticks apart."""
    ends = house.ends({topic for topics in INPUTS.values() for topic in topics} - {TICKS.name})
    for name, topics in INPUTS.items():
        positions = house.positions(name)
        places = [place for place in ends if place[0] in topics]
        if not positions or any(positions.get(place, -1) + 1 != ends[place] for place in places):
            return False
    return True


def rest(house: ChaosHouse, load: Load) -> None:
    """Wait until nothing is said any more."""
    quiet = [time.monotonic(), -1]

    def silent() -> bool:
        assert load.failure is None, load.failure
        said = house.acked() - sum(house.ends([TICKS.name]).values())
        if said != quiet[1] or not at_rest(house):
            quiet[:] = [time.monotonic(), said]
        return time.monotonic() - quiet[0] > SILENCE_SECONDS

    house.until(silent, REST_SECONDS, "all is at rest")


def measure(house: ChaosHouse, load: Load, messages: int) -> float:
    """Return how many production messages a second all services together apply."""
    rest(house, load)
    begun = time.monotonic()
    load.burst(messages)
    house.until(lambda: at_rest(house), REST_SECONDS, "the burst is applied")
    return messages / (time.monotonic() - begun)


def disturb(
    house: ChaosHouse, load: Load, faults: Faults, turns: list[tuple[str, tuple[str, ...]]], minutes: float
) -> None:
    """Inject all faults in turn, spread over the minutes."""
    begun = time.monotonic()
    for number, (kind, names) in enumerate(turns):
        time.sleep(max(0.0, begun + number * 60 * minutes / len(turns) - time.monotonic()))
        assert load.failure is None, load.failure
        faults.inject(kind, names)
        worst = max(entry.recovery or 0.0 for entry in faults.ledger[-len(names) :])
        whom = "all" if len(names) == len(PROCESSES) else ", ".join(names)
        print(f"{time.monotonic() - begun:7.1f} s  {kind:<13} {whom:<12} {worst:.1f} s", flush=True)
    while time.monotonic() < begun + 60 * minutes:
        assert load.failure is None, load.failure
        time.sleep(min(SAMPLE_SECONDS, max(0.0, begun + 60 * minutes - time.monotonic())))


def play(options: argparse.Namespace, part: str, home: Path) -> bool:
    """Start a house, disturb it, let it come to rest, look at what it did and write that down; return whether well."""
    rng = random.Random(options.seed)
    faulty = part == "faults"
    plan = Plan(options.times, options.stop, options.slow, options.together)
    date, busy = datetime.now(UTC), os.getloadavg()[0]
    seldom = 1.0 if faulty else SELDOM
    rows = options.rows * (1 if faulty else SOAKING_ROWS)
    rates = Rates(0.0, rows, options.skips, options.new_app * seldom, options.upload * seldom)
    with ChaosHouse(home, kafka=not options.embedded, kill_batch=options.kill_batch * faulty) as house:
        with Load(house.settings, options.apps, options.models, rates) as load:
            watch = Watch(house, load, options.behind)
            load.start()
            print(f"{part}: waiting for models", flush=True)
            house.until(lambda: load.settled() or load.failure, SETTLED_SECONDS, "there are models")
            capacity = measure(house, load, options.burst) if options.burst else 0.0
            load.rates = replace(load.rates, messages=max(SHARE * capacity, options.least))
            print(f"{part}: {load.rates.messages:.1f} production messages a second", flush=True)
            load.rows.set()
            faults = Faults(house, plan, rng)
            watch.start()
            house.until(lambda: len(house.deaths()) == house.wanted_deaths, REST_SECONDS, "services died in a batch")
            disturb(house, load, faults, schedule(plan, rng) if faulty else [], getattr(options, MINUTES[part]))
            load.rows.clear()
            rest(house, load)
        watch.close()
        evidence = Evidence.of_house(house)
        found = check(evidence, faults.corrupted)
        check_serving(evidence, house.settings.store_uri, found)
        summary = Summary(
            part, f"{date:%Y-%m-%d %H:%M} UTC", machine(),
            " ".join(["python", "tests/chaos/ledger.py", *sys.argv[1:]]),
            "the embedded broker" if options.embedded else "Apache Kafka", (time.monotonic() - watch.begun) / 60, busy,
            capacity, load.rates.messages,
            chaos_report.counts(found, len(faults.ledger), len(house.deaths()), sum(load.acked.values())),
            chaos_report.wrong(found), chaos_report.memory(watch.samples),
        )  # fmt: skip
        print(chaos_report.write(options.out, summary, faults.ledger, house.deaths()), flush=True)
        return found.good


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Return what the command line says."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="each fault once, to all at once, in a minute or two")
    made.add_argument("--embedded", action="store_true", help="the embedded broker instead of Apache Kafka")
    made.add_argument("--part", choices=MINUTES, help="only this part of the ledger; else both")
    made.add_argument("--minutes", type=float, default=50.0, help="minutes over which the faults are spread")
    made.add_argument("--soak", type=float, default=75.0, help="minutes undisturbed, of another house; 0: none")
    made.add_argument("--times", type=int, default=5, help="how often each fault comes to each process")
    made.add_argument("--stop", type=float, default=60.0, help="seconds of a STOP; 0: none")
    made.add_argument("--slow", type=float, default=8.0, help="seconds for which a network is slow")
    made.add_argument("--together", type=int, default=1, help="processes that get a fault at the same moment")
    made.add_argument("--kill-batch", type=int, default=0, help="die at each named point too, from this batch on")
    made.add_argument("--apps", type=int, default=3, help="apps with production rows")
    made.add_argument("--models", type=int, default=10, help="models of each that score at a time")
    made.add_argument("--behind", type=int, default=2000, help="messages behind at which the load waits")
    made.add_argument("--rows", type=int, default=1, help="rows of a production message")
    made.add_argument("--burst", type=int, default=300, help="messages that measure the capacity; 0: none do")
    made.add_argument("--least", type=float, default=0.0, help="production messages a second, if half of that is less")
    made.add_argument("--skips", type=float, default=60.0, help="questions that readers pass over a second")
    made.add_argument("--new-app", type=float, default=240.0, help="seconds from one new app to the next")
    made.add_argument("--upload", type=float, default=2.0, help="seconds from one uploaded file to the next")
    made.add_argument("--seed", type=int, default=1, help="of the order of the faults and of the noise")
    made.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of LEDGER.md and its parts")
    if "--quick" in arguments:
        made.set_defaults(**QUICK)
    return made.parse_args(arguments)


def main() -> int:
    """Make the ledger; return the exit status."""
    options = parsed(sys.argv[1:])
    options.out.mkdir(parents=True, exist_ok=True)
    good = True
    for part, minutes in MINUTES.items():
        if options.part in {None, part} and getattr(options, minutes):
            with tempfile.TemporaryDirectory(prefix="easeml-chaos-") as folder:
                try:
                    good &= play(options, part, Path(folder))
                except BaseException:
                    shutil.copytree(Path(folder, "house", "logs"), options.out / "logs", dirs_exist_ok=True)
                    raise
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
