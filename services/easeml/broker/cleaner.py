"""Upkeep of the logs: retention by time and size, and compaction, as each topic's policy asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from easeml.broker import batch as batches
from easeml.broker import compaction
from easeml.broker.journal import Journal
from easeml.broker.log import PartitionLog
from easeml.broker.segment import FileStore, MemoryStore, Segment, Store
from easeml.broker.topics import Topics

_LOG = logging.getLogger(__name__)
_PREFIX = "cleaned/"
_REST_MS = 60_000
"""After a failure: a compaction that finds the disk full reads and writes the whole log in vain."""


class Cleaner:
    """Does what the topics' cleanup policies ask for.

    Parameters
    ----------
    topics : Topics
        All topics.
    journal : Journal
        Remembers how far each log is compacted.
    now_ms : callable
        Clock, ms since the epoch.
    """

    def __init__(self, topics: Topics, journal: Journal, now_ms: Callable[[], int]) -> None:
        self._topics = topics
        self._journal = journal
        self._now_ms = now_ms
        self._tombstones_since: WeakKeyDictionary[PartitionLog, int] = WeakKeyDictionary()
        self._rests_until: WeakKeyDictionary[PartitionLog, int] = WeakKeyDictionary()

    async def run(self) -> None:
        """Look at every partition once."""
        for log in self._topics.logs():
            if log.is_removed:
                continue
            try:
                if log.config.delete:
                    retain(log, self._now_ms())  # first: it frees what the rest may lack
                if self._rests_until.get(log, 0) > self._now_ms():
                    continue
                log.drop_deleted()
                roll_if_old(log, self._now_ms())
                if log.config.compact:
                    await self._compact(log)
            except (OSError, batches.MalformedRecordsError):
                # The log stays as it is and readable; the others must not wait for it.
                _LOG.exception("%s: upkeep failed and is tried again in %d s", log.name, _REST_MS // 1000)
                self._rests_until[log] = self._now_ms() + _REST_MS

    async def _compact(self, log: PartitionLog) -> None:
        key = _PREFIX + log.name
        if any(segment.is_damaged for segment in log.segments):
            return  # like Kafka: a rewrite would take what may still be saved by hand
        cleaned_to: int = min(self._journal.get(key, 0), log.end_offset)
        now = self._now_ms()
        clean, dirty = self._parts(log, cleaned_to, now)
        due = self._tombstones_since.get(log)
        has_old_tombstones = due is not None and now - due > log.config.delete_retention_ms
        if not has_old_tombstones and not is_due(log, clean, dirty, now):
            return
        opaque = [each.opaque_from for each in clean + dirty if each.opaque_from is not None]
        plan = compaction.Plan(
            last=await asyncio.to_thread(compaction.last_offsets, dirty),
            tombstones_until=now - log.config.delete_retention_ms,
            opaque_from=min(opaque, default=None),
            newest=log.producers.newest(),
        )
        left = 0
        for run in compaction.group(clean + dirty, log.config.segment_bytes):
            left += await self._rewrite(log, run, plan)
        if log.is_removed:
            return
        if left:
            self._tombstones_since[log] = now
        else:
            self._tombstones_since.pop(log, None)
        if dirty:
            self._journal.put((key, dirty[-1].next_offset))

    @staticmethod
    def _parts(log: PartitionLog, cleaned_to: int, now: int) -> tuple[list[Segment], list[Segment]]:
        clean: list[Segment] = []
        dirty: list[Segment] = []
        for segment in log.sealed():
            if segment.next_offset <= cleaned_to:
                clean.append(segment)
            elif segment.max_timestamp > now - log.config.min_compaction_lag_ms:
                break
            else:
                dirty.append(segment)
        return clean, dirty

    @staticmethod
    async def _rewrite(log: PartitionLog, run: Sequence[Segment], plan: compaction.Plan) -> int:
        def store() -> Store:
            if log.folder is None:
                return MemoryStore()
            path = log.folder / f"{run[0].base_offset:020d}.tmp"
            path.unlink(missing_ok=True)
            return FileStore(path)

        def work() -> tuple[Segment, int]:
            target = store()
            try:
                fresh, left = compaction.rewrite(run, plan, target)
                target.sync()
            except BaseException:
                target.remove()
                raise
            return fresh, left

        # In a thread: the segments are not appended to any more, and the loop has clients to serve.
        fresh, left = await asyncio.to_thread(work)
        log.exchange(run, fresh)
        return left


def is_due(log: PartitionLog, clean: Sequence[Segment], dirty: Sequence[Segment], now_ms: int) -> bool:
    """Whether enough of the log is dirty, or some of it for too long."""
    if not dirty:
        return False
    dirty_bytes = sum(segment.size for segment in dirty)
    share = dirty_bytes / max(dirty_bytes + sum(segment.size for segment in clean), 1)
    return (
        share >= log.config.min_cleanable_dirty_ratio
        or now_ms - dirty[0].max_timestamp > log.config.max_compaction_lag_ms
    )


def roll_if_old(log: PartitionLog, now_ms: int) -> None:
    """Seal the active segment where it is older than ``segment.ms``, so that the policies can act on it.

    Apache Kafka does so at the next append only; a log that nobody writes to is not left uncompacted here.
    """
    config = log.config
    if log.active.size and now_ms - log.active.created_ms > min(config.segment_ms, config.max_compaction_lag_ms):
        log.roll()


def retain(log: PartitionLog, now_ms: int) -> None:
    """Drop the oldest segments that ``retention.ms`` or ``retention.bytes`` no longer cover."""
    config = log.config
    for segment in list(log.segments):
        newest = segment.max_timestamp if segment.max_timestamp >= 0 else segment.modified_ms
        is_old = config.retention_ms >= 0 and now_ms - newest > config.retention_ms
        is_beyond = config.retention_bytes >= 0 and log.size - segment.size >= config.retention_bytes
        if not segment.size or not (is_old or is_beyond):
            return
        _LOG.info("%s: retention drops the segment of offset %d", log.name, segment.base_offset)
        log.drop(segment)
