"""One service on a real broker: membership, partitions, commits, watchdog.

::

    inbox (thread) -> faust channel -> agent -> PartitionHost (one per partition) -> outbox (acks=all)
                                                      |
                                             recovery (changelog, views)

Whatever fails ends the process without acknowledging anything; the next start finds its place in the changelog.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from easeml.stream.bulk import BulkReader, Place
from easeml.stream.faust_app import FaustApp
from easeml.stream.host import PartitionHost
from easeml.stream.inbox import Inbox
from easeml.stream.jobs import Workers
from easeml.stream.killpoints import KillPoint
from easeml.stream.messages import Record
from easeml.stream.metrics import Metrics
from easeml.stream.outbox import Outbox
from easeml.stream.partition import home_of
from easeml.stream.recovery import recover
from easeml.stream.refusals import Refusals
from easeml.stream.routing import Routes
from easeml.stream.service import Service
from easeml.stream.settings import Settings
from easeml.stream.tail import Tail
from easeml.stream.views import Broadcast

log = logging.getLogger(__name__)

COMMIT_SECONDS = 1.0
WATCH_SECONDS = 1.0
STUCK_SECONDS = 30.0
PATIENCE_SECONDS = 2.0


class Runtime:
    """Runs one service.

    Parameters
    ----------
    service : Service
        The service.
    settings : Settings
        Cluster and limits.
    instance : str
        Name of this member of the group; distinct for every running instance.
    workers : Workers or None
        Pool for jobs.
    kill_point : KillPoint
        Where to die, in tests of crashes.
    """

    def __init__(
        self,
        service: Service[Any],
        settings: Settings,
        *,
        instance: str,
        workers: Workers | None,
        kill_point: KillPoint,
    ) -> None:
        self.service = service
        self.settings = settings
        self.metrics = Metrics(service.name)
        self.broadcast = Broadcast()
        self.ready = asyncio.Event()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outbox = Outbox(settings, service.name)
        self._loop = asyncio.get_running_loop()
        self._workers = workers
        self._kill = kill_point
        self._routes = Routes(service)
        self._hosts: dict[int, PartitionHost] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._committed: dict[Place, int] = {}
        self._moved: dict[Place, tuple[int, float]] = {}
        self._checks: dict[Place, asyncio.Task[None]] = {}
        self._room = asyncio.Event()
        self._stopping = threading.Event()
        self._tail = Tail(settings, self.broadcast, self.fail)
        self.broadcast.on_deleted.append(self._forget)
        self._refusals = Refusals(settings, self.outbox)
        self.broadcast.on_refused.append(self._refusals.note)
        self._faust = FaustApp(
            f"easeml-{service.name}",
            self._feed,
            ((COMMIT_SECONDS, self._commit), (WATCH_SECONDS, self._watch)),
            self.fail,
        )
        self._inbox = Inbox(
            settings,
            service.name,
            instance,
            self._routes.topics,
            assign=self._assigned,
            revoke=self._revoked,
            deliver=self._deliver,
            fail=lambda error: self._call(self.fail, error),
        )

    # -- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the broadcast view, join the group and begin to work.

        Raises
        ------
        UnavailableError
            When the broker does not answer.
        """
        await self._tail.start()
        await self._faust.start()
        self._inbox.start()

    async def stop(self) -> None:
        """Finish the batches under way, commit, leave."""
        self._stopping.set()
        await self._retire()
        await asyncio.to_thread(self._inbox.close)
        await self._faust.stop()
        await asyncio.to_thread(self._tail.close)
        await self._refusals.stop()
        await asyncio.to_thread(self.outbox.close)

    def fail(self, error: BaseException) -> None:
        """End the process with this error."""
        if not self.failure.done() and not self._stopping.is_set():
            self.failure.set_exception(error)

    def _call(self, function: Any, *arguments: Any) -> None:
        """Call in the event loop, from another thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    # -- membership, in the inbox's thread -----------------------------------------------------------------------

    def _assigned(self, partitions: list[int]) -> Mapping[Place, int]:
        return self._wait(asyncio.run_coroutine_threadsafe(self._adopt(partitions), self._loop)) or {}

    def _revoked(self) -> None:
        if not self._stopping.is_set():
            self._wait(asyncio.run_coroutine_threadsafe(self._retire(), self._loop))

    def _wait(self, future: Future[Any]) -> Any:
        while True:
            try:
                return future.result(0.2)
            except TimeoutError:
                if future.done():
                    raise
                if self._stopping.is_set():
                    return None

    async def _adopt(self, partitions: list[int]) -> dict[Place, int]:
        recovered = await recover(self.service, self.settings, self.broadcast, partitions)
        self.metrics.recoveries.labels(self.service.name).inc()
        for number, lanes in recovered.items():
            host = PartitionHost(
                number,
                lanes,
                service=self.service.name,
                outbox=self.outbox,
                inbox=self._inbox,
                workers=self._workers,
                metrics=self.metrics,
                kill_point=self._kill,
                missing=self._missing,
                room=self._room.set,
            )
            self._hosts[number] = host
            task = asyncio.ensure_future(host.run())
            task.add_done_callback(self._ended)
            self._tasks[number] = task
            lanes.processor.drop_gone()  # while the partition was read nobody would have told it
        self.ready.set()
        return {(t, n): lane.expected for n, lanes in recovered.items() for t, lane in lanes.lanes.items()}

    async def _retire(self) -> None:
        """Stop all partitions after their batches, commit, and forget what belongs to them."""
        for check in self._checks.values():
            check.cancel()
        self._checks.clear()
        for host in self._hosts.values():
            await host.stop()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._commit()
        for host in self._hosts.values():
            for app in {*host.lanes.processor.apps, *self.broadcast.apps}:
                if home_of(app, self.settings.partitions) == host.number:
                    self.service.forget(app)
        self._hosts.clear()
        self._tasks.clear()
        self._committed.clear()
        self._moved.clear()
        # Another instance may tell of these partitions from now on.
        self.metrics.lag.clear()
        self.metrics.position.clear()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.fail(task.exception() or RuntimeError("A partition ended."))

    # -- input ---------------------------------------------------------------------------------------------------

    def _deliver(self, records: list[Record]) -> None:
        self._wait(asyncio.run_coroutine_threadsafe(self._take_in(records), self._loop))

    async def _take_in(self, records: list[Record]) -> None:
        """Hand records to the agent's stream; the inbox's thread waits meanwhile, which is the back pressure."""
        await self._faust.put(records)
        await asyncio.sleep(0)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(host.crowded() for host in self._hosts.values()) and not self._stopping.is_set():
            self._room.clear()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), left)

    def _feed(self, records: list[Record]) -> None:
        for record in records:
            host = self._hosts.get(record.partition)
            if host is not None:
                host.feed(record)

    def _missing(self, place: Place, offset: int) -> None:
        """Rewind an input, or pass a gap that is really there."""
        if place not in self._checks:
            self.metrics.seeks.labels(self.service.name).inc()
            task = asyncio.ensure_future(self._check(place, offset))
            self._checks[place] = task
            task.add_done_callback(lambda done: self._checked(place, done))

    async def _check(self, place: Place, offset: int) -> None:
        def look() -> int:
            reader = BulkReader(self.settings)
            try:
                return reader.first_at(place, offset)
            finally:
                reader.close()

        host = self._hosts.get(place[1])
        if host is None:
            return
        first = await asyncio.to_thread(look)
        # What was found is about this offset of this host: a lane that went on, or its successor's, needs another look.
        if self._hosts.get(place[1]) is not host or host.lanes.lanes[place[0]].expected != offset:
            return
        if first > offset:
            log.warning("%s[%d]: offsets %d to %d do not exist", *place, offset, first - 1)
            host.lanes.start_at(place[0], first)
        self._inbox.seek(place, max(first, offset))

    def _checked(self, place: Place, task: asyncio.Task[None]) -> None:
        if self._checks.get(place) is task:
            del self._checks[place]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error)

    def _forget(self, app: str) -> None:
        host = self._hosts.get(home_of(app, self.settings.partitions))
        if host is not None:
            host.lanes.processor.drop(app)
            host.wake()

    # -- timers --------------------------------------------------------------------------------------------------

    async def _commit(self) -> None:
        moved = {
            (topic, number): offset
            for number, host in self._hosts.items()
            for topic, offset in host.positions.items()
            if self._committed.get((topic, number)) != offset
        }
        if moved:
            self._committed |= moved
            self._inbox.commit(moved)

    async def _watch(self) -> None:
        name, now = self.service.name, time.monotonic()
        for number, host in self._hosts.items():
            for topic, lane in host.lanes.lanes.items():
                position, lag = host.positions.get(topic, -1), host.lag_of(topic)
                self.metrics.lag.labels(name, topic, str(number)).set(lag)
                self.metrics.position.labels(name, topic, str(number)).set(position)
                before = self._moved.get((topic, number))
                if before is None or before[0] != position or lag == 0 or lane.working:
                    self._moved[topic, number] = (position, now)
        self.metrics.fused.labels(name).set(sum(host.lanes.processor.fused for host in self._hosts.values()))
        self.metrics.serving.labels(name).set(0 if self.reasons() else 1)

    # -- reports -------------------------------------------------------------------------------------------------

    @property
    def lag(self) -> int:
        """Messages of all our partitions that are not applied yet."""
        return sum(host.lag() for host in self._hosts.values())

    @property
    def positions(self) -> dict[str, dict[str, int]]:
        """Last applied offset per topic and partition."""
        found: dict[str, dict[str, int]] = {}
        for number, host in sorted(self._hosts.items()):
            for topic, offset in host.positions.items():
                found.setdefault(topic, {})[str(number)] = offset
        return found

    def told(self) -> dict[str, Any]:
        """Return who this is and where it stands."""
        return {"service": self.service.name, "lag": self.lag, "positions": self.positions}

    def reasons(self) -> list[str]:
        """Return why the service is not serving; empty when it is."""
        if self._stopping.is_set():
            return ["stopping"]
        if not self.ready.is_set():
            return ["waiting for partitions"]
        found = [] if self._inbox.reachable else ["the broker does not answer"]
        for number, host in self._hosts.items():
            if host.lanes.processor.fused:
                found.append(f"partition {number}: {self.settings.fuse} dead letters in a row; restart after mending")
        now = time.monotonic()
        for (topic, number), (position, since) in self._moved.items():
            if now - since > STUCK_SECONDS:
                found.append(f"{topic}[{number}] stands at {position} for {now - since:.0f} s although more is there")
        return found
