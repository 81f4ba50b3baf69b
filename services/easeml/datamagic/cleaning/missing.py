"""Words that people and programs write where a value is missing, and numbers that only look like values.

Event in, event out: none; strings in, masks out. The tokens are those that the readers of R, pandas, SQL dumps,
spreadsheets and SAS write. A sentinel (999) is only reported: it may be a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOKENS = frozenset(
    {"", "na", "n/a", "n.a.", "n.a", "#n/a", "#na", "null", "#null!", "nan", "<na>", "nat", "\\n", "-", "--", "---"}
    | {"–", "—", "?", "??", "???", "(null)", "#value!", "#div/0!", "#ref!", "-nan", "1.#ind", "1.#qnan"}
)
"""Missing in every column, in lower case."""
WEAK_TOKENS = frozenset(
    {"none", "nil", "missing", "unknown", "undefined", "not available", "not applicable", ".", "*", "x", "k.a."}
)
"""Missing only among numbers, dates and booleans; elsewhere they may be a category like any other."""
_MOST_SENTINEL_SHARE = 0.5


def is_missing(texts: Iterable[str], *, weak: bool = False) -> NDArray[np.bool_]:
    """Return which texts say that a value is missing; ``weak`` takes the doubtful words too.

    >>> is_missing(["N/A", "7", "none"]).tolist()
    [True, False, False]
    """
    words = TOKENS | WEAK_TOKENS if weak else TOKENS
    return np.fromiter((text.strip().lower() in words for text in texts), np.bool_)


def sentinels(numbers: NDArray[Any]) -> tuple[float, ...]:
    """Return the numbers that probably stand for "missing": repeated, of nines or -1, and far from all others.

    Parameters
    ----------
    numbers : ndarray of float64, shape (n,)
        A column; NaN is missing.

    Notes
    -----
    "Far": further from the nearest other value than those others spread (largest less smallest); -1 and -9: the only
    negative number in a column of whole ones. Cost: a sort, O(n log n).
    """
    known = numbers[np.isfinite(numbers)]
    values, counts = np.unique(known, return_counts=True)
    found = []
    for place in {0, len(values) - 1} if len(values) > 2 else set():
        value, count = values[place], counts[place]
        if count < 2 or count > _MOST_SENTINEL_SHARE * len(known):
            continue
        others = np.delete(values, place)
        spread = float(others[-1] - others[0])
        digits = f"{abs(value):.0f}"
        nines = value.is_integer() and set(digits) == {"9"} and len(digits) > 1
        far = min(abs(value - others[0]), abs(value - others[-1])) > spread
        lone = value in (-1.0, -9.0) and others[0] >= 0 and bool((others % 1 == 0).all())
        if (nines and far) or lone:
            found.append(float(value))
    return tuple(sorted(found))
