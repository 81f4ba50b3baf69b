"""How the house is: its processes, topics and dead letters."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

from easeml.cli.status import service_row, topic_rows
from easeml.stream.settings import Settings
from easeml.supervisor.roster import PROCESSES

_WHILE = 1.0


class Rounds:
    """Asks every process how it is, at most once in a while however many browsers want to know.

    Parameters
    ----------
    settings : Settings
        The house.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._told: dict[str, Any] = {}
        self._at = -math.inf

    async def told(self) -> dict[str, Any]:
        """Return the state of every process and topic, as plain data."""
        async with self._lock:
            if time.monotonic() - self._at > _WHILE:
                self._told = await _round(self._settings)
                self._at = time.monotonic()
            return self._told


async def _round(settings: Settings) -> dict[str, Any]:
    services, topics = await asyncio.gather(
        asyncio.gather(*(asyncio.to_thread(service_row, settings, name) for name in PROCESSES)),
        asyncio.to_thread(topic_rows, settings),
    )
    letters = {row["topic"].removesuffix(".dlq"): row["end_offsets"] for row in topics if row["topic"].endswith(".dlq")}
    return {
        "broker": settings.bootstrap_servers,
        "services": services,
        "topics": [
            {"topic": row["topic"], "messages": row["end_offsets"], "policy": row["policy"]}
            | {"letters": letters.get(row["topic"], 0)}
            for row in topics
            if not row["topic"].endswith(".dlq")
        ],
    }
