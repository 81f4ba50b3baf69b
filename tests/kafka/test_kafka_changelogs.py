"""What a restart reads of a changelog on Apache Kafka stays small, however long a service has run."""

from __future__ import annotations

import os
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from brokers import new_broker
from easeml.stream import admin
from easeml.stream.changelog import changelog_topic
from easeml.stream.settings import Settings

PATIENCE = 60.0
TOPIC = changelog_topic("ci")
STATE, TIMES = 4 * 2**20, 80


def read(settings: Settings) -> int:
    """Return the bytes of all values that a reader from the beginning gets."""
    reader = Consumer(settings.kafka() | {"group.id": "sizes", "enable.partition.eof": True, "check.crcs": False})
    reader.assign([TopicPartition(TOPIC, 0, OFFSET_BEGINNING)])
    size = 0
    try:
        while True:
            message = reader.poll(PATIENCE)
            assert message is not None
            if message.error():
                return size
            size += len(message.value())
    finally:
        reader.close()


def test_a_state_that_was_written_often_is_read_a_few_times(tmp_path):
    with new_broker(tmp_path) as broker:
        settings = Settings.load(bootstrap_servers=broker.bootstrap_servers, partitions=1)
        admin.create_topics(settings, ["ci"])
        producer = Producer(settings.kafka() | {"message.max.bytes": 2 * STATE})
        for _ in range(TIMES):
            producer.produce(TOPIC, os.urandom(STATE), b"state/churn", 0)
            producer.flush()
        deadline = time.monotonic() + PATIENCE
        while read(settings) > 2 * 64 * 2**20:
            assert time.monotonic() < deadline
            time.sleep(1)
