"""The changelog: what a service must remember of one partition, under a handful of keys of a compacted topic.

===============  ==================  ================================================================================
key              value               written
===============  ==================  ================================================================================
``journal``      JournalRecord       before the outputs of a batch, by services whose result depends on the order of
                                     their topics; a restart applies the same events in the same order
``state/<app>``  StateRecord         after the outputs of a batch are acknowledged
``position``     PositionRecord      with the states; every event up to it is applied
``needed``       NeededRecord        now and then, with the states: what the views rest on of topics that never end
``attempt``      AttemptRecord       before an event that crashed its handler is tried again, or one whose job took too
                                     long is given up
``floor/<app>``  PositionRecord      when an app is deleted: its older events are never folded again
===============  ==================  ================================================================================

The topic has as many partitions as the inputs, and partition ``i`` remembers partition ``i`` of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, cast

import numpy as np

from easeml.stream import codec
from easeml.stream.messages import Message
from easeml.stream.needs import Needs, Run
from easeml.stream.payloads import (
    AttemptRecord,
    JournalRecord,
    NeededRecord,
    Payload,
    PositionRecord,
    StateArray,
    StateRecord,
)
from easeml.stream.service import Packed

POSITION = b"position"
JOURNAL = b"journal"
ATTEMPT = b"attempt"
NEEDED = b"needed"
_STATE = "state/"
_FLOOR = "floor/"
_DIGEST = 8
_VERSION = metadata.version("easeml-streaming")
WINDOW = 1024
"""Event ids remembered per app: more than any crash of a producer repeats (64 events with 10 outputs each)."""


def changelog_topic(service: str) -> str:
    """Return the name of a service's changelog topic.

    >>> changelog_topic("ci")
    'easeml.ci.state.v1'
    """
    return f"easeml.{service}.state.v1"


class Window:
    """The last ids of an app, as 8-byte digests: enough to recognise a repeated event.

    >>> window = Window()
    >>> window.add("a"), "a" in window, "b" in window
    (None, True, False)
    """

    __slots__ = ("_digests",)

    def __init__(self, recent: Iterable[str] = ()) -> None:
        raw = b"".join(base64.b64decode(text) for text in recent)
        self._digests = {raw[i : i + _DIGEST]: None for i in range(0, len(raw), _DIGEST)}

    @staticmethod
    def _digest(event_id: str) -> bytes:
        return hashlib.blake2b(event_id.encode(), digest_size=_DIGEST).digest()

    def __contains__(self, event_id: object) -> bool:
        return self._digest(str(event_id)) in self._digests

    def add(self, event_id: str) -> None:
        """Remember an id and forget the oldest beyond the window."""
        self._digests[self._digest(event_id)] = None
        if len(self._digests) > WINDOW:
            del self._digests[next(iter(self._digests))]

    def pack(self) -> tuple[str, ...]:
        """Return the storable form, oldest first."""
        return (base64.b64encode(b"".join(self._digests)).decode(),) if self._digests else ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A state frozen at one moment: nothing of it is shared with the live state."""

    document: str
    arrays: tuple[StateArray, ...]

    @classmethod
    def freeze(cls, packed: Packed) -> Stored:
        """Copy a packed state.

        Raises
        ------
        TypeError
            When the document holds something that JSON cannot.
        """
        return cls(json.dumps(packed.document, separators=(",", ":")), tuple(_arrays(packed.arrays)))

    def thaw(self) -> Packed:
        """Return a packed state with arrays of its own that may be written."""
        arrays = {a.name: np.frombuffer(a.data, np.dtype(a.dtype)).reshape(a.shape).copy() for a in self.arrays}
        return Packed(json.loads(self.document), arrays)


def _arrays(arrays: Mapping[str, Any]) -> Iterable[StateArray]:
    for name, array in arrays.items():
        values = np.asarray(array)
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        if little.dtype.hasobject:
            raise TypeError(f"State array {name!r} holds Python objects; only numbers can be stored.")
        yield StateArray(name, little.dtype.str, little.shape, little.tobytes())


@dataclass(slots=True)
class Attempt:
    """Crashes that one event has caused; none where its job took too long, which is not tried again."""

    count: int
    message: str


@dataclass(slots=True)
class Snapshot:
    """What a changelog partition says after it was read to its end."""

    states: dict[str, StateRecord] = field(default_factory=dict)
    floors: dict[str, dict[str, int]] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    journal: JournalRecord | None = None
    attempts: dict[tuple[str, int], Attempt] = field(default_factory=dict)
    needed: dict[str, list[Run]] = field(default_factory=dict)

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Apply one changelog message; the last one per key counts.

        Raises
        ------
        SchemaError
            When the value is not one of the kernel's records.
        """
        name = key.decode()
        record = None if value is None else codec.decode(value)
        if name.startswith(_STATE):
            self.states.pop(name.removeprefix(_STATE), None)
            if record is not None:
                self.states[name.removeprefix(_STATE)] = cast("StateRecord", record)
        elif name.startswith(_FLOOR):
            self.floors[name.removeprefix(_FLOOR)] = dict(cast("PositionRecord", record).positions) if record else {}
        elif key == POSITION:
            self.positions = dict(cast("PositionRecord", record).positions)
        elif key == JOURNAL:
            self.journal = cast("JournalRecord", record)
        elif key == NEEDED:
            told, self.needed = cast("NeededRecord", record), {}
            if told.version != _VERSION:
                return
            for topic, start, end in zip(told.topics, told.starts, told.ends, strict=True):
                self.needed.setdefault(topic, []).append((start, end))
        elif key == ATTEMPT:
            crashed = cast("AttemptRecord", record)
            places = zip(crashed.topics, crashed.offsets, crashed.counts, crashed.messages, strict=True)
            self.attempts = {(topic, offset): Attempt(count, text) for topic, offset, count, text in places}


@dataclass(frozen=True, slots=True)
class Writer:
    """Makes the changelog messages of one partition."""

    service: str
    partition: int

    def _message(self, key: bytes, data: Payload | None) -> Message:
        value = None if data is None else codec.encode(data)
        return Message(changelog_topic(self.service), self.partition, key, value)

    def state(self, record: StateRecord) -> Message:
        """Return the message of one app's state."""
        return self._message(f"{_STATE}{record.app}".encode(), record)

    def tombstone(self, app: str) -> Message:
        """Return the message that deletes an app's state."""
        return self._message(f"{_STATE}{app}".encode(), None)

    def floor(self, app: str, positions: Mapping[str, int]) -> Message:
        """Return the message below which an app's events are never folded again."""
        return self._message(f"{_FLOOR}{app}".encode(), PositionRecord(dict(positions)))

    def position(self, positions: Mapping[str, int]) -> Message:
        """Return the message of the position in all inputs."""
        return self._message(POSITION, PositionRecord(dict(positions)))

    def journal(self, entries: Iterable[tuple[str, int, bool]]) -> Message:
        """Return the message of a batch's order; entries are (topic, offset, parked)."""
        listed = tuple(entries)
        parked = tuple(place for place, (_, _, waits) in enumerate(listed) if waits)
        return self._message(
            JOURNAL, JournalRecord(tuple(t for t, _, _ in listed), tuple(o for _, o, _ in listed), parked)
        )

    def needed(self, needs: Needs) -> Message:
        """Return the message of what is to be folded again."""
        runs = [(topic, start, end) for topic, found in needs.items() for start, end in found]
        starts, ends = tuple(start for _, start, _ in runs), tuple(end for _, _, end in runs)
        return self._message(NEEDED, NeededRecord(tuple(topic for topic, _, _ in runs), starts, ends, _VERSION))

    def attempts(self, attempts: Mapping[tuple[str, int], Attempt]) -> Message:
        """Return the message of all crash counts that still matter."""
        places = list(attempts.items())
        return self._message(
            ATTEMPT,
            AttemptRecord(
                tuple(topic for (topic, _), _ in places),
                tuple(offset for (_, offset), _ in places),
                tuple(attempt.count for _, attempt in places),
                tuple(attempt.message for _, attempt in places),
            ),
        )
