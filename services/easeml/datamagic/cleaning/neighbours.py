"""The nearest rows of a sample that have a value in a column: one search per row serves all of its columns.

The nearest rows with a value are nearly always among the few nearest of all, the row's shortlist; where that holds too
few of them, all are searched. One product in single precision finds a shortlist, differences measure it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Places = NDArray[np.int32]

NEIGHBOURS = 20
_SPARE = 1.5
"""Length of a shortlist, as a multiple of what its emptiest column needs on average."""
_FILLED = 0.2
"""Columns with values in a smaller share of the sample ask for no longer shortlist: searching their few is cheap."""
_FLOATS = 2**18
"""Distances, or differences, computed at once: a megabyte, to stay in the processor's cache."""
_LEAST_BLOCK = 16
_GROUPS = 5
"""Groups, per row sought, whose minima bound the rows sought."""
_CROWDED = 4
"""Rows within the bound, per row sought, from which on it saves nothing: many are equally far."""


class Shortlist(NamedTuple):
    """The nearest rows of some points, nearest first.

    Parameters
    ----------
    points : ndarray of float32, shape (n, width)
        The points.
    rows : ndarray of int32, shape (n, k)
        Places in the sample.
    distance : ndarray of float32, shape (n, k)
        Squared distances.
    """

    points: Singles
    rows: Places
    distance: Singles

    def select(self, keep: NDArray[np.bool_] | Ints) -> Shortlist:
        """Return the lists of the chosen points."""
        return Shortlist(self.points[keep], self.rows[keep], self.distance[keep])


class Neighbours:
    """Search among the rows of a sample.

    Parameters
    ----------
    points : ndarray of float64, shape (m, width)
        The rows, as ``Embedding.fit`` gives them.
    known : ndarray of bool, shape (m, columns)
        Which cells have a value.
    """

    def __init__(self, points: Floats, known: NDArray[np.bool_]) -> None:
        self._points = points.astype(np.float32)
        # With a one behind each x, the product with (-y, |y|^2 / 2) orders the y as |x - y|^2 does.
        self._keys = np.column_stack([-points, 0.5 * (points**2).sum(axis=1)]).astype(np.float32)
        self._known = np.ascontiguousarray(known.T)
        share = self._known.mean(axis=1) if len(known) else np.ones(0)
        self._listed = int(np.ceil(_SPARE * NEIGHBOURS / share[share >= _FILLED].min(initial=1.0)))

    def shortlist(self, points: Floats) -> Shortlist:
        """Return the nearest rows of points, shape (n, width); cost O(n m width)."""
        return self._searched(points.astype(np.float32), np.arange(len(self._points)), self._listed)

    def nearest(self, listed: Shortlist, column: int) -> Shortlist:
        """Return the nearest rows with a value in a column, 20 or, where there are fewer, all of them.

        Parameters
        ----------
        listed : Shortlist
            The shortlists of the points.
        column : int
            A column with at least one value.
        """
        donors = np.flatnonzero(self._known[column])
        k = min(NEIGHBOURS, len(donors))
        known = self._known[column][listed.rows]
        rank = known.cumsum(axis=1, dtype=np.int16)
        enough = rank[:, -1] >= k
        chosen = np.where(enough[:, None], known & (rank <= k), np.arange(known.shape[1]) < k)
        rows, distance = listed.rows[chosen].reshape(-1, k), listed.distance[chosen].reshape(-1, k)
        if not enough.all():
            _, rows[~enough], distance[~enough] = self._searched(listed.points[~enough], donors, k)
        return Shortlist(listed.points, rows, distance)

    def others(self, points: Floats, column: int) -> Shortlist:
        """Return the nearest other rows with a value in a column.

        Parameters
        ----------
        points : ndarray of float64, shape (n, width)
            One for each of the first n rows with a value, which is left out for it; there are more than one of them.
        column : int
            The column.
        """
        donors = np.flatnonzero(self._known[column])
        return self._searched(points.astype(np.float32), donors, min(NEIGHBOURS, len(donors) - 1), own=True)

    def _searched(self, points: Singles, donors: Ints, k: int, *, own: bool = False) -> Shortlist:
        """Return the k nearest donors of each point; ``own``: but for the donor of the point's place."""
        keys = self._keys if len(donors) == len(self._keys) else self._keys[donors]
        k = min(k, len(donors))
        rows, distance = np.empty((len(points), k), np.int32), np.empty((len(points), k), np.float32)
        block = max(_FLOATS // max(len(donors), k * points.shape[1]), _LEAST_BLOCK)
        for start in range(0, len(points), block):
            part = points[start : start + block]
            far = np.column_stack([part, np.ones(len(part), np.float32)]) @ keys.T
            if own:
                far[np.arange(len(part)), start + np.arange(len(part))] = np.inf
            near = donors[_least(far, k)]
            apart = self._points[near] - part[:, None, :]
            exact = np.einsum("nkw,nkw->nk", apart, apart)
            order = np.argsort(exact, axis=1)
            rows[start : start + block] = np.take_along_axis(near, order, axis=1)
            distance[start : start + block] = np.take_along_axis(exact, order, axis=1)
        return Shortlist(points, rows, distance)


def _least(far: Singles, k: int) -> Ints:
    """Return the places of the k least of each row, in any order.

    The k-th least of the minima of disjoint groups bounds the k-th least of all: hardly more than k are within it.
    """
    group = far
    while group.shape[1] >= 2 * _GROUPS * k:
        half = group.shape[1] // 2
        group = np.minimum(group[:, :half], group[:, half : 2 * half])
    if group is far:
        return np.argpartition(far, k - 1, axis=1)[:, :k]
    within = np.flatnonzero(far <= np.partition(group, k - 1, axis=1)[:, k - 1, None])
    if len(within) > _CROWDED * k * len(far):
        return np.argpartition(far, k - 1, axis=1)[:, :k]
    row, place = np.divmod(within, far.shape[1])
    slot = np.arange(len(row)) - np.searchsorted(row, np.arange(len(far)))[row]
    least = np.full((len(far), int(slot.max()) + 1), np.inf, np.float32)
    places = np.zeros(least.shape, np.int64)
    least[row, slot], places[row, slot] = far.ravel()[within], place
    return np.take_along_axis(places, np.argpartition(least, k - 1, axis=1)[:, :k], axis=1)
