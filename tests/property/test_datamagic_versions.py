"""However the topics of the same events are interleaved, a pillar ends with the same version."""

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "datamagic_service"))

from datamagic_town import Town
from test_datamagic_keeper import announced, answer, cells, rows

from easeml.stream.payloads import Pillar, QuestionKind
from easeml.stream.topics import ANSWERS, CANDIDATES, DATA_TRAIN, DATA_VERSIONS

ROW = st.sampled_from([f"r{place}" for place in range(0, 24, 3)])
BATCH = st.builds(
    lambda start, size, version, seed: (DATA_TRAIN, rows(start, start + size, version, seed)),
    st.integers(0, 16),
    st.integers(1, 6),
    st.sampled_from(["cleaner-1", "cleaner-2", "vab12-0123456789ab"]),
    st.integers(0, 1),
)
CELLS = st.builds(
    lambda row, values, source: (CANDIDATES, cells(row, values, source=source)),
    ROW,
    st.sampled_from([("1", "2"), ("1", "3"), ("2", "5")]),
    st.sampled_from(["a@1", "b@2"]),
)
ANSWER = st.builds(lambda row, text: (ANSWERS, answer(row, text)), ROW, st.sampled_from(["no", "yes"]))
CELL = st.builds(
    lambda row, said: (ANSWERS, replace(answer(row), kind=QuestionKind.CELL, value=-2, column=said[0], text=said[1])),
    ROW,
    st.sampled_from([("y", "7.25"), ("y", "many"), ("colour", "green"), ("colour", "red")]),
)
VERSION = st.builds(
    lambda name: (DATA_VERSIONS, announced(rows(), 9, name)), st.sampled_from(["cleaner-1", "vab12-0123456789ab"])
)
EVENTS = st.lists(st.one_of(BATCH, BATCH, CELLS, ANSWER, CELL, VERSION), min_size=1, max_size=14)


def ended(events, seed):
    """Return the last version of the train pillar after the topics were interleaved and the clock ran."""
    rng = random.Random(seed)
    town = Town(rng=random.Random(seed) if seed else None)
    topics = {}
    for place, (topic, data) in enumerate(events):
        topics.setdefault(topic.name, []).append((topic, data, f"event-{place}"))
    while topics:
        name = rng.choice(sorted(topics)) if seed else next(iter(topics))
        topic, data, identity = topics[name].pop(0)
        town.cluster.publish(topic, data, id=identity)
        if not topics[name]:
            del topics[name]
        if seed and rng.random() < 0.4:
            town.cluster.tick(rng.choice([1, 1, 2, 7]))
        if seed and rng.random() < 0.1:
            town.cluster.restart("datamagic")
    town.cluster.tick(12)
    found = town.versions(Pillar.TRAIN)
    return (found[-1].version, found[-1].content_hash, found[-1].rows) if found else None


@pytest.mark.timeout(120)
@settings(max_examples=25, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=EVENTS, seeds=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)))
def test_two_interleavings_end_with_the_same_version(events, seeds):
    assert ended(events, 0) == ended(events, seeds[0]) == ended(events, seeds[1])
