"""The clock, the audit trail and the kernel's own records."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """The only clock of the services: one event a second on every partition."""

    sequence: int  #: ticks since the supervisor started
    time: float  #: seconds since 1970 UTC


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what."""

    app: str  #: name of the app
    actor: str  #: who
    action: str  #: what, e.g. SubmitAnswer
    subject: str  #: on which thing
    outcome: str  #: ok or the reason of the refusal


@dataclass(frozen=True, slots=True)
class StateArray:
    """One numpy array of a service's state."""

    name: str  #: name within the state
    dtype: str  #: numpy dtype string, little-endian
    shape: tuple[int, ...]  #: shape, row-major
    data: bytes  #: raw items


@dataclass(frozen=True, slots=True)
class StateRecord:
    """State of one app in one service; the changelog's value under the key ``state/<app>``."""

    app: str  #: name of the app
    applied: dict[str, int]  #: last applied offset per input topic
    recent: tuple[str, ...]  #: window of events already applied: base64 of their 8-byte id digests, oldest first
    document: str  #: JSON part of the state
    arrays: tuple[StateArray, ...] = ()  #: numeric part of the state
    life: str = ""  #: of the app, as in AppDefined


@dataclass(frozen=True, slots=True)
class PositionRecord:
    """Position of a service in its inputs; the changelog's value under the key ``position``."""

    positions: dict[str, int]  #: last applied offset per input topic; every event up to it is applied


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """Order in which a batch of events of several topics is applied; the changelog's value under ``journal``."""

    topics: tuple[str, ...]  #: topic of each event, in the order of application
    offsets: tuple[int, ...]  #: offset of each event
    parked: tuple[int, ...] = ()  #: places in this list whose event was only folded; its handler waits


@dataclass(frozen=True, slots=True)
class NeededRecord:
    """Messages to fold again after a restart, as half-open runs of offsets; the changelog's value under ``needed``.

    Topics that are not named are folded whole.
    """

    topics: tuple[str, ...]  #: topic of each run
    starts: tuple[int, ...]  #: first offset of each run
    ends: tuple[int, ...]  #: offset after the last one of each run
    version: str = ""  #: of the package that wrote this; the views of another one may rest on more


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """Crashes that events have caused; the changelog's value under ``attempt``, written before a retry."""

    topics: tuple[str, ...]  #: topic of each event
    offsets: tuple[int, ...]  #: offset of each event
    counts: tuple[int, ...]  #: crashes of each event so far
    messages: tuple[str, ...]  #: last exception of each event
