"""How the house is: its processes, topics and dead letters."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from typing import Any

from easeml.cli.status import service_row
from easeml.stream import admin
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import BY_NAME, guarded_topics
from easeml.supervisor.roster import PROCESSES

_WHILE = 1.0
_LETTERS = ".dlq"


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


def without_counts(told: dict[str, Any]) -> dict[str, Any]:
    """Return what all keepers may see: the number of questions about test rows would tell more than a verdict's bit."""
    guarded = set(guarded_topics())
    topics = [row | ({"messages": None, "letters": None} if row["topic"] in guarded else {}) for row in told["topics"]]
    return told | {"topics": topics}


async def _round(settings: Settings) -> dict[str, Any]:
    services, topics = await asyncio.gather(
        asyncio.gather(*(asyncio.to_thread(service_row, settings, name) for name in PROCESSES)),
        asyncio.to_thread(_topics, settings),
    )
    return {"broker": settings.bootstrap_servers, "services": services, "topics": topics}


def _topics(settings: Settings) -> list[dict[str, Any]]:
    names = sorted(admin.existing(settings))
    # A reader that began at the beginning would fetch ahead all that is there, again with every look.
    reader = TopicReader(settings, names, from_beginning=False)
    try:
        ends = reader.ends()
    finally:
        reader.close()
    messages: Counter[str] = Counter()
    for (name, _), end in ends.items():
        messages[name] += end
    return [
        {"topic": name, "messages": messages[name], "letters": messages[f"{name}{_LETTERS}"], "policy": _policy(name)}
        for name in names
        if not name.endswith(_LETTERS)
    ]


def _policy(name: str) -> str:
    topic = BY_NAME.get(name)
    if topic is None:
        return "state"
    return "restricted" if topic.restricted else "compacted" if topic.compacted else ""
