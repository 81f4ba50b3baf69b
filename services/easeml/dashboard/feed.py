"""Reads the topics in a thread and hands events to the event loop, where everything else lives."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from easeml.dashboard.changes import Changes
from easeml.dashboard.house import FOLLOWED, House
from easeml.dashboard.letters import Letters
from easeml.errors import SchemaError
from easeml.stream.events import Event
from easeml.stream.messages import Record
from easeml.stream.reader import TopicReader, decoded
from easeml.stream.settings import Settings
from easeml.stream.topics import APPS, CATALOGUE

log = logging.getLogger(__name__)
_CHUNK = 500
_DEAD_LETTERS = frozenset(topic.dead_letters for topic in CATALOGUE)
LETTERS = ("", "letters")
"""What has changed when a dead letter came or was marked: it is of no app."""


class Feed:
    """Keeps a ``House`` up to date.

    Parameters
    ----------
    settings : Settings
        Cluster to read.
    house, letters : House, Letters
        Fed in the event loop.
    changes : Changes
        Told what has changed.
    fail : callable
        Called in the event loop with the error that ended the thread.
    """

    def __init__(
        self,
        settings: Settings,
        house: House,
        letters: Letters,
        changes: Changes,
        fail: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._house = house
        self._letters = letters
        self._changes = changes
        self._fail = fail
        self._stopping = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._caught_up: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    async def start(self) -> None:
        """Read everything that is there now.

        Raises
        ------
        UnavailableError, NotFoundError, PermissionDeniedError
            When the broker does not answer, or a topic is missing or may not be read.
        """
        self._thread.start()
        await self._caught_up

    def _run(self) -> None:
        try:
            self._replay((APPS.name,))
            reader = TopicReader(self._settings, (*FOLLOWED, *sorted(_DEAD_LETTERS)))
            try:
                self._hand_over(reader.replay_raw())
                self._loop.call_soon_threadsafe(self._settle)
                while not self._stopping.is_set():
                    self._hand_over(reader.raw())
            finally:
                reader.close()
        except Exception as error:  # a dashboard that does not follow would show a past that looks like the present
            if not self._stopping.is_set():
                self._loop.call_soon_threadsafe(self._end, error)

    def _replay(self, topics: tuple[str, ...]) -> None:
        reader = TopicReader(self._settings, topics)
        try:
            self._hand_over(reader.replay_raw())
        finally:
            reader.close()

    def _hand_over(self, records: Iterable[Record]) -> None:
        """Fold messages in the event loop, chunk after chunk: one waits for the other, so none piles up."""
        for chunk in _chunks(iter(records)):
            if self._stopping.is_set():
                return
            letters = [record for record in chunk if record.topic in _DEAD_LETTERS]
            events = list(_events(record for record in chunk if record.topic not in _DEAD_LETTERS))
            asyncio.run_coroutine_threadsafe(self._fold(events, letters), self._loop).result()

    async def _fold(self, events: list[Event[Any]], letters: list[Record]) -> None:
        changed = self._house.fold(events)
        if self._letters.fold(letters):
            changed.add(LETTERS)
        self._changes.note(changed)

    def _settle(self) -> None:
        if not self._caught_up.done():
            self._caught_up.set_result(None)

    def _end(self, error: Exception) -> None:
        if self._caught_up.done():
            self._fail(error)
        else:
            self._caught_up.set_exception(error)

    async def stop(self) -> None:
        """Stop following and leave the broker."""
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)


def _chunks(records: Iterator[Record]) -> Iterator[list[Record]]:
    while chunk := list(islice(records, _CHUNK)):
        yield chunk


def _events(records: Iterable[Record]) -> Iterator[Event[Any]]:
    for record in records:
        try:
            event = decoded(record)
        except SchemaError as error:  # its services dead-letter it, with the cause
            log.debug("%s[%d]@%d: %s", record.topic, record.partition, record.offset, error)
            continue
        if event is not None:
            yield event
