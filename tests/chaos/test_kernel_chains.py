"""Chains of kill -9, crash and restart: nothing lost, no effect twice.

``EASEML_CHAOS_CHAINS`` chains (default 2) of ``EASEML_CHAOS_EVENTS`` events (default 4,000) are sent through one order
dependent service and one sum; each chain ends services at drawn moments, and at named points of a batch. The ledger
is printed at the end. The full run is ``EASEML_CHAOS_CHAINS=30 EASEML_CHAOS_EVENTS=20000``.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "stream"))

from kernel_house import House
from kernel_services import app, note, version

from easeml.stream.killpoints import POINTS
from easeml.stream.reader import TopicReader
from easeml.stream.topics import ANNOTATIONS, APPS, AUDIT, DATA_VERSIONS

CHAINS = int(os.environ.get("EASEML_CHAOS_CHAINS", "2"))
EVENTS = int(os.environ.get("EASEML_CHAOS_EVENTS", "4000" if CHAINS < 10 else "20000"))
KILLS = 4
TENANTS = tuple(f"app{n}" for n in range(5))


def send(house, rng, chain, sent):
    """Publish one chain's events with some duplicates; return the sum of each app."""
    expected = dict.fromkeys(TENANTS, 0)
    for n in range(EVENTS):
        name, value = rng.choice(TENANTS), rng.randint(0, 50)
        if n % 10 == 9:
            house.publish(DATA_VERSIONS, version(value, name, name=f"v{chain}-{n % 50}"), f"v-{chain}-{n}")
            sent["versions"] += 1
        else:
            expected[name] += value
            house.publish(ANNOTATIONS, note(value, name), f"n-{chain}-{n}")
            sent["notes"] += 1
            if n % 25 == 0:
                house.publish(ANNOTATIONS, note(value, name), f"n-{chain}-{n}")
                sent["duplicates"] += 1
    house.flush()
    return expected


class Ledger:
    """Every output seen so far; one id with two contents would be an effect that happened twice."""

    def __init__(self, house):
        self.reader = TopicReader(house.settings, [AUDIT.name])
        self.seen = {}
        self.counts = {"summer": 0, "merger": 0}
        self.totals = dict.fromkeys(TENANTS, 0)
        self.repeated = 0

    def read(self):
        for event in self.reader.replay():
            data, content = event.data, hash((event.data.action, event.data.subject))
            if event.id in self.seen:
                self.repeated += 1
                assert self.seen[event.id] == content, f"{event.id} now says {data}"
                continue
            self.seen[event.id] = content
            if data.action == "add":
                self.counts["summer"] += 1
                self.totals[data.app] = max(self.totals[data.app], int(data.subject))
            else:
                self.counts["merger"] += 1


@pytest.mark.timeout(3600)
def test_chains(tmp_path, capsys):
    rng = random.Random(7)
    ledger = []
    sent = {"notes": 0, "versions": 0, "duplicates": 0}
    totals = dict.fromkeys(TENANTS, 0)
    with House(tmp_path, ["summer", "merger"], memory=False) as house:
        for name in TENANTS:
            house.publish(APPS, app(name))
        house.flush()
        effects = Ledger(house)
        for chain in range(CHAINS):
            point = POINTS[chain % len(POINTS)]
            target = ("merger", "summer")[chain % 2]
            kill_point = f"{target}:{point}:{rng.randint(2, 9)}"
            (tmp_path / "run" / f"killed-{kill_point.replace(':', '-')}").unlink(missing_ok=True)
            for name in ("summer", "merger"):
                house.start(name, kill_point=kill_point)
            for name, value in send(house, rng, chain, sent).items():
                totals[name] += value
            ledger.append({"chain": chain, "killed": [], "restarts": 0})
            revive(house, ledger[-1], kill_point, rng)
            drain(house, ledger[-1], kill_point)
            for name in ("summer", "merger"):
                assert house.stop(name) == 0, house.log(name)
            effects.read()
            lost = sent["notes"] - effects.counts["summer"]
            lost += 2 * sent["notes"] + sent["versions"] - effects.counts["merger"]
            ledger[-1] |= {"events": sum(sent.values()), "sent_twice": effects.repeated, "lost": lost}
            assert lost == 0, ledger[-1]
            assert effects.totals == totals
        effects.reader.close()
    points = [
        line
        for name in house.logs
        for line in house.logs[name].read_text().splitlines()
        if line.startswith('{"killed"')
    ]
    with capsys.disabled():
        print()
        for line in [*map(json.dumps, ledger), *points]:
            print(line)
    assert points, "no named kill point was reached with lag > 0"


def alive(house, entry, kill_point):
    """Restart what died by itself at its kill point, as a supervisor would."""
    for name, process in list(house.processes.items()):
        code = process.poll()
        if code is not None:
            assert code == -9, house.log(name)
            entry["killed"].append(f"{name}@{kill_point.split(':')[1]}")
            entry["restarts"] += 1
            house.start(name, kill_point=kill_point)


def revive(house, entry, kill_point, rng):
    """Kill services at drawn moments."""
    for _ in range(KILLS):
        deadline = time.monotonic() + rng.uniform(0.3, 2.0)
        while time.monotonic() < deadline:
            alive(house, entry, kill_point)
            time.sleep(0.01)
        name = rng.choice(("summer", "merger"))
        house.stop(name, kill=True)
        entry["killed"].append(name)
        entry["restarts"] += 1
        house.start(name, kill_point=kill_point)


def drain(house, entry, kill_point):
    """Wait until both have applied everything."""

    def done():
        alive(house, entry, kill_point)
        for name in ("summer", "merger"):
            if not house.run_file(name).exists() or not json.loads(house.run_file(name).read_text())["ready"]:
                return False
        try:
            return all(house.health(n)[1]["lag"] == 0 and house.health(n)[1]["positions"] for n in ("summer", "merger"))
        except OSError:
            return False

    house.wait(done, 120 + EVENTS / 100, "merger")
    time.sleep(1)  # the ends that a service knows are half a second old at most
    house.wait(done, 60, "merger")
