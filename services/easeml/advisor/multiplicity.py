"""Many tests at once: which findings stay when the number of questions asked is counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Flags = NDArray[np.bool_]


def benjamini_hochberg(p_values: ArrayLike, alpha: float, tests: int | None = None) -> Flags:
    """Return which hypotheses are rejected with a false-discovery rate of at most ``alpha``.

    Parameters
    ----------
    p_values : array-like of float, shape (m,)
        p-values in [0, 1].
    alpha : float
        Rate, in (0, 1).
    tests : int, optional
        Hypotheses in all, at least m: those that were never looked at count as if their p-value were 1, which keeps
        the guarantee however the m were chosen.

    Source: Benjamini & Hochberg, JRSS-B 57, 1995.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03, 0.5], 0.05).tolist()
    [True, False, False, False]
    """
    p = np.asarray(p_values, np.float64)
    if not len(p):
        return np.zeros(0, bool)
    order = np.sort(p)
    below = np.flatnonzero(order <= alpha * np.arange(1, len(p) + 1) / max(tests or 0, len(p)))
    return np.asarray(p <= order[below[-1]]) if len(below) else np.zeros(len(p), bool)


def holm(p_values: ArrayLike, alpha: float) -> Flags:
    """Return which hypotheses are rejected with a probability of any false rejection of at most ``alpha``.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03], 0.05).tolist()
    [True, False, False]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    passed = np.cumprod(p[order] <= alpha / (len(p) - np.arange(len(p)))).astype(bool)
    found = np.zeros(len(p), bool)
    found[order] = passed
    return found
