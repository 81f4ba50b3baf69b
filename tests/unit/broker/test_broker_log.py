"""The log of one partition: append, read, recover, expire."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from broker_batches import START_MS, Clock, config, contents, keys_by_offset, make_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode

from easeml.broker import batch as batches
from easeml.broker.cleaner import retain, roll_if_old
from easeml.broker.log import Found, PartitionLog


@pytest.fixture
def clock() -> Clock:
    return Clock(START_MS)


@pytest.fixture(params=["file", "memory"])
def log(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> PartitionLog:
    folder = tmp_path / "t-0" if request.param == "file" else None
    return PartitionLog("t-0", folder, config(), clock)


def fill(log: PartitionLog, count: int, start: int = 0, timestamp: int = START_MS) -> None:
    for index in range(start, start + count):
        assert log.append(make_batch([(b"k%d" % index, b"v" * 100)], timestamp)).error is ErrorCode.none


def test_offsets_are_consecutive_over_batches(log: PartitionLog) -> None:
    assert log.append(make_batch([(b"a", b"1"), (b"b", b"2")])).offset == 0
    assert log.append(make_batch([(b"c", b"3")])).offset == 2
    assert (log.start_offset, log.end_offset) == (0, 3)
    assert keys_by_offset(log) == {0: b"a", 1: b"b", 2: b"c"}


def test_reading_returns_whole_batches_within_the_limit(log: PartitionLog) -> None:
    fill(log, 10)
    size = len(make_batch([(b"k0", b"v" * 100)]))
    assert len(log.read(0, 3 * size, at_least_one=True)) == 3 * size
    assert len(log.read(0, 3 * size + 1, at_least_one=True)) == 3 * size
    assert len(log.read(0, 1, at_least_one=True)) == size
    assert log.read(0, 1, at_least_one=False) == b""
    assert batches.peek(log.read(7, 10**6, at_least_one=True)).base_offset == 7
    assert log.read(10, 10**6, at_least_one=True) == b""


def test_reading_crosses_into_the_next_segment(log: PartitionLog) -> None:
    fill(log, 3)
    log.roll()
    fill(log, 3, start=3)
    assert batches.peek(log.read(3, 10**6, at_least_one=True)).base_offset == 3
    assert len(log.segments) == 2


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda data: data[:40], ErrorCode.invalid_record),
        (lambda data: data[:-1], ErrorCode.corrupt_message),
        (lambda data: data + b"\0", ErrorCode.invalid_record),
        (lambda data: data + data, ErrorCode.invalid_record),
        (lambda data: data[:-1] + b"\xff", ErrorCode.corrupt_message),
        (lambda data: data[:16] + b"\x01" + data[17:], ErrorCode.unsupported_for_message_format),
        (lambda _data: b"", ErrorCode.invalid_record),
    ],
)
def test_what_is_not_one_sound_batch_is_refused(log: PartitionLog, spoil: object, error: ErrorCode) -> None:
    assert log.append(spoil(make_batch([(b"k", b"v")]))).error is error  # type: ignore[operator]
    assert log.end_offset == 0


def test_a_batch_beyond_the_limit_is_refused(log: PartitionLog) -> None:
    log.config = config(max_message_bytes="1000")
    assert log.append(make_batch([(b"k", b"v" * 1000)])).error is ErrorCode.message_too_large


def test_a_compacted_log_needs_keys_and_sound_records(log: PartitionLog) -> None:
    log.config = config(cleanup_policy="compact")
    assert log.append(make_batch([(None, b"v")])).error is ErrorCode.invalid_record
    data = make_batch([(b"key", b"value")])
    fields = list(batches.peek(data))
    nonsense = batches._sealed(fields, b"\x7f" * 5)
    assert log.append(nonsense).error is ErrorCode.invalid_record
    assert log.append(data).error is ErrorCode.none


def test_lookup_by_time_finds_the_record(log: PartitionLog) -> None:
    for seconds in (5, 1, 9):
        log.append(make_batch([(b"k", b"v")] * 2, START_MS + 1000 * seconds))
    assert log.find_time(START_MS) == Found(0, START_MS + 5000)
    assert log.find_time(START_MS + 6000) == Found(4, START_MS + 9000)
    assert log.find_time(START_MS + 10_000) == Found(-1, -1)


def test_a_restart_finds_everything_and_the_producers(tmp_path: Path, clock: Clock) -> None:
    log = PartitionLog("t-0", tmp_path, config(), clock)
    first = make_batch([(b"a", b"1")] * 3, producer=(7, 0, 0))
    second = make_batch([(b"b", b"2")], producer=(7, 0, 3))
    log.append(first)
    log.roll()
    log.append(second)
    log.close()
    again = PartitionLog("t-0", tmp_path, config(), clock)
    assert contents(again) == contents(PartitionLog("t-0", tmp_path, config(), clock))
    assert again.end_offset == 4
    assert again.append(second).offset == 3
    assert again.append(first).offset == 0
    assert again.end_offset == 4
    assert again.append(make_batch([(b"x", b"x")], producer=(7, 0, 9))).error is (
        ErrorCode.out_of_order_sequence_number
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_torn_or_damaged_tail_is_cut_and_the_rest_kept(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = PartitionLog("t-0", folder, config(), Clock(START_MS))
        sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
        ends = [0]
        for size in sizes:
            log.append(make_batch([(b"k", b"v" * 20)] * size))
            ends.append(log.size)
        log.close()
        path = next(folder.glob("*.log"))
        whole = path.read_bytes()
        where = data.draw(st.integers(0, len(whole) - 1))
        if data.draw(st.booleans()):
            path.write_bytes(whole[:where])
        else:
            # Bytes 0-11 hold the offset and length, 12-15 the epoch, which no checksum covers.
            batch_start = max(end for end in ends if end <= where)
            where = max(where, batch_start + 16) if where - batch_start < 16 else where
            path.write_bytes(whole[:where] + bytes([whole[where] ^ 0x55]) + whole[where + 1 :])
        kept = max(index for index, end in enumerate(ends) if end <= where)
        again = PartitionLog("t-0", folder, config(), Clock(START_MS))
        assert again.end_offset == sum(sizes[:kept])
        assert path.read_bytes() == whole[: ends[kept]]
        assert again.append(make_batch([(b"k", b"v")])).offset == sum(sizes[:kept])
        again.close()


def test_retention_by_size_keeps_the_limit(log: PartitionLog) -> None:
    for turn in range(5):
        fill(log, 10, start=10 * turn)
        log.roll()
    segment = log.segments[0].size
    log.config = config(retention_bytes=str(2 * segment))
    retain(log, START_MS)
    assert (log.start_offset, log.end_offset) == (30, 50)
    assert sorted(keys_by_offset(log)) == list(range(30, 50))


def test_retention_by_time_may_empty_the_log_but_not_its_offsets(log: PartitionLog, clock: Clock) -> None:
    log.config = config(retention_ms="1000")
    fill(log, 3)
    log.roll()
    fill(log, 2, start=3, timestamp=START_MS + 5000)
    retain(log, START_MS + 1500)
    assert (log.start_offset, log.end_offset) == (3, 5)
    retain(log, START_MS + 9000)
    assert (log.start_offset, log.end_offset) == (5, 5)
    fill(log, 1, start=5)
    assert keys_by_offset(log) == {5: b"k5"}
    if log.folder is not None:
        log.close()
        assert PartitionLog("t-0", log.folder, config(), clock).end_offset == 6


def test_an_old_active_segment_is_sealed(log: PartitionLog, clock: Clock) -> None:
    log.config = config(segment_ms="1000")
    fill(log, 1)
    roll_if_old(log, START_MS + 1000)
    assert len(log.segments) == 1
    roll_if_old(log, START_MS + 1001)
    assert len(log.segments) == 2
    clock.now = START_MS + 5000
    fill(log, 1, start=1)
    assert log.end_offset == 2


def test_deleted_records_stay_deleted(log: PartitionLog) -> None:
    fill(log, 4)
    log.roll()
    fill(log, 4, start=4)
    log.delete_before(6)
    assert (log.start_offset, log.end_offset) == (6, 8)
    assert len(log.segments) == 1
    log.delete_before(100)
    assert log.start_offset == 8


def test_a_full_disk_is_reported_and_leaves_the_log_sound(tmp_path: Path, clock: Clock) -> None:
    log = PartitionLog("t-0", tmp_path / "t-0", config(), clock)
    fill(log, 2)
    log.roll()
    shutil.rmtree(tmp_path / "t-0")
    log.config = config(segment_bytes="1048576", max_message_bytes="2000000")
    log.active.created_ms = 0
    fill(log, 1, start=2)
    log.config = config(segment_ms="1")
    log.active.created_ms = 0
    assert log.append(make_batch([(b"k", b"v")])).error is ErrorCode.kafka_storage_error
    assert log.end_offset == 3
