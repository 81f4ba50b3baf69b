"""How work that lasts tells how far it is: the same everywhere."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with what is done, the total (0: unknown) and what is counted."""


def silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""
