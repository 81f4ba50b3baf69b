"""Dead letters: the original bytes beside the reason why they were given up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from easeml.errors import EaseMLError
from easeml.ids import EventId
from easeml.stream.messages import Message, Record

PREFIX = "easeml.dlq."
REDRIVE = "easeml.redrive"
"""Header of a message that was sent on its way again: one for each time."""
REDRIVE_FOR = "easeml.redrive-for"
"""Header that names the services, separated by commas, that a redriven message is for; without it, it is for all."""
EVERY_SERVICE = "every service"
"""Stands for the name of a service where all of them refuse a message: apps and algorithms are read by everyone."""
EXCERPT = 1000
"""Bytes kept of a message, or a key, that is too large to be carried along."""
TEXT = 2000
"""Characters kept of an error's text."""
HEADER_BYTES = 16 * 1024
"""Size of a message's headers above which only the envelope and our own are carried along."""
_OVERHEAD = 10  # bytes that the broker's format adds to a header at most, and a hundred to a message


@dataclass(frozen=True, slots=True)
class Burial:
    """Where and when a message is given up.

    Parameters
    ----------
    service : str
        Service that gives it up.
    now : float
        Seconds since 1970 UTC: the event's time, or the broker's timestamp when it could not be read.
    app : str
        App whose tick handler refused; empty for a message that is refused as a whole.
    """

    service: str
    now: float
    app: str = ""


def dead_letter(record: Record, error: EaseMLError, burial: Burial, limit: int) -> Message:
    """Return the dead letter of a message; the same message gives the same ``easeml.dlq.id``.

    Parameters
    ----------
    record : Record
        The message given up.
    error : EaseMLError
        Why: its ``reason`` and text are carried along.
    burial : Burial
        By whom and when.
    limit : int
        Bytes of the largest letter. One that would be larger carries the first bytes only: the whole message stays
        where topic, partition and offset say.
    """
    identity = EventId.derive("dlq", burial.service, record.topic, record.partition, record.offset, burial.app)
    context = {
        "id": identity,
        "reason": error.reason,
        "message": str(error)[:TEXT],
        "service": burial.service,
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "time": repr(burial.now),
    }
    if burial.app:
        context["app"] = burial.app
    value, key = record.value or b"", record.key
    if key is not None and len(key) > HEADER_BYTES:
        key = key[:EXCERPT]
    headers = _kept(record.headers) + tuple((PREFIX + name, text.encode()) for name, text in context.items())
    # A letter that the broker refuses would stop the service at the same message for ever.
    if len(value) + len(key or b"") + _size(headers) + 10 * _OVERHEAD > limit:
        headers += ((f"{PREFIX}size", str(len(value)).encode()),)
        value = value[:EXCERPT]
    return Message(f"{record.topic}.dlq", record.partition, key, value, headers)


def _size(headers: Iterable[tuple[str, bytes]]) -> int:
    return sum(len(name.encode()) + len(value or b"") + _OVERHEAD for name, value in headers)


def _kept(headers: Iterable[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that a letter carries along."""
    kept = tuple(pair for pair in headers if not pair[0].startswith(PREFIX))
    if _size(kept) <= HEADER_BYTES:
        return kept
    ours, left = [], HEADER_BYTES
    for pair in kept:
        size = _size([pair])
        if pair[0].startswith(("ce_", "easeml.")) and size <= left:
            ours.append(pair)
            left -= size
    return tuple(ours)


def redrives(record: Record) -> int:
    """Return how often the message was sent on its way again by hand."""
    return sum(name == REDRIVE for name, _ in record.headers)


def is_for(record: Record, service: str) -> bool:
    """Return whether a service shall look at a message: a redriven one is for those alone that gave it up."""
    for name, value in record.headers:
        if name == REDRIVE_FOR:
            return service in value.decode(errors="replace").split(",")
    return True
