"""One partition at work: micro-batches, their writes, their jobs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from easeml.stream.bulk import Place
from easeml.stream.inbox import Inbox
from easeml.stream.items import Effects, HandlerCrashError, Item, TooSlowError
from easeml.stream.jobs import Workers
from easeml.stream.killpoints import KillPoint
from easeml.stream.lanes import BATCH_EVENTS, Lanes
from easeml.stream.messages import Record
from easeml.stream.metrics import Metrics
from easeml.stream.outbox import Outbox

log = logging.getLogger(__name__)

YIELD_SECONDS = 0.02
BATCH_SECONDS = 0.05
HIGH, LOW = 1000, 250
"""Queued messages of a topic above which fetching stops and below which it goes on."""
HIGH_BYTES = 32_000_000


class PartitionHost:
    """Runs one partition until it is stopped.

    A job that takes too long is given up without a stop: that this was decided is written before its message is
    dead-lettered. A job whose worker process died is a crash of its message, like one in the event loop.

    Parameters
    ----------
    number : int
        Number of the partition.
    lanes : Lanes
        Its recovered queues.
    outbox, inbox, workers, metrics, kill_point
        What it works with; ``workers`` is None for services without jobs.
    missing : callable
        Called with a topic and partition and the offset at which messages are missing.
    room : callable
        Called after each batch: there may be room for more input.
    """

    def __init__(
        self,
        number: int,
        lanes: Lanes,
        *,
        service: str,
        outbox: Outbox,
        inbox: Inbox,
        workers: Workers | None,
        metrics: Metrics,
        kill_point: KillPoint,
        missing: Callable[[Place, int], None],
        room: Callable[[], None],
    ) -> None:
        self.number = number
        self.lanes = lanes
        self.positions = dict(lanes.processor.positions)
        self._begins = {topic: lane.expected for topic, lane in lanes.lanes.items()}
        self.stopping = False
        self._service = service
        self._outbox = outbox
        self._inbox = inbox
        self._workers = workers
        self._metrics = metrics
        self._kill = kill_point
        self._missing = missing
        self._room = room
        self._wake = asyncio.Event()
        self._paused: set[str] = set()
        self._bytes = dict.fromkeys(lanes.lanes, 0)
        self._jobs: set[asyncio.Task[None]] = set()
        self._late: list[tuple[Item, TooSlowError]] = []

    # -- input ---------------------------------------------------------------------------------------------------

    def feed(self, record: Record) -> None:
        """Queue a fetched record."""
        missing = self.lanes.feed(record)
        if missing is not None:
            self._missing((record.topic, self.number), missing)
            return
        self._bytes[record.topic] += len(record.value or b"")
        self._pause_stuck()
        self._wake.set()

    def crowded(self) -> bool:
        """Whether fetching should wait until this partition has caught up."""
        return any(topic not in self._paused and self._full(topic) for topic in self.lanes.lanes)

    def _full(self, topic: str) -> bool:
        backlog = self.lanes.backlog(topic)
        return backlog > HIGH or (self._bytes[topic] > HIGH_BYTES and backlog > 1)

    def _pause_stuck(self) -> None:
        # Only a lane that does not move is paused, for the others would wait for it; pausing throws away what the
        # client has prefetched.
        for topic in self.lanes.lanes:
            if topic not in self._paused and self._full(topic) and self.lanes.stuck(topic):
                self._paused.add(topic)
                self._inbox.pause((topic, self.number))

    def wake(self) -> None:
        """Look again at what may be done."""
        self._wake.set()

    def _resume(self) -> None:
        for topic, lane in self.lanes.lanes.items():
            if self._bytes[topic]:
                self._bytes[topic] = sum(len(item.record.value or b"") for _, item in lane.items)
            if topic in self._paused and len(lane.items) < LOW and self._bytes[topic] < HIGH_BYTES:
                self._paused.discard(topic)
                self._inbox.resume((topic, self.number))
        self._pause_stuck()
        self._room()

    def lag(self) -> int:
        """Return messages that are on the broker and not applied, as far as it is known without asking."""
        return sum(self.lag_of(topic) for topic in self.lanes.lanes)

    def lag_of(self, topic: str) -> int:
        """Return the lag of one topic."""
        known = max(self._inbox.end_of((topic, self.number)), self.lanes.lanes[topic].expected)
        return max(0, known - max(self._begins[topic], self.positions.get(topic, -1) + 1))

    # -- work ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until ``stop``.

        Raises
        ------
        HandlerCrashError
            When the service's code failed; its attempt is written.
        UnavailableError
            When the broker does not take what must be written.
        """
        while not self.stopping:
            self._wake.clear()
            if await self._batch():
                continue
            self._pause_stuck()
            wait = self.lanes.wait(time.monotonic())
            if wait is not None and wait <= 0:
                await asyncio.sleep(0)
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Finish the batch under way and stop; jobs are left to the next owner."""
        self.stopping = True
        self._wake.set()
        for job in self._jobs:
            job.cancel()

    async def _batch(self) -> bool:
        await self._give_up()
        for message in self.lanes.dare():
            await self._outbox.send([message])
        begun = sliced = time.monotonic()
        stepped = 0
        while not self.stopping and (stepped < BATCH_EVENTS or self.lanes.replaying):
            now = time.monotonic()
            if stepped and now - begun > BATCH_SECONDS and not self.lanes.replaying:
                break
            if now - sliced > YIELD_SECONDS:
                await asyncio.sleep(0)
                sliced = time.monotonic()
            try:
                if not self.lanes.step(now):
                    break
            except HandlerCrashError as crash:
                await self._outbox.send([self.lanes.processor.crash_record(crash)])
                raise
            stepped += 1
            self._metrics.handler_seconds.labels(self._service).observe(time.monotonic() - now)
            self._start_jobs()
            if self.lanes.cut:
                break
        effects = self.lanes.take()
        if effects is None:
            return stepped >= BATCH_EVENTS or self.lanes.cut
        await self._write(effects)
        self._resume()
        return True

    async def _give_up(self) -> None:
        while self._late:
            item, error = self._late.pop()
            await self._outbox.send([self.lanes.processor.give_up(item, error)])
            self.lanes.finish(item, None, error)

    async def _write(self, effects: Effects) -> None:
        begun = time.monotonic()
        self._kill.count()
        if effects.journal is not None:
            await self._outbox.send([effects.journal])
        sending = asyncio.ensure_future(self._outbox.send(effects.messages))
        await asyncio.sleep(0)  # they are on their way before the states are packed
        self.lanes.processor.remember(effects)
        await sending
        self._kill.reach("after_outputs", effects.positions, self.lag)
        await self._outbox.send(effects.records)
        self._kill.reach("after_state", effects.positions, self.lag)
        self.positions = effects.positions
        size = sum(len(message.value or b"") for message in effects.records)
        self._metrics.batch(effects.counts, size, time.monotonic() - begun)
        for kind, count in effects.counts.items():
            if kind.startswith("dead:"):
                log.warning("%d message(s) of partition %d dead-lettered: %s", count, self.number, kind[5:])
        self._kill.reach("before_commit", effects.positions, self.lag)

    def _start_jobs(self) -> None:
        while self.lanes.jobs:
            task = asyncio.ensure_future(self._job(self.lanes.jobs.pop()))
            self._jobs.add(task)
            task.add_done_callback(self._jobs.discard)

    async def _job(self, item: Item) -> None:
        assert item.job is not None
        assert self._workers is not None
        result, failure = None, None
        try:
            result = await asyncio.wrap_future(self._workers.run(item.job))
        except Exception as error:  # the core decides whether it condemns the message or the code
            failure = error
        self._metrics.jobs.labels(self._service, "failed" if failure else "done").inc()
        if isinstance(failure, TooSlowError):
            self._late.append((item, failure))  # written down first, between two batches
        else:
            self.lanes.finish(item, result, failure)
        self._wake.set()
