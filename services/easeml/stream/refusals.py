"""Dead letters of the broadcast view's topics, which every instance of every service reads.

All of them refuse the same message, at every start again. They agree on the id of its letter, and none writes a
letter whose id is there already; those that write at the same moment write one letter several times, which counts
once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from easeml.errors import EaseMLError
from easeml.stream.bulk import BulkReader
from easeml.stream.messages import Message, Record
from easeml.stream.outbox import Outbox
from easeml.stream.poison import EVERY_SERVICE, PREFIX, Burial, dead_letter
from easeml.stream.settings import Settings

log = logging.getLogger(__name__)


class Refusals:
    """Writes the dead letters of what the broadcast view refused; lives in the event loop.

    Parameters
    ----------
    settings : Settings
        Cluster and limits.
    outbox : Outbox
        Writes the letters.
    """

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._settings = settings
        self._outbox = outbox
        self._due: list[Message] = []
        self._task: asyncio.Task[None] | None = None

    def note(self, record: Record, error: EaseMLError) -> None:
        """Take note of a refused message; its letter is written soon."""
        log.warning("%s[%d]@%d is given up: %s", record.topic, record.partition, record.offset, error)
        burial = Burial(EVERY_SERVICE, record.seconds)
        self._due.append(dead_letter(record, error, burial, self._settings.max_message_bytes))
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._write())

    async def _write(self) -> None:
        while self._due:
            due, self._due = self._due, []
            try:
                known = await asyncio.to_thread(self._known, due)
                await self._outbox.send([letter for letter in due if _id_of(letter.headers) not in known])
            except EaseMLError as error:  # the next start refuses them again
                log.warning("%d dead letters were not written: %s", len(due), error)

    def _known(self, letters: Sequence[Message]) -> set[bytes]:
        reader = BulkReader(self._settings)
        known: set[bytes] = set()
        try:
            reader.begin(reader.bounds({(letter.topic, letter.partition) for letter in letters}))
            while found := reader.chunk():
                known.update(_id_of(record.headers) for record in found)
        finally:
            reader.close()
        return known

    async def stop(self) -> None:
        """Finish the letters under way."""
        if self._task is not None:
            await self._task


def _id_of(headers: Sequence[tuple[str, bytes]]) -> bytes:
    return next((value for name, value in headers if name == f"{PREFIX}id"), b"")
