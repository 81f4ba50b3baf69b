"""Every recorded house of a release starts under today's code, remembers everything, and goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))
sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))
sys.path.insert(0, str(Path(__file__).parents[1] / "simulation"))

import house
from chaos_checks import Evidence, check
from chaos_serving import check_serving
from house import APP, PARTITIONS, ROOMS, SIZES, START
from old_house import ARCHIVES, STORE, messages, unpack
from simulated_day import tiny

from easeml.stream import codec
from easeml.stream.changelog import Snapshot, Stored, changelog_topic
from easeml.stream.memory import MemoryCluster
from easeml.stream.messages import Record
from easeml.stream.payloads import (
    ModelPublished,
    Pillar,
    PredictionBatch,
    TrialFinished,
    Verdict,
)
from easeml.stream.topics import BY_NAME, MODELS, PREDICTIONS, TICKS, TRIALS

HOUSES = sorted(ARCHIVES.glob("house-*.tar.xz"))


@pytest.fixture(scope="module", params=HOUSES, ids=lambda path: path.name)
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Record], dict[int, int]]:
    """What today's broker finds in the folder of the old one."""
    folder = tmp_path_factory.mktemp("old")
    unpack(request.param, folder)
    return messages(folder)


@pytest.fixture(scope="module")
def old(found: tuple[list[Record], dict[int, int]]) -> list[Record]:
    """All old messages but the ticks."""
    return found[0]


@pytest.fixture
def town(found: tuple[list[Record], dict[int, int]]) -> Iterator[MemoryCluster]:
    """Today's services on the messages and states of the old ones."""
    with tiny():
        cluster = MemoryCluster([make(STORE) for make in ROOMS.values()], partitions=PARTITIONS, start=START + 1000)
        for record in found[0]:
            assert len(cluster._logs.get((record.topic, record.partition), ())) == record.offset, "messages are missing"
            cluster.publish_bytes(record.topic, record.value, record.key, record.headers, record.partition)
        for number, end in found[1].items():
            for _ in range(end):
                cluster.publish_bytes(TICKS, None, partition=number)  # one that is gone
        cluster._ticks = max(found[1].values())  # each tick has an id of its own
        for name in ROOMS:
            cluster.restart(name)
        yield cluster


def test_there_is_a_recorded_house():
    assert HOUSES


def test_todays_code_reads_every_old_message(old):
    topics = {record.topic for record in old}
    assert {changelog_topic(name) for name in ROOMS} < topics
    for record in old:
        assert record.value is not None
        assert codec.decode(record.value) is not None
    kinds = {type(codec.decode(record.value)) for record in old if record.topic in BY_NAME}
    assert {PredictionBatch, TrialFinished, Verdict, ModelPublished} < kinds


def test_todays_services_remember_what_the_old_ones_knew(town):
    for name in ROOMS:
        snapshot = Snapshot()
        for record in town.records(changelog_topic(name)):
            snapshot.apply(record.key, record.value)
        if APP.app in snapshot.states:
            known = snapshot.states[APP.app]
            service: Any = town._instances[name].service
            assert Stored.freeze(service.pack(town.state(name, APP.app))) == Stored(known.document, known.arrays), name


def test_an_old_house_goes_on(town):
    # Its clock stood still between two releases: what was due in that time may be said now.
    town.run()
    town.now += 600
    town.tick(3)
    before = {topic.name: len(town.records(topic)) for topic in (MODELS, PREDICTIONS, TRIALS)}
    rows = house.rows(Pillar.TRAIN).data
    rows = replace(rows, row_ids=tuple(f"new-{row}" for row in rows.row_ids))
    town.publish(house.PILLAR_TOPICS[Pillar.TRAIN], rows, id="new-rows")
    grown = house.version(Pillar.TRAIN, 4 * SIZES[Pillar.TRAIN])
    town.publish(grown.topic, replace(grown.data, rows=2 * SIZES[Pillar.TRAIN], version="v2"), id="new-version")
    production = house.rows(Pillar.PRODUCTION, 0, 10).data
    fresh = replace(production, row_ids=tuple(f"fresh-{place}" for place in range(10)))
    town.publish(house.PILLAR_TOPICS[Pillar.PRODUCTION], fresh, id="fresh-rows")
    town.run()
    town.tick(10)
    town.now += 60
    town.tick(3)
    after = {topic.name: len(town.records(topic)) for topic in (MODELS, PREDICTIONS, TRIALS)}
    assert all(after[name] > before[name] for name in before), "no new trial, model or prediction"
    evidence = Evidence(record for record in town._order if record.topic in BY_NAME)
    found = check(evidence)
    check_serving(evidence, STORE, found)
    assert found.good, (found.lost, found.twice, found.broken)
    assert [record for record in town._order if record.topic.endswith(".dlq")] == []
