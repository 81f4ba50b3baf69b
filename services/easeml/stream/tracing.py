"""Whether this process makes traces: the extra ``tracing`` is installed and the environment asks for them.

The variables are OpenTelemetry's own. ``OTEL_EXPORTER_OTLP_ENDPOINT`` (or that of traces alone, or
``OTEL_TRACES_EXPORTER=otlp`` for a collector on this machine) switches traces on; ``OTEL_TRACES_EXPORTER=none`` and
``OTEL_SDK_DISABLED=true`` switch them off again. All others (sampler, queue, headers, resource) its SDK reads itself.
Where traces are off, nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from easeml.ids import EventId
from easeml.stream.payloads import Payload
from easeml.stream.topics import TICKS, Topic

if TYPE_CHECKING:
    from easeml.stream.spans import Tracing

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
CLOSE_SECONDS = 2.0
"""What the last spans may take: a collector that is away must not hold up the end of a process."""

_begun: list[Tracing] = []


def wanted(environment: Mapping[str, str]) -> bool:
    """Return whether the environment asks for traces.

    >>> wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}), wanted({})
    (True, False)
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporters:
        return "otlp" in exporters.split(",")
    return any(environment.get(name) for name in ENDPOINTS)


@cache
def started(program: str) -> Tracing | None:
    """Return what makes the spans of a program, begun at the first call; None where traces are off.

    Nothing here fails a program: what is wrong is said in its log, and it goes on without traces.

    Parameters
    ----------
    program : str
        Name of the service, or of what publishes: ``ci``, ``sdk``.
    """
    if not wanted(os.environ):
        return None
    try:
        from easeml.stream.spans import Tracing  # noqa: PLC0415 - an extra, and imported where it is wanted alone

        tracing = Tracing.to_collector(program)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        log.warning("Traces are asked for, but %s is missing: pip install 'easeml-streaming[tracing]'", error.name)
        return None
    except ValueError as error:
        log.warning("There are no traces, for an OTEL_ variable is wrong: %s", error)
        return None
    if not _begun:
        atexit.register(close)
    _begun.append(tracing)
    return tracing


@contextmanager
def publishing(program: str, topic: Topic, partition: int, event_id: EventId, data: Payload) -> Iterator[str | None]:
    """Open the span of a publication; gives the ``traceparent`` of the message, None where it is not traced."""
    tracing = None if topic is TICKS else started(program)  # ticks have spans where something came of them
    if tracing is None:
        yield None
        return
    with tracing.published(topic.name, partition, event_id, data) as traceparent:
        yield traceparent


def close() -> None:
    """Send the last spans, as far as ``CLOSE_SECONDS`` allow."""
    while _begun:
        # The SDK would wait for its exporter half a minute.
        last = threading.Thread(target=_begun.pop().close, name="last-spans", daemon=True)
        last.start()
        last.join(CLOSE_SECONDS)
