"""Which rows to ask about: greedy by expected information per cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from easeml.cpclean.neighbours import Floats, Ints

_NOISE = 1e-13
"""Nats that rounding can make of nothing."""
_EQUAL = 1e-9
"""Relative difference of gains that rounding can make of none; the smaller row then comes first."""


def best_rows(
    rows: NDArray[np.int32], values: Floats, points: Ints, entropies: Floats, cost: Floats, batch: int, pending: Ints
) -> Ints:
    """Return the rows to ask about, the best first.

    Each of a batch lowers the entropy of its points by its expected share, so the next one is worth less there:
    two annotators are not asked for the same piece of knowledge.

    Parameters
    ----------
    rows, values, points : ndarray, shape (p,)
        Row, expected nats and point of every pair that can touch.
    entropies : ndarray of float64, shape (v,)
        Of the points, in nats.
    cost : ndarray of float64, shape (n,)
        Price of each row.
    batch : int
        Rows at most.
    pending : ndarray of int64
        Rows that are asked about already.

    Notes
    -----
    Where no gain can be told from rounding although points are uncertain, the row that touches most of them comes
    first: knowing all rows that touch a point settles it.
    """
    worth = np.where(values > _NOISE, values, 0.0)
    if not worth.any():
        worth = np.ones(len(values))
    left = np.ones(len(entropies))
    share = np.minimum(worth / np.maximum(entropies, _NOISE)[points], 1.0)
    asked = np.zeros(len(cost), bool)

    def ask(row: int) -> None:
        asked[row] = True
        mine = rows == row
        left[points[mine]] *= 1 - share[mine]

    for row in pending.tolist():
        ask(row)
    chosen: list[int] = []
    while len(chosen) < batch:
        score = np.where(asked, 0.0, np.bincount(rows, worth * left[points], minlength=len(cost)) / cost)
        best = score.max(initial=0.0)
        if best <= 0:
            break
        chosen.append(int(np.argmax(score >= best * (1 - _EQUAL))))
        ask(chosen[-1])
    return np.array(chosen, np.int64)
