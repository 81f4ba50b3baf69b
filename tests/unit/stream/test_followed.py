"""A handler is told whether a later message of its key waits, so that it may leave the work to that one."""

import dataclasses

import pytest
from kernel_services import Summer, app, note

from easeml.ids import EventId
from easeml.stream import codec, envelope
from easeml.stream.changelog import Snapshot
from easeml.stream.lanes import Lanes
from easeml.stream.messages import Record
from easeml.stream.partition import PartitionProcessor
from easeml.stream.payloads import Annotation
from easeml.stream.service import On
from easeml.stream.settings import Settings
from easeml.stream.topics import ANNOTATIONS, partition_of
from easeml.stream.views import Broadcast

APP = app()
HERE = partition_of(APP.app, 4)


class Newest(Summer):
    """Notes of each value whether it was followed."""

    def __init__(self):
        self.told = []

    def table(self):
        return (On(ANNOTATIONS, Annotation, prepare=self.look, handle=self.add),)

    def look(self, _state, event, context):
        self.told.append((event.data.value, context.followed))


def record(offset, number, second, **changed):
    data = note(number)
    headers = tuple(envelope.headers(EventId(f"{number}-{second}"), "easeml/test", data, second))
    sound = Record(
        ANNOTATIONS.name, HERE, offset, ANNOTATIONS.key(data).encode(), codec.encode(data), headers, second * 1000
    )
    return dataclasses.replace(sound, **changed)


def heard(*behind):
    """Return what is told of a first message of second 10 with others behind it."""
    broadcast = Broadcast()
    broadcast.apps[APP.app] = APP
    service = Newest()
    lanes = Lanes(PartitionProcessor(service, HERE, Settings(partitions=4), broadcast, Snapshot()), Snapshot())
    for each in (record(0, 1, 10), *behind):
        lanes.feed(each)
    while lanes.step(0.0):
        pass
    return service.told


def test_a_later_message_of_the_key_follows():
    assert heard(record(1, 2, 11)) == [(1, True), (2, False)]


@pytest.mark.parametrize(
    "behind",
    [
        record(1, 2, 11, key=b"another"),
        record(1, 1, 10),
        record(1, 2, 9),
        record(1, 2, 11, value=b"no avro"),
        record(1, 2, 11, value=codec.encode(note(2, app="unknown"))),
        record(1, 2, 11, value=None),
    ],
    ids=["another key", "a repetition", "an older one", "a damaged one", "another app under the key", "a tombstone"],
)
def test_nothing_else_does(behind):
    assert heard(behind)[0] == (1, False)
