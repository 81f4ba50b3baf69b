"""How the house is: its processes, topics and dead letters."""

from __future__ import annotations

import asyncio
from typing import Any

from easeml.cli.status import service_row, topic_rows
from easeml.stream.settings import Settings
from easeml.supervisor.roster import PROCESSES


async def operations(settings: Settings) -> dict[str, Any]:
    """Return the state of every process and topic, as plain data; every process is asked for its health."""
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
