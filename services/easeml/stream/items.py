"""A message on its way through a partition, what became of it, and what a batch of them must write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from easeml.errors import Poison
from easeml.stream.events import Event
from easeml.stream.messages import Message, Record
from easeml.stream.service import Job


class Outcome(Enum):
    """What became of an offered message."""

    DONE = "done"  #: applied, skipped or dead-lettered; the next one may come
    BUSY = "busy"  #: its handler asks for another try later
    WAITS = "waits"  #: its app is not known yet; certain after the next round of the broadcast view
    JOB = "job"  #: ``item.job`` must run in a worker process first
    RISK = "risk"  #: the try must be written down first


@dataclass(slots=True)
class Item:
    """A message on its way through the partition."""

    record: Record
    event: Event[Any] | None = None
    folded: bool = False
    follows: Callable[[], bool] = bool
    job: Job | None = None
    answered: bool = False
    dared: bool = False
    result: Any = None
    failure: Exception | None = None


class HandlerCrashError(Exception):
    """A service's code failed on a message: the process must stop without going on.

    Parameters
    ----------
    item : Item
        The message.
    error : Exception
        What the code raised.
    """

    def __init__(self, item: Item, error: Exception) -> None:
        record = item.record
        super().__init__(f"{record.topic}[{record.partition}]@{record.offset}: {type(error).__name__}: {error}")
        self.item = item
        self.error = error


class TooSlowError(Poison):
    """A job was ended because it took too long: its message is given up once and for all."""

    reason = "too_slow"


@dataclass(slots=True)
class Effects:
    """What a batch must write, and what it was.

    Parameters
    ----------
    journal : Message or None
        To be acknowledged before ``messages`` are sent.
    messages : list of Message
        Outputs and dead letters; to be acknowledged before ``records`` are sent.
    records : list of Message
        States and position, for the changelog, in this order; complete after ``remember``.
    positions : dict of str to int
        Last applied offset per topic.
    counts : Counter
        ``events``, ``outputs``, ``duplicates``, ``ignored``, and ``dead:<reason>``.
    """

    journal: Message | None = None
    messages: list[Message] = field(default_factory=list)
    records: list[Message] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
