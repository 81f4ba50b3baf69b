"""The kernel over an in-memory broker with an injected clock: for tests and simulations.

The same processors, bytes, ids and changelogs as on Kafka; jobs run inline; every run is deterministic.

>>> from easeml.stream.memory import MemoryCluster
>>> MemoryCluster([], partitions=2).run()
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from easeml.errors import EaseMLError
from easeml.ids import EventId
from easeml.stream import codec, envelope
from easeml.stream.changelog import Snapshot, changelog_topic
from easeml.stream.events import Event
from easeml.stream.items import Effects, HandlerCrashError, Item, TooSlowError
from easeml.stream.lanes import BATCH_EVENTS, Lanes
from easeml.stream.messages import Message, Record
from easeml.stream.partition import PartitionProcessor
from easeml.stream.payloads import Payload, Tick
from easeml.stream.poison import EVERY_SERVICE, PREFIX, Burial, dead_letter
from easeml.stream.service import Service
from easeml.stream.settings import Settings
from easeml.stream.topics import BY_NAME, TICKS, Topic, partition_of
from easeml.stream.views import TOPICS, Broadcast

log = logging.getLogger(__name__)

POINTS = ("before_journal", "after_journal", "half_outputs", "after_outputs", "half_state", "after_state")
"""Where a batch can be cut off; ``before_commit`` is ``after_state`` here, as there are no group offsets."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that a service gave up."""

    reason: str
    message: str
    value: bytes
    headers: dict[str, bytes]


class _KilledError(Exception):
    """The simulated process is gone."""


@dataclass(frozen=True, slots=True)
class _Answered:
    """A job that is done, and what it returned or raised; its event does not know yet."""

    item: Item
    result: Any
    failure: Exception | None


@dataclass
class _Instance:
    """One running service."""

    service: Service[Any]
    lanes: dict[int, Lanes] = field(default_factory=dict)
    fetched: dict[tuple[str, int], int] = field(default_factory=dict)
    jobs: defaultdict[int, deque[_Answered]] = field(default_factory=lambda: defaultdict(deque))
    batches: int = 0
    kills: list[tuple[str, int]] = field(default_factory=list)


class MemoryCluster:
    """A broker and some services in one object.

    Parameters
    ----------
    services : iterable of Service
        Services to run.
    partitions : int
        Partitions of every topic.
    start : float
        Clock at the beginning, seconds since 1970 UTC.
    settings : Settings, optional
        Limits; partitions are taken from the argument.
    rng : random.Random, optional
        Draws which service, partition and topic goes next, how long batches are and how many events pass until a job's
        result is there; None: in order of arrival, with every result at once.
    batch_events : int
        Most events of a batch.
    crash_at : str, optional
        One of ``POINTS`` or ``before_commit``: every service is killed there once, in its second batch.
    """

    def __init__(
        self,
        services: Iterable[Service[Any]],
        partitions: int = 2,
        start: float = 1_700_000_000.0,
        settings: Settings | None = None,
        rng: random.Random | None = None,
        crash_at: str | None = None,
        batch_events: int = BATCH_EVENTS,
    ) -> None:
        base = settings or Settings.load()
        self.settings = base.model_copy(update={"partitions": partitions})
        self.now = start
        self.broadcast = Broadcast(live=True)
        self.restarts = 0
        self._partitions = partitions
        self._rng = rng
        self._batch_events = batch_events
        self._logs: dict[tuple[str, int], list[Record]] = {}
        self._order: list[Record] = []
        self._ticks = 0
        self._hurry = False
        self._instances: dict[str, _Instance] = {}
        self.broadcast.on_deleted.append(self._drop)
        self.broadcast.on_refused.append(self._refuse)
        for service in services:
            instance = _Instance(service, kills=[(crash_at, 2)] if crash_at else [])
            self._instances[service.name] = instance
            self._recover(instance)

    # -- the broker ----------------------------------------------------------------------------------------------

    def publish(
        self,
        topic: Topic | str,
        data: Payload,
        *,
        id: str | None = None,  # noqa: A002 - the CloudEvents attribute
        time: float | None = None,
    ) -> EventId:
        """Publish a payload as a user would; return its id."""
        where = BY_NAME[topic] if isinstance(topic, str) else topic
        identity = EventId(id) if id is not None else EventId.derive("memory", len(self._order))
        stamp = self.now if time is None else time
        partition = partition_of(envelope.partition_key(data), self._partitions)
        headers = tuple(envelope.headers(identity, "easeml/user", data, stamp))
        self._append(Message(where.name, partition, where.key(data).encode(), codec.encode(data), headers))
        return identity

    def publish_bytes(
        self,
        topic: Topic | str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int = 0,
    ) -> None:
        """Publish raw bytes to a partition."""
        name = topic if isinstance(topic, str) else topic.name
        self._append(Message(name, partition, key, value, tuple(headers)))

    def tick(self, seconds: int = 1, *, run: bool = True) -> None:
        """Let the clock run, one tick event a second on every partition, and the services with it, unless told not to.

        A clock that was moved forward by hand goes on from there, as after a pause of the whole house.
        """
        for _ in range(seconds):
            self.now += 1
            data = Tick(self._ticks, self.now)
            for partition in range(self._partitions):
                identity = EventId.derive("tick", partition, self._ticks)
                headers = tuple(envelope.headers(identity, "easeml/supervisor", data, self.now))
                self._append(Message(TICKS.name, partition, b"tick", codec.encode(data), headers))
            self._ticks += 1
            if run:
                self.run()

    def records(self, topic: Topic | str) -> list[Record]:
        """Return the raw messages of a topic in the order of publication."""
        name = topic if isinstance(topic, str) else topic.name
        return [record for record in self._order if record.topic == name]

    def events(self, topic: Topic | str) -> list[Event[Any]]:
        """Return the events of a topic in the order of publication."""
        return [envelope.parse(record) for record in self.records(topic) if record.value is not None]

    def dead_letters(self, topic: Topic | str) -> list[DeadLetter]:
        """Return the dead letters of a topic."""
        name = topic if isinstance(topic, str) else topic.name
        letters = []
        for record in self.records(f"{name}.dlq"):
            headers = dict(record.headers)
            reason, text = headers[f"{PREFIX}reason"].decode(), headers[f"{PREFIX}message"].decode()
            letters.append(DeadLetter(reason, text, record.value or b"", headers))
        return letters

    def _append(self, message: Message) -> None:
        messages = self._logs.setdefault((message.topic, message.partition), [])
        record = Record(
            message.topic,
            message.partition,
            len(messages),
            message.key,
            message.value,
            message.headers,
            int(self.now * 1000),
        )
        messages.append(record)
        self._order.append(record)
        if message.topic in TOPICS:
            self.broadcast.apply(record)

    # -- the services --------------------------------------------------------------------------------------------

    def state(self, service_name: str, app: str) -> Any:
        """Return the state of an app in a service, None when it has none."""
        lanes = self._instances[service_name].lanes[partition_of(app, self._partitions)]
        return lanes.processor.state(app)

    def fused(self, service_name: str) -> list[int]:
        """Return the partitions that a service stopped because of too many dead letters in a row."""
        return [n for n, lanes in self._instances[service_name].lanes.items() if lanes.processor.fused]

    def kill(self, service_name: str, point: str, batch: int = 1) -> None:
        """Kill and restart a service at a point of ``POINTS`` of its ``batch``-th batch from now."""
        instance = self._instances[service_name]
        instance.kills.append((point, instance.batches + batch))

    def restart(self, service_name: str) -> None:
        """Drop a service's memory and recover it from its changelog and its folds."""
        instance = self._instances[service_name]
        apps = set(self.broadcast.apps) | self.broadcast.deleted
        apps.update(app for lanes in instance.lanes.values() for app in lanes.processor.apps)
        for app in sorted(apps):
            instance.service.forget(app)
        self.restarts += 1
        self._recover(instance)

    def run(self) -> None:
        """Run until no service has anything left to do.

        A service whose code fails is restarted, as a supervisor would, and the failure is logged; after
        ``settings.attempts`` crashes the message is dead-lettered with the reason ``handler_crash``.
        """
        retried = False
        while True:
            if self._turn():
                retried = False
            elif retried:
                self._hurry = False
                return
            else:
                for instance in self._instances.values():
                    for lanes in instance.lanes.values():
                        lanes.retry()
                retried = True
            self._hurry = retried

    def turn(self, without: Collection[str] = ()) -> bool:
        """Let every service, some apart, write one batch at most; return whether one did."""
        self._hurry = False
        return self._turn(without)

    def _turn(self, without: Collection[str] = ()) -> bool:
        present = {name: instance for name, instance in self._instances.items() if name not in without}
        places = [(name, number) for name, instance in present.items() for number in instance.lanes]
        if self._rng is not None:
            self._rng.shuffle(places)
        worked = False
        for name, number in places:
            instance = self._instances[name]
            try:
                worked |= self._batch(instance, number)
            except _KilledError:
                self.restart(name)
                worked = True
            except HandlerCrashError as crash:
                log.exception("%s crashed", name)
                self._append(instance.lanes[number].processor.crash_record(crash))
                self.restart(name)
                worked = True
        return worked

    def _batch(self, instance: _Instance, number: int) -> bool:
        lanes = instance.lanes[number]
        self._fetch(instance, lanes, number)
        for message in lanes.dare():
            self._append(message)
        limit = self._batch_events + len(lanes.lanes)  # heads that turn out busy shall not use it up
        if self._rng is not None and not self._hurry:
            limit = self._rng.randint(1, self._batch_events)
        stepped = 0
        while stepped < limit or lanes.replaying:
            if lanes.step(self.now):
                stepped += 1 - self._begin_jobs(instance, number)  # the event of a job is still to come
            elif not instance.jobs[number] or self._later():
                break
            if instance.jobs[number] and not self._later():
                done = instance.jobs[number].popleft()
                if isinstance(done.failure, TooSlowError):
                    self._append(lanes.processor.give_up(done.item, done.failure))
                lanes.finish(done.item, done.result, done.failure)
            if lanes.cut:
                break
        effects = lanes.take()
        if effects is None:
            return lanes.cut
        instance.batches += 1
        self._write(instance, lanes.processor, effects)
        return True

    def _later(self) -> bool:
        """Whether something else comes before a job's result."""
        return self._rng is not None and not self._hurry and self._rng.random() < 0.5

    @staticmethod
    def _begin_jobs(instance: _Instance, number: int) -> int:
        """Do the jobs that wait, in their order, as one worker process does; return how many."""
        jobs, instance.lanes[number].jobs = instance.lanes[number].jobs, []
        for item in jobs:
            assert item.job is not None
            try:
                answered = _Answered(item, item.job.function(*item.job.arguments), None)
            except Exception as error:
                answered = _Answered(item, None, error)
            instance.jobs[number].append(answered)
        return len(jobs)

    def _fetch(self, instance: _Instance, lanes: Lanes, number: int) -> None:
        for topic in lanes.lanes:
            place = (topic, number)
            messages = self._logs.get(place, [])
            end = len(messages)
            if self._rng is not None and not self._hurry:
                end = self._rng.randint(instance.fetched[place], end)
            for record in messages[instance.fetched[place] : end]:
                lanes.feed(record)
            instance.fetched[place] = end

    def _write(self, instance: _Instance, processor: PartitionProcessor, effects: Effects) -> None:
        self._pass(instance, "before_journal")
        if effects.journal is not None:
            self._append(effects.journal)
        self._pass(instance, "after_journal")
        self._send(instance, effects.messages, "half_outputs")
        self._pass(instance, "after_outputs")
        processor.remember(effects)
        self._send(instance, effects.records, "half_state")
        self._pass(instance, "after_state")

    def _send(self, instance: _Instance, messages: Sequence[Message], half: str) -> None:
        for place, message in enumerate(messages):
            if place == len(messages) // 2:
                self._pass(instance, half)
            self._append(message)

    def _pass(self, instance: _Instance, point: str) -> None:
        for kill in instance.kills:
            named = "after_state" if kill[0] == "before_commit" else kill[0]
            if named == point and instance.batches >= kill[1]:
                instance.kills.remove(kill)
                raise _KilledError(point)

    def _recover(self, instance: _Instance) -> None:
        service = instance.service
        for number in range(self._partitions):
            snapshot = Snapshot()
            for record in self._logs.get((changelog_topic(service.name), number), []):
                assert record.key is not None
                snapshot.apply(record.key, record.value)
            processor = PartitionProcessor(service, number, self.settings, self.broadcast, snapshot)
            for topic in processor.routes.folded:
                for start, end in processor.to_fold(topic, 0):
                    for record in self._logs.get((topic, number), [])[start:end]:
                        processor.refold(record)
            choose = self._rng.choice if self._rng is not None else None
            lanes = Lanes(processor, snapshot, choose)
            instance.lanes[number] = lanes
            instance.jobs[number].clear()
            for topic, lane in lanes.lanes.items():
                instance.fetched[topic, number] = lane.expected

    def _refuse(self, record: Record, error: EaseMLError) -> None:
        self._append(dead_letter(record, error, Burial(EVERY_SERVICE, self.now), self.settings.max_message_bytes))

    def _drop(self, app: str) -> None:
        for instance in self._instances.values():
            for lanes in instance.lanes.values():
                lanes.processor.drop(app)


__all__ = ["POINTS", "DeadLetter", "MemoryCluster"]
