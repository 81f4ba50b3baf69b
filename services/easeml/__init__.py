"""Ease.ML: the whole life cycle of a machine-learning application as streaming services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from easeml.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    # Rooms must import without dragging the SDK along: the broker alone, an algorithm in a notebook.
    if name == "Client":
        from easeml.client import Client  # noqa: PLC0415 - on demand

        return Client
    raise AttributeError(f"module 'easeml' has no attribute {name!r}")
