"""Reading topics that a broker cleans meanwhile."""

from __future__ import annotations

import sys
from pathlib import Path

from confluent_kafka import TopicPartition

sys.path.insert(0, str(Path(__file__).parents[2]))

from brokers import new_broker
from easeml.stream import admin, reader
from easeml.stream.payloads import Tick
from easeml.stream.publisher import EventPublisher
from easeml.stream.settings import Settings
from easeml.stream.topics import TICKS


def test_a_replay_ends_although_what_it_was_to_read_has_gone_meanwhile(monkeypatch):
    with new_broker(memory=True) as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, partitions=1)
        admin.create_topics(settings, ())
        publisher = EventPublisher(settings, "supervisor")
        for number in range(3):
            publisher.send(TICKS, Tick(number, float(number)), partition=0)
        publisher.flush()
        plain, client = reader.offsets, admin.client(settings)

        def heard_before_they_went(*asked):
            monkeypatch.setattr(reader, "offsets", plain)
            starts = plain(*asked)
            (gone,) = client.delete_records([TopicPartition(TICKS.name, 0, 3)]).values()
            gone.result(30)
            return starts

        monkeypatch.setattr(reader, "offsets", heard_before_they_went)
        topics = reader.TopicReader(settings, [TICKS.name])
        try:
            assert list(topics.replay_raw()) == []
        finally:
            topics.close()
