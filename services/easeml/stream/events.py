"""Events: a payload in its CloudEvents envelope (Kafka binary binding, architecture 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from easeml.ids import EventId
from easeml.stream.payloads import Payload
from easeml.stream.topics import Topic

P_co = TypeVar("P_co", bound=Payload, covariant=True)


@dataclass(frozen=True, slots=True)
class Event(Generic[P_co]):
    """One decoded message.

    Parameters
    ----------
    id : EventId
        ``ce_id``; effects are idempotent by it.
    source : str
        Producer, e.g. ``easeml/ci``.
    time : float
        Event time in seconds since 1970 UTC (``ce_time``); the ``now`` of its handler.
    app : str
        Partition key.
    key : str
        Message key; serves compaction.
    data : Payload
        The payload.
    topic, partition, offset : str, int, int
        Where it was read.
    traceparent : str or None
        W3C trace context, passed on to outputs.
    cause : EventId or None
        ``ce_causationid``: the event that a service answered with this one; None for events that users make.
    recorded : float
        When the broker's record of it was made, in seconds since 1970 UTC: the order that people see. ``time`` is that
        of the cause and may lie far back.
    """

    id: EventId
    source: str
    time: float
    app: str
    key: str
    data: P_co
    topic: str
    partition: int
    offset: int
    traceparent: str | None = None
    cause: EventId | None = None
    recorded: float = 0.0


@dataclass(frozen=True, slots=True)
class Output:
    """What a handler wants published; the kernel adds the envelope and a deterministic id."""

    topic: Topic
    data: Payload
