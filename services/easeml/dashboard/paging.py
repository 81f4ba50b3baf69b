"""Long lists as browsers get them: one page at a time, and few points of a history for its chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

PAGE = 50
POINTS = 200
"""Points of a curve that are shown: more than half as many pixels as the narrowest screen has."""
_DIGITS = 5


def newest(items: Sequence[T], start: int, size: int = PAGE) -> tuple[list[T], dict[str, Any]]:
    """Return a page of a list, the newest first, and where it is.

    Parameters
    ----------
    items : sequence
        The oldest first.
    start : int
        Items left out before; beyond the end, the page shows the oldest item.
    size : int
        Items of a page.

    Examples
    --------
    >>> newest("abcde", 1, 2)
    (['d', 'c'], {'start': 1, 'count': 5, 'page': 2})
    """
    start = min(start, max(0, len(items) - 1))
    end = len(items) - start
    return list(items[max(0, end - size) : end])[::-1], {"start": start, "count": len(items), "page": size}


def places(count: int, most: int = POINTS) -> list[int]:
    """Return which of many points are shown: all of few, else as many as allowed, both ends among them.

    Examples
    --------
    >>> places(3), places(1000, 4)
    ([0, 1, 2], [0, 333, 666, 999])
    """
    if count <= most:
        return list(range(count))
    chosen: list[int] = np.linspace(0, count - 1, most).astype(np.int64).tolist()
    return chosen


def brief(value: float | None) -> float | None:
    """Return a number as a chart needs it: nobody sees its sixteenth digit, and a page has thousands.

    Examples
    --------
    >>> brief(1 / 3), brief(123456.7), brief(None)
    (0.33333, 123456.7, None)
    """
    return value if value is None or not math.isfinite(value) else round(value, _DIGITS)
