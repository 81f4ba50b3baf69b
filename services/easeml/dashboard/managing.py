"""Pausing, resuming and erasing an app from its page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from easeml import pausing
from easeml.stream.settings import Settings

ACTIONS = ("pause", "resume", "erase")


def act(settings: Settings, action: str, app: str, actor: str) -> dict[str, Any]:
    """Do one of ``ACTIONS`` and return what there is to tell, as plain data; it blocks, and erasing takes a while.

    Raises
    ------
    EaseMLError
        As ``pausing`` and ``erasure`` raise it.
    """
    # These bring all that ingests files and trains models: 100 MB that few ever need.
    from easeml import erasure  # noqa: PLC0415
    from easeml.client import Client  # noqa: PLC0415

    with Client(settings.bootstrap_servers, home=settings.home) as client:
        if action == "erase":
            done = erasure.erase(client, app, actor)
            return asdict(done) | {"complete": done.complete, "text": str(done)}
        change = pausing.pause if action == "pause" else pausing.resume
        return {"app": app, "paused": pausing.is_paused(change(client, app, actor))}
