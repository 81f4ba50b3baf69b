"""What administrators do: topics, partitions and configurations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin import NewPartitions as AioNewPartitions
from aiokafka.admin import NewTopic as AioNewTopic
from broker_clients import Client, Record
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from kio.schema.errors import ErrorCode


def refusal(future: object) -> int:
    with pytest.raises(KafkaException) as caught:
        future.result(30)  # type: ignore[attr-defined]
    return caught.value.args[0].code()


def heard(condition: Callable[[], bool]) -> None:
    """Wait: a real cluster answers before every broker has heard of it."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def heard_soon(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for the same without blocking the event loop."""
    deadline = time.monotonic() + 30
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_topics_are_created_listed_and_deleted(admin: AdminClient, name: str) -> None:
    admin.create_topics([NewTopic(name, 3, 1)])[name].result(30)
    heard(lambda: sorted(admin.list_topics(name, timeout=10).topics[name].partitions) == [0, 1, 2])
    assert refusal(admin.create_topics([NewTopic(name, 3, 1)])[name]) == ErrorCode.topic_already_exists
    admin.delete_topics([name])[name].result(30)
    heard(lambda: name not in admin.list_topics(timeout=10).topics)
    assert refusal(admin.delete_topics([name])[name]) == ErrorCode.unknown_topic_or_partition


def test_a_topic_created_again_is_empty(admin: AdminClient, client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic()
    client.produce(topic, [Record(b"old")] * 5)
    admin.delete_topics([topic])[topic].result(30)
    heard(lambda: topic not in admin.list_topics(timeout=10).topics)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    heard(lambda: topic in admin.list_topics(timeout=10).topics)
    assert client.bounds(topic) == (0, 0)
    assert client.produce(topic, [Record(b"new")]) == [0]


def test_validation_creates_nothing(admin: AdminClient, name: str) -> None:
    admin.create_topics([NewTopic(name, 1, 1)], validate_only=True)[name].result(30)
    assert name not in admin.list_topics(timeout=10).topics


@pytest.mark.parametrize(
    ("topic", "error"),
    [
        (NewTopic("accept bad name", 1, 1), ErrorCode.invalid_topic_exception),
        (NewTopic("accept-refused", 0, 1), ErrorCode.invalid_partitions),
        (NewTopic("accept-refused", 1, 3), ErrorCode.invalid_replication_factor),
        (NewTopic("accept-refused", 1, 1, config={"no.such.setting": "1"}), ErrorCode.invalid_config),
        (NewTopic("accept-refused", 1, 1, config={"retention.ms": "soon"}), ErrorCode.invalid_config),
        (NewTopic("accept-refused", 1, 1, config={"cleanup.policy": "burn"}), ErrorCode.invalid_config),
    ],
)
def test_wrong_topics_are_refused(admin: AdminClient, topic: NewTopic, error: ErrorCode) -> None:
    assert refusal(admin.create_topics([topic])[topic.topic]) == error


def test_partitions_are_added(admin: AdminClient, client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic(1)
    client.produce(topic, [Record(b"before")])
    admin.create_partitions([NewPartitions(topic, 3)])[topic].result(30)
    client.produce(topic, [Record(b"after", partition=2)])
    assert client.read(topic, 0, 1)[0].value == b"before"
    assert client.read(topic, 0, 1, partition=2)[0].value == b"after"
    assert refusal(admin.create_partitions([NewPartitions(topic, 2)])[topic]) == ErrorCode.invalid_partitions


def settings(admin: AdminClient, topic: str) -> dict[str, ConfigEntry]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return next(iter(admin.describe_configs([resource]).values())).result(30)


def test_configurations_are_described(admin: AdminClient, make_topic: Callable[..., str]) -> None:
    topic = make_topic(retention_ms="12345", cleanup_policy="compact")
    entries = settings(admin, topic)
    assert entries["retention.ms"].value == "12345"
    assert entries["cleanup.policy"].value == "compact"
    assert not entries["retention.ms"].is_default
    assert entries["segment.bytes"].value == str(1 << 30)
    assert entries["segment.bytes"].is_default
    for expected in ("retention.bytes", "max.message.bytes", "min.compaction.lag.ms", "delete.retention.ms"):
        assert expected in entries


def test_configurations_are_changed_one_by_one(admin: AdminClient, make_topic: Callable[..., str]) -> None:
    topic = make_topic(retention_ms="12345")

    def alter(setting: str, value: str | None, operation: AlterConfigOpType) -> None:
        entry = ConfigEntry(setting, value, incremental_operation=operation)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        next(iter(admin.incremental_alter_configs([resource]).values())).result(30)

    alter("max.message.bytes", "2000000", AlterConfigOpType.SET)
    alter("retention.ms", None, AlterConfigOpType.DELETE)
    alter("cleanup.policy", "compact", AlterConfigOpType.APPEND)
    entries = settings(admin, topic)
    assert entries["max.message.bytes"].value == "2000000"
    assert entries["retention.ms"].is_default
    assert set(entries["cleanup.policy"].value.split(",")) == {"delete", "compact"}
    with pytest.raises(KafkaException):
        alter("retention.ms", "soon", AlterConfigOpType.SET)


def test_the_largest_message_is_configured_per_topic(client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic(max_message_bytes="3000000")
    assert client.produce(topic, [Record(b"z" * 2_500_000)], largest=4_000_000) == [0]


def test_the_cluster_is_described(admin: AdminClient, bootstrap_servers: str) -> None:
    described = admin.describe_cluster().result(30)
    assert described.cluster_id
    assert f"{described.nodes[0].host}:{described.nodes[0].port}" in bootstrap_servers
    assert admin.list_topics(timeout=10).controller_id in [node.id for node in described.nodes]


def test_aiokafka_administers_too(bootstrap_servers: str, name: str) -> None:
    async def has(admin: AIOKafkaAdminClient, partitions: int) -> bool:
        if name not in await admin.list_topics():
            return partitions == 0
        (described,) = await admin.describe_topics([name])
        return len(described["partitions"]) == partitions

    async def work() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
        await admin.start()
        try:
            await admin.create_topics([AioNewTopic(name, 2, 1)])
            await heard_soon(lambda: has(admin, 2))
            await admin.create_partitions({name: AioNewPartitions(4)})
            await heard_soon(lambda: has(admin, 4))
            await admin.delete_topics([name])
            await heard_soon(lambda: has(admin, 0))
        finally:
            await admin.close()

    asyncio.run(work())
