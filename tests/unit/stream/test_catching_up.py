"""What waited on the broker while a service was away is applied in the order of its time, whatever is fetched first."""

import dataclasses

import numpy as np
import pytest
from kernel_services import app

from easeml.ids import EventId
from easeml.labels.service import LabelsService
from easeml.stream import codec, envelope
from easeml.stream.changelog import Snapshot
from easeml.stream.lanes import FETCH_SECONDS, Lanes
from easeml.stream.messages import Record
from easeml.stream.partition import PartitionProcessor
from easeml.stream.payloads import Annotation, Pillar, Question, QuestionKind
from easeml.stream.settings import Settings
from easeml.stream.topics import ANNOTATIONS, QUESTIONS, partition_of
from easeml.stream.views import Broadcast

APP = dataclasses.replace(app(), classes=("no", "yes"))
HERE = partition_of(APP.app, 4)
SKIPS = 600
"""More than wait for a question that nobody has asked."""


def record(topic, offset, data, milliseconds):
    identity = EventId(f"{topic.name}-{offset}")
    headers = tuple(envelope.headers(identity, "easeml/test", data, milliseconds / 1000))
    return Record(topic.name, HERE, offset, topic.key(data).encode(), codec.encode(data), headers, milliseconds)


@pytest.fixture
def lanes():
    broadcast = Broadcast()
    broadcast.apps[APP.app] = APP
    return Lanes(PartitionProcessor(LabelsService(), HERE, Settings(partitions=4), broadcast, Snapshot()), Snapshot())


def question(milliseconds=1000):
    asked = Question(
        APP.app, "q", QuestionKind.LABEL, Pillar.POOL, "row", APP.classes, 0.5, "market", probabilities=np.zeros(0)
    )
    return record(QUESTIONS, 0, asked, milliseconds)


def skip(offset):
    return record(ANNOTATIONS, offset, Annotation(APP.app, "q", "ada", f"r{offset}", -1), 2000 + offset)


def away(lanes, skips=SKIPS):
    """The service was away, and its annotations are fetched before the question that they are about."""
    lanes.catch_up(QUESTIONS.name, 1)
    lanes.catch_up(ANNOTATIONS.name, skips)
    for offset in range(skips):
        lanes.feed(skip(offset))


def drained(lanes, now=0.0):
    steps = 0
    while lanes.step(now):
        steps += 1
    return steps


def test_annotations_wait_for_a_question_that_is_on_its_way(lanes):
    away(lanes)
    assert drained(lanes) == 0
    assert lanes.wait(0.5) == pytest.approx(FETCH_SECONDS - 0.5)
    assert lanes.stuck(ANNOTATIONS.name), "a full topic may be paused, so that others are fetched"
    lanes.feed(question())
    assert drained(lanes, 1.0) == SKIPS + 1
    counts = lanes.take().counts
    assert counts["events"] == SKIPS + 1
    assert not [name for name in counts if name.startswith("dead:")]
    assert lanes.wait(1.0) is None


def test_what_is_gone_from_the_broker_is_not_waited_for_again(lanes):
    away(lanes, skips=3)
    assert drained(lanes) == 0
    assert drained(lanes, FETCH_SECONDS) == 3
    assert lanes.wait(FETCH_SECONDS) is None
    assert not lanes.stuck(ANNOTATIONS.name)


def test_what_comes_later_goes_by_its_arrival(lanes):
    lanes.catch_up(QUESTIONS.name, 0)
    lanes.feed(skip(0))
    lanes.feed(question(milliseconds=1))  # by a clock that is far behind
    assert lanes.step(0.0)
    assert lanes.processor.positions == {ANNOTATIONS.name: 0}


def test_what_comes_later_comes_after_what_was_there(lanes):
    lanes.catch_up(ANNOTATIONS.name, 2)
    lanes.feed(question(milliseconds=1))
    lanes.feed(skip(0))
    lanes.feed(skip(1))
    assert lanes.step(0.0)
    assert lanes.processor.positions == {ANNOTATIONS.name: 0}
