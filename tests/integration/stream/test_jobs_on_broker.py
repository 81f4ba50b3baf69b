"""Jobs that hang or kill their worker process: the message is given up, everything else goes on."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "stream"))

from kernel_house import House
from kernel_services import app, note

from easeml.stream.deadletters import read, redrive
from easeml.stream.topics import ANNOTATIONS, APPS, AUDIT, partition_of

HANG, DIE = -7, -9


@pytest.fixture
def house(tmp_path):
    with House(tmp_path, ["worker"], partitions=2, workers=2) as running:
        for name in ("churn", OTHER):
            running.publish(APPS, app(name))
        running.flush()
        yield running


OTHER = next(name for name in ("fraud", "spam", "bots") if partition_of(name, 2) != partition_of("churn", 2))


def totals(house, name="churn"):
    return [int(e.data.subject) for e in house.events(AUDIT) if e.data.app == name]


def test_a_job_that_hangs_is_given_up_and_the_next_messages_are_handled(house):
    for value in (1, HANG, 2):
        house.publish(ANNOTATIONS, note(value))
    for value in (1, 2, 3):
        house.publish(ANNOTATIONS, note(value, OTHER))
    house.flush()
    house.start("worker")
    house.wait(lambda: totals(house, OTHER) == [1, 3, 6], name="worker")
    house.wait(lambda: totals(house) == [1, 3], name="worker")
    (letter,) = read(house.settings)
    assert (letter.reason, letter.service) == ("too_slow", "worker")
    assert "2 s" in letter.message
    assert house.processes["worker"].poll() is None
    assert 'easeml_dead_letters_total{reason="too_slow",service="worker"} 1.0' in house.metrics("worker")
    redrive(house.settings, [letter])
    house.wait(lambda: [one.offset for one in read(house.settings)] not in ([], [letter.offset]), name="worker")
    assert totals(house) == [1, 3]
    assert house.stop("worker") == 0


def test_a_worker_that_dies_is_a_crash_of_its_message_alone(house):
    for value in (1, DIE, 2):
        house.publish(ANNOTATIONS, note(value))
    for value in (HANG, 2):
        house.publish(ANNOTATIONS, note(value, OTHER))
    house.flush()
    for _ in range(3):
        house.start("worker")
        assert house.processes["worker"].wait(40) == 1
    assert "WorkerDiedError" in house.log("worker")
    house.start("worker")
    house.wait(lambda: (totals(house), totals(house, OTHER)) == ([1, 3], [2]), name="worker")
    letters = {letter.reason: letter for letter in read(house.settings)}
    assert sorted(letters) == ["handler_crash", "too_slow"]
    assert "crashed 3 times" in letters["handler_crash"].message
    assert "WorkerDiedError" in letters["handler_crash"].message
