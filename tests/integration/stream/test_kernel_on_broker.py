"""The kernel on the embedded broker, with real processes."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "stream"))

from kernel_house import House
from kernel_services import app, note, version

from easeml.stream.topics import ANNOTATIONS, APPS, AUDIT, DATA_VERSIONS


@pytest.fixture
def house(tmp_path):
    with House(tmp_path, ["summer", "merger"]) as running:
        yield running


def totals(house, name="churn"):
    return [int(e.data.subject) for e in house.events(AUDIT) if e.data.app == name and e.data.action == "add"]


def test_sum_stop_start_and_dead_letters(house):
    house.publish(APPS, app())
    house.flush()
    house.start("summer")
    house.wait_ready("summer")
    for i in range(200):
        house.publish(ANNOTATIONS, note(i % 7), f"id-{i}")
    house.publish(ANNOTATIONS, note(-13), "bad")
    house.publish(ANNOTATIONS, note(1, "stranger"), "unknown")
    house.producer.produce(ANNOTATIONS.name, b"no avro", b"k", 0)
    house.flush()
    house.wait(lambda: len(totals(house)) == 200, name="summer")
    assert totals(house)[-1] == sum(i % 7 for i in range(200))
    house.wait(lambda: house.health("summer")[1]["lag"] == 0, name="summer")
    letters = {dict(r.headers)["easeml.dlq.reason"].decode() for r in house.raw(f"{ANNOTATIONS.name}.dlq")}
    assert letters == {"thirteen", "unknown_app", "schema"}
    status, health = house.health("summer")
    assert (status, health["status"]) == (200, "SERVING")
    assert 'easeml_dead_letters_total{reason="thirteen",service="summer"} 1.0' in house.metrics("summer")
    assert house.stop("summer") == 0
    for i in range(100):
        house.publish(ANNOTATIONS, note(1), f"more-{i}")
        house.publish(ANNOTATIONS, note(i % 7), f"id-{i}")
    house.flush()
    house.start("summer")
    house.wait(lambda: len(totals(house)) == 300, name="summer")
    assert totals(house)[-1] == sum(i % 7 for i in range(200)) + 100


def test_jobs_ticks_views_and_busy(house):
    house.publish(APPS, app())
    house.flush()
    house.start("merger")
    house.wait_ready("merger")
    house.publish(DATA_VERSIONS, version(5, change="wait:20", name="a"), "v-a")
    house.flush()
    for i in range(30):
        house.publish(ANNOTATIONS, note(i), f"n-{i}")
    house.publish(DATA_VERSIONS, version(30, name="b"), "v-b")
    house.flush()
    house.wait(lambda: sum(e.data.action == "note" for e in house.events(AUDIT)) == 30, name="merger")
    assert sum(e.data.action == "version" for e in house.events(AUDIT)) == 0
    assert house.stop("merger") == 0
    assert "Traceback" not in house.log("merger")
