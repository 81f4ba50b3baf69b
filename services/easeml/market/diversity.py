"""Rows that do not repeat each other: spacing, thinning and k-center.

Source: Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985 (greedy k-center).
"""

from __future__ import annotations

import numpy as np

from easeml.market.neighbours import BLOCK, Floats, Ints, squared_distances


def nearest_distances(queries: Floats, rows: Floats, *, others: bool = False) -> Floats:
    """Return the distance of each query to the nearest row: float64[q]; infinite without rows.

    Parameters
    ----------
    queries, rows : ndarray of float64, shapes (q, d) and (n, d)
    others : bool
        The queries are the rows, and none counts for itself.
    """
    nearest = np.full(len(queries), np.inf)
    if not len(rows):
        return nearest
    origin = rows.mean(axis=0)
    centred = rows - origin
    for start in range(0, len(queries), BLOCK):
        part = queries[start : start + BLOCK] - origin
        distances = squared_distances(part, centred)
        if others:
            own = np.arange(len(part))
            distances[own, start + own] = np.inf
        nearest[start : start + BLOCK] = np.sqrt(distances.min(axis=1))
    return nearest


def spacing(rows: Floats) -> float:
    """Return the median distance of a row to its nearest other row; 0 with fewer than two rows."""
    return float(np.median(nearest_distances(rows, rows, others=True))) if len(rows) > 1 else 0.0


def thin(rows: Floats, gap: float, count: int) -> Ints:
    """Return the first ``count`` rows of which none is nearer than ``gap`` to an earlier one, in order.

    Where too few are that far apart, the first of the others follow. Cost O(n count d).

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
        Best first.
    gap : float
    count : int
    """
    chosen: list[int] = []
    passed: list[int] = []
    for row in range(len(rows)):
        if len(chosen) == count:
            break
        near = chosen and ((rows[chosen] - rows[row]) ** 2).sum(axis=1).min() < gap**2
        (passed if near else chosen).append(row)
    return np.array(chosen + passed[: count - len(chosen)], np.int64)


def k_center(rows: Floats, owned: Floats, count: int) -> Ints:
    """Return ``count`` rows, each the farthest from all owned and chosen ones: float64[n, d] -> int64[count].

    Within twice the smallest covering radius that any choice of ``count`` rows has. Cost O(n count d).
    """
    count = min(count, len(rows))
    distances = nearest_distances(rows, owned)
    chosen = np.empty(count, np.int64)
    for place in range(count):
        chosen[place] = distances.argmax()
        distances = np.minimum(distances, np.sqrt(((rows - rows[chosen[place]]) ** 2).sum(axis=1)))
        distances[chosen[: place + 1]] = -1.0
    return chosen
