"""What is done to the house, and how long each process takes to go on."""

from __future__ import annotations

import functools
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

from chaos_house import PARTITIONS, ChaosHouse
from house import ROOMS

from easeml.stream.bulk import BulkReader, Place
from easeml.stream.messages import Record
from easeml.stream.routing import Routes
from easeml.stream.topics import ADVICE, ALGORITHMS, APPS, AUDIT, BUDGETS, LINEAGE
from easeml.supervisor.roster import PROCESSES

BROADCAST = (APPS.name, ALGORITHMS.name)
"""Topics that every service reads whole, without a position."""
INPUTS = {name: Routes(make("memory://none")).topics for name, make in ROOMS.items()}
SHOWN = tuple(topic.name for topic in (ADVICE, AUDIT, BUDGETS, LINEAGE))
"""Topics that the dashboard alone reads."""
PER_SERVICE = ("TERM", "KILL", "duplicate", "corrupt", "lost state", "slow network")
ENDS = ("TERM", "KILL", "lost state")
"""Faults after which another process goes on."""
BOUNCES = ("bounce clean", "bounce hard")
STOP = "STOP"
RECENT_SECONDS = 60.0
"""A producer that repeats itself does so at once; older repetitions are not tried."""
RECENT = 50
DELAY = 0.1
PATIENCE = 300.0


@dataclass(frozen=True)
class Plan:
    """How often each fault comes, how long those last that have a length (seconds), how many get it at a time."""

    times: int
    stop: float
    slow: float
    together: int = 1


@dataclass
class Entry:
    """One line of the ledger.

    Parameters
    ----------
    at : float
        Seconds since the run began.
    service, fault : str
        What was done to whom.
    in_flight : dict
        For each input with messages that were not applied at that moment: the next to apply, and the end.
    recovery : float or None
        Seconds until the next message was applied; counted from the end of a stop, else from the injection.
    """

    at: float
    service: str
    fault: str
    in_flight: dict[str, tuple[int, int]] = field(default_factory=dict)
    recovery: float | None = None


def schedule(plan: Plan, rng: random.Random) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is done in turn, as a fault and those it is done to; a bounce is everybody's."""
    everybody = tuple(PROCESSES)
    kinds = [*PER_SERVICE * plan.times, *[STOP] * bool(plan.stop)]
    turns: list[tuple[str, tuple[str, ...]]] = [(kind, everybody) for kind in BOUNCES * plan.times]
    for kind in kinds:
        some = rng.sample(everybody, len(everybody))
        turns += [(kind, tuple(some[at : at + plan.together])) for at in range(0, len(some), plan.together)]
    rng.shuffle(turns)
    return turns


@dataclass(frozen=True)
class Goal:
    """What a process has to reach: one position beyond these or ``all_of`` them, in another process than ``gone``."""

    positions: dict[Place, int]
    all_of: bool = False
    gone: int = 0


def _signal(pids: Mapping[str, int], number: signal.Signals) -> None:
    for pid in pids.values():
        os.kill(pid, number)


class Faults:
    """Injects.

    Parameters
    ----------
    house : ChaosHouse
        The house.
    plan : Plan
        How long faults last.
    rng : random.Random
        Chooses messages and bytes.
    """

    def __init__(self, house: ChaosHouse, plan: Plan, rng: random.Random) -> None:
        self.ledger: list[Entry] = []
        self.corrupted: set[tuple[str, int, int]] = set()
        """Topic, partition and offset of each message that is none."""
        self.repeated = 0
        self._house = house
        self._plan = plan
        self._rng = rng
        self._begun = time.monotonic()

    def inject(self, kind: str, names: Sequence[str]) -> None:
        """Do one thing to all of these, and wait until they go on."""
        house = self._house
        house.until(lambda: all(house.pid(name) for name in names), PATIENCE, f"{names} run")
        pids = {name: house.pid(name) for name in names}
        entries = [self._entry(name, kind) for name in names]
        goals = {name: Goal(house.positions(name)) for name in names}
        since = time.monotonic()
        if kind in ENDS:
            goals = {name: replace(goal, gone=pids[name]) for name, goal in goals.items()}
            if kind == "lost state":
                house.lose(pids)
            else:
                _signal(pids, signal.SIGTERM if kind == "TERM" else signal.SIGKILL)
        elif kind == "slow network":
            house.wire.slow(pids.values(), DELAY)
        elif kind == STOP:
            _signal(pids, signal.SIGSTOP)
            time.sleep(self._plan.stop)
            since = time.monotonic()
            _signal(pids, signal.SIGCONT)
        elif kind in BOUNCES:
            house.bounce(clean=kind == "bounce clean")
        else:
            made = self._repeat if kind == "duplicate" else self._spoil
            goals = {name: Goal(self._produced(made(name)), all_of=True) for name in names}
        self._await(entries, since, goals)
        if kind == "slow network":
            time.sleep(max(0.0, since + self._plan.slow - time.monotonic()))
            house.wire.slow((), 0.0)
        self.ledger += entries

    def _entry(self, name: str, kind: str) -> Entry:
        entry = Entry(round(time.monotonic() - self._begun, 3), name, kind)
        if name in INPUTS:
            applied = self._house.positions(name)
            for place, end in self._house.ends(INPUTS[name]).items():
                following = applied.get(place, -1) + 1
                if end > following:
                    entry.in_flight[f"{place[0]}[{place[1]}]"] = (following, end)
        return entry

    def _await(self, entries: Iterable[Entry], since: float, goals: dict[str, Goal]) -> None:
        """Wait until each process has reached its goal."""
        left = list(entries)

        def going() -> bool:
            for entry in left[:]:
                if self._reached(entry.service, goals[entry.service]):
                    entry.recovery = round(time.monotonic() - since, 3)
                    left.remove(entry)
            return not left

        self._house.until(going, PATIENCE, "those that had a fault go on")

    def _reached(self, name: str, goal: Goal) -> bool:
        pid = self._house.pid(name)
        if not pid or pid == goal.gone:
            return False
        if name not in INPUTS:
            return self._house.health(name).get("status") == "SERVING"
        now = self._house.positions(name)
        if goal.all_of:
            return all(now.get(place, -1) >= offset for place, offset in goal.positions.items())
        return any(offset > goal.positions.get(place, -1) for place, offset in now.items())

    # -- messages ----------------------------------------------------------------------------------------------------

    def _produced(self, messages: Iterable[Record]) -> dict[Place, int]:
        """Produce messages as they are, and return the offset of the last one of each partition."""
        last: dict[Place, int] = {}
        failures = []

        def delivered(is_event, error, message):
            if error is not None:
                failures.append(error)
                return
            place = (message.topic(), message.partition())
            last[place] = max(last.get(place, -1), message.offset())
            if not is_event:
                self.corrupted.add((*place, message.offset()))

        for one in messages:
            headers = list(one.headers)
            told = functools.partial(delivered, bool(headers))
            self._house.producer.produce(
                one.topic, one.value, one.key, one.partition, headers=headers, on_delivery=told
            )
        assert self._house.producer.flush(60) == 0
        assert not failures, failures
        return {place: offset for place, offset in last.items() if place[0] not in (*BROADCAST, *SHOWN)}

    def _repeat(self, name: str) -> Iterator[Record]:
        """Yield a recent message of each input once more."""
        ends = self._house.ends((*INPUTS.get(name, SHOWN), *BROADCAST))
        fresh: dict[Place, list[Record]] = defaultdict(list)
        reader = BulkReader(self._house.settings)
        try:
            reader.begin({place: (max(0, end - RECENT), end) for place, end in ends.items()})
            while found := reader.chunk():
                for one in found:
                    is_event = one.value is not None and "ce_id" in dict(one.headers)
                    if is_event and one.seconds > time.time() - RECENT_SECONDS:
                        fresh[one.topic, one.partition].append(one)
        finally:
            reader.close()
        self.repeated += len(fresh)
        yield from map(self._rng.choice, fresh.values())

    def _spoil(self, name: str) -> Iterator[Record]:
        """Yield bytes that are no message for a partition of each input."""
        for topic in (*INPUTS.get(name, SHOWN), *BROADCAST):
            noise = self._rng.randbytes(self._rng.randrange(1, 200))
            value = (b"\xff" + noise, b"\x00\x7f\xff\xff\xff" + noise, b"\x00\x00\x00")[self._rng.randrange(3)]
            key = f"noise-{self._rng.getrandbits(64):x}".encode()
            yield Record(topic, self._rng.randrange(PARTITIONS), -1, key, value, ())
