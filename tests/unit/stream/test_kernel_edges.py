"""Lanes, kill points, metrics, logs, settings of the process: the kernel's edges without a broker."""

import io
import json
import logging
import os
import signal
import subprocess
import sys

import pytest
import structlog
from kernel_services import Summer, app, note

from easeml.errors import ConfigurationError
from easeml.stream import codec, logs
from easeml.stream.changelog import Snapshot
from easeml.stream.killpoints import KillPoint
from easeml.stream.lanes import Lanes
from easeml.stream.main import run
from easeml.stream.messages import Record
from easeml.stream.metrics import Metrics
from easeml.stream.partition import PartitionProcessor
from easeml.stream.payloads import Tick
from easeml.stream.settings import MISCONFIGURED, Settings
from easeml.stream.topics import ANNOTATIONS, APPS, partition_of
from easeml.stream.views import Broadcast


def lanes_of(broadcast=None):
    broadcast = broadcast or Broadcast()
    if not broadcast.apps:
        broadcast.apps["churn"] = app()
    processor = PartitionProcessor(Summer(), partition_of("churn", 4), Settings(partitions=4), broadcast, Snapshot())
    return Lanes(processor, Snapshot())


def record(offset, value=1, name="churn", topic=ANNOTATIONS.name):
    return Record(topic, partition_of("churn", 4), offset, b"k", codec.encode(note(value, name)))


def test_a_repeated_message_is_dropped_and_a_gap_is_told():
    lanes = lanes_of()
    assert lanes.feed(record(0)) is None
    assert lanes.feed(record(0)) is None
    assert lanes.feed(record(3)) == 1
    assert lanes.backlog(ANNOTATIONS.name) == 1
    lanes.start_at(ANNOTATIONS.name, 3)
    assert lanes.feed(record(3)) is None
    while lanes.step(0.0):
        pass
    assert lanes.idle
    assert lanes.take().positions == {ANNOTATIONS.name: 3}
    assert lanes.take() is None


def test_outputs_are_ready_before_the_states_are_packed(monkeypatch):
    lanes = lanes_of()
    packed = []
    monkeypatch.setattr(Summer, "pack", lambda _, state, pack=Summer.pack: packed.append(state) or pack(_, state))
    lanes.feed(record(0))
    while lanes.step(0.0):
        pass
    effects = lanes.take()
    assert effects.messages
    assert not packed
    assert not effects.records
    lanes.processor.remember(effects)
    assert packed
    assert len(effects.records) == 2  # the state and the position


def test_an_event_waits_for_a_round_of_the_broadcast_view():
    broadcast = Broadcast()
    lanes = lanes_of(broadcast)
    del broadcast.apps["churn"]
    lanes.feed(record(0))
    assert lanes.step(0.0)
    assert broadcast.round_wanted
    assert not lanes.step(0.001)
    assert lanes.wait(0.0) > 0
    number = broadcast.begin_round()
    broadcast.apps["churn"] = app()
    broadcast.end_round(number)
    assert lanes.step(1.0)
    effects = lanes.take()
    assert effects.counts["events"] == 1


def test_an_app_is_unknown_only_after_a_round_that_began_later():
    broadcast = Broadcast()
    early = broadcast.begin_round()
    assert not broadcast.surely_unknown("x")
    broadcast.end_round(early)
    assert not broadcast.surely_unknown("x")
    broadcast.end_round(broadcast.begin_round())
    assert broadcast.surely_unknown("x")
    assert not broadcast.round_wanted


def test_the_broadcast_view_reports_what_it_cannot_read():
    broadcast, refused = Broadcast(), []
    broadcast.on_refused.append(lambda record, error: refused.append((record.offset, error.reason)))
    broadcast.apply(Record(APPS.name, 0, 4, b"k", b"junk"))
    broadcast.apply(Record(APPS.name, 0, 5, b"k", None))
    broadcast.apply(Record(APPS.name, 0, 6, b"k", codec.encode(app())))
    broadcast.apply(Record(APPS.name, 0, 7, b"k", codec.encode(Tick(1, 0.0))))
    assert refused == [(4, "schema"), (7, "wrong_payload")]
    assert list(broadcast.apps) == ["churn"]


def test_a_kill_point_kills_once_and_only_with_lag(tmp_path):
    code = (
        "import pathlib, sys; from easeml.stream.killpoints import KillPoint;"
        f"point = KillPoint('ci', pathlib.Path({str(tmp_path)!r}), 'ci:after_state:2');"
        "point.count(); point.reach('after_state', {}, lambda: 5); point.count();"
        "point.reach('after_state', {}, lambda: 0); point.reach('after_outputs', {}, lambda: 5);"
        "point.reach('after_state', {'t': 3}, lambda: 5)"
    )
    first = subprocess.run([sys.executable, "-c", code], capture_output=True, env=os.environ, check=False)
    assert first.returncode == -signal.SIGKILL
    assert json.loads(first.stderr) == {
        "killed": "ci",
        "point": "after_state",
        "batch": 2,
        "in_flight": {"t": 3},
        "lag": 5,
    }
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, env=os.environ, check=False)
    assert second.returncode == 0


@pytest.mark.parametrize("wrong", ["ci", "ci:nowhere:1", "ci:after_state:x"])
def test_a_malformed_kill_point_is_refused(tmp_path, wrong):
    with pytest.raises(ConfigurationError):
        KillPoint("ci", tmp_path, wrong)


def test_metrics_are_rendered_for_prometheus():
    metrics = Metrics("ci")
    lanes = lanes_of()
    lanes.feed(record(0))
    lanes.feed(record(1, -13))
    while lanes.step(0.0):
        pass
    effects = lanes.take()
    metrics.batch(effects.counts, 100, 0.01)
    text = metrics.render().decode()
    assert 'easeml_events_total{service="ci"} 1.0' in text
    assert 'easeml_dead_letters_total{reason="thirteen",service="ci"} 1.0' in text
    assert 'easeml_state_bytes_total{service="ci"} 100.0' in text


def test_json_logs_name_the_service(monkeypatch):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    try:
        logs.configure("ci", "json")
        logging.getLogger("x").warning("said %d", 7)
        structlog.get_logger("y").info("told", app="churn", event_id="e")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    said, told = map(json.loads, stream.getvalue().splitlines())
    assert (said["event"], said["service"], said["level"]) == ("said 7", "ci", "warning")
    assert (told["app"], told["event_id"], told["service"]) == ("churn", "e", "ci")


def test_a_service_without_a_broker_says_how_to_get_one(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(os.path.dirname(__file__))!r});"
        "from kernel_services import Summer; from easeml.stream.main import run; run(Summer())"
    )
    env = os.environ | {"EASEML_BOOTSTRAP_SERVERS": "", "EASEML_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=False, timeout=60)
    assert done.returncode == MISCONFIGURED
    assert b"easeml up" in done.stderr
    assert callable(run)
