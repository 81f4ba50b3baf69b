"""Log compaction: of every key only the last record stays; offsets never change.

Only segments that are no longer appended to are compacted. The keys of the *dirty* ones (not compacted yet)
give the last offset of each key; then all are rewritten without the records that a later one supersedes. A
tombstone (null value) stays until ``delete.retention.ms`` after its segment was last written, so that a reader
who is not further behind than that learns of the deletion. Where a batch loses records, the others stay byte
for byte and only its header changes.

A producer's newest batch stays, empty where need be: its header is all that a restart learns the producer's sequence
from. A batch whose codec is not at hand (see :func:`batch.payload_of`) is kept whole, and so are the tombstones behind
it: it may hold what they delete.

Source: Apache Kafka documentation, "Log Compaction" (guarantees 1-4); ``Cleaner.scala`` for the empty batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from easeml.broker import batch as batches
from easeml.broker.batch import Batch
from easeml.broker.segment import Segment, Store


@dataclass(frozen=True, slots=True)
class Plan:
    """What a compaction of a log keeps.

    Parameters
    ----------
    last : dict
        Last offset by key, see :func:`last_offsets`.
    tombstones_until : int
        Tombstones of segments last written before this time (ms) are dropped,
    opaque_from : int or None
        but not those behind this offset, that of the first batch whose codec is not at hand.
    newest : frozenset of int
        Offsets of the producers' newest batches.
    """

    last: dict[bytes, int]
    tombstones_until: int
    opaque_from: int | None
    newest: frozenset[int]

    def pins(self, offset: int) -> bool:
        """Whether a tombstone at ``offset`` may delete what cannot be looked into."""
        return self.opaque_from is not None and offset > self.opaque_from


def last_offsets(segments: Iterable[Segment]) -> dict[bytes, int]:
    """Return the last offset of every key in the segments."""
    last: dict[bytes, int] = {}
    for data, batch in _batches(segments):
        payload = batches.payload_of(data, batch)
        if payload is None:
            continue
        for span in batches.spans(payload, batch):
            if span.key is not None:
                last[span.key] = span.offset
    return last


def group(segments: Sequence[Segment], most_bytes: int) -> list[list[Segment]]:
    """Part the segments into runs that together fit one segment, so that small remains are merged."""
    groups: list[list[Segment]] = []
    size = 0
    for segment in segments:
        if not groups or size + segment.size > most_bytes:
            groups.append([])
            size = 0
        groups[-1].append(segment)
        size += segment.size
    return groups


def rewrite(segments: Sequence[Segment], plan: Plan, store: Store) -> tuple[Segment, int]:
    """Write a new segment with what is left of ``segments``.

    Parameters
    ----------
    segments : sequence of Segment
        A run of neighbours; none is appended to any more.
    plan : Plan
        What stays.
    store : Store
        The new segment's, empty.

    Returns
    -------
    (Segment, int)
        The new segment, and how many tombstones it still holds that are to go one day.
    """
    fresh = Segment(segments[0].base_offset, store, segments[0].created_ms)
    tombstones = 0
    for segment in segments:
        drops_tombstones = segment.modified_ms < plan.tombstones_until
        for data, batch in _batches([segment]):
            left, kept_tombstones = _left_of(data, batch, plan, drops_tombstones=drops_tombstones)
            tombstones += kept_tombstones
            if left is not None:
                fresh.append(batch.base_offset, left, batches.peek(left), segment.modified_ms)
    fresh.modified_ms = segments[-1].modified_ms
    return fresh, tombstones


def _left_of(data: bytes, batch: Batch, plan: Plan, *, drops_tombstones: bool) -> tuple[bytes | None, int]:
    payload = batches.payload_of(data, batch)
    if payload is None:
        return data, 0
    kept = []
    tombstones = 0
    for span in batches.spans(payload, batch):
        # Kafka, too, drops a record without a key, which a topic compacted later on may hold.
        if span.key is None or span.offset < plan.last.get(span.key, -1):
            continue
        if span.is_tombstone and not plan.pins(span.offset):
            if drops_tombstones:
                continue
            tombstones += 1
        kept.append(span)
    if not kept and batch.base_offset not in plan.newest:
        return None, 0
    if len(kept) == batch.records:
        return data, tombstones
    return batches.rebatch(batch, payload, kept), tombstones


def _batches(segments: Iterable[Segment]) -> Iterator[tuple[bytes, Batch]]:
    for segment in segments:
        for index in range(len(segment.positions)):
            data = segment.batch_bytes(index)
            yield data, batches.peek(data)
