"""What a service is to the kernel: a table of messages and the pure functions that handle them.

A service keeps two kinds of state. *App state* is small, changes by handlers, and is written to the service's
changelog after every batch of events. *Views* are big (rows, predictions), live in the service object, change by
folds that are idempotent and independent of the order of topics, and are rebuilt by replaying what they rest on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from easeml.stream.events import Event, Output
from easeml.stream.needs import Needs
from easeml.stream.payloads import AlgorithmAnnounced, AppDefined
from easeml.stream.topics import Topic

S = TypeVar("S")

JOB_SECONDS = 900.0
"""Seconds that a job may take, unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class Packed:
    """State in its storable form: JSON-able values and numpy arrays, never pickles."""

    document: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """CPU-heavy work for a worker process.

    Parameters
    ----------
    function : callable
        Importable by name.
    arguments : tuple
        Picklable; they never leave this machine.
    seconds : float
        Seconds on the wall after which it is ended and its message given up, with the reason ``too_slow``: far more
        than honest work takes, for otherwise it would hold up every app of its partition.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    seconds: float = JOB_SECONDS


@dataclass(frozen=True)
class Context:
    """What a handler may know beside its state and its event.

    Parameters
    ----------
    now : float
        Event time in seconds since 1970 UTC.
    app : AppDefined
        Newest definition of the event's app.
    algorithms : mapping of str to AlgorithmAnnounced
        Every announced algorithm, by id, in the order of announcement.
    seed : tuple of int
        Seed of ``rng``: secret epoch seed, service, app and event id, so outsiders cannot grind ids.
    result : Any
        What the event's job returned; None without a job.
    follows : callable
        What ``followed`` asks.
    """

    now: float
    app: AppDefined
    algorithms: Mapping[str, AlgorithmAnnounced]
    seed: tuple[int, ...]
    result: Any = None
    follows: Callable[[], bool] = bool

    @cached_property
    def rng(self) -> np.random.Generator:
        """Random generator of this event: a replay draws the same numbers."""
        return np.random.default_rng(self.seed)

    @cached_property
    def followed(self) -> bool:
        """Whether a later event of the same key waits already, for ``prepare`` alone, since it looks at all that wait.

        A job about what is no longer the newest need not be run. A replay may see it otherwise.
        """
        return self.follows()


Handle = Callable[[S, Event[Any], Context], Iterable[Output]]
Fold = Callable[[Event[Any]], None]
Prepare = Callable[[S, Event[Any], Context], Job | None]


@dataclass(frozen=True)
class On(Generic[S]):
    """One line of a service's table: what happens when ``payload`` arrives on ``topic``.

    Parameters
    ----------
    topic : Topic
        Input topic.
    payload : type
        Payload type; other types of the topic are skipped by this line.
    fold : callable, optional
        Updates the service's views. Runs before ``prepare`` and ``handle``, and again on every rebuild of the views,
        which goes through the topics one after another, in the order of the table; idempotent, no outputs. Raises
        Poison before it changes anything.
    prepare : callable, optional
        Returns the Job to run in a worker process before ``handle``, or None. Changes nothing. May raise Busy.
    handle : callable, optional
        Changes the app's state and returns outputs; deterministic given state, views, event and context. Raises Poison
        (give the event up) or Busy (try it again later); the kernel then restores the state. On TICKS it runs once
        per app of the partition.
    risky : bool
        Whether the handler may end the process, as native code does on what somebody made for that. Each try is
        written down first then, so that the message is given up in the end.
    """

    topic: Topic
    payload: type
    fold: Fold | None = None
    prepare: Prepare[S] | None = None
    handle: Handle[S] | None = None
    risky: bool = False


class Service(ABC, Generic[S]):
    """A streaming service: consume, call the algorithm, produce.

    ``S`` is the type of one app's state.
    """

    name: ClassVar[str]
    """Name of the service: consumer group ``easeml-<name>``, changelog ``easeml.<name>.state.v1``."""
    contract: ClassVar[str] = "v1"
    """Part of every output's id: raise it when the same input is to give other outputs."""

    @abstractmethod
    def table(self) -> tuple[On[S], ...]:
        """Return what the service consumes and what it does about each message."""

    @abstractmethod
    def produces(self) -> tuple[Topic, ...]:
        """Return the topics the service writes."""

    @abstractmethod
    def new_state(self, app: str) -> S:
        """Return the state of an app before its first event."""

    @abstractmethod
    def pack(self, state: S) -> Packed:
        """Return the storable form of a state.

        A service that returns the very object of the last time says that nothing has changed since, which spares the
        copy of a large state.
        """

    @abstractmethod
    def unpack(self, app: str, packed: Packed) -> S:
        """Return the state that ``pack`` stored."""

    def needed(self, app: str, state: S | None) -> Needs:
        """Return the messages that the views of an app rest on, of topics of which they do not keep everything.

        After a restart the others are not folded again; topics that are not named are folded whole, TICKS from the last
        one. Asked now and then, after the state, if there is one, was packed. A view that was folded from here must be
        what it is now.
        """
        del app, state
        return {}

    def forget(self, app: str) -> None:
        """Drop the views of an app: it was deleted or its partition is now elsewhere."""
