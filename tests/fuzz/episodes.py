"""Damaged messages through the real kernel and the real handlers of one service, on the in-memory broker.

Two kinds of episodes. In a *refused* one every damaged message must be given up, for the reason that the oracle names,
and the service must end as if none had come. In an *open* one damaged messages may get through: then the service may
do with them what it likes, the same at every repetition, but it may neither crash nor hang nor do two things at once.
"""

from __future__ import annotations

import math
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest import mock

from damage import damaged
from house import APP, PARTITIONS, ROOMS, Alone, Recording, event
from oracle import ACCEPTED, EITHER, Rules, describe, judge
from telling import Tally

from easeml.snoopy import work
from easeml.stream.changelog import Stored
from easeml.stream.memory import DeadLetter
from easeml.stream.messages import Record
from easeml.stream.poison import PREFIX
from easeml.stream.routing import Routes
from easeml.stream.settings import Settings
from easeml.stream.topics import ALGORITHMS, APPS, TICKS

ENVELOPE = ("schema", "too_large", "wrong_payload", "not_finite", "unknown_app", "wrong_partition")
"""Reasons that schema and envelope decide."""
SHARED = (APPS.name, ALGORITHMS.name)
REFUSED_INPUTS, OPEN_INPUTS = 8000, 200
"""Damaged messages of an episode: what is refused changes nothing, so one life bears as many as one likes."""
CHUNK = 10
"""Sound messages between two moments at which the service works."""
WAITING = 200
"""Seconds after which nothing may be waited with any more: a trainer gives up a minute after the recorded day."""
PATIENCE = 120.0
"""CPU seconds after which a chunk of messages counts as hanging."""


class HangError(BaseException):
    """A chunk took too long; no handler catches this."""


@dataclass
class ServiceTally(Tally):
    """What became of the damaged messages of one service.

    ``letters`` counts distinct ids of dead letters, ``slowest`` is in CPU seconds for one chunk.
    """

    letters: int = 0
    crashes: int = 0

    def add(self, other: ServiceTally) -> None:
        """Take up what another episode counted."""
        for name in ("inputs", "letters", "crashes", "hangs"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.slowest = max(self.slowest, other.slowest)
        self.damages += other.damages
        self.outcomes += other.outcomes
        self.faults += other.faults


@dataclass
class Sent:
    """A message on the cluster, whether it was damaged, and what the rules say of it."""

    record: Record
    kind: str
    verdict: str


class Episode:
    """One life of a service among damaged messages.

    Parameters
    ----------
    name : str
        Service.
    recording : Recording
        Where sound messages come from.
    sound : list of list of Record
        Sound messages that are damaged, as ``specimens`` finds them.
    seed : int
        Of all choices.
    refused : bool
        Whether only messages are sent that must be given up.
    inputs : int
        Number of damaged messages.
    """

    def __init__(
        self, name: str, recording: Recording, sound: list[list[Record]], seed: int, *, refused: bool, inputs: int
    ) -> None:
        self.life = Alone(name, recording, settings=Settings.load(fuse=10**9))
        self.tally = ServiceTally()
        self._refused = refused
        self._introduction = recording.introduction()
        self._left = inputs
        self._rng = random.Random(f"{name}/{seed}/{refused}")
        service = self.life.service
        self._routed = frozenset((line.topic.name, line.payload.__name__) for line in service.table())
        self._groups = sound
        self._all = [record for group in sound for record in group]
        self._sent: list[Sent] = []
        self._read = len(self.life.cluster._order)

    def play(self) -> ServiceTally:
        """Play the episode and return what happened."""
        heard = self.life.inputs
        per_message = self._left / len(heard)
        due = 0.0
        for place, record in enumerate(heard, 1):
            due += per_message
            while due >= 1 and self._left:
                due -= 1
                self._harm()
            self.life.put([record])
            self._note(self.life.fed[-1], "")
            if place % CHUNK == 0:
                self._run()
        while self._left:
            self._harm()
        self._run()
        if self._sent:
            self.life.cluster.tick(WAITING)
            self._run()
        if self._sent:
            self._fault("messages that are still waited with", self._sent)
        return self.tally

    def _harm(self) -> None:
        kind, record, verdict = self._choose()
        if record.topic in SHARED and self._sent and not self._refused:
            self._run()  # a definition counts at once, whatever was sent before it
        cluster = self.life.cluster
        now = cluster.now
        if record.timestamp_ms:
            cluster.now = record.timestamp_ms / 1000
        cluster.publish_bytes(record.topic, record.value, record.key, record.headers, record.partition)
        cluster.now = now
        self._left -= 1
        self.tally.inputs += 1
        self.tally.damages[kind] += 1
        self._note(record, kind, verdict)
        if record.topic in SHARED and not self._refused:
            self._run()
            self.life.put(self._introduction)

    def _choose(self) -> tuple[str, Record, str]:
        while True:
            sound = self._rng.choice(self._rng.choice(self._groups))
            kind, record = damaged(self._rng, sound, self._all)
            verdict = judge(record, self._rules())
            without_effect = record.value is None or verdict in ENVELOPE
            if without_effect or not self._refused:
                return kind, record, verdict

    def _rules(self) -> Rules:
        limit = self.life.cluster.settings.max_message_bytes
        return Rules(frozenset(self.life.cluster.broadcast.apps), self._routed, PARTITIONS, limit)

    def _note(self, record: Record, kind: str, verdict: str = ACCEPTED) -> None:
        offset = len(self.life.cluster._logs[record.topic, record.partition]) - 1
        self._sent.append(Sent(replace(record, offset=offset), kind, verdict))

    # -- what came of it -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        started, crashes = time.process_time(), self.life.cluster.restarts
        try:
            with limited(PATIENCE):
                self.life.cluster.run()
        except HangError:
            self.tally.hangs += 1
            self._fault("hang", self._sent)
            raise
        self.tally.slowest = max(self.tally.slowest, time.process_time() - started)
        if self.life.cluster.restarts > crashes:
            self.tally.crashes += self.life.cluster.restarts - crashes
        letters = self._letters()
        waiting = []
        for sent in self._sent:
            record = sent.record
            if self._is_applied(record):
                self._compare(sent, letters.pop((record.topic, record.partition, record.offset), []))
            else:
                waiting.append(sent)
        for place in letters:
            self._fault(f"a letter for {place}, which was not sent", [])
        self._sent = waiting

    def _is_applied(self, record: Record) -> bool:
        lanes = self.life.cluster._instances[self.life.name].lanes[record.partition]
        return record.topic in SHARED or record.offset <= lanes.processor.positions.get(record.topic, -1)

    def _letters(self) -> dict[tuple[str, int, int], list[DeadLetter]]:
        found: dict[tuple[str, int, int], list[DeadLetter]] = {}
        order = self.life.cluster._order
        for record in order[self._read :]:
            if record.topic.endswith(".dlq"):
                headers = dict(record.headers)
                told = {name: headers[PREFIX + name].decode() for name in ("reason", "message", "topic")}
                place = told["topic"], int(headers[f"{PREFIX}partition"]), int(headers[f"{PREFIX}offset"])
                letter = DeadLetter(told["reason"], told["message"], record.value or b"", headers)
                if f"{PREFIX}app" not in headers:  # an app's tick handler refuses beside the message
                    found.setdefault(place, []).append(letter)
        self._read = len(order)
        return found

    def _compare(self, sent: Sent, letters: list[DeadLetter]) -> None:
        reasons = [letter.reason for letter in letters]
        self.tally.letters += len({letter.headers[f"{PREFIX}id"] for letter in letters}) if sent.kind else 0
        if len(letters) > 1:
            self._fault(f"{len(letters)} letters {reasons}", [sent])
        elif "handler_crash" in reasons:
            self._fault(f"crash: {letters[0].message}", [sent])
        elif sent.verdict == ACCEPTED:
            # infinite cells have the reason of a clock that shows no time
            envelope = [r for r in reasons if r in ENVELOPE and (r != "not_finite" or sent.record.topic == TICKS.name)]
            if envelope:
                self._fault(f"refused without reason: {letters[0].message}", [sent])
            elif reasons and self._refused:
                self._fault(f"a sound message was refused: {letters[0].message}", [sent])
        elif sent.verdict != EITHER and reasons != [sent.verdict]:
            self._fault(f"expected {sent.verdict}, got {reasons}", [sent])
        if sent.kind:
            self.tally.outcomes[reasons[0] if reasons else "accepted"] += 1

    def _fault(self, what: str, sent: list[Sent]) -> None:
        self.tally.faults.append(
            "\n".join([f"{self.life.name}: {what}", *(f"{s.kind}: {describe(s.record)}" for s in sent)])
        )

    def remembers(self) -> bool:
        """Whether state can be stored and read back, and a restart changes nothing."""
        before = self.life.state()
        if before is None:
            return True
        service = self.life.service
        again = Stored.freeze(service.pack(service.unpack(APP.app, before.thaw())))
        self.life.cluster.restart(self.life.name)
        self.life.cluster.run()
        return again == before and self.life.state() == before


def specimens(name: str, recording: Recording) -> list[list[Record]]:
    """Return sound messages for a service by topic and payload, so that rare ones get their share."""
    topics = (*Routes(ROOMS[name](recording.store)).topics, *SHARED)
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in recording.records:
        if record.topic in topics:
            groups.setdefault((record.topic, type(event(record).data).__name__), []).append(_foreign(record))
    return list(groups.values())


def _foreign(record: Record) -> Record:
    """Return a message as from a stranger: nobody shall take it for something that the service itself said."""
    headers = tuple((name, b"easeml/fuzz" if name == "ce_source" else text) for name, text in record.headers)
    return replace(record, headers=headers, timestamp_ms=0)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise HangError after so many CPU seconds."""

    def stop(*_: object) -> None:
        raise HangError

    old = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)


def fuzz(
    name: str,
    recording: Recording,
    inputs: int,
    *,
    seed: int = 0,
    share: float = 0.8,
    told: Callable[[Tally], None] = lambda _: None,
) -> ServiceTally:
    """Return what became of so many damaged messages, a ``share`` of them in episodes where all must be given up."""
    with mock.patch.object(work, "_SECONDS", math.inf):  # else a study would go as far as the machine is fast
        return _fuzz(name, recording, inputs, seed, share, told)


def _fuzz(
    name: str, recording: Recording, inputs: int, seed: int, share: float, told: Callable[[Tally], None]
) -> ServiceTally:
    sound = specimens(name, recording)

    def episode(number: int, *, refused: bool, inputs: int) -> Episode:
        return Episode(name, recording, sound, seed + number, refused=refused, inputs=inputs)

    calm = episode(0, refused=True, inputs=0)
    calm.play()
    undisturbed = calm.life.end()
    tally = ServiceTally()
    refused, number = round(inputs * share), 0
    while tally.inputs < inputs:
        only = tally.inputs < refused
        size = min(REFUSED_INPUTS, refused - tally.inputs) if only else min(OPEN_INPUTS, inputs - tally.inputs)
        one = episode(number, refused=only, inputs=size)
        tally.add(one.play())
        if only and one.life.end() != undisturbed:
            tally.faults.append(f"{name}: messages that were given up left a trace; seed {seed + number}")
        if not only:
            if number % 10 == 0:
                twin = episode(number, refused=False, inputs=size)
                twin.play()
                if twin.life.end() != one.life.end() or twin.tally.outcomes != one.tally.outcomes:
                    tally.faults.append(f"{name}: two lives with the same messages differ; seed {seed + number}")
            if not one.remembers():
                tally.faults.append(f"{name}: a restart changed the state; seed {seed + number}")
        number += 1
        told(tally)
    return tally
