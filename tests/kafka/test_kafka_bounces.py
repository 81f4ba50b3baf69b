"""What clients that were there before Apache Kafka was stopped and started do after it."""

from __future__ import annotations

import time

import pytest

from brokers import new_broker
from easeml.errors import UnavailableError
from easeml.stream import admin
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import APPS, MODELS

PATIENCE = 60.0
"""A node that was killed waits for its own former session first."""


@pytest.fixture(scope="module")
def broker():
    with new_broker() as running:
        yield running


@pytest.fixture(scope="module")
def reader(broker):
    settings = Settings.load(bootstrap_servers=broker.bootstrap_servers, partitions=2)
    admin.create_topics(settings, ())
    made = TopicReader(settings, [APPS.name, MODELS.name])
    yield made
    made.close()


def ends(reader):
    """Return what the reader hears as soon as the broker leads its partitions again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return reader.ends()
        except UnavailableError:
            if time.monotonic() > deadline:
                raise


@pytest.mark.parametrize("kill", [False, True], ids=["clean", "hard"])
def test_a_reader_that_was_there_before_hears_the_ends_after_a_bounce(broker, reader, kill):
    before = ends(reader)
    assert len(before) == 4
    broker.restart(kill=kill)
    assert ends(reader) == before
