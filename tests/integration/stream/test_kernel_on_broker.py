"""The kernel on the embedded broker, with real processes."""

import asyncio
import re
import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "stream"))

from kernel_house import House
from kernel_services import Merger, Summer, app, note, version

from brokers import ON_KAFKA
from easeml.errors import ConfigurationError, ConflictError
from easeml.stream import runtime as runtime_module
from easeml.stream.bulk import BulkReader
from easeml.stream.changelog import Writer
from easeml.stream.deadletters import DISCARDED, REDRIVEN, discard, read, redrive
from easeml.stream.health import HealthServer
from easeml.stream.killpoints import KillPoint
from easeml.stream.needs import END
from easeml.stream.payloads import Annotation, AppDeleted, DataVersion
from easeml.stream.recovery import _snapshots, recover
from easeml.stream.runtime import Runtime
from easeml.stream.service import On
from easeml.stream.settings import MISCONFIGURED, Settings
from easeml.stream.topics import ANNOTATIONS, APPS, AUDIT, DATA_VERSIONS, partition_of
from easeml.stream.views import Broadcast


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


def test_a_crash_ends_the_process_and_is_dead_lettered_after_three_starts(house):
    house.publish(APPS, app())
    for value in (1, -99, 2):
        house.publish(ANNOTATIONS, note(value))
    house.flush()
    for _ in range(3):
        house.start("summer")
        assert house.processes["summer"].wait(40) == 1
    assert "RuntimeError: bug" in house.log("summer")
    assert totals(house) in ([], [1]), "what comes behind it waits; what came before may have been fetched alone"
    house.start("summer")
    house.wait(lambda: totals(house) == [1, 3], name="summer")
    (letter,) = house.raw(f"{ANNOTATIONS.name}.dlq")
    assert dict(letter.headers)["easeml.dlq.reason"] == b"handler_crash"


def test_what_ends_the_process_is_dead_lettered_after_three_starts(tmp_path):
    with House(tmp_path, ["daring"], partitions=1) as house:
        house.publish(APPS, app())
        for value in (1, -9, 2):
            house.publish(ANNOTATIONS, note(value))
        house.flush()
        for _ in range(3):
            house.start("daring")
            assert house.processes["daring"].wait(40) == -signal.SIGSEGV
        house.start("daring")
        house.wait(lambda: totals(house) == [1, 3], name="daring")
        (letter,) = house.raw(f"{ANNOTATIONS.name}.dlq")
        assert dict(letter.headers)["easeml.dlq.reason"] == b"handler_crash"


def test_the_fuse_turns_health_and_a_redrive_brings_the_message_back(tmp_path):
    with House(tmp_path, ["summer"], partitions=1, fuse=2) as house:
        house.publish(APPS, app())
        house.publish(ANNOTATIONS, note(3, "late"), "early")
        for value in (-13, 5):
            house.publish(ANNOTATIONS, note(value))
        house.flush()
        house.start("summer")
        house.wait(lambda: len(house.raw(f"{ANNOTATIONS.name}.dlq")) == 2, name="summer")
        house.wait_ready("summer")
        house.wait(lambda: house.health("summer")[0] == 503, name="summer")
        assert "dead letters in a row" in house.health("summer")[1]["reasons"][0]
        house.wait(lambda: 'easeml_fused{service="summer"} 1.0' in house.metrics("summer"), name="summer")
        assert totals(house) == []
        assert house.stop("summer") == 0
        house.publish(APPS, app("late"))
        house.flush()
        letters = [letter for letter in read(house.settings) if letter.reason == "unknown_app"]
        redrive(house.settings, letters)
        house.start("summer")
        house.wait(lambda: totals(house, "late") == [3] and totals(house) == [5], name="summer")


def test_a_redriven_message_goes_once_and_to_those_that_gave_it_up(house):
    def opened():
        return sorted(letter.service for letter in read(house.settings, ANNOTATIONS.name))

    def states():
        return sorted(letter.state for letter in read(house.settings, closed=True))

    for name in ("summer", "merger"):
        house.start(name)
    house.producer.produce(ANNOTATIONS.name, b"no avro", b"k", 0)
    house.flush()
    house.wait(lambda: opened() == ["merger", "summer"], name="summer")
    letters = list(read(house.settings))
    assert redrive(house.settings, letters) == 1
    house.wait(lambda: opened() == ["merger", "summer"], name="summer")
    assert states() == ["open", "open", REDRIVEN, REDRIVEN]
    assert len(house.raw(ANNOTATIONS.name)) == 2
    closed = next(letter for letter in read(house.settings, closed=True) if letter.state == REDRIVEN)
    with pytest.raises(ConflictError, match="redriven already"):
        redrive(house.settings, [closed])
    by_service = {letter.service: letter for letter in read(house.settings)}
    redrive(house.settings, [by_service["merger"]])
    house.wait(lambda: len(states()) == 5, name="merger")
    house.wait(lambda: all(house.health(name)[1]["lag"] == 0 for name in ("summer", "merger")), name="summer")
    assert opened() == ["merger", "summer"]
    discard(house.settings, list(read(house.settings)))
    assert opened() == []
    assert states() == [DISCARDED, DISCARDED, REDRIVEN, REDRIVEN, REDRIVEN]


def test_a_message_too_large_for_its_letter_is_redriven_whole(tmp_path):
    with House(tmp_path, ["summer"], partitions=1, max_message_bytes=10_000) as house:
        house.publish(APPS, app())
        house.publish(ANNOTATIONS, replace(note(3), annotator="x" * 20_000))
        house.flush()
        house.start("summer")
        house.wait(lambda: list(read(house.settings)), name="summer")
        house.stop("summer")
        assert redrive(house.settings, list(read(house.settings))) == 1
        house.start("summer", max_message_bytes=1_000_000)
        house.wait(lambda: totals(house) == [3], name="summer")
        assert list(read(house.settings)) == []


def test_a_message_that_is_no_app_is_one_dead_letter_for_ever(house):
    def written():
        return sum("easeml.dlq.reason" in dict(raw.headers) for raw in house.raw(APPS.dead_letters))

    for name in ("summer", "merger"):
        house.start(name)
        house.wait_ready(name)
    house.producer.produce(APPS.name, b"no avro", b"k", 1)
    house.flush()
    house.wait(lambda: list(read(house.settings)), name="summer")
    for name in ("summer", "merger"):
        house.stop(name)
    (letter,) = read(house.settings)
    assert (letter.service, letter.reason, letter.original) == ("every service", "schema", (APPS.name, 1, 0))
    discard(house.settings, [letter])
    before = written()
    house.start("summer")
    house.wait_ready("summer")
    house.stop("summer")
    assert written() == before
    assert list(read(house.settings)) == []


def test_two_instances_share_the_partitions_and_one_takes_over(house):
    names = ("churn", "fraud", "spam", "bots", "risk")
    for name in names:
        house.publish(APPS, app(name))
    house.flush()
    house.start("summer")
    house.wait_ready("summer")
    second = House(house.folder / "second", ["summer"])
    (house.folder / "second").mkdir()
    second.settings = house.settings
    second.overrides = {**house.overrides, "home": second.folder}
    sent = 0
    try:
        second.start("summer", instance="other")
        for n in range(2000):
            house.publish(ANNOTATIONS, note(1, names[n % 5]), f"a-{n}")
            sent += 1
        house.flush()
        second.wait_ready("summer")

        def shares():
            return [{p for ps in h.health("summer")[1]["positions"].values() for p in ps} for h in (house, second)]

        def measured():
            return [set(re.findall(r'easeml_lag\{partition="(\d)"', h.metrics("summer"))) for h in (house, second)]

        house.wait(lambda: sorted(map(sorted, shares())) == [["0"], ["1"]], name="summer")
        house.wait(lambda: measured() == shares(), name="summer")
        for n in range(500):
            house.publish(ANNOTATIONS, note(1, names[n % 5]), f"b-{n}")
            sent += 1
        house.flush()
        house.stop("summer", kill=True)
        for n in range(500):
            house.publish(ANNOTATIONS, note(1, names[n % 5]), f"c-{n}")
            sent += 1
        house.flush()
        house.wait(lambda: sum(max(totals(house, n), default=0) for n in names) == sent, 60, "summer")
        assert len({e.id for e in house.events(AUDIT)}) == sent
    finally:
        for process in second.processes.values():
            process.kill()
            process.wait()


def test_a_broker_that_restarts_costs_nothing(tmp_path):
    with House(tmp_path, ["summer"], memory=False) as house:
        house.publish(APPS, app())
        house.flush()
        house.start("summer")
        house.wait_ready("summer")
        for n in range(3000):
            house.publish(ANNOTATIONS, note(1), f"n-{n}")
            if n == 1500:
                house.flush()
                house.broker.restart(kill=True)
        house.flush()

        def through():
            # Apache Kafka may fence off the member that it knew before; then the process ends, and is started again
            if ON_KAFKA and house.processes["summer"].poll() == 1:
                house.start("summer")
            return len({e.id for e in house.events(AUDIT)}) == 3000

        house.wait(through, 60, "summer")
        assert max(totals(house)) == 3000
        assert house.stop("summer") == 0


def test_health_follows_the_broker(tmp_path):
    with House(tmp_path, ["summer"], memory=False) as house:
        house.start("summer")
        house.wait_ready("summer")
        house.wait(lambda: house.health("summer")[0] == 200, name="summer")
        house.broker.kill()
        house.wait(lambda: "the broker does not answer" in house.health("summer")[1]["reasons"], name="summer")
        assert house.health("summer")[0] == 503
        house.broker.start()
        house.wait(lambda: house.health("summer")[0] == 200, name="summer")
        assert house.stop("summer") == 0


async def test_a_hole_in_what_was_fetched_is_fetched_again(house):
    house.publish(APPS, app())
    for n in range(10):
        house.publish(ANNOTATIONS, note(1), f"n-{n}")
    house.flush()
    runtime = Runtime(
        Summer(), house.settings, instance="hole", workers=None, kill_point=KillPoint("summer", house.folder, "")
    )
    place = (ANNOTATIONS.name, partition_of("churn", 2))
    try:
        await runtime.start()
        await until(lambda: runtime.positions.get(place[0], {}).get(str(place[1])) == 9)
        runtime._inbox.pause(place)
        await asyncio.sleep(0.3)
        for n in range(10, 20):
            house.publish(ANNOTATIONS, note(1), f"n-{n}")
        house.flush()
        runtime._inbox.seek(place, 15)
        runtime._inbox.resume(place)
        await until(lambda: runtime.positions[place[0]][str(place[1])] == 19)
        assert totals(house) == list(range(1, 21))
        assert 'easeml_seeks_total{service="summer"} 1.0' in runtime.metrics.render().decode()
    finally:
        await runtime.stop()


async def test_the_watchdog_tells_when_an_input_stands_still(house, monkeypatch):
    monkeypatch.setattr(runtime_module, "STUCK_SECONDS", 2.0)
    house.publish(APPS, app())
    house.publish(DATA_VERSIONS, version(5, change="wait:20", name="a"))
    house.flush()
    runtime = Runtime(
        Merger(), house.settings, instance="stuck", workers=None, kill_point=KillPoint("merger", house.folder, "")
    )
    health = HealthServer(runtime)
    try:
        await health.start()
        await runtime.start()
        await until(lambda: any("stands at" in reason for reason in runtime.reasons()))
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{health.port}/health") as answer:
            assert answer.status == 503
            assert (await answer.json())["lag"] == 1
        house.publish(DATA_VERSIONS, version(30, name="b"))
        house.flush()
        await asyncio.sleep(1)
        assert runtime.lag == 2  # its own later event cannot free a topic: order within a topic is kept
    finally:
        await runtime.stop()
        await health.stop()


async def until(predicate, timeout=40):
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_a_deleted_app_is_forgotten_while_running(house):
    house.publish(APPS, app())
    house.publish(ANNOTATIONS, note(5))
    house.flush()
    house.start("summer")
    house.wait(lambda: totals(house) == [5], name="summer")
    house.publish(APPS, AppDeleted("churn"))
    house.flush()
    house.wait(
        lambda: any(r.key == b"state/churn" and r.value is None for r in house.raw("easeml.summer.state.v1")),
        name="summer",
    )
    house.publish(APPS, app())
    house.flush()
    house.publish(ANNOTATIONS, note(2))
    house.flush()
    house.wait(lambda: totals(house)[-1:] in ([2], []) and len(totals(house)) == 2, name="summer")


async def stored(house):
    reader = BulkReader(house.settings)
    try:
        return (await _snapshots(reader, "summer", [0, 1])).values()
    finally:
        await asyncio.to_thread(reader.close)


async def test_an_app_that_is_deleted_while_a_partition_is_read_is_forgotten(house, monkeypatch):
    house.publish(APPS, app())
    house.publish(ANNOTATIONS, note(5))
    house.flush()
    house.start("summer")
    house.wait(lambda: totals(house) == [5], name="summer")
    assert house.stop("summer") == 0
    recovered = []

    async def meanwhile(service, settings, broadcast, partitions):
        found = await recover(service, settings, broadcast, partitions)
        recovered.extend(lanes.processor for lanes in found.values())
        assert [name for processor in recovered for name in processor.apps] == ["churn"]
        house.publish(APPS, AppDeleted("churn"))
        house.flush()
        await until(lambda: "churn" in broadcast.deleted)
        return found

    monkeypatch.setattr(runtime_module, "recover", meanwhile)
    runtime = Runtime(
        Summer(), house.settings, instance="race", workers=None, kill_point=KillPoint("summer", house.folder, "")
    )
    try:
        await runtime.start()
        await until(runtime.ready.is_set)
        assert [processor.apps for processor in recovered] == [[], []]
        async with asyncio.timeout(40):  # it is written with the next batch
            while any(snapshot.states for snapshot in await stored(house)):
                await asyncio.sleep(0.05)
    finally:
        await runtime.stop()
    assert not any(snapshot.states for snapshot in await stored(house)), "nor was it written again"


def test_a_missing_broker_is_told_and_the_process_ends(tmp_path):
    house = House(tmp_path, ["summer"])
    house.settings = Settings(bootstrap_servers="127.0.0.1:1")
    house.start("summer")
    assert house.processes["summer"].wait(60) == 1
    assert "easeml doctor" in house.log("summer")


def test_a_wrong_setting_has_an_exit_code_of_its_own(house):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        house.start("summer", health_port=other.getsockname()[1])
        assert house.processes["summer"].wait(40) == MISCONFIGURED
    assert "EASEML_HEALTH_PORT" in house.log("summer")


async def test_an_input_that_was_created_anew_is_refused(house):
    writer = Writer("summer", 0)
    message = writer.position({ANNOTATIONS.name: 41})
    house.producer.produce(message.topic, message.value, message.key, 0)
    house.flush()
    with pytest.raises(ConfigurationError, match="has applied 42 messages"):
        await recover(Summer(), house.settings, Broadcast(), [0, 1])


class Chronicle(Merger):
    """Folds two topics and writes down what came."""

    def __init__(self):
        super().__init__()
        self.folded = []

    def table(self):
        return (
            On(DATA_VERSIONS, DataVersion, fold=lambda event: self.folded.append(event.topic)),
            On(ANNOTATIONS, Annotation, fold=lambda event: self.folded.append(event.topic)),
        )


async def test_a_restart_folds_topic_by_topic_in_the_order_of_the_table(house):
    here = partition_of("churn", 2)
    for place in range(1000):
        house.publish(ANNOTATIONS, note(1), f"n{place}")
        house.publish(DATA_VERSIONS, version(place, name=f"v{place}"))
    needed = {DATA_VERSIONS.name: [(0, 1), (200, END)]}
    writer = Writer("merger", here)
    for message in (writer.needed(needed), writer.position({ANNOTATIONS.name: 999, DATA_VERSIONS.name: 999})):
        house.producer.produce(message.topic, message.value, message.key, here)
    house.flush()
    broadcast, chronicle = Broadcast(), Chronicle()
    broadcast.apps["churn"] = app()
    await recover(chronicle, house.settings, broadcast, [0, 1])
    assert chronicle.folded == [DATA_VERSIONS.name] * 801 + [ANNOTATIONS.name] * 1000


async def test_a_restart_folds_what_the_views_rest_on_alone(house):
    here = partition_of("churn", 2)
    for place in range(3000):
        house.publish(DATA_VERSIONS, version(place, name=f"v{place}"))
    house.flush()
    writer = Writer("merger", here)
    needed = {DATA_VERSIONS.name: [(10, 12), (1500, 1501), (2990, END)]}
    for message in (writer.needed(needed), writer.position({DATA_VERSIONS.name: 2995})):
        house.producer.produce(message.topic, message.value, message.key, here)
    house.flush()
    broadcast, merger = Broadcast(), Merger()
    broadcast.apps["churn"] = app()
    lanes = await recover(merger, house.settings, broadcast, [0, 1])
    assert sorted(merger.view["churn"].values()) == [10, 11, 1500, *range(2990, 2996)]
    assert lanes[here].lanes[DATA_VERSIONS.name].expected == 2996, "and what was not applied yet is handled"
