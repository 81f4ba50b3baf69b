"""Training rows by their distance from each validation row, in blocks of bounded memory.

Distance and row number share one integer, so that a plain sort of integers, without argsort or gather, orders rows by
distance and equally distant rows by number: the bits of a non-negative double, read as an integer, keep its order, and
its lowest ``ceil(log2 n)`` bits hold the row number instead. Distances that agree in the bits left count as tied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK = 64
"""Validation rows at once: the working memory is ``BLOCK`` x n doubles."""


def squared_distances(queries: Floats, rows: Floats) -> Floats:
    """Return squared Euclidean distances float64[q, n], none negative.

    The caller centres the features: what is far from the origin cancels.
    """
    distances = queries @ rows.T
    distances *= -2
    distances += np.einsum("ij,ij->i", rows, rows)
    distances += np.einsum("ij,ij->i", queries, queries)[:, None]
    return np.maximum(distances, 0.0, out=distances)


class Ranking:
    """Rows to be ordered by distance.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
        Training rows, n >= 1.

    Attributes
    ----------
    mask : int
        Bits of a key that hold the row number.
    """

    def __init__(self, rows: Floats) -> None:
        self._origin = rows.mean(axis=0)
        self._rows = rows - self._origin
        self._numbers = np.arange(len(rows), dtype=np.int64)
        self.mask = np.int64((1 << max(len(rows) - 1, 0).bit_length()) - 1)

    def blocks(self, queries: Floats, nearest: int | None = None) -> Iterator[tuple[slice, Ints]]:
        """Yield which queries, and for each the keys of all (or the ``nearest``) rows in ascending order.

        Parameters
        ----------
        queries : ndarray of float64, shape (v, d)
        nearest : int, optional

        Yields
        ------
        slice, ndarray of int64, shape (b, n) or (b, nearest)
            ``key & mask`` is the row number.
        """
        n = len(self._rows)
        for start in range(0, len(queries), BLOCK):
            part = slice(start, min(start + BLOCK, len(queries)))
            keys = self.keys(queries[part])
            if nearest is not None and nearest < n:
                keys.partition(nearest - 1, axis=1)
                keys = np.ascontiguousarray(keys[:, :nearest])
            keys.sort(axis=1)
            yield part, keys

    def orders(self, queries: Floats, nearest: int | None = None) -> Iterator[tuple[slice, Ints]]:
        """Yield the same as :meth:`blocks` with row numbers in place of keys."""
        for part, keys in self.blocks(queries, nearest):
            np.bitwise_and(keys, self.mask, out=keys)
            yield part, keys

    def keys(self, queries: Floats) -> Ints:
        """Return the keys of all rows, in their own order: int64[q, n]."""
        keys = squared_distances(queries - self._origin, self._rows).view(np.int64)
        keys &= ~self.mask
        keys |= self._numbers
        return keys

    def behind(self, queries: Floats, others: Floats) -> Ints:
        """Return keys of rows that do not belong to the ranking: each sorts behind rows as near as itself."""
        keys = squared_distances(queries - self._origin, others - self._origin).view(np.int64)
        keys |= self.mask
        return keys


def matches(labels: npt.NDArray[Any], code: int) -> Floats:
    """Return how surely each row has class ``code``: float64[n].

    Parameters
    ----------
    labels : ndarray
        Codes int64[n], or probabilities float64[n, c].
    code : int
    """
    if labels.ndim == 1:
        return np.asarray(labels == code, np.float64)
    if code >= labels.shape[1]:
        return np.zeros(len(labels))
    return np.ascontiguousarray(labels[:, code])
