"""Syncing what was written to the disk: the logs first, then the journal, whose positions must not lie beyond them."""

from __future__ import annotations

import asyncio
import logging

from easeml.broker.journal import Journal
from easeml.broker.log import PartitionLog
from easeml.broker.segment import Segment
from easeml.broker.topics import Topics

_LOG = logging.getLogger(__name__)


class Flusher:
    """Makes what was written survive a power cut.

    Parameters
    ----------
    topics : Topics
        All topics.
    journal : Journal
        Synced last.
    """

    def __init__(self, topics: Topics, journal: Journal) -> None:
        self._topics = topics
        self._journal = journal

    async def run(self) -> None:
        """Sync everything once; whoever cancels this loses nothing, as what was not synced stays marked."""
        for log in self._topics.logs():
            for segment in tuple(log.dirty):
                await self._sync(log, segment)
        try:
            await asyncio.to_thread(self._journal.sync)
        except OSError:
            _LOG.exception("the journal cannot be synced; it is tried again")

    @staticmethod
    async def _sync(log: PartitionLog, segment: Segment) -> None:
        size = segment.size
        try:
            # A thread, because the disk may take its time; appends go on meanwhile.
            await asyncio.to_thread(segment.store.sync)
        except OSError:
            if segment in log.dirty:  # otherwise it was deleted or replaced meanwhile
                _LOG.exception("%s: the segment of offset %d cannot be synced", log.name, segment.base_offset)
            return
        if segment.size == size:
            log.dirty.discard(segment)
