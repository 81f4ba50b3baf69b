"""Reading topics that a broker cleans meanwhile."""

from __future__ import annotations

import sys
from pathlib import Path

from confluent_kafka import TopicPartition

sys.path.insert(0, str(Path(__file__).parents[2]))

from brokers import new_broker
from easeml.stream import admin
from easeml.stream.payloads import Tick
from easeml.stream.publisher import EventPublisher
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import TICKS


def test_a_replay_ends_although_what_it_was_to_read_has_gone_meanwhile():
    with new_broker(memory=True) as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, partitions=1)
        admin.create_topics(settings, ())
        publisher = EventPublisher(settings, "supervisor")
        for number in range(3):
            publisher.send(TICKS, Tick(number, float(number)), partition=0)
        publisher.flush()
        reader = TopicReader(settings, [TICKS.name])
        client = admin.client(settings)
        try:
            (gone,) = client.delete_records([TopicPartition(TICKS.name, 0, 3)]).values()
            gone.result(30)
            assert list(reader.replay_raw()) == []
        finally:
            reader.close()
