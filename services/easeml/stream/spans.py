"""Spans of handled events, with ids that follow from the events' ids.

An event is delivered at least once, and a batch is repeated after a crash; so the id of a span is a digest of who
handled what, and a collector that hears of it twice keeps one. The trace id is that of the message's ``traceparent``,
else a digest of the message that begins the trace. What is handled goes on in the ``traceparent`` of the outputs, as
the parent of whoever handles them.

A tick begins a trace of its own for each service and app, and has a span only where something came of it. Attributes
say where a message lay and what became of it; what it held, and the words of an error, which may quote it, stay out.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from typing import Any, Self

from opentelemetry import trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from structlog.contextvars import bound_contextvars

from easeml.errors import EaseMLError
from easeml.ids import EventId
from easeml.stream.envelope import partition_key, type_of
from easeml.stream.events import Event, Output
from easeml.stream.items import HandlerCrashError, Item, Outcome
from easeml.stream.partition import PartitionProcessor
from easeml.stream.payloads import Payload

Place = tuple[str, int]
_NEW_TRACE = TraceContext()


def _digest(size: int, *parts: str | int) -> int:
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=size).digest())


class _GivenIds(IdGenerator):
    """Hands the SDK the ids that were decided on, thread by thread."""

    def __init__(self) -> None:
        self._given = threading.local()

    def give(self, trace_id: int, span_id: int) -> None:
        """Decide on the ids of the next span of this thread."""
        self._given.ids = trace_id, span_id

    def generate_trace_id(self) -> int:
        number: int = self._given.ids[0]
        return number

    def generate_span_id(self) -> int:
        number: int = self._given.ids[1]
        return number


class Tracing:
    """Makes the spans of one program.

    Parameters
    ----------
    program : str
        Name of the service, or of what publishes; the resource's ``service.name`` is ``easeml-<program>``.
    processor : SpanProcessor
        Takes the spans that ended; must not block.
    """

    def __init__(self, program: str, processor: SpanProcessor) -> None:
        self.program = program
        self._ids = _GivenIds()
        version = metadata.version("easeml-streaming")
        resource = Resource.create(
            {"service.name": f"easeml-{program}", "service.namespace": "easeml", "service.version": version}
        )
        # One of our own: the program around us may have a provider for its own spans.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False, id_generator=self._ids)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("easeml", version)

    @classmethod
    def to_collector(cls, program: str) -> Self:
        """Return one that sends by OTLP over HTTP, from a bounded queue: what does not fit is dropped."""
        return cls(program, BatchSpanProcessor(OTLPSpanExporter()))

    def handled(self, event: Event[Any], begun: int, app: str = "") -> trace.Span:
        """Return the span of an event that this service handles.

        Parameters
        ----------
        event : Event
            The event.
        begun : int
            When it was first taken up, in nanoseconds since 1970.
        app : str
            Whom a tick is handled for.
        """
        parent = _parent(event.traceparent)
        whole = (self.program, event.id, app) if app else (self.program, event.id)
        self._ids.give(_digest(16, *whole) if app else _digest(16, event.id), _digest(8, *whole))
        attributes = _attributes("process", event.topic, event.partition, event.id, event.data) | {
            "messaging.kafka.offset": event.offset,
            "messaging.consumer.group.name": f"easeml-{self.program}",
        }
        if app:
            attributes["easeml.app"] = app
        return self._tracer.start_span(
            f"process {event.topic}", parent, trace.SpanKind.CONSUMER, attributes, start_time=begun
        )

    @contextmanager
    def published(self, topic: str, partition: int, event_id: EventId, data: Payload) -> Iterator[str]:
        """Open the span of an event that a person or a program makes, and give the ``traceparent`` of its message.

        A span that the caller has open is its parent.
        """
        self._ids.give(_digest(16, event_id), _digest(8, self.program, event_id, "send"))
        attributes = _attributes("send", topic, partition, event_id, data)
        span = self._tracer.start_span(f"send {topic}", None, trace.SpanKind.PRODUCER, attributes)
        try:
            yield traceparent_of(span)
        except Exception as error:
            _fail(span, type(error).__name__)
            raise
        finally:
            span.end()

    def worked(self, parent: trace.Span, event_id: EventId, work: _Work) -> None:
        """Report the job of an event: what it took in a worker process, with the wait for a free one."""
        self._ids.give(0, _digest(8, self.program, event_id, "job"))
        within = trace.set_span_in_context(parent, _NEW_TRACE)
        span = self._tracer.start_span(f"job {work.name}", within, start_time=work.begun)
        if work.failure is not None:
            _fail(span, type(work.failure).__name__)
        span.end(work.ended)

    def processor(self, *arguments: Any) -> PartitionProcessor:
        """Return a partition of the service whose events have spans."""
        return TracedProcessor(*arguments, tracing=self)

    def close(self) -> None:
        """Send what is queued, and send no more."""
        self._provider.shutdown()


def traceparent_of(span: trace.Span) -> str:
    """Return the W3C trace context of what follows from a span."""
    ids = span.get_span_context()
    return f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"


def _parent(traceparent: str | None) -> TraceContext:
    if traceparent is None:
        return _NEW_TRACE
    _, trace_id, span_id, flags = traceparent.split("-")
    ids = trace.SpanContext(int(trace_id, 16), int(span_id, 16), True, trace.TraceFlags(int(flags, 16)))
    return trace.set_span_in_context(trace.NonRecordingSpan(ids), _NEW_TRACE)


def _attributes(operation: str, topic: str, partition: int, event_id: str, data: Payload) -> dict[str, str | int]:
    """Return what the semantic conventions of messaging and CloudEvents (1.44) ask for, and the app."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
        "messaging.message.id": event_id,
        "cloudevents.event_type": type_of(data),
        "easeml.app": partition_key(data),
    }


def _fail(span: trace.Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(trace.StatusCode.ERROR)


class _Work:
    """The last job of an event: its function, and when it was begun and answered, in nanoseconds since 1970."""

    __slots__ = ("begun", "ended", "failure", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = self.ended = time.time_ns()
        self.failure: Exception | None = None


class TracedProcessor(PartitionProcessor):
    """A partition whose events have spans, and whose log lines name them while an event is handled.

    A span begins when its event is first taken up, so it holds the waits for rows, for a job and for another try.
    """

    def __init__(self, *arguments: Any, tracing: Tracing) -> None:
        self._tracing = tracing
        self._begun: dict[Place, int] = {}
        self._works: dict[Place, _Work] = {}
        self._span: trace.Span | None = None
        self._since = 0
        super().__init__(*arguments)

    def offer(self, item: Item) -> Outcome:
        place = item.record.topic, item.record.offset
        self._since = time.time_ns()
        self._begun.setdefault(place, self._since)
        if item.answered and place in self._works:
            self._works[place].ended, self._works[place].failure = self._since, item.failure
        try:
            outcome = super().offer(item)
        except HandlerCrashError as crash:
            self._end(item, type(crash.error).__name__)
            raise
        finally:
            self._span = None
        if outcome is Outcome.JOB and item.job is not None:
            function = item.job.function
            self._works[place] = _Work(getattr(function, "__qualname__", type(function).__name__))
        elif outcome is Outcome.DONE:
            self._begun.pop(place)
            self._works.pop(place, None)
        return outcome

    def _event(self, item: Item, event: Event[Any]) -> Outcome:
        self._span = self._tracing.handled(event, self._begun[event.topic, event.offset])
        ids = self._span.get_span_context()
        with bound_contextvars(trace_id=f"{ids.trace_id:032x}", span_id=f"{ids.span_id:016x}"):
            return super()._event(item, replace(event, traceparent=traceparent_of(self._span)))

    def _publish(self, event: Event[Any], outputs: Iterable[Output], scope: tuple[str, ...]) -> None:
        made = list(outputs)
        if scope and made:
            span = self._tracing.handled(event, self._since, *scope)
            super()._publish(replace(event, traceparent=traceparent_of(span)), made, scope)
            span.end()
        else:
            super()._publish(event, made, scope)
        self._since = time.time_ns()  # a tick is handled for one app after the other

    def _done(self, item: Item, count: str) -> Outcome:
        if count == "events":
            self._end(item)
        return super()._done(item, count)

    def _bury(self, item: Item, error: EaseMLError) -> Outcome:
        self._end(item, error.reason)
        return super()._bury(item, error)

    def _end(self, item: Item, trouble: str = "") -> None:
        if self._span is None or item.event is None:
            return
        work = self._works.get((item.record.topic, item.record.offset))
        if work is not None:
            self._tracing.worked(self._span, item.event.id, work)
        if trouble:
            _fail(self._span, trouble)
        self._span.end()
