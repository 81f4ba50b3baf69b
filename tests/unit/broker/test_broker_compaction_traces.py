"""What compaction must not forget: a living producer's sequence, and deletions of what it cannot look into."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from broker_batches import START_MS, Clock, keys_by_offset, make_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode
from test_broker_compaction import build

from easeml.broker import batch as batches
from easeml.broker.log import PartitionLog


def append(log: PartitionLog, key: bytes, value: bytes | None, producer: tuple[int, int, int] = (-1, -1, -1)) -> None:
    assert log.append(make_batch([(key, value)], producer=producer)).error is ErrorCode.none


def clean(cleaner: object, clock: Clock, log: PartitionLog) -> None:
    """Seal what is there and compact it, past the time of tombstones."""
    log.roll()
    clock.now += 5000
    asyncio.run(cleaner.run())  # type: ignore[attr-defined]
    clock.now += 5000
    asyncio.run(cleaner.run())  # type: ignore[attr-defined]


def reopened(log: PartitionLog) -> PartitionLog:
    log.close()
    assert log.folder is not None
    return PartitionLog(log.name, log.folder, log.config, log._now_ms)


def headers(log: PartitionLog) -> list[batches.Batch]:
    return [
        batches.peek(segment.batch_bytes(index)) for segment in log.segments for index in range(len(segment.positions))
    ]


@pytest.mark.parametrize("value", [b"1", None], ids=["superseded", "an expired tombstone"])
def test_a_producer_goes_on_after_its_newest_batch_was_compacted_away(tmp_path: Path, value: bytes | None) -> None:
    clock = Clock(START_MS)
    _, topic, cleaner = build(tmp_path, clock)
    log = topic.partitions[0]
    append(log, b"a", b"kept", (7, 0, 0))
    newest = make_batch([(b"b", value), (b"b", value)], producer=(7, 0, 1), compressed=True)
    assert log.append(newest).offset == 1
    if value is not None:
        append(log, b"b", b"2", (8, 0, 0))
    clean(cleaner, clock, log)
    assert 1 not in keys_by_offset(log)
    assert 2 not in keys_by_offset(log)
    log = reopened(log)
    assert log.append(newest).offset == 1
    assert log.append(make_batch([(b"c", b"1")], producer=(7, 0, 9))).error is ErrorCode.out_of_order_sequence_number
    append(log, b"c", b"1", (7, 0, 3))
    log.close()


def test_an_emptied_batch_goes_once_its_producer_wrote_another(tmp_path: Path) -> None:
    clock = Clock(START_MS)
    _, topic, cleaner = build(tmp_path, clock)
    log = topic.partitions[0]
    append(log, b"a", b"1", (7, 0, 0))
    append(log, b"a", b"2", (8, 0, 0))
    clean(cleaner, clock, log)
    assert [(each.base_offset, each.records) for each in headers(log)] == [(0, 0), (1, 1)]
    clean(cleaner, clock, log)
    assert [(each.base_offset, each.records) for each in headers(log)] == [(0, 0), (1, 1)]
    append(log, b"b", b"3", (7, 0, 1))
    clean(cleaner, clock, log)
    assert [(each.base_offset, each.records) for each in headers(log)] == [(1, 1), (2, 1)]
    log.close()


WRITES = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from([b"a", b"b", b"c"]), st.sampled_from([b"v", None]), st.booleans()),
    min_size=1,
    max_size=20,
)


@settings(max_examples=50, deadline=None)
@given(writes=WRITES)
def test_every_producer_goes_on_after_any_compaction_and_restart(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, bytes, bytes | None, bool]]
) -> None:
    clock = Clock(START_MS)
    _, topic, cleaner = build(tmp_path_factory.mktemp("log"), clock)
    log = topic.partitions[0]
    sequences: dict[int, int] = {}
    values: dict[bytes, bytes | None] = {}
    for producer, key, value, rolls in writes:
        append(log, key, value, (producer, 0, sequences.get(producer, 0)))
        sequences[producer] = sequences.get(producer, 0) + 1
        values[key] = value
        if rolls:
            log.roll()
    clean(cleaner, clock, log)
    assert set(keys_by_offset(log).values()) == {key for key, value in values.items() if value is not None}
    log = reopened(log)
    for producer, sequence in sequences.items():
        append(log, b"d", b"next", (producer, 0, sequence))
    log.close()


@pytest.mark.parametrize("restart", [False, True])
def test_a_deleted_key_does_not_come_back_from_a_batch_that_cannot_be_read(tmp_path: Path, restart: bool) -> None:
    clock = Clock(START_MS)
    _, topic, cleaner = build(tmp_path, clock)
    log = topic.partitions[0]
    append(log, b"before", None)
    data = make_batch([(b"a", b"secret")])
    fields = list(batches.peek(data))
    fields[5] |= 3
    assert log.append(batches._sealed(fields, data[batches.HEADER_SIZE :])).offset == 1
    append(log, b"a", None)
    log.roll()
    if restart:
        log = topic.partitions[0] = reopened(log)
    append(log, b"b", b"1")
    clean(cleaner, clock, log)
    assert [(each.base_offset, each.codec) for each in headers(log)] == [(1, 3), (2, 0), (3, 0)]
    log.close()
