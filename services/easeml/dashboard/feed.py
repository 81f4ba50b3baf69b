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
from easeml.stream.events import Event
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import APPS

log = logging.getLogger(__name__)
_CHUNK = 500


class Feed:
    """Keeps a ``House`` up to date.

    Parameters
    ----------
    settings : Settings
        Cluster to read.
    house : House
        Fed in the event loop.
    changes : Changes
        Told what has changed.
    fail : callable
        Called in the event loop with the error that ended the thread.
    """

    def __init__(self, settings: Settings, house: House, changes: Changes, fail: Callable[[Exception], None]) -> None:
        self._settings = settings
        self._house = house
        self._changes = changes
        self._fail = fail
        self._stopping = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._caught_up: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self.unreadable = 0
        """Messages that are no events."""

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
            reader = TopicReader(self._settings, FOLLOWED)
            try:
                self._hand_over(reader.replay())
                self._loop.call_soon_threadsafe(self._settle)
                while not self._stopping.is_set():
                    self._hand_over(reader.events())
                    self.unreadable = reader.unreadable
            finally:
                reader.close()
        except Exception as error:  # a dashboard that does not follow would show a past that looks like the present
            if not self._stopping.is_set():
                self._loop.call_soon_threadsafe(self._end, error)

    def _replay(self, topics: tuple[str, ...]) -> None:
        reader = TopicReader(self._settings, topics)
        try:
            self._hand_over(reader.replay())
        finally:
            reader.close()

    def _hand_over(self, events: Iterable[Event[Any]]) -> None:
        """Fold events in the event loop, chunk after chunk: one waits for the other, so none piles up."""
        for chunk in _chunks(iter(events)):
            if self._stopping.is_set():
                return
            asyncio.run_coroutine_threadsafe(self._fold(chunk), self._loop).result()

    async def _fold(self, chunk: list[Event[Any]]) -> None:
        self._changes.note(self._house.fold(chunk))

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


def _chunks(events: Iterator[Event[Any]]) -> Iterator[list[Event[Any]]]:
    while chunk := list(islice(events, _CHUNK)):
        yield chunk
