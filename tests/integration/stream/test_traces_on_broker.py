"""Traces of real processes on a broker, sent to a collector of OTLP over HTTP."""

import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "stream"))

from kernel_house import House
from kernel_services import app, note
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from easeml.stream import tracing
from easeml.stream.payloads import Tick
from easeml.stream.publisher import EventPublisher
from easeml.stream.topics import ANNOTATIONS, APPS, AUDIT, TESTSETS, TICKS


class Collector:
    """Keeps what it is sent: (service, span) in the order of arrival."""

    def __init__(self):
        self.spans = []
        kept = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["content-length"]))
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    of = {pair.key: pair.value.string_value for pair in group.resource.attributes}
                    kept.extend((of["service.name"], span) for scope in group.scope_spans for span in scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def named(self, service, name):
        return [span for of, span in list(self.spans) if (of, span.name) == (service, name)]


@pytest.fixture
def collector(monkeypatch):
    """A collector that this process and those it starts send their spans to."""
    receiver = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    tracing.started.cache_clear()
    yield receiver
    tracing.close()
    tracing.started.cache_clear()
    receiver.server.shutdown()
    receiver.server.server_close()


def of_notes(collector):
    """Return what is kept of the spans of ``summer``, by event."""
    kept = {}
    for span in collector.named("easeml-summer", f"process {ANNOTATIONS.name}"):
        attributes = {pair.key: pair.value.string_value or pair.value.int_value for pair in span.attributes}
        content = (span.trace_id, span.span_id, span.parent_span_id, span.status.code, attributes)
        assert kept.setdefault(attributes["messaging.message.id"], content) == content, "one event, two spans"
    return kept


def test_one_trace_leads_from_a_publication_through_all_processes(tmp_path, collector):
    with House(tmp_path, ["summer", "relay"]) as house:
        house.publish(APPS, app())
        house.flush()
        for name in ("summer", "relay"):
            house.start(name)
            house.wait_ready(name)
        publisher = EventPublisher(house.settings, "client")
        publisher.publish(ANNOTATIONS, note(4))
        publisher.publish(TICKS, Tick(1, time.time()))
        house.wait(lambda: collector.named("easeml-relay", f"process {AUDIT.name}"), name="relay")
        house.wait(lambda: collector.named("easeml-summer", f"process {ANNOTATIONS.name}"), name="summer")
        house.wait(lambda: collector.named("easeml-client", f"send {ANNOTATIONS.name}"))
        assert [house.stop(name) for name in ("summer", "relay")] == [0, 0]
        (answer,) = house.events(TESTSETS)
    assert len(collector.spans) == 3
    (sent,) = collector.named("easeml-client", f"send {ANNOTATIONS.name}")
    (added,) = collector.named("easeml-summer", f"process {ANNOTATIONS.name}")
    (relayed,) = collector.named("easeml-relay", f"process {AUDIT.name}")
    assert (sent.parent_span_id, added.parent_span_id, relayed.parent_span_id) == (b"", sent.span_id, added.span_id)
    assert {span.trace_id for span in (sent, added, relayed)} == {sent.trace_id}
    assert answer.traceparent == f"00-{sent.trace_id.hex()}-{relayed.span_id.hex()}-01"


def test_a_service_that_is_killed_and_started_again_makes_no_other_spans(tmp_path, collector):
    def life(folder, kill_point=""):
        with House(folder, ["summer"], partitions=1) as house:
            house.publish(APPS, app())
            for i in range(300):
                house.publish(ANNOTATIONS, note(i % 7), f"id-{i}")
            house.flush()
            house.start("summer", kill_point=kill_point)
            if kill_point:
                assert house.processes["summer"].wait(40) == -9
                collector.spans.clear()
                house.start("summer", kill_point=kill_point)
            house.wait_ready("summer")
            house.wait(lambda: house.health("summer")[1]["lag"] == 0 and len(house.events(AUDIT)) >= 300)
            assert house.stop("summer") == 0
            ledger = [line for line in house.log("summer").splitlines() if '"in_flight"' in line]
        return of_notes(collector), json.loads(ledger[0])["in_flight"][ANNOTATIONS.name] if ledger else None

    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    undisturbed, _ = life(tmp_path / "first")
    assert set(undisturbed) == {f"id-{i}" for i in range(300)}
    again, in_flight = life(tmp_path / "second", "summer:after_outputs:1")
    assert f"id-{in_flight}" in again, "the batch whose outputs were written is repeated"
    first = min(int(name.removeprefix("id-")) for name in again)
    assert again == {f"id-{i}": undisturbed[f"id-{i}"] for i in range(first, 300)}


def test_a_collector_that_is_away_costs_no_message_and_no_stop(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections and never answers
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{mute.getsockname()[1]}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
        with House(tmp_path, ["summer"]) as house:
            house.publish(APPS, app())
            for i in range(2000):
                house.publish(ANNOTATIONS, note(1), f"id-{i}")
            house.flush()
            house.start("summer")
            house.wait(lambda: len(house.events(AUDIT)) == 2000, name="summer")
            assert house.health("summer")[0] == 200
            begun = time.monotonic()
            assert house.stop("summer") == 0
            assert time.monotonic() - begun < 8, "the collector's timeout is 10 s"
            assert 1 <= house.log("summer").count("opentelemetry.") <= 3
