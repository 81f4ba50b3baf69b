"""Every service as a process on a real broker: readiness, health, metrics, dead letters, outages, graceful stop.

On Apache Kafka each has an account of its own, with the rights that it needs and no others.

The processes start together and are shared; the tests of this module run in their order.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.error
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from house import (
    APP,
    ELSEWHERE,
    HERE,
    ROOMS,
    SIZES,
    TRUTH,
    Said,
    annotation,
    development,
    introduction,
    rows,
)
from street import FUSE, Street

from brokers import ON_KAFKA
from easeml.stream.metrics import Metrics
from easeml.stream.payloads import Answer, ModelPublished, Pillar, PredictionBatch, Question
from easeml.stream.routing import Routes
from easeml.stream.topics import (
    ANNOTATIONS,
    ANSWERS,
    BY_NAME,
    CLEANING,
    DATA_TEST,
    FEASIBILITY,
    MODELS,
    PREDICTIONS,
    QUESTIONS,
    TRIALS,
    VALUES,
    VERDICTS,
)

pytestmark = pytest.mark.timeout(900)  # eleven processes, on whatever the machine has left
INPUTS = {name: Routes(make("memory://none")).topics for name, make in ROOMS.items()}
OWN = {
    "automl": TRIALS.name,
    "trainer": TRIALS.name,
    "ci": PREDICTIONS.name,
    "modelpicker": PREDICTIONS.name,
    "serving": DATA_TEST.name,
    "labels": ANNOTATIONS.name,
    "datamagic": DATA_TEST.name,
    "snoopy": FEASIBILITY.name,
    "cpclean": CLEANING.name,
    "market": VALUES.name,
    "advisor": FEASIBILITY.name,
}
"""An input topic of each service; of those that have another one here, the advisor alone reads them too."""
OUTPUTS = sorted({topic.name for make in ROOMS.values() for topic in make("memory://none").produces()})
EASY = replace(APP, condition="n > 0.25 +/- 0.25")
"""The app with a condition that every model passes: which test rows are judged first follows from which message of the
processes came first, and a model that does not pass is scored no more.
"""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    with Street(tmp_path_factory.mktemp("street"), guarded=ON_KAFKA) as running:
        yield running


def given_up(street: Street, topic: str) -> Counter[str]:
    """Return how many dead letters of a topic each service wrote."""
    return Counter(dict(letter.headers)["easeml.dlq.service"].decode() for letter in street.raw(f"{topic}.dlq"))


def written(street: Street) -> Counter[tuple[str, str]]:
    """Return how often each output of the services was written, by topic and id."""
    every = [(topic, event) for topic in OUTPUTS for event in street.events(topic)]
    return Counter((topic, event.id) for topic, event in every if event.source.removeprefix("easeml/") in ROOMS)


def predicted(street: Street, pillar: Pillar) -> Counter[tuple[str, str]]:
    """Return how often each model predicted each row."""
    batches = [e.data for e in street.events(PREDICTIONS.name) if isinstance(e.data, PredictionBatch)]
    return Counter((b.model, row) for b in batches if b.pillar is pillar for row in b.row_ids)


def models(street: Street) -> set[str]:
    return {e.data.model for e in street.events(MODELS.name) if isinstance(e.data, ModelPublished)}


def everywhere(street: Street, count: int) -> bool:
    """Whether all three models have predicted all test rows and this many production rows."""
    return (
        len(models(street)) == 3
        and len(predicted(street, Pillar.TEST)) == 3 * SIZES[Pillar.TEST]
        and len(predicted(street, Pillar.PRODUCTION)) == 3 * count
    )


def test_ready_serving_and_measured(street):
    for name in ROOMS:
        run = street.run_file(name)
        assert run["ready"] is True
        assert run["pid"] == street.processes[name].pid
        assert bool(run["ports"]) == (name in ("labels", "serving"))
        status, health = street.health(name)
        assert (status, health["status"], health["service"]) == (200, "SERVING", name)
        assert health["reasons"] == []
        assert isinstance(health["lag"], int)
        assert isinstance(health["positions"], dict)
        families = {family.name for family in Metrics(name).registry.collect()}
        assert families <= set(street.metrics(name))


def test_garbage_is_given_up_while_the_process_lives_on(street):
    for topic in {topic for topics in INPUTS.values() for topic in topics}:
        street.garbage(topic, HERE)
        street.garbage(topic, ELSEWHERE)
    for name, topics in INPUTS.items():
        for topic in topics:
            street.until(lambda topic=topic, name=name: given_up(street, topic)[name] == 2)
    for name, topics in INPUTS.items():
        counted = (("reason", "schema"), ("service", name))
        street.until(lambda n=name, c=counted, t=topics: street.metrics(n)["easeml_dead_letters"].get(c) == 2 * len(t))
        assert street.processes[name].exitcode is None
        assert street.health(name)[0] == 200


def test_they_work_together(street):
    street.say([*introduction(EASY), *development()])
    street.until(lambda: len(street.events(VERDICTS.name)) == 3)
    street.say([rows(Pillar.PRODUCTION, 0, 20)])
    street.until(lambda: everywhere(street, 20))
    street.until(lambda: any(isinstance(e.data, Question) for e in street.events(QUESTIONS.name)))
    asked = street.events(QUESTIONS.name)[0].data
    street.say([annotation(asked, asked.candidates.index(TRUTH[asked.row_id]), "ada")])
    street.until(lambda: any(isinstance(e.data, Answer) for e in street.events(ANSWERS.name)))
    street.until(street.at_rest)
    for name in ROOMS:
        _, health = street.health(name)
        for topic in INPUTS[name]:
            ends = Counter(str(message.partition) for message in street.raw(topic))
            found = health["positions"][topic]
            if "ticks" not in topic:
                assert found == {partition: count - 1 for partition, count in ends.items()}
    assert set(written(street).values()) == {1}
    assert sum(street.metrics("serving")["easeml_outputs"].values()) > 0


def test_a_broker_that_goes_away_and_comes_back_costs_nothing(street):
    street.broker.terminate()
    time.sleep(3)
    street.broker.start()
    street.say([rows(Pillar.PRODUCTION, 20, 40)])
    street.until(lambda: everywhere(street, 40), supervised=True)
    street.until(
        lambda: all(street.run_file(n).get("ready") and street.health(n)[0] == 200 for n in ROOMS), supervised=True
    )
    street.until(street.at_rest)
    counts = written(street)
    assert street.restarts or set(counts.values()) == {1}
    bytes_of = {(topic, e.id): set() for topic in OUTPUTS for e in street.events(topic)}
    for topic in OUTPUTS:
        for message in street.raw(topic):
            identity = dict(message.headers).get("ce_id", b"").decode()
            bytes_of.get((topic, identity), set()).add(message.value)
    assert all(len(values) == 1 for values in bytes_of.values())


def test_the_fuse_blows(street):
    for topic in set(OWN.values()):
        street.garbage(topic, ELSEWHERE, FUSE + 5)
    for name in ROOMS:
        street.until(lambda name=name: street.health(name)[0] == 503)
        _, health = street.health(name)
        assert health["status"] == "NOT_SERVING"
        assert any(f"partition {ELSEWHERE}" in reason and "dead letters" in reason for reason in health["reasons"])
        assert given_up(street, OWN[name])[name] <= FUSE + 2
        assert street.processes[name].exitcode is None
    street.say([rows(Pillar.PRODUCTION, 40, 50)])  # the other partition works on
    street.until(lambda: everywhere(street, 50))


def test_stop_and_start_lose_nothing_and_repeat_nothing(street):
    before = written(street)
    street.say([rows(Pillar.PRODUCTION, 50, 60)])
    os.kill(street.broker.pid, signal.SIGSTOP)  # holds the services up on their way out, so that they can be watched
    try:
        street.terminate()
        stopping = time.monotonic()
        with ThreadPoolExecutor(len(ROOMS)) as watchers:  # one each: some are on their way for a second only
            seen = list(watchers.map(lambda name: seen_stopping(street, name, stopping + 5), ROOMS))
    finally:
        os.kill(street.broker.pid, signal.SIGCONT)
    assert all(seen), dict(zip(ROOMS, seen, strict=True))
    for name, process in street.processes.items():
        process.join(max(0.0, stopping + 12 - time.monotonic()))
        assert process.exitcode == 0, street.log(name)
        assert "Traceback" not in street.log(name)
    street.start()
    street.until(lambda: everywhere(street, 60))
    street.until(lambda: mended(street))
    after = written(street)
    assert {place: after[place] for place in before} == before
    assert {after[place] for place in after - before} == {1}
    assert set(predicted(street, Pillar.PRODUCTION).values()) == {1} or street.restarts
    for name, topic in OWN.items():
        assert given_up(street, topic)[name] == FUSE + 7


def mended(street: Street) -> bool:
    """Whether all serve and are at rest; a service with more garbage than one fuse is restarted, as its reason says."""
    blown = [name for name in ROOMS if any("restart" in reason for reason in street.health(name)[1]["reasons"])]
    for name in blown:
        street.processes[name].terminate()
        street.processes[name].join(12)
    if blown:
        street.start(blown)
    return not blown and all(street.health(name)[0] == 200 for name in ROOMS) and street.at_rest()


def seen_stopping(street: Street, name: str, deadline: float) -> bool:
    """Whether a service says that it is stopping before it is gone."""
    while time.monotonic() < deadline:
        try:
            status, health = street.health(name)
        except (urllib.error.URLError, ConnectionError, TimeoutError):  # it is gone, or has much to do
            time.sleep(0.02)
            continue
        if (status, health["reasons"]) == (503, ["stopping"]):
            return True
    return False


def test_what_was_said_before_a_restart_is_still_known(street):
    """The same rows again, under their ids: everybody remembers having seen them."""
    before = written(street)
    street.say([rows(Pillar.PRODUCTION, 0, 20), *development()])
    street.say([Said(BY_NAME[MODELS.name], replace(e.data), e.id) for e in street.events(MODELS.name)])
    street.until(street.at_rest)
    assert written(street) == before
    assert {e.app for e in street.events(PREDICTIONS.name)} == {APP.app}
