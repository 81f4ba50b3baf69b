"""Upkeep that fails or comes late: room is freed, nothing leaks, and age counts over restarts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from broker_batches import START_MS, Clock, config, contents, keys_by_offset, make_batch

from easeml.broker import segment as segments
from easeml.broker.cleaner import Cleaner, roll_if_old
from easeml.broker.journal import Journal
from easeml.broker.log import PartitionLog
from easeml.broker.topics import Topics

DAY_MS = 86_400_000
COMPACT = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"}
FOREVER = {"retention.ms": "-1"}


def broker_of(folder: Path, clock: Clock) -> tuple[Topics, Cleaner]:
    journal = Journal(folder / "journal.jsonl")
    topics = Topics(journal, folder / "topics", {}, clock)
    return topics, Cleaner(topics, journal, clock)


def put(log: PartitionLog, key: bytes, value: bytes = b"v", timestamp: int = START_MS) -> None:
    assert log.append(make_batch([(key, value)], timestamp)).offset >= 0


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def dirty_log(topics: Topics) -> PartitionLog:
    log = topics.create("t", 1, COMPACT).partitions[0]
    for value in (b"1", b"2"):
        put(log, b"k", value)
        put(log, b"other-" + value)
        log.roll()
    return log


@pytest.mark.parametrize("call", ["writev", "fsync", "utime"])
def test_a_compaction_that_the_disk_refuses_leaks_nothing_and_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    clock = Clock(START_MS + 1000)
    topics, cleaner = broker_of(tmp_path, clock)
    log = dirty_log(topics)
    before, files, open_before = contents(log), sorted(log.folder.iterdir()), descriptors()
    real, tries = getattr(os, call), []

    def refuse(*arguments: object, **_named: object) -> None:
        tries.append(arguments)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments.os, call, refuse)
    for _ in range(20):
        asyncio.run(cleaner.run())
    assert len(tries) == 1
    assert descriptors() == open_before
    assert sorted(log.folder.iterdir()) == files
    assert contents(log) == before
    monkeypatch.setattr(segments.os, call, real)
    clock.now += 60_001
    asyncio.run(cleaner.run())
    assert sorted(keys_by_offset(log).values()) == [b"k", b"other-1", b"other-2"]
    topics.close()


def test_retention_goes_on_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(START_MS)
    topics, cleaner = broker_of(tmp_path, clock)
    log = topics.create("t", 1, {"retention.ms": "1000", "segment.ms": "2000"}).partitions[0]
    put(log, b"old")
    log.roll()
    put(log, b"new", timestamp=START_MS + 5000)

    def refuse(_base: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log, "_new_segment", refuse)
    clock.now += 5500
    asyncio.run(cleaner.run())
    assert list(keys_by_offset(log).values()) == [b"new"]
    topics.close()


def on_disk(folder: Path, what: bytes) -> bool:
    return any(what in path.read_bytes() for path in folder.rglob("*.log"))


@pytest.mark.parametrize("restart", [False, True])
def test_what_is_erased_to_the_end_leaves_the_disk_at_once(tmp_path: Path, restart: bool) -> None:
    clock = Clock(START_MS)
    topics, _ = broker_of(tmp_path, clock)
    topic = topics.create("uploads", 1, FOREVER)
    put(topic.partitions[0], b"k", b"PERSONAL")
    assert topics.delete_records(topic, 0, 1) == 1
    assert not on_disk(tmp_path, b"PERSONAL")
    if restart:
        topics.close()
        topics, _ = broker_of(tmp_path, clock)
    log = topics.logs().__next__()
    assert (log.start_offset, log.end_offset) == (1, 1)
    put(log, b"next")
    assert keys_by_offset(log) == {1: b"next"}
    topics.close()


@pytest.mark.parametrize("restart", [False, True])
def test_what_was_erased_goes_later_where_the_disk_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    clock = Clock(START_MS)
    topics, cleaner = broker_of(tmp_path, clock)
    topic = topics.create("uploads", 1, FOREVER)
    log = topic.partitions[0]
    put(log, b"k", b"PERSONAL")
    real = log._new_segment

    def refuse(_base: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log, "_new_segment", refuse)
    assert topics.delete_records(topic, 0, 1) == 1
    assert on_disk(tmp_path, b"PERSONAL")
    monkeypatch.setattr(log, "_new_segment", real)
    if restart:
        topics.close()
        topics, _ = broker_of(tmp_path, clock)
    else:
        asyncio.run(cleaner.run())
    assert not on_disk(tmp_path, b"PERSONAL")
    topics.close()


def test_what_lies_before_the_start_is_dropped_when_its_segment_is_sealed(tmp_path: Path) -> None:
    clock = Clock(START_MS)
    topics, cleaner = broker_of(tmp_path, clock)
    log = topics.create("uploads", 1, FOREVER).partitions[0]
    put(log, b"k", b"PERSONAL")
    log.start_offset = 1  # as a broker before this one left it
    put(log, b"k", b"other")
    log.roll()
    log.start_offset = 2
    put(log, b"k", b"third")
    asyncio.run(cleaner.run())
    assert not on_disk(tmp_path, b"PERSONAL")
    assert list(keys_by_offset(log)) == [2]
    topics.close()


def reopened(tmp_path: Path, clock: Clock, stamps: Callable[[PartitionLog], None], *modified: int) -> PartitionLog:
    """Return a log after a restart; its files were last written to at ``modified`` (ms)."""
    log = PartitionLog("t-0", tmp_path, config(segment_ms=str(7 * DAY_MS)), clock)
    stamps(log)
    log.close()
    for path, when in zip(sorted(tmp_path.glob("*.log")), modified, strict=True):
        os.utime(path, ns=(when * 10**6, when * 10**6))
    return PartitionLog("t-0", tmp_path, log.config, clock)


def test_the_age_of_a_segment_counts_over_restarts(tmp_path: Path) -> None:
    clock = Clock(START_MS)
    written = START_MS + 6 * DAY_MS
    log = reopened(tmp_path, clock, lambda log: [put(log, b"k"), put(log, b"k", timestamp=written)], written)
    roll_if_old(log, START_MS + 7 * DAY_MS)
    assert len(log.segments) == 1
    roll_if_old(log, START_MS + 7 * DAY_MS + 1)
    assert len(log.segments) == 2
    log.close()


def test_what_producers_say_of_the_time_makes_no_segment_younger_or_older_than_it_can_be(tmp_path: Path) -> None:
    clock = Clock(START_MS)

    def stamps(log: PartitionLog) -> None:
        put(log, b"future", timestamp=START_MS + 900 * DAY_MS)
        log.roll()
        put(log, b"past", timestamp=START_MS - 900 * DAY_MS)

    log = reopened(tmp_path, clock, stamps, START_MS, START_MS + DAY_MS)
    assert [segment.created_ms for segment in log.segments] == [START_MS, START_MS]
    log.close()
