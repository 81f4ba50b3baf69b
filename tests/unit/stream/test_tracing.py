"""Spans: the same for the same event, each under what caused it, and none of them where nobody asked."""

import logging
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from kernel_services import Merger, Relay, Summer, app, line, note, version
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.contextvars import get_contextvars

from easeml.errors import Poison
from easeml.ids import EventId
from easeml.stream import codec, envelope, memory, tracing
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import Annotation
from easeml.stream.settings import Settings
from easeml.stream.spans import Tracing
from easeml.stream.topics import ANNOTATIONS, APPS, AUDIT, DATA_VERSIONS, TESTSETS, TICKS, partition_of

ABROAD = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture
def spans(monkeypatch):
    """The spans of every service of the in-memory clusters made meanwhile."""
    exporter, tracings = InMemorySpanExporter(), {}

    def make(service, *rest):
        if service.name not in tracings:
            tracings[service.name] = Tracing(service.name, SimpleSpanProcessor(exporter))
        return tracings[service.name].processor(service, *rest)

    monkeypatch.setattr(memory, "PartitionProcessor", make)
    return exporter


def cluster_of(*services, **options):
    cluster = MemoryCluster(services, settings=Settings(attempts=3), **options)
    cluster.publish(APPS, app())
    return cluster


def told(exporter):
    """Return what a collector keeps of spans: one for each id, whatever its times."""
    kept = {}
    for span in exporter.get_finished_spans():
        content = (
            span.context.trace_id,
            span.parent and span.parent.span_id,
            span.name,
            span.kind,
            dict(span.attributes),
            span.status.status_code,
        )
        assert kept.setdefault(span.context.span_id, content) == content, "one id, two spans"
    return kept


def by_service(exporter):
    return {(s.resource.attributes["service.name"], s.name): s for s in exporter.get_finished_spans()}


def published(cluster, data, traceparent, identity="x"):
    headers = envelope.headers(EventId(identity), "easeml/user", data, 5.0, traceparent)
    cluster.publish_bytes(ANNOTATIONS, codec.encode(data), headers=headers, partition=partition_of(data.app, 2))


def test_each_span_is_under_the_one_whose_output_it_handles(spans):
    cluster = cluster_of(Summer(), Relay())
    published(cluster, note(4), ABROAD)
    cluster.run()
    found = by_service(spans)
    first, second = (
        found["easeml-summer", f"process {ANNOTATIONS.name}"],
        found["easeml-relay", f"process {AUDIT.name}"],
    )
    assert f"{first.parent.span_id:016x}" == "b" * 16
    assert second.parent.span_id == first.context.span_id
    assert {f"{span.context.trace_id:032x}" for span in (first, second)} == {"a" * 32}
    (answer,) = cluster.events(TESTSETS)
    assert answer.traceparent == f"00-{'a' * 32}-{second.context.span_id:016x}-01"
    assert first.kind is second.kind is trace.SpanKind.CONSUMER
    assert len(spans.get_finished_spans()) == 2


def test_a_message_without_a_trace_begins_one_that_all_who_handle_it_share(spans):
    cluster = cluster_of(Summer(), Merger(), Relay())
    cluster.publish(ANNOTATIONS, note(1), id="one")
    cluster.run()
    assert len({span.context.trace_id for span in spans.get_finished_spans()}) == 1
    roots = [span for span in spans.get_finished_spans() if span.parent is None]
    assert {span.name for span in roots} == {f"process {ANNOTATIONS.name}"}
    assert len(roots) == 2
    before = {span.context.trace_id for span in roots}
    cluster.publish(ANNOTATIONS, note(1), id="two")
    cluster.run()
    assert len({span.context.trace_id for span in spans.get_finished_spans()} | before) == 2


@pytest.mark.parametrize("broken", ["00-" + "0" * 32 + "-" + "b" * 16 + "-01", "rubbish"])
def test_a_broken_trace_is_begun_anew(spans, broken):
    cluster = cluster_of(Summer())
    published(cluster, note(4), broken)
    cluster.run()
    (span,) = spans.get_finished_spans()
    assert span.parent is None
    assert span.context.is_valid


def test_attributes_say_where_and_never_what(spans):
    cluster = cluster_of(Summer())
    cluster.publish(ANNOTATIONS, replace(note(-13), annotator="SECRET"), id="one")
    cluster.run()
    (span,) = spans.get_finished_spans()
    (event,) = cluster.events(ANNOTATIONS)
    assert dict(span.attributes) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": ANNOTATIONS.name,
        "messaging.destination.partition.id": str(event.partition),
        "messaging.kafka.offset": 0,
        "messaging.consumer.group.name": "easeml-summer",
        "messaging.message.id": "one",
        "cloudevents.event_type": "easeml.v1.Annotation",
        "easeml.app": "churn",
        "error.type": "thirteen",
    }
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.status.description is None
    assert not span.events
    assert "SECRET" not in span.to_json()


@pytest.mark.parametrize("point", ["before_journal", "after_journal", "half_outputs", "after_outputs"])
def test_a_batch_that_is_repeated_after_a_kill_has_the_same_spans(spans, point):
    def life(kill):
        cluster = cluster_of(Merger(), Relay(), partitions=1)
        cluster.publish(DATA_VERSIONS, version(5, change="wait:20", name="a"), id="v-a")
        for i in range(9):
            cluster.publish(ANNOTATIONS, note(i), id=f"n-{i}")
        cluster.publish(DATA_VERSIONS, version(30, name="b"), id="v-b")
        cluster.tick(10, run=False)
        if kill:
            cluster.kill("merger", point)
        cluster.run()
        found, made = told(spans), len(spans.get_finished_spans())
        for *_, attributes, _ in found.values():
            attributes.pop("messaging.kafka.offset", None)  # behind outputs that were written twice
        spans.clear()
        return found, made

    undisturbed, once = life(None)
    repeated, made = life(point)
    assert repeated == undisturbed
    assert len(undisturbed) == once, "no two spans share an id"
    assert made > once, "the batch was repeated"


def test_what_is_delivered_again_has_no_span_of_its_own(spans):
    cluster = cluster_of(Summer())
    for _ in range(2):
        cluster.publish(ANNOTATIONS, note(1), id="one")
    cluster.publish_bytes(ANNOTATIONS, b"no avro")
    cluster.run()
    assert len(spans.get_finished_spans()) == 1


def test_a_job_is_within_the_span_of_its_event(spans):
    cluster = cluster_of(Merger())
    cluster.publish(ANNOTATIONS, note(3), id="one")
    cluster.run()
    found = {span.name: span for span in spans.get_finished_spans()}
    event, job = found[f"process {ANNOTATIONS.name}"], found["job double"]
    assert job.parent.span_id == event.context.span_id
    assert event.start_time <= job.start_time <= job.end_time <= event.end_time


def test_a_tick_has_a_span_where_something_came_of_it(spans):
    cluster = cluster_of(Merger(), Relay())
    cluster.publish(APPS, app("other"))
    for name in ("churn", "other"):
        cluster.publish(ANNOTATIONS, note(1, name))
    cluster.run()
    spans.clear()
    cluster.tick(10)
    ticked = [span for span in spans.get_finished_spans() if span.name == f"process {TICKS.name}"]
    lines = [event for event in cluster.events(AUDIT) if event.data.action == "tick"]
    assert {span.attributes["easeml.app"] for span in ticked} == {"churn", "other"}
    assert sorted(f"{span.context.span_id:016x}" for span in ticked) == sorted(e.traceparent[36:52] for e in lines)
    assert len({span.context.trace_id for span in ticked}) == len(ticked), "what apps do on a tick is not related"
    assert {span.name for span in spans.get_finished_spans()} == {f"process {TICKS.name}", f"process {AUDIT.name}"}


def test_a_crash_is_told_by_its_kind_alone(spans):
    cluster = cluster_of(Summer())
    cluster.publish(ANNOTATIONS, note(-99))
    cluster.run()
    kinds = [span.attributes["error.type"] for span in spans.get_finished_spans()]
    assert kinds == ["RuntimeError"] * 3
    assert len({span.context.span_id for span in spans.get_finished_spans()}) == 1


def test_log_lines_of_a_handler_name_its_span(spans):
    heard = []

    class Listener(Summer):
        def add(self, state, event, context):
            heard.append((event.id, get_contextvars()))
            if event.data.value == 2:
                raise Poison("Two.")
            yield line(event.app, "add", "1")

    cluster = cluster_of(Listener())
    for value in (1, 2):
        cluster.publish(ANNOTATIONS, note(value))
    cluster.run()
    ids = {span.attributes["messaging.message.id"]: span.context for span in spans.get_finished_spans()}
    assert {event for event, _ in heard} == set(ids)
    for event, bound in dict(
        reversed(heard)
    ).items():  # after a refusal earlier events are handled again, for the state
        assert bound == {"trace_id": f"{ids[event].trace_id:032x}", "span_id": f"{ids[event].span_id:016x}"}
    assert get_contextvars() == {}


def test_the_sampler_of_the_environment_decides_for_whole_traces(spans, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    cluster = cluster_of(Summer(), Relay())
    for n in range(60):
        cluster.publish(ANNOTATIONS, note(1), id=str(n))
    cluster.run()
    traces = {}
    for span in spans.get_finished_spans():
        traces.setdefault(span.context.trace_id, []).append(span)
    assert 10 < len(traces) < 50
    assert {len(each) for each in traces.values()} == {2}
    flags = {event.traceparent[-2:] for event in cluster.events(AUDIT)}
    assert flags == {"00", "01"}, "who comes after keeps to the decision"


def test_a_publication_is_the_parent_of_what_follows_and_a_child_of_its_caller():
    exporter = InMemorySpanExporter()
    tracing_of_sdk = Tracing("sdk", SimpleSpanProcessor(exporter))
    with tracing_of_sdk.published(ANNOTATIONS.name, 1, EventId("one"), note(1)) as alone:
        pass
    with TracerProvider().get_tracer("caller").start_as_current_span("request") as caller:
        with tracing_of_sdk.published(ANNOTATIONS.name, 1, EventId("one"), note(1)) as within:
            pass
        with pytest.raises(OSError), tracing_of_sdk.published(ANNOTATIONS.name, 1, EventId("two"), note(1)):
            raise OSError("SECRET")
    first, second, failed = exporter.get_finished_spans()
    assert alone == f"00-{first.context.trace_id:032x}-{first.context.span_id:016x}-01"
    assert (first.parent, first.kind) == (None, trace.SpanKind.PRODUCER)
    assert second.parent.span_id == caller.get_span_context().span_id
    assert within.split("-")[1] == f"{caller.get_span_context().trace_id:032x}"
    assert failed.attributes["error.type"] == "OSError"
    assert "SECRET" not in failed.to_json()


def test_a_service_that_handles_what_it_publishes_has_two_spans_for_it(spans):
    cluster = cluster_of(Summer())
    exporter = InMemorySpanExporter()
    with Tracing("summer", SimpleSpanProcessor(exporter)).published(ANNOTATIONS.name, 0, EventId("x"), note(4)) as sent:
        published(cluster, note(4), sent)
    cluster.run()
    (own,), (handled,) = exporter.get_finished_spans(), spans.get_finished_spans()
    assert handled.parent.span_id == own.context.span_id != handled.context.span_id


# -- the switch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console,otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
    ],
)
def test_the_environment_switches_traces(environment, on):
    assert tracing.wanted(environment) is on


def test_where_traces_are_off_nothing_of_them_is_imported():
    program = (
        "import sys\n"
        "import easeml.client, easeml.stream.main\n"
        "from easeml.stream.tracing import close, started\n"
        "assert started('ci') is None\n"
        "close()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry') or name == 'easeml.stream.spans'])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={})
    assert ran.stdout.strip() == "[]"


@pytest.fixture
def asked(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing.started.cache_clear()
    yield
    tracing.close()
    tracing.started.cache_clear()


def test_a_missing_extra_is_told_and_costs_no_service(asked, monkeypatch, caplog):
    monkeypatch.delitem(sys.modules, "easeml.stream.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with caplog.at_level(logging.WARNING):
        assert tracing.started("ci") is None
    assert re.search(r"opentelemetry.* is missing: pip install 'easeml-streaming\[tracing\]'", caplog.text)


def test_a_wrong_variable_is_told_and_costs_no_service(asked, monkeypatch, caplog):
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096")
    with caplog.at_level(logging.WARNING):
        assert tracing.started("ci") is None
    assert "an OTEL_ variable is wrong" in caplog.text


def test_ticks_are_published_without_a_span(asked, monkeypatch):
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(Tracing, "to_collector", lambda program: Tracing(program, SimpleSpanProcessor(exporter)))
    with tracing.publishing("clock", TICKS, 0, EventId("t"), note(1)) as traceparent:
        assert traceparent is None
    with tracing.publishing(
        "client", ANNOTATIONS, 0, EventId("t"), Annotation("churn", "q", "a", "r", 0)
    ) as traceparent:
        assert traceparent is not None
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == "easeml-client"
