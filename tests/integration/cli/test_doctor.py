"""What the doctor finds: each fault is really made, on a broker of its own or in a home."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from brokers import guarded_broker
from easeml.cli import compatibility, doctor
from easeml.cli.session import Session
from easeml.stream import admin, codec
from easeml.stream.grants import Grant, grants
from easeml.stream.messages import Record
from easeml.stream.payloads import Tick
from easeml.stream.runfiles import write_run_file
from easeml.stream.settings import Settings
from easeml.stream.topics import AUDIT, MODELS, TICKS
from easeml.supervisor.roster import SERVICES

NOW = 1_700_000_000.0


@pytest.fixture(scope="module")
def own(new_cluster):
    """A broker that nobody else disturbs."""
    with new_cluster() as settings:
        yield settings


@pytest.fixture
def seen(own):
    """Return what the doctor says of the cluster, by subject."""

    def look(settings=own):
        found = doctor.cluster(settings, admin.existing(settings))
        return {finding.subject: finding for finding in found}

    return look


def test_a_sound_cluster_is_well(seen):
    found = seen()
    assert {name for name, finding in found.items() if not finding.well} == set()
    assert found["clock"].state == "WAITS"
    assert "as created" in found["retention"].text


def test_every_broker_speaks_what_is_needed(own):
    for one in admin.metadata(own).brokers.values():
        finding = compatibility.broker(own, one.host, one.port)
        assert finding.well, finding.text


def test_a_broker_with_accounts_tells_what_it_speaks_before_a_login(tmp_path):
    broker = guarded_broker(tmp_path)
    broker.start()
    try:
        settings = Settings(**broker.login())
        (one,) = admin.metadata(settings).brokers.values()
        finding = compatibility.broker(settings, one.host, one.port)
        assert finding.well, finding.text
    finally:
        broker.terminate()


def test_a_process_of_another_version_is_wrong(own, tmp_path):
    house = own.model_copy(update={"home": tmp_path})
    with answers({"status": "SERVING", "reasons": [], "version": "0.0.1"}) as port:
        write_run_file(tmp_path, "ci", health_port=port, ports={}, ready=True)
        found = {finding.subject: finding for finding in doctor._examine(Session(house, as_json=False))}
    assert not found["ci"].well
    assert re.fullmatch(r"SERVING runs 0\.0\.1, but \S+ is installed here: start it again .*", found["ci"].text)
    assert not found["labels"].well
    assert found["labels"].text == "not running"
    assert found["libraries"].well


@contextmanager
def answers(health):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(health).encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_topic_kept_otherwise_is_named_with_its_mend(own, seen):
    resource = ConfigResource(ConfigResource.Type.TOPIC, MODELS.name)
    wanted = admin.wanted_configs(own, SERVICES)[MODELS.name]

    def keep(value):
        entry = ConfigEntry("retention.ms", value, incremental_operation=AlterConfigOpType.SET)
        resource.incremental_configs = [entry]
        handle = admin.client(own)  # dropping it would end the call
        handle.incremental_alter_configs([resource])[resource].result(10)

    keep("60000")
    finding = seen()["retention"]
    assert not finding.well
    assert f"{MODELS.name} has retention.ms=60000, not {wanted['retention.ms']}" in finding.text
    assert "kafka-configs --alter" in finding.text
    keep(wanted["retention.ms"])
    assert seen()["retention"].well


def test_missing_topics_and_other_partition_counts_are_named(own, seen):
    handle = admin.client(own)
    handle.delete_topics([AUDIT.name])[AUDIT.name].result(10)
    found = seen()
    assert AUDIT.name in found["topics"].text
    assert not found["topics"].well
    handle.create_topics([NewTopic(AUDIT.name, 7, 1)])[AUDIT.name].result(10)
    found = seen()
    assert found["topics"].well
    assert "7" in found["partitions"].text
    assert not found["partitions"].well
    handle.delete_topics([AUDIT.name])[AUDIT.name].result(10)
    admin.create_topics(own, SERVICES)
    assert not seen(own.model_copy(update={"replication_factor": 3}))["replicas"].well


def test_messages_of_schemas_that_are_not_released_are_counted(own, seen):
    producer = Producer(own.kafka())
    tick = codec.encode(Tick(1, NOW))
    producer.produce(MODELS.name, b"\0" + (99_999).to_bytes(4) + tick[5:], partition=0)
    producer.produce(MODELS.name, tick, partition=1)
    producer.flush()
    finding = seen()["schemas"]
    assert not finding.well
    assert f"schema id 99999 on {MODELS.name} (1 messages)" in finding.text
    assert f"tick on {MODELS.name} (1 messages)" in finding.text


def ticks(times, partition=0):
    value = codec.encode(Tick(1, NOW))
    return [Record(TICKS.name, partition, n, b"tick", value, (), int(t * 1000)) for n, t in enumerate(times)]


def test_the_clock_is_one_and_shows_our_time():
    steady = ticks([NOW - 20 + n for n in range(21)])
    assert doctor.clock(steady, NOW).well
    assert "ahead of this machine" in doctor.clock(steady, NOW - 60).text
    twice = ticks(sorted([NOW - 20 + n for n in range(21)] + [NOW - 19.5 + n for n in range(20)]))
    finding = doctor.clock(twice, NOW)
    assert not finding.well
    assert "two clocks tick" in finding.text
    assert doctor.clock([], NOW).waits


def test_rights_are_held_to_the_catalogue():
    wanted = frozenset(grants(SERVICES))
    assert doctor.rights(wanted).well
    assert doctor.rights(None).well
    first = min(wanted)
    lacking = doctor.rights(wanted - {first})
    assert f"{first.account} may not {first.operation}" in lacking.text
    assert "easeml acls --apply" in lacking.text
    beyond = doctor.rights(wanted | {Grant("easeml-user", "read", "topic", "easeml.data.test-labels.v1")})
    assert "easeml-user may read topic easeml.data.test-labels.v1" in beyond.text
    assert not beyond.well


def test_secrets_that_others_may_read_are_named(tmp_path):
    seed = tmp_path / "epoch_seed"
    seed.write_text("secret")
    seed.chmod(0o600)
    assert doctor.secrets(tmp_path).well
    seed.chmod(0o644)
    assert doctor.secrets(tmp_path).text == f"others may read them: chmod 600 {seed}"


def test_run_files_of_processes_that_are_gone_are_named(tmp_path):
    write_run_file(tmp_path, "ci")
    assert doctor.run_files(tmp_path).well
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path = tmp_path / "run" / "ci.json"
    path.write_text(path.read_text().replace(str(os.getpid()), str(gone.pid)))
    assert doctor.run_files(tmp_path).text.startswith("ci ended without a word")


def test_a_full_disk_is_told(own, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
    by_subject = {finding.subject: finding for finding in doctor.machine(own)}
    assert not by_subject["disk"].well
    assert "make room" in by_subject["disk"].text
