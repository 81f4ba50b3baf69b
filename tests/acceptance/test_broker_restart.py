"""A restart of the broker: nothing acknowledged is lost, nothing is doubled, and all is there at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from broker_clients import PATIENCE, Client, Record
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from easeml.broker.process import BrokerProcess


def test_data_offsets_and_settings_survive(
    broker: BrokerProcess, admin: AdminClient, client: Client, make_topic: Callable[..., str], name: str
) -> None:
    topic = make_topic(2, retention_ms="777000000")
    now = int(time.time() * 1000)
    records = [Record(b"%d" % index, b"key", (("h", b"1"),), now + index) for index in range(500)]
    client.produce(topic, records, idempotent=True)
    assert len(client.read_as_group(name, topic, 200)) == 200
    broker.restart(kill=True)
    assert client.bounds(topic) == (0, 500)
    assert [each._replace(offset=-1) for each in client.read(topic, 0, 500)] == records
    deadline = time.monotonic() + PATIENCE
    # While a real coordinator loads, aiokafka takes its "not yet" for "nothing committed".
    while client.committed(name, topic) != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert [each.offset for each in client.read_as_group(name, topic, 300)] == list(range(200, 500))
    resource = ConfigResource(ResourceType.TOPIC, topic)
    entries = next(iter(admin.describe_configs([resource]).values())).result(30)
    assert entries["retention.ms"].value == "777000000"
    assert client.produce(topic, [Record(b"next")]) == [500]
    assert client.offset_at(topic, now + 250) == 250


def test_an_idempotent_producer_goes_on_over_a_restart(
    broker: BrokerProcess, client: Client, make_topic: Callable[..., str]
) -> None:
    topic = make_topic()
    total = 4000
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "enable.idempotence": True,
            "linger.ms": 1,
            "message.timeout.ms": 120_000,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )
    errors: list[Any] = []

    def write() -> None:
        for index in range(total):
            producer.produce(topic, b"%d" % index, on_delivery=lambda error, _message: error and errors.append(error))
            producer.poll(0)
            time.sleep(0.0005)

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.5)
    broker.restart(kill=True)
    writer.join()
    assert producer.flush(PATIENCE + 60) == 0
    assert errors == []
    assert [each.value for each in client.read(topic, 0, total)] == [b"%d" % index for index in range(total)]
    assert client.bounds(topic) == (0, total)


def test_the_ends_are_right_at_once(broker: BrokerProcess, client: Client, make_topic: Callable[..., str]) -> None:
    topic = make_topic(4)
    for partition in range(4):
        client.produce(topic, [Record(b"x", partition=partition)] * (partition + 10))
    broker.restart(kill=True)
    assert [client.bounds(topic, partition) for partition in range(4)] == [(0, 10), (0, 11), (0, 12), (0, 13)]
