"""Upkeep of the logs: retention by time and by size."""

from __future__ import annotations

from collections.abc import Callable

from easeml.broker.log import PartitionLog
from easeml.broker.topics import Topics


class Cleaner:
    """Does what the topics' cleanup policies ask for.

    Parameters
    ----------
    topics : Topics
        All topics.
    now_ms : callable
        Clock, ms since the epoch.
    """

    def __init__(self, topics: Topics, now_ms: Callable[[], int]) -> None:
        self._topics = topics
        self._now_ms = now_ms

    async def run(self) -> None:
        """Look at every partition once."""
        for log in self._topics.logs():
            if log.config.delete:
                retain(log, self._now_ms())


def retain(log: PartitionLog, now_ms: int) -> None:
    """Drop the oldest segments that ``retention.ms`` or ``retention.bytes`` no longer cover."""
    config = log.config
    for segment in list(log.segments):
        newest = segment.max_timestamp if segment.max_timestamp >= 0 else segment.created_ms
        is_old = config.retention_ms >= 0 and now_ms - newest > config.retention_ms
        is_beyond = config.retention_bytes >= 0 and log.size - segment.size >= config.retention_bytes
        if not segment.size or not (is_old or is_beyond):
            return
        log.drop(segment)
