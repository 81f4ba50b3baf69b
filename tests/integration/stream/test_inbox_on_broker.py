"""The inbox of a service against a broker: what it delivers as partitions come and go."""

from __future__ import annotations

import threading

import pytest

from easeml.stream.inbox import Inbox
from easeml.stream.payloads import ModelRetired
from easeml.stream.publisher import EventPublisher
from easeml.stream.topics import MODELS
from waiting import until


class Member:
    """A member of one group; notes what it is given."""

    def __init__(self, settings, name):
        self.partitions: list[int] = []
        self.seen: set[str] = set()
        self.failures: list[Exception] = []
        self.inbox = Inbox(
            settings,
            "inbox-test",
            name,
            [MODELS.name],
            assign=self._assign,
            revoke=self.partitions.clear,
            deliver=lambda records: self.seen.update(record.value.hex() for record in records),
            fail=self.failures.append,
        )
        self.inbox.start()

    def _assign(self, partitions):
        self.partitions[:] = partitions
        return {(MODELS.name, number): 0 for number in partitions}


@pytest.fixture
def settings(new_cluster):
    with new_cluster() as settings:
        yield settings


def test_partitions_that_come_back_are_read_although_they_were_paused(settings):
    first = Member(settings, "first")
    until(lambda: len(first.partitions) == settings.partitions)
    for number in range(settings.partitions):
        first.inbox.pause((MODELS.name, number))
    second = Member(settings, "second")
    until(lambda: second.partitions and len(first.partitions) < settings.partitions)
    closing = threading.Thread(target=second.inbox.close)
    closing.start()
    until(lambda: len(first.partitions) == settings.partitions)
    closing.join()
    with EventPublisher(settings, "test") as publisher:
        for number in range(settings.partitions):
            publisher.send(MODELS, ModelRetired("pond", "m", f"{number}"), partition=number)
    until(lambda: len(first.seen) == settings.partitions, 10)
    first.inbox.close()
    assert not first.failures + second.failures
