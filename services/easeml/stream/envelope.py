"""The CloudEvents envelope in Kafka headers (binary binding): written for every message, optional on input.

A message without ``ce_*`` headers is as welcome as any: its id follows from its place (topic, partition, offset) and
its time is the record's timestamp. Headers that claim to be CloudEvents and are not raise ``SchemaError``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from easeml.errors import InvalidDataError, Poison, SchemaError
from easeml.ids import AppId, EventId
from easeml.stream.codec import decode
from easeml.stream.events import Event
from easeml.stream.messages import Record
from easeml.stream.payloads import Payload, Tick
from easeml.stream.schemas import newest
from easeml.stream.topics import BY_NAME

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/vnd.confluent.avro"
CONTENT_TYPES = frozenset({CONTENT_TYPE, "avro/binary", "application/avro"})

FIRST, LAST = -62_135_596_800.0, 253_402_300_799.0
"""Seconds since 1970 of the years 1 and 9999: what a time in a header can say."""

_ID = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def partition_key(data: Payload) -> str:
    """Return what decides the partition: the app; the algorithm of an announcement; "" for a tick."""
    key = getattr(data, "app", None)
    return str(getattr(data, "algorithm", "") if key is None else key)


def type_of(data: Payload) -> str:
    """Return the CloudEvents type: the full name of the payload's record.

    >>> from easeml.stream.payloads import Tick
    >>> type_of(Tick(sequence=0, time=0.0))
    'easeml.v1.Tick'
    """
    kind: type = type(data)
    return newest(kind).full_name


def headers(
    id: EventId,  # noqa: A002 - the CloudEvents attribute
    source: str,
    data: Payload,
    time: float,
    traceparent: str | None = None,
    cause: EventId | None = None,
) -> list[tuple[str, bytes]]:
    """Return the headers of an event.

    Parameters
    ----------
    id : EventId
        Identity of the event.
    source : str
        Producer, e.g. ``ci``; written as ``easeml/ci``. A source that holds a ``/`` is written as it is.
    data : Payload
        The payload.
    time : float
        Event time in seconds since 1970 UTC; kept to the microsecond.
    traceparent : str, optional
        W3C trace context.
    cause : EventId, optional
        The event that this one answers; a CloudEvents extension attribute.
    """
    told = datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    pairs = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": id,
        "ce_source": source if "/" in source else f"easeml/{source}",
        "ce_type": type_of(data),
        "ce_time": told,
        "content-type": CONTENT_TYPE,
        "partitionkey": partition_key(data),
    }
    if traceparent is not None:
        pairs["traceparent"] = traceparent
    if cause is not None:
        pairs["ce_causationid"] = cause
    return [(name, value.encode()) for name, value in pairs.items()]


def parse(record: Record) -> Event[Any]:
    """Return the event of a message.

    Raises
    ------
    SchemaError
        When the value, the headers, the key or the app's name is malformed.
    """
    if record.value is None:
        raise SchemaError("A message without a value.", mend="Tombstones belong on compacted topics alone.")
    pairs = _texts(record.headers)
    content_type = pairs.get("content-type", CONTENT_TYPE).partition(";")[0].strip().lower()
    if content_type not in CONTENT_TYPES:
        raise SchemaError(f"Content type {content_type!r} is not Avro.", mend=f"Send {CONTENT_TYPE}.")
    data = decode(record.value)
    try:
        app = AppId(partition_key(data)) if hasattr(data, "app") else partition_key(data)
        text_key = app if record.key is None else record.key.decode()
    except (InvalidDataError, UnicodeDecodeError) as error:
        raise SchemaError(f"{type(data).__name__}: {error}") from error
    identity, source, time = _attributes(pairs, data, record)
    if not FIRST <= time <= LAST:
        raise SchemaError(
            f"The message is from {time:g} seconds after 1970.", mend="Send a time of the years 1 to 9999."
        )
    trace = pairs.get("traceparent")
    return Event(
        id=identity,
        source=source or record.topic,
        time=time,
        app=str(app),
        key=str(text_key),
        data=data,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        # A broken trace context must not cost the event: the W3C recommendation is to start a new trace.
        traceparent=trace if trace is not None and _TRACEPARENT.fullmatch(trace) else None,
        cause=EventId(pairs["ce_causationid"]) if pairs.get("ce_causationid") else None,
        recorded=record.seconds,
    )


def stamp(record: Record) -> bytes:
    """Return the event time as a message tells it; those that :func:`headers` makes sort like their times."""
    return next((value or b"" for name, value in record.headers if name == "ce_time"), b"")


def check_payload(topic: str, data: Payload) -> None:
    """Refuse what a topic does not carry, and a clock that shows no time.

    Raises
    ------
    Poison
    """
    known = BY_NAME.get(topic)
    if known is not None and not isinstance(data, known.payloads):
        raise Poison(
            f"{topic} does not carry {type(data).__name__}.",
            mend=f"It carries {', '.join(payload.__name__ for payload in known.payloads)}.",
            reason="wrong_payload",
        )
    if isinstance(data, Tick) and not math.isfinite(data.time):
        raise Poison(f"A tick shows the time {data.time}.", mend="Send seconds since 1970 UTC.", reason="not_finite")


def _texts(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    texts = {}
    for name, value in headers:
        lower = name.lower()
        if lower.startswith("ce_") or lower in ("content-type", "traceparent"):
            try:
                texts[lower] = (value or b"").decode()
            except UnicodeDecodeError as error:
                raise SchemaError(f"Header {name}: bytes are not UTF-8.") from error
    return texts


def _attributes(pairs: dict[str, str], data: Payload, record: Record) -> tuple[EventId, str, float]:
    """Return id, source and time."""
    if not any(name.startswith("ce_") for name in pairs):
        return EventId.derive(record.topic, record.partition, record.offset), "", record.seconds
    if pairs.get("ce_specversion") != SPEC_VERSION:
        raise SchemaError(f"Header ce_specversion: {pairs.get('ce_specversion')!r}.", mend=f"Send {SPEC_VERSION}.")
    for name in ("ce_id", "ce_source", "ce_type"):
        if not _ID.fullmatch(pairs.get(name, "")):
            raise SchemaError(
                f"Header {name}: {pairs.get(name)!r}.", mend="CloudEvents asks for 1-200 printable characters."
            )
    if pairs["ce_type"] != type_of(data):
        raise SchemaError(f"Header ce_type: {pairs['ce_type']!r}, but the message holds a {type_of(data)}.")
    time = _time(pairs["ce_time"]) if "ce_time" in pairs else record.seconds
    return EventId(pairs["ce_id"]), pairs["ce_source"], time


def _time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SchemaError(f"Header ce_time: {text!r} is not an RFC 3339 time.") from error
    if moment.tzinfo is None:
        raise SchemaError(f"Header ce_time: {text!r} has no time zone.", mend="Append Z.")
    return moment.timestamp()
