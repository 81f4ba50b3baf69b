"""Retention and compaction. A real cluster's cleaner runs at intervals of its own, so the tests wait long."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from broker_clients import Client, Record, RefusedError
from broker_wire import Wire, schema
from confluent_kafka import Producer
from kio.schema.errors import ErrorCode

from easeml.broker.process import BrokerProcess

CLEANER_PATIENCE = 120.0
MEGABYTE = 1024 * 1024


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + CLEANER_PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.3)


def test_retention_by_size(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic(retention_bytes=str(2 * MEGABYTE), segment_bytes=str(MEGABYTE))
    for _ in range(8):
        client.produce(topic, [Record(b"x" * 500_000)] * 2)
    wait(lambda: client.bounds(topic)[0] > 0, "old segments are dropped")
    low, high = client.bounds(topic)
    assert high == 16
    assert [each.offset for each in client.read(topic, low, high - low)] == list(range(low, high))
    # Whole segments go, and only while the limit is still met: two megabytes must be left.
    assert (high - low) * 500_000 >= 2 * MEGABYTE - 500_000


def test_retention_by_time(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic(retention_ms="1000", segment_ms="500")
    client.produce(topic, [Record(b"old")] * 3)
    time.sleep(1.2)
    client.produce(topic, [Record(b"new", timestamp=int(time.time() * 1000) + 600_000)])
    wait(lambda: client.bounds(topic) == (3, 4), "expired records are dropped")
    assert client.read(topic, 3, 1)[0].value == b"new"
    with pytest.raises(RefusedError):
        client.read(topic, 0, 1)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_compaction_keeps_the_last_value_of_each_key(
    client: Client, make_topic: Callable[..., str], compression: str
) -> None:
    topic = make_topic(
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.01",
        delete_retention_ms="100",
        max_compaction_lag_ms="1000",
    )
    expected: dict[bytes, bytes] = {}
    offsets: dict[bytes, int] = {}
    for turn in range(4):
        records = [Record(b"%d-%d" % (turn, index), b"k%d" % (index % 10)) for index in range(40)]
        found = client.produce(topic, records, compression=compression)
        for record, offset in zip(records, found, strict=True):
            expected[record.key or b""] = record.value or b""
            offsets[record.key or b""] = offset
        time.sleep(0.2)
    client.produce(topic, [Record(None, b"k3")])
    time.sleep(0.2)
    high = 4 * 40 + 1

    def push() -> None:
        # The active segment is not compacted: a further record makes a real broker begin a new one.
        nonlocal high
        high = client.produce(topic, [Record(b"push", b"pushed")])[0] + 1

    def compacted() -> bool:
        push()
        read = _all(client, topic, high)
        keys = [each.key for each in read if each.key != b"pushed"]
        return len(keys) == len(set(keys)) and b"k3" not in keys

    wait(compacted, "only the last value of each key is left, and no tombstone")
    left = {each.key: each for each in _all(client, topic, high) if each.key != b"pushed"}
    del expected[b"k3"]
    assert {key: record.value for key, record in left.items()} == expected
    assert {key: record.offset for key, record in left.items()} == {key: offsets[key or b""] for key in left}
    # A reader that stands in a gap goes on behind it, and the ends have not moved.
    assert client.read(topic, 1, 1)[0].offset == min(record.offset for record in left.values())
    assert client.bounds(topic) == (0, high)


def test_a_producer_goes_on_after_its_last_batch_was_compacted_away_and_a_restart(
    broker: BrokerProcess, client: Client, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(
        cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01", max_compaction_lag_ms="1000"
    )
    errors: list[Any] = []
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap_servers, "enable.idempotence": True, "linger.ms": 0, "log_level": 0}
    )

    def write(key: bytes, value: bytes) -> None:
        producer.produce(topic, value, key, on_delivery=lambda error, _message: error and errors.append(error))
        assert producer.flush(CLEANER_PATIENCE) == 0
        assert errors == []

    write(b"kept", b"1")
    write(b"k", b"old")
    client.produce(topic, [Record(b"new", b"k")])

    def compacted() -> bool:
        high = client.produce(topic, [Record(b"push", b"pushed")])[0] + 1
        return b"old" not in [each.value for each in _all(client, topic, high)]

    wait(compacted, "the older value is gone")
    # The batch at offset 1 is empty now: readers pass over it, and it tells the next start the producer's sequence.
    assert client.read(topic, 1, 1)[0].offset == 2
    broker.restart(kill=True)
    write(b"last", b"2")
    high = client.bounds(topic)[1]
    assert {each.key: each.value for each in _all(client, topic, high)} == {
        b"kept": b"1",
        b"k": b"new",
        b"pushed": b"push",
        b"last": b"2",
    }


def _all(client: Client, topic: str, high: int) -> list[Record]:
    """Read up to the last record, whose offset is ``high - 1``: the active segment is never compacted."""
    return client.read(topic, 0, high, until=high - 1)


def test_a_compacted_topic_needs_keys(bootstrap_servers: str, make_topic: Callable[..., str]) -> None:
    from broker_clients import ConfluentClient

    topic = make_topic(cleanup_policy="compact")
    with pytest.raises(RefusedError) as caught:
        ConfluentClient(bootstrap_servers).produce(topic, [Record(b"no key")])
    assert caught.value.code == ErrorCode.invalid_record
    with Wire(bootstrap_servers) as wire:
        assert wire.ask(schema(18, 2)()).error_code is ErrorCode.none
