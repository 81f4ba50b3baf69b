"""Records that are made to cost: numbers without end, little that inflates to much, and damage in the middle."""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from pathlib import Path

import pytest
from broker_batches import START_MS, Clock, config, keys_by_offset, make_batch
from kio.schema.errors import ErrorCode
from test_broker_compaction import build

from easeml.broker import batch as batches
from easeml.broker.log import PartitionLog


def disguised(payload: bytes, *, compressed: bool = False) -> bytes:
    """Return a batch of one record whose bytes are anything."""
    fields = list(batches.peek(make_batch([(b"k", b"v")])))
    fields[5] |= batches.CODEC_GZIP if compressed else 0
    return batches._sealed(fields, payload)


def test_a_number_without_end_costs_no_time() -> None:
    log = PartitionLog("t-0", None, config(cleanup_policy="compact"), Clock(START_MS))
    began = time.process_time()
    assert log.append(disguised(b"\xff" * 1_000_000)).error is ErrorCode.invalid_record
    assert time.process_time() - began < 0.5
    assert batches._varint(b"\xff" * 9 + b"\x01", 0) == (-(2**63), 10)
    with pytest.raises(batches.MalformedRecordsError):
        batches._varint(b"\xff" * 10 + b"\x01", 0)


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    piece = bytes(2**20)
    return b"".join(packer.compress(piece) for _ in range(size // len(piece))) + packer.flush()


def test_what_inflates_beyond_the_bound_is_refused_and_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    log = PartitionLog("t-0", None, config(cleanup_policy="compact"), Clock(START_MS))
    data = disguised(bomb(101 * 2**20), compressed=True)
    assert len(data) < 200_000
    appended = log.append(data)
    assert appended.error is ErrorCode.invalid_record
    assert "bytes" in (appended.message or "")
    log.config = config()
    assert log.append(data).offset == 0
    assert log.find_time(START_MS).offset == 0  # as near as one gets
    monkeypatch.setattr(batches, "MOST_INFLATED", 10)
    whole, cut = make_batch([(b"k", b"v" * 20)], compressed=True), make_batch([(b"k", b"v")], compressed=True)
    with pytest.raises(batches.MalformedRecordsError):
        batches.payload_of(whole, batches.peek(whole))
    assert batches.payload_of(cut, batches.peek(cut)) is not None


def test_a_compressed_batch_that_ends_early_is_refused() -> None:
    whole = make_batch([(b"k", b"v" * 20)], compressed=True)[batches.HEADER_SIZE :]
    data = disguised(whole[:-12], compressed=True)
    with pytest.raises(batches.MalformedRecordsError):
        batches.payload_of(data, batches.peek(data))


def damaged(folder: Path, which: int) -> tuple[Path, bytes]:
    """Write three segments of four batches and damage the third batch of one; return its path and bytes."""
    log = PartitionLog("t-0", folder, config(), Clock(START_MS))
    for turn in range(3):
        for index in range(4):
            log.append(make_batch([(b"%02d" % (4 * turn + index), b"v")]))
        if turn < 2:
            log.roll()
    log.close()
    path = sorted(folder.glob("*.log"))[which]
    data = bytearray(path.read_bytes())
    data[2 * len(data) // 4 + 30] ^= 0x55
    path.write_bytes(data)
    return path, bytes(data)


def test_damage_in_the_middle_of_the_log_costs_no_byte_of_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, data = damaged(tmp_path, 1)
    for end in (12, 13):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            log = PartitionLog("t-0", tmp_path, config(), Clock(START_MS))
        assert path.name in caplog.text
        assert path.read_bytes() == data
        assert list(keys_by_offset(log)) == [0, 1, 2, 3, 4, 5, *range(8, end)]
        assert len(log.read(4, 10**6, at_least_one=True)) == len(data) // 2
        assert batches.peek(log.read(6, 10**6, at_least_one=True)).base_offset == 8
        assert log.append(make_batch([(b"12", b"v")])).offset == end
        log.close()


def test_a_damaged_log_is_not_compacted(tmp_path: Path) -> None:
    topics, topic, cleaner = build(tmp_path, Clock(START_MS))
    log = topic.partitions[0]
    for value in (b"1", b"2", b"3"):
        log.append(make_batch([(b"k", value)]))
        log.append(make_batch([(b"k", value)]))
        log.roll()
    topics.close()
    files = sorted((tmp_path / "t-0").glob("*.log"))
    data = files[0].read_bytes()
    files[0].write_bytes(data[:-1] + bytes([data[-1] ^ 0x55]))
    _, topic, cleaner = build(tmp_path, Clock(START_MS))
    before = [path.read_bytes() for path in files]
    asyncio.run(cleaner.run())
    assert [path.read_bytes() for path in files] == before
    assert list(keys_by_offset(topic.partitions[0])) == [0, 2, 3, 4, 5]
    files[0].write_bytes(data)
    _, topic, cleaner = build(tmp_path, Clock(START_MS))
    asyncio.run(cleaner.run())
    assert list(keys_by_offset(topic.partitions[0])) == [5]


def test_damage_at_the_end_of_the_log_is_cut(tmp_path: Path) -> None:
    path, data = damaged(tmp_path, 2)
    log = PartitionLog("t-0", tmp_path, config(), Clock(START_MS))
    assert path.read_bytes() == data[: len(data) // 2]
    assert log.end_offset == 10
    log.close()
