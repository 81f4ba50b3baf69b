"""Offsets: the ends of a partition, by time, deleted records, and what groups committed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from broker_clients import Client, Record, RefusedError
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

NOON = 1_700_000_000_000


def test_bounds_of_an_empty_and_a_written_partition(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    assert client.bounds(topic) == (0, 0)
    client.produce(topic, [Record(b"x")] * 7)
    assert client.bounds(topic) == (0, 7)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_offsets_by_time(client: Client, make_topic: Callable[..., str], compression: str) -> None:
    topic = make_topic(retention_ms="-1")
    for start in (0, 10):
        records = [Record(b"%d" % index, timestamp=NOON + 1000 * index) for index in range(start, start + 10)]
        client.produce(topic, records, compression=compression)
    wanted = {0: 0, NOON: 0, NOON + 1: 1, NOON + 5000: 5, NOON + 9500: 10, NOON + 19_000: 19, NOON + 19_001: -1}
    assert {time: client.offset_at(topic, time) for time in wanted} == wanted


def test_offset_by_time_with_unordered_timestamps(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic(retention_ms="-1")
    for seconds in (5, 1, 9, 2):
        client.produce(topic, [Record(b"x", timestamp=NOON + 1000 * seconds)])
    assert client.offset_at(topic, NOON + 3000) == 0
    assert client.offset_at(topic, NOON + 6000) == 2


def test_log_append_time_is_the_brokers(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic(message_timestamp_type="LogAppendTime")
    client.produce(topic, [Record(b"x", timestamp=NOON)])
    read = client.read(topic, 0, 1)[0]
    assert read.timestamp is not None
    assert read.timestamp > NOON + 1_000_000


def test_deleted_records_are_gone(client: Client, admin: AdminClient, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    client.produce(topic, [Record(b"%d" % index) for index in range(10)])
    admin.delete_records([TopicPartition(topic, 0, 4)])[TopicPartition(topic, 0)].result(30)
    assert client.bounds(topic) == (4, 10)
    assert [each.offset for each in client.read(topic, 4, 6)] == [4, 5, 6, 7, 8, 9]
    with pytest.raises(RefusedError):
        client.read(topic, 3, 1)


def test_a_group_goes_on_where_it_committed(client: Client, make_topic: Callable[..., str], name: str) -> None:
    topic = make_topic()
    client.produce(topic, [Record(b"%d" % index) for index in range(10)])
    assert client.committed(name, topic) == -1
    assert [each.offset for each in client.read_as_group(name, topic, 4)] == [0, 1, 2, 3]
    assert client.committed(name, topic) == 4
    assert [each.offset for each in client.read_as_group(name, topic, 6)] == [4, 5, 6, 7, 8, 9]
    assert client.committed(name, topic) == 10


def test_groups_do_not_see_each_other(client: Client, make_topic: Callable[..., str], name: str) -> None:
    topic = make_topic()
    client.produce(topic, [Record(b"x")] * 3)
    assert len(client.read_as_group(name + "-a", topic, 3)) == 3
    assert len(client.read_as_group(name + "-b", topic, 3)) == 3
