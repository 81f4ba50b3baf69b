"""The log of one partition: segments in offset order, appended at the end, read from anywhere."""

from __future__ import annotations

import logging
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kio.schema.errors import ErrorCode

from easeml.broker import batch as batches
from easeml.broker.batch import Batch
from easeml.broker.producers import ProducerStates
from easeml.broker.segment import SUFFIX, FileStore, MemoryStore, Segment
from easeml.broker.topic_configs import TopicConfig

_LOG = logging.getLogger(__name__)
_COMPACTED_SEGMENT = 16 * 1024 * 1024


class Appended(NamedTuple):
    """Outcome of an append: an error, or the offset of the first record."""

    error: ErrorCode
    offset: int = -1
    message: str | None = None
    stamped_ms: int | None = None


class Found(NamedTuple):
    """Offset and timestamp (ms) that a lookup by time found; -1 where there is none."""

    offset: int
    timestamp: int


class PartitionLog:
    """Append-only log of one partition.

    Parameters
    ----------
    name : str
        ``topic-partition``, for messages.
    folder : Path or None
        Where the segments lie; None keeps them in memory.
    config : TopicConfig
        Settings of the topic; :attr:`config` may be exchanged later.
    now_ms : callable
        Clock, ms since the epoch.
    start_offset : int
        First readable offset, where records were deleted by request.
    """

    def __init__(
        self,
        name: str,
        folder: Path | None,
        config: TopicConfig,
        now_ms: Callable[[], int],
        start_offset: int = 0,
    ) -> None:
        self.name = name
        self.folder = folder
        self.config = config
        self.producers = ProducerStates()
        self.segments: list[Segment] = []
        self.dirty: set[Segment] = set()
        self.watchers: set[Callable[[int], None]] = set()
        self.is_removed = False
        self._now_ms = now_ms
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._recover(folder)
        if not self.segments:
            self.segments.append(self._new_segment(start_offset))
        if self.end_offset < start_offset:
            # A power cut took records that were deleted anyway: new ones must not come to lie before the start.
            self.segments.append(self._new_segment(start_offset))
        self.start_offset = max(start_offset, self.segments[0].base_offset)
        self._free_deleted()

    def _new_segment(self, base_offset: int) -> Segment:
        store = MemoryStore() if self.folder is None else FileStore(self.folder / f"{base_offset:020d}{SUFFIX}")
        return Segment(base_offset, store, self._now_ms())

    def _recover(self, folder: Path) -> None:
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()
        paths = sorted(folder.glob(f"*{SUFFIX}"))
        for path in paths:
            base = int(path.stem)
            if self.segments and base < self.end_offset:
                _LOG.warning("%s: dropped segment %s, which overlaps the one before", self.name, path.name)
                path.unlink()
                continue
            segment = Segment(base, FileStore(path), int(path.stat().st_mtime * 1000))
            is_last = path == paths[-1]
            torn = segment.recover(lambda batch: self.producers.record(batch, batch.base_offset), cuts=is_last)
            segment.created_ms = self._begin_of(segment)
            if torn and is_last:
                _LOG.warning("%s: cut %d torn bytes at the end of %s", self.name, torn, path.name)
            elif torn:
                _LOG.error("%s: damage hides the last %d bytes of %s; the file is kept", self.name, torn, path.name)
            self.segments.append(segment)

    def _begin_of(self, segment: Segment) -> int:
        # The file tells when it was last written to alone, and producers stamp records as they like: with the time
        # of the first batch, but not before the last write to the segment before nor after that to this one.
        if not segment.positions:
            return segment.modified_ms
        earliest = self.segments[-1].modified_ms if self.segments else 0
        return min(max(segment.max_timestamps[0], earliest), segment.modified_ms)

    @property
    def active(self) -> Segment:
        """The segment that is appended to."""
        return self.segments[-1]

    @property
    def end_offset(self) -> int:
        """Offset that the next record gets; the high-water mark, as there are no other replicas."""
        return self.segments[-1].next_offset

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)

    def append(self, data: bytes) -> Appended:
        """Check one record batch and place it at the end.

        Parameters
        ----------
        data : bytes
            Exactly one record batch as a producer sent it.

        Returns
        -------
        Appended
            The first offset; for a retry of a batch that is in the log already, the offset it has there.
        """
        if len(data) < batches.HEADER_SIZE:
            return Appended(ErrorCode.invalid_record, message="The records are shorter than a batch header.")
        if data[16] != 2:
            return Appended(ErrorCode.unsupported_for_message_format, message="Only record batches of magic 2.")
        batch = batches.peek(data)
        if len(data) > self.config.max_message_bytes:
            return Appended(
                ErrorCode.message_too_large,
                message=f"{len(data)} bytes are more than max.message.bytes={self.config.max_message_bytes}.",
            )
        if not batches.is_sound(data, batch):
            return Appended(ErrorCode.corrupt_message, message="The checksum of the batch is wrong.")
        if batch.size != len(data) or batch.records < 1 or batch.last_offset_delta != batch.records - 1:
            return Appended(ErrorCode.invalid_record, message="The records are not exactly one whole batch.")
        if batch.is_transactional or batch.is_control:
            return Appended(ErrorCode.invalid_txn_state, message="This broker serves no transactions.")
        complaint = _key_complaint(data, batch) if self.config.compact else None
        if complaint is not None:
            return Appended(ErrorCode.invalid_record, message=complaint)
        verdict = self.producers.check(batch)
        if verdict.error is not ErrorCode.none:
            return Appended(verdict.error, message="The producer's sequence or epoch is not the next one.")
        if verdict.duplicate_of is not None:
            return Appended(ErrorCode.none, verdict.duplicate_of)
        if self.config.log_append_time:
            data = batches.with_append_time(data, self._now_ms())
            batch = batches.peek(data)
            return self._place(data, batch)._replace(stamped_ms=batch.max_timestamp)
        return self._place(data, batch)

    def _place(self, data: bytes, batch: Batch) -> Appended:
        offset = self.end_offset
        try:
            if self._is_full(len(data)):
                self.roll()
            self.active.append(offset, data, batch, self._now_ms())
        except OSError as error:
            _LOG.exception("%s: the disk refused %d bytes", self.name, len(data))
            return Appended(ErrorCode.kafka_storage_error, message=str(error))
        self.producers.record(batch, offset)
        self.dirty.add(self.active)
        for watcher in tuple(self.watchers):
            watcher(len(data))
        return Appended(ErrorCode.none, offset)

    def _is_full(self, incoming: int) -> bool:
        active = self.active
        return active.size > 0 and (
            active.size + incoming > self._segment_bytes()
            or self._now_ms() - active.created_ms > self.config.segment_ms
        )

    def _segment_bytes(self) -> int:
        # The active segment is never compacted: a smaller one lets a compacted topic stay small.
        bound = self.config.segment_bytes
        return min(bound, _COMPACTED_SEGMENT) if self.config.compact else bound

    def roll(self) -> None:
        """Begin a new active segment, so that the present one may be compacted or deleted."""
        if self.active.size:
            self.segments.append(self._new_segment(self.end_offset))

    def read(self, offset: int, max_bytes: int, *, at_least_one: bool) -> bytes:
        """Return whole batches that hold ``offset`` and what follows, within one segment.

        Parameters
        ----------
        offset : int
            From ``start_offset`` to ``end_offset``; at the end there is nothing to read.
        max_bytes : int
            Most bytes.
        at_least_one : bool
            Return one batch even where it is larger.
        """
        first = max(bisect_right(self.segments, offset, key=lambda segment: segment.base_offset) - 1, 0)
        for segment in self.segments[first:]:
            # A compacted segment may end before the offset: the next one continues.
            if segment.next_offset > offset:
                return segment.read(offset, max_bytes, at_least_one=at_least_one)
        return b""

    def find_time(self, timestamp: int) -> Found:
        """Return the first record at or after ``timestamp`` (ms)."""
        for segment in self.segments:
            for index in segment.holding_since(timestamp):
                found = _first_since(segment.batch_bytes(index), timestamp, self.start_offset)
                if found is not None:
                    return found
        return Found(-1, -1)

    def delete_before(self, offset: int) -> None:
        """Make ``offset`` the first readable one and drop the segments that lie before it wholly."""
        self.start_offset = max(self.start_offset, min(offset, self.end_offset))
        self._free_deleted()

    def _free_deleted(self) -> None:
        try:
            self.drop_deleted()
        except OSError:
            _LOG.exception("%s: what is deleted leaves the disk later", self.name)

    def drop_deleted(self) -> None:
        """Drop the segments that lie before the start wholly, the active one too.

        Raises
        ------
        OSError
            If the disk refuses a new active segment; the others are gone.
        """
        while len(self.segments) > 1 and self.segments[1].base_offset <= self.start_offset:
            self.drop(self.segments[0])
        if self.active.size and self.start_offset >= self.end_offset:
            self.drop(self.active)

    def drop(self, segment: Segment) -> None:
        """Remove a segment; the active one is replaced by an empty one at the same end."""
        if segment is self.active:
            self.roll()
        self.segments.remove(segment)
        self.dirty.discard(segment)
        segment.store.remove()
        self.start_offset = max(self.start_offset, self.segments[0].base_offset)

    def exchange(self, run: Sequence[Segment], fresh: Segment) -> None:
        """Put a rewritten segment in the place of a run of neighbours, unless they have gone meanwhile."""
        present = [segment for segment in self.segments if segment in run]
        if self.is_removed or len(present) != len(run):
            fresh.store.remove()
            return
        first = self.segments.index(run[0])
        is_needed = bool(fresh.size) or first == 0
        if isinstance(fresh.store, FileStore) and self.folder is not None and is_needed:
            # The new file takes the place of the first old one; if we die before the others are gone, they
            # overlap with it and are dropped on recovery, or hold superseded records only.
            try:
                fresh.store.rename(self.folder / f"{fresh.base_offset:020d}{SUFFIX}", fresh.modified_ms)
            except OSError:
                fresh.store.remove()
                raise
            run[0].store.close()
        else:
            run[0].store.remove()
        self.segments[first : first + len(run)] = [fresh] if is_needed else []
        if not is_needed:
            fresh.store.remove()
        for segment in run[1:]:
            segment.store.remove()
        self.dirty.difference_update(run)

    def sealed(self) -> Iterator[Segment]:
        """Yield the segments that are not appended to any more."""
        yield from self.segments[:-1]

    def close(self) -> None:
        """Close all files."""
        for segment in self.segments:
            segment.store.close()

    def remove(self) -> None:
        """Delete all data."""
        self.is_removed = True
        self.dirty.clear()
        for segment in self.segments:
            segment.store.remove()
        for watcher in tuple(self.watchers):
            watcher(0)
        if self.folder is not None:
            # Compaction may be writing here in its thread: what it leaves is cleared when the name is used again.
            shutil.rmtree(self.folder, ignore_errors=True)


def _key_complaint(data: bytes, batch: Batch) -> str | None:
    try:
        payload = batches.payload_of(data, batch)
        if payload is None or all(span.key is not None for span in batches.spans(payload, batch)):
            return None
    except batches.MalformedRecordsError as error:
        return str(error)
    return "A compacted topic needs a key on every record."


def _first_since(data: bytes, timestamp: int, start_offset: int) -> Found | None:
    batch = batches.peek(data)
    try:
        payload = batches.payload_of(data, batch)
        if payload is not None:
            for span in batches.spans(payload, batch):
                if span.timestamp >= timestamp and span.offset >= start_offset:
                    return Found(span.offset, span.timestamp)
            return None
    except batches.MalformedRecordsError:
        # A producer stored nonsense with a right checksum: the batch is as near as one can get.
        _LOG.warning("the records at offset %d do not parse", batch.base_offset)
    return Found(max(batch.base_offset, start_offset), batch.max_timestamp)
