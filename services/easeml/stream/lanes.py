"""The queues of one partition, one lane per input topic, and which of their heads goes next.

Normally the message that arrived first goes first. After a crash the journalled batch goes first, in its order, and
ends as one batch; then what was on the broker at the start, in the order of its time: a message must not come before
what caused it because its topic is fetched earlier. A lane whose head is busy, waits for its app or for a job is passed
over; the others go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from easeml.stream import envelope
from easeml.stream.changelog import Snapshot
from easeml.stream.items import Effects, Item, Outcome
from easeml.stream.messages import Message, Record
from easeml.stream.partition import PartitionProcessor
from easeml.stream.payloads import JournalRecord

BATCH_EVENTS = 64
"""Most events of a batch: applied per write of state."""
BUSY_SECONDS = 0.1
WAIT_SECONDS = 0.02
FETCH_SECONDS = 2.0
"""Longest wait for the next message of a topic that is known to have one."""


@dataclass(slots=True)
class Lane:
    """Messages of one topic that are here but not applied; those below ``old`` were on the broker at the start."""

    expected: int = 0
    old: int = 0
    items: deque[tuple[int, Item]] = field(default_factory=deque)
    blocked_until: float | None = None
    working: bool = False
    empty_since: float | None = None

    @property
    def behind(self) -> bool:
        """Whether something that was there at the start is not applied yet."""
        return (self.items[0][1].record.offset if self.items else self.expected) < self.old

    def awaited(self, now: float) -> float:
        """Return for how many seconds more the next message is waited for; 0: it is here, or gone from the broker."""
        if self.items:
            return 0.0
        if self.empty_since is None:
            self.empty_since = now
        left = max(0.0, self.empty_since + FETCH_SECONDS - now)
        if not left:
            self.old = 0
        return left

    def later(self, head: Item) -> Iterator[Item]:
        """Yield what waits behind the head with its key and a later time; a repetition is no later one."""
        key, stamp = head.record.key, envelope.stamp(head.record)
        for _, item in islice(self.items, 1, None):
            if item.record.key == key and envelope.stamp(item.record) > stamp:
                yield item

    def open(self, now: float) -> bool:
        """Whether the head may be offered."""
        waits = self.blocked_until is not None and now < self.blocked_until
        return bool(self.items) and not self.working and not waits


class Lanes:
    """Feeds one processor.

    Parameters
    ----------
    processor : PartitionProcessor
        The partition.
    snapshot : Snapshot
        What the changelog remembers: the journal of an interrupted batch.
    choose : callable, optional
        Picks one of several topics whose heads are ready; None: the one that arrived first.
    """

    def __init__(
        self,
        processor: PartitionProcessor,
        snapshot: Snapshot,
        choose: Callable[[Sequence[str]], str] | None = None,
    ) -> None:
        self.processor = processor
        self.lanes = {t: Lane(processor.positions.get(t, -1) + 1) for t in processor.routes.topics}
        self.jobs: list[Item] = []
        self.cut = False
        """Whether the batch shall end here: what was done before and after a risky message must not depend on it."""
        self._risks: list[Item] = []
        self._choose = choose
        self._arrivals = 0
        self._catches_up = False
        self._held_until: float | None = None
        self._journal = deque(self._unfinished(snapshot.journal))

    def _unfinished(self, journal: JournalRecord | None) -> list[tuple[str, int, bool]]:
        if journal is None:
            return []
        parked = set(journal.parked)
        entries = [
            (topic, offset, place in parked)
            for place, (topic, offset) in enumerate(zip(journal.topics, journal.offsets, strict=True))
            if topic in self.lanes and offset >= self.lanes[topic].expected
        ]
        return entries if any(not waits for _, _, waits in entries) else []

    @property
    def replaying(self) -> bool:
        """Whether the batch of the journal is not complete yet."""
        return bool(self._journal)

    @property
    def idle(self) -> bool:
        """Whether no message is queued or at work."""
        return not any(lane.items for lane in self.lanes.values())

    def backlog(self, topic: str) -> int:
        """Return the number of queued messages of a topic."""
        return len(self.lanes[topic].items)

    def stuck(self, topic: str) -> bool:
        """Whether a topic does not move for now: its head is blocked, or others must go first."""
        lane = self.lanes[topic]
        held = self._held_until is not None or self.replaying or self.processor.fused
        return lane.working or lane.blocked_until is not None or held

    def feed(self, record: Record) -> int | None:
        """Queue a message; return the offset that was expected when messages before it are missing.

        A message that was queued before is dropped. Whether a gap is real (a compacted topic, expired messages,
        transaction markers) is for the caller to find out; ``start_at`` passes it.
        """
        lane = self.lanes[record.topic]
        if record.offset < lane.expected:
            return None
        if record.offset > lane.expected:
            return lane.expected
        lane.expected = record.offset + 1
        lane.empty_since = None
        self._arrivals += 1
        lane.items.append((self._arrivals, Item(record)))
        return None

    def start_at(self, topic: str, offset: int) -> None:
        """Skip what the broker no longer has: the topic's log begins here."""
        lane = self.lanes[topic]
        lane.expected = max(lane.expected, offset)

    def catch_up(self, topic: str, end: int) -> None:
        """Take what is on the broker already, up to an end offset, in the order of time with that of other topics."""
        self.lanes[topic].old = end
        self._catches_up = True

    # -- offering ------------------------------------------------------------------------------------------------

    def step(self, now: float) -> bool:
        """Offer one message; False when none is ready. ``now`` is a monotonic clock in seconds.

        Raises
        ------
        HandlerCrashError
            When the service's code failed.
        """
        self.cut = False
        if self.processor.fused:
            return False
        topic = self._next_of_journal() if self._journal else self._next(now)
        if topic is None:
            return False
        lane = self.lanes[topic]
        if not lane.open(now):
            return False
        _, item = lane.items[0]
        item.follows = partial(self._is_followed, lane, item)
        outcome = self.processor.offer(item)
        self._settle(lane, item, outcome, now)
        return True

    def _is_followed(self, lane: Lane, item: Item) -> bool:
        return any(self.processor.succeeds(later, item) for later in lane.later(item))

    def _settle(self, lane: Lane, item: Item, outcome: Outcome, now: float) -> None:
        lane.blocked_until = None
        self.cut = outcome is Outcome.RISK or (outcome is Outcome.DONE and item.dared)
        if outcome is Outcome.DONE:
            lane.items.popleft()
            if self._journal and self._journal[0][:2] == (item.record.topic, item.record.offset):
                self._journal.popleft()
        elif outcome is Outcome.JOB:
            lane.working = True
            self.jobs.append(item)
        elif outcome is Outcome.RISK:
            lane.working = True
            self._risks.append(item)
        elif outcome is Outcome.WAITS:
            lane.blocked_until = now + WAIT_SECONDS
        else:
            # In the first run this event was not busy here, so the service's code has changed since.
            self._journal.clear()
            lane.blocked_until = now + BUSY_SECONDS
        for app in self.processor.freed:
            self._free(app)
        self.processor.freed.clear()

    def _free(self, app: str) -> None:
        for lane in self.lanes.values():
            head = lane.items[0][1] if lane.items else None
            if head is not None and head.event is not None and head.event.app == app:
                lane.blocked_until = None

    def _next(self, now: float) -> str | None:
        self._held_until = None
        ready = [topic for topic, lane in self.lanes.items() if lane.open(now)]
        if not ready:
            return None
        if self._choose is not None:
            return self._choose(ready)
        if self._catches_up:
            return self._oldest(ready, now)
        return min(ready, key=lambda topic: self.lanes[topic].items[0][0])

    def _oldest(self, ready: list[str], now: float) -> str | None:
        """Return the topic whose head is oldest; None while that of another one is still on its way."""
        behind = {topic for topic, lane in self.lanes.items() if lane.behind}
        self._catches_up = bool(behind)
        waits = [seconds for topic in behind if (seconds := self.lanes[topic].awaited(now))]
        if waits:
            self._held_until = now + min(waits)
            return None

        def age(topic: str) -> tuple[bool, int, int]:
            arrival, item = self.lanes[topic].items[0]
            return topic not in behind, item.record.timestamp_ms * (topic in behind), arrival

        return min(ready, key=age)

    def _next_of_journal(self) -> str | None:
        while self._journal:
            topic, offset, parked = self._journal[0]
            lane = self.lanes[topic]
            if not lane.items:
                if lane.expected <= offset:
                    return None  # it has not arrived yet
                self._journal.popleft()
                continue
            head = lane.items[0][1]
            if head.record.offset > offset:
                self._journal.popleft()  # expired on the broker
                continue
            if parked and head.record.offset == offset:
                self.processor.park(head)
                self._journal.popleft()
                continue
            return topic
        return None

    def finish(self, item: Item, result: object, failure: Exception | None = None) -> None:
        """Hand in what a job returned or raised."""
        item.job, item.answered, item.result, item.failure = None, True, result, failure
        self.lanes[item.record.topic].working = False

    def dare(self) -> Iterator[Message]:
        """Yield what must be acknowledged before each risky message is offered again, once the batch before it is."""
        while self._risks:
            item = self._risks.pop()
            yield self.processor.dare(item)
            self.lanes[item.record.topic].working = False

    def take(self) -> Effects | None:
        """End the batch; None while there is nothing to write or the journalled batch is incomplete."""
        return None if self._journal else self.processor.take()

    def wait(self, now: float) -> float | None:
        """Return seconds until something may be tried again without a new message, None when there is nothing."""
        times = [
            lane.blocked_until - now
            for lane in self.lanes.values()
            if lane.items and not lane.working and lane.blocked_until is not None
        ]
        if self._held_until is not None:
            times.append(self._held_until - now)
        return max(0.0, min(times)) if times else None

    def retry(self) -> None:
        """Try every blocked head at the next step."""
        for lane in self.lanes.values():
            lane.blocked_until = None
