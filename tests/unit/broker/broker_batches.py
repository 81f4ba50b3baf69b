"""Record batches for the tests of the log, written by kio."""

from __future__ import annotations

import datetime as dt
import gzip
import io
from collections.abc import Sequence

from kio.records.schema import NewRecordBatch, Record
from kio.records.writers import write_new_batch

from easeml.broker import batch as batches
from easeml.broker.log import PartitionLog
from easeml.broker.topic_configs import TopicConfig

KeyValue = tuple[bytes | None, bytes | None]
START_MS = 1_700_000_000_000


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now: float = 0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def config(**overrides: str) -> TopicConfig:
    """Return a topic's settings; underscores stand for dots."""
    return TopicConfig.parse({key.replace("_", "."): value for key, value in overrides.items()}, {})


def make_batch(
    pairs: Sequence[KeyValue],
    timestamp: int = START_MS,
    producer: tuple[int, int, int] = (-1, -1, -1),
    compressed: bool = False,
) -> bytes:
    """Return a batch of key-value pairs; ``producer`` is (id, epoch, first sequence)."""
    when = dt.datetime.fromtimestamp(timestamp / 1000, dt.UTC)
    records = tuple(
        Record(attributes=0, timestamp=when, offset=index, key=key, value=value, headers=())
        for index, (key, value) in enumerate(pairs)
    )
    buffer = io.BytesIO()
    write_new_batch(
        buffer,
        NewRecordBatch(
            producer_id=producer[0],
            producer_epoch=producer[1],
            base_sequence=producer[2],
            records=records,
            attributes=0,
        ),
    )
    data = buffer.getvalue()
    if not compressed:
        return data
    fields = list(batches.peek(data))
    fields[5] |= batches.CODEC_GZIP
    return batches._sealed(fields, gzip.compress(data[batches.HEADER_SIZE :]))


def contents(log: PartitionLog) -> list[tuple[int, bytes | None, bytes]]:
    """Return (offset, key, raw record) of everything in the log, in order."""
    found = []
    for segment in log.segments:
        for index in range(len(segment.positions)):
            data = segment.batch_bytes(index)
            header = batches.peek(data)
            assert batches.is_sound(data, header)
            payload = batches.payload_of(data, header)
            assert payload is not None
            found += [
                (span.offset, span.key, payload[span.start : span.end]) for span in batches.spans(payload, header)
            ]
    return found


def keys_by_offset(log: PartitionLog) -> dict[int, bytes | None]:
    """Return the key at each offset of the log."""
    return {offset: key for offset, key, _ in contents(log)}
