"""Ease.ML: the whole life cycle of a machine-learning application as streaming services."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from easeml.client import Client

__all__ = ["Client"]

# A library speaks when it is asked to: without this, the Kafka client's retries would fill a user's terminal.
logging.getLogger("easeml").addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    # Rooms must import without dragging the SDK along: the broker alone, an algorithm in a notebook.
    if name == "Client":
        from easeml.client import Client  # noqa: PLC0415 - on demand

        return Client
    raise AttributeError(f"module 'easeml' has no attribute {name!r}")
