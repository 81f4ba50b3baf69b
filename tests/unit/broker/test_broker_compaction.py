"""Compaction against a brute-force oracle: the same records, in the same order, at the same offsets."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from broker_batches import START_MS, Clock, config, contents, keys_by_offset, make_batch
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.broker.cleaner import Cleaner, is_due
from easeml.broker.journal import Journal
from easeml.broker.log import PartitionLog
from easeml.broker.topics import Topic, Topics

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b""])
PAIR = st.tuples(KEYS, st.one_of(st.none(), st.binary(max_size=4)))
BATCH = st.tuples(st.lists(PAIR, min_size=1, max_size=5), st.booleans())
COMPACT = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0",
    "delete.retention.ms": "1000",
}


def build(folder: Path | None, clock: Clock, **more: str) -> tuple[Topics, Topic, Cleaner]:
    journal = Journal(None if folder is None else folder / "journal.jsonl")
    topics = Topics(journal, folder, {}, clock)
    overrides = COMPACT | {key.replace("_", "."): value for key, value in more.items()}
    topic = topics.get("t") or topics.create("t", 1, overrides)
    return topics, topic, Cleaner(topics, journal, clock)


def write(log: PartitionLog, segments: list[list[tuple[list, bool]]]) -> None:
    for turn, run in enumerate(segments):
        if turn:
            log.roll()
        for pairs, compressed in run:
            assert log.append(make_batch(pairs, compressed=compressed)).offset >= 0


def oracle(before: list[tuple[int, bytes | None, bytes]], sealed_end: int, tombstones: set[int]) -> list:
    """Keep of the sealed part the last record of each key, unless it is an expired tombstone."""
    last = {key: offset for offset, key, _ in before if offset < sealed_end}
    return [
        each for each in before if each[0] >= sealed_end or (last[each[1]] == each[0] and each[0] not in tombstones)
    ]


@settings(max_examples=80, deadline=None)
@given(
    segments=st.lists(st.lists(BATCH, min_size=1, max_size=4), min_size=2, max_size=5),
    expired=st.booleans(),
    on_disk=st.booleans(),
    small=st.booleans(),
)
def test_compaction_equals_the_oracle(
    segments: list[list[tuple[list, bool]]], expired: bool, on_disk: bool, small: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        clock = Clock(START_MS)
        topics, topic, cleaner = build(Path(name) if on_disk else None, clock)
        log = topic.partitions[0]
        write(log, segments)
        if small:
            # Segments as small as that are not merged.
            topics.configure(topic, COMPACT | {"segment.bytes": "1048576"})
        before = contents(log)
        flat = [pair for run in segments for pairs, _ in run for pair in pairs]
        tombstones = {offset for offset, (_, value) in enumerate(flat) if value is None}
        sealed_end, end = log.active.base_offset, log.end_offset
        clock.now += 5000 if expired else 500
        asyncio.run(cleaner.run())
        expected = oracle(before, sealed_end, tombstones if expired else set())
        assert contents(log) == expected
        assert (log.start_offset, log.end_offset) == (0, end)
        for offset in range(end):
            following = [each[0] for each in expected if each[0] >= offset]
            data = log.read(offset, 1, at_least_one=True)
            assert bool(data) == bool(following)
        if on_disk:
            topics.close()
            again = build(Path(name), clock)[1].partitions[0]
            assert contents(again) == expected
            assert again.end_offset == end
            again.close()


def test_tombstones_go_once_their_time_has_come() -> None:
    clock = Clock(START_MS)
    _, topic, cleaner = build(None, clock)
    log = topic.partitions[0]
    write(log, [[([(b"a", b"1"), (b"b", b"2")], False)], [([(b"a", None)], False)], [([(b"c", b"3")], False)]])
    asyncio.run(cleaner.run())
    assert keys_by_offset(log) == {1: b"b", 2: b"a", 3: b"c"}
    clock.now += 5000
    asyncio.run(cleaner.run())
    assert keys_by_offset(log) == {1: b"b", 3: b"c"}


def test_recent_records_wait_for_the_compaction_lag() -> None:
    clock = Clock(START_MS)
    _, topic, cleaner = build(None, clock, min_compaction_lag_ms="60000")
    log = topic.partitions[0]
    write(log, [[([(b"a", b"1")], False)], [([(b"a", b"2")], False)], [([(b"a", b"3")], False)]])
    asyncio.run(cleaner.run())
    assert sorted(keys_by_offset(log)) == [0, 1, 2]
    clock.now += 61_000
    asyncio.run(cleaner.run())
    assert sorted(keys_by_offset(log)) == [1, 2]


def test_compaction_waits_until_enough_is_dirty() -> None:
    clock = Clock(START_MS)
    _, topic, cleaner = build(None, clock, min_cleanable_dirty_ratio="0.5")
    log = topic.partitions[0]
    big = [(b"k%d" % index, b"v" * 50) for index in range(50)]
    write(log, [[(big, False)], [([(b"k0", b"new")], False)]])
    asyncio.run(cleaner.run())
    log.roll()
    clean, dirty = log.segments[:1], log.segments[1:-1]
    assert not is_due(log, clean, dirty, START_MS)
    asyncio.run(cleaner.run())
    assert len(contents(log)) == 51
    log.config = config(cleanup_policy="compact", max_compaction_lag_ms="1000")
    assert is_due(log, clean, dirty, START_MS + 2000)


def test_a_batch_of_an_unknown_codec_stays_whole() -> None:
    from easeml.broker import batch as batches

    clock = Clock(START_MS)
    _, topic, cleaner = build(None, clock)
    log = topic.partitions[0]
    data = make_batch([(b"a", b"1")])
    fields = list(batches.peek(data))
    fields[5] |= 4
    zstd = batches._sealed(fields, data[batches.HEADER_SIZE :])
    assert log.append(zstd).offset == 0
    log.roll()
    write(log, [[([(b"a", b"2")], False)]])
    asyncio.run(cleaner.run())
    assert batches.peek(log.read(0, 1, at_least_one=True)).codec == 4


def test_a_topic_deleted_while_it_is_compacted_leaves_nothing(tmp_path: Path) -> None:
    clock = Clock(START_MS)
    topics, topic, cleaner = build(tmp_path, clock)
    log = topic.partitions[0]
    write(log, [[([(b"a", b"1")] * 5, False)], [([(b"a", b"2")] * 5, False)], [([(b"a", b"3")], False)]])

    async def both() -> None:
        work = asyncio.create_task(cleaner.run())
        await asyncio.sleep(0)
        topics.delete(topic)
        await work

    asyncio.run(both())
    assert not (tmp_path / "t-0").exists() or not list((tmp_path / "t-0").iterdir())


@pytest.mark.parametrize("kill_after", ["rename"])
def test_a_kill_between_the_files_of_a_merge_costs_nothing(tmp_path: Path, kill_after: str) -> None:
    clock = Clock(START_MS)
    topics, topic, cleaner = build(tmp_path, clock)
    log = topic.partitions[0]
    write(log, [[([(b"a", b"1"), (b"b", b"1")], False)], [([(b"a", b"2")], False)], [([(b"c", b"3")], False)]])
    old = {path: path.read_bytes() for path in sorted((tmp_path / "t-0").glob("*.log"))}
    asyncio.run(cleaner.run())
    expected = contents(log)
    topics.close()
    second = list(old)[1]
    assert not second.exists()
    second.write_bytes(old[second])
    again = build(tmp_path, clock)[1].partitions[0]
    assert contents(again) == expected
    again.close()
