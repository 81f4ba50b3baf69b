"""Exact nearest neighbours of points that come and go, ties included.

Every point keeps its three nearest other points and all that tie with the third; which ones these are depends on the
points alone, not on the order in which they came. Products of blocks in float32 find candidates with a proven bound
on their rounding errors; distances of candidates are computed in float64, the same for (i, j) as for (j, i).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Vectors = Any
"""float64[n, d], or a scipy CSR matrix of that shape."""

NEAREST = 3
MOST_TIES = 64
"""Neighbours kept per point; of more that tie, those with the smallest keys count: a fixed sample of them."""
_RELATIVE, _ABSOLUTE = 1e-9, 1e-24
"""Squared distances that differ by less are tied: transformations round equal distances differently."""
_CELLS = 1 << 22
"""Distances in memory at once."""
_LANES = 128
_EPSILON = float(np.finfo(np.float32).eps)


def tie_limit(distance: Floats) -> Floats:
    """Return the largest squared distance that ties with ``distance``."""
    return np.asarray(distance * (1 + _RELATIVE) + _ABSOLUTE)


class Neighbours:
    """Nearest other points of each point.

    Parameters
    ----------
    vectors : float64[p, d] or CSR matrix
        Points.
    keys : uint64[p]
        Tells which of too many tied neighbours count.

    Attributes
    ----------
    owner, other : int64[e]
        Point and neighbour, sorted by owner, then by distance.
    distance : float64[e]
        Squared distance.
    """

    __slots__ = ("_reach", "distance", "keys", "other", "owner", "vectors")

    def __init__(self, vectors: Vectors, keys: npt.NDArray[np.uint64]) -> None:
        self.vectors = vectors[:0]
        self.keys = keys[:0]
        self.owner, self.other = np.empty(0, np.int64), np.empty(0, np.int64)
        self.distance = np.empty(0)
        self._reach = np.empty(0)
        self.add(vectors, keys)

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    def add(self, vectors: Vectors, keys: npt.NDArray[np.uint64]) -> None:
        """Add points; cost O(new (old + new) d)."""
        before, count = len(self), int(vectors.shape[0])
        if not count:
            return
        self.vectors = _joined(self.vectors, vectors)
        self.keys = np.concatenate([self.keys, keys])
        self._reach = np.concatenate([self._reach, np.full(count, np.inf)])
        fresh = np.arange(before, before + count)
        found = list(self._nearest(fresh))
        found += self._within(np.arange(before), fresh)
        self._merge(found)

    def remove(self, gone: npt.NDArray[np.bool_]) -> None:
        """Remove points; those whose neighbours they were look for others. The rest moves up.

        Parameters
        ----------
        gone : bool[p]
        """
        lost = np.unique(self.owner[gone[self.other] & ~gone[self.owner]])
        keep = ~gone[self.owner]
        keep[np.isin(self.owner, lost)] = False
        place = np.cumsum(~gone) - 1
        self.vectors, self.keys, self._reach = self.vectors[~gone], self.keys[~gone], self._reach[~gone]
        self.owner, self.other = place[self.owner[keep]], place[self.other[keep]]
        self.distance = self.distance[keep]
        lost = place[lost]
        self._reach[lost] = np.inf
        self._merge(list(self._nearest(lost)))

    def _nearest(self, rows: Ints) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Yield candidates for the neighbours of rows among all points."""
        field = _Field(self.vectors, np.arange(len(self)))
        for block in _blocks(rows, len(self)):
            gaps, norms = field.gaps(self.vectors[block])
            gaps[np.arange(len(block)), block] = np.inf
            yield self._candidates(block, field, gaps, tie_limit(self._bound(block, gaps)) - norms)

    def _within(self, rows: Ints, fresh: Ints) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Yield the fresh points that are near enough to rows to be their neighbours."""
        field = _Field(self.vectors, fresh)
        for block in _blocks(rows, len(fresh)):
            gaps, norms = field.gaps(self.vectors[block])
            yield self._candidates(block, field, gaps, tie_limit(self._reach[block]) - norms)

    def _bound(self, rows: Ints, gaps: npt.NDArray[np.float32]) -> Floats:
        """Return a squared distance per row within which it has its nearest neighbours."""
        count, many = gaps.shape
        if many <= NEAREST:
            return np.full(count, np.inf)
        lanes = min(_LANES, many // 2) if many > 2 * NEAREST else 1
        if lanes <= NEAREST:
            places = np.argpartition(gaps, NEAREST - 1, axis=1)[:, :NEAREST]
        else:
            # The smallest values of three lanes are three different points: cheaper than sorting a row.
            depth = many // lanes
            table = gaps[:, : depth * lanes].reshape(count, depth, lanes)
            lane = np.argpartition(table.min(axis=1), NEAREST - 1, axis=1)[:, :NEAREST]
            inside = np.take_along_axis(table, lane[:, None, :], axis=2).argmin(axis=1)
            places = inside * lanes + lane
        found = self._distances(np.repeat(rows, NEAREST), places.ravel())
        return np.asarray(found.reshape(count, NEAREST).max(axis=1))

    def _candidates(
        self, rows: Ints, field: _Field, gaps: npt.NDArray[np.float32], limit: Floats
    ) -> tuple[Ints, Ints, Floats]:
        # Rounded up, so that the comparison in float32 leaves nothing out.
        most = np.nextafter(limit.astype(np.float32), np.float32(np.inf))
        row, other = np.nonzero(gaps <= most[:, None])
        owner, other = rows[row], field.points[other]
        apart = owner != other
        owner, other = owner[apart], other[apart]
        return owner, other, self._distances(owner, other)

    def _distances(self, left: Ints, right: Ints) -> Floats:
        """Return the squared distances of pairs, the same whatever else is asked for."""
        found = np.empty(len(left))
        for part in _blocks(np.arange(len(left)), int(self.vectors.shape[1])):
            difference = self.vectors[left[part]] - self.vectors[right[part]]
            found[part] = _square(difference)
        return found

    def _merge(self, found: list[tuple[Ints, Ints, Floats]]) -> None:
        """Take candidates over and keep the nearest of each point."""
        if not found:
            return
        owner, other, distance = (np.concatenate([part[place] for part in found]) for place in range(3))
        touched = np.zeros(len(self), bool)
        touched[owner] = True
        old = touched[self.owner]
        owner = np.concatenate([self.owner[old], owner])
        other = np.concatenate([self.other[old], other])
        distance = np.concatenate([self.distance[old], distance])
        owner, other, distance = self._pruned(owner, other, distance)
        owner = np.concatenate([self.owner[~old], owner])
        order = np.argsort(owner, kind="stable")
        self.owner = owner[order]
        self.other = np.concatenate([self.other[~old], other])[order]
        self.distance = np.concatenate([self.distance[~old], distance])[order]

    def _pruned(self, owner: Ints, other: Ints, distance: Floats) -> tuple[Ints, Ints, Floats]:
        order = np.lexsort((other, distance, owner))
        owner, other, distance = owner[order], other[order], distance[order]
        third = _rank(owner) == NEAREST - 1
        self._reach[owner[third]] = distance[third]
        near = distance <= tie_limit(self._reach)[owner]
        owner, other, distance = owner[near], other[near], distance[near]
        if len(owner) and int(np.bincount(owner).max()) > MOST_TIES:
            order = np.lexsort((self.keys[other], groups(owner, distance), owner))
            owner, other, distance = owner[order], other[order], distance[order]
            few = _rank(owner) < MOST_TIES
            owner, other, distance = owner[few], other[few], distance[few]
        return owner, other, distance


class _Field:
    """Points that neighbours are looked for among, in float32."""

    __slots__ = ("_norms", "_turned", "points", "slack")

    def __init__(self, vectors: Vectors, points: Ints) -> None:
        chosen = vectors[points]
        # A product of d terms, its inputs rounded to float32 and the norm added, errs by less than (d + 8) eps |a| |b|.
        self.slack = (chosen.shape[1] + 8) * _EPSILON
        self.points = points
        self._norms = (_square(chosen) * (1 - self.slack)).astype(np.float32)
        self._turned = chosen.astype(np.float32).T

    def gaps(self, vectors: Vectors) -> tuple[npt.NDArray[np.float32], Floats]:
        """Return float32[r, points] and float64[r]; their sum is a lower bound of the squared distance of each pair."""
        product = vectors.astype(np.float32) @ self._turned
        gaps = product.toarray() if sp.issparse(product) else product
        gaps *= -2
        gaps += self._norms
        return gaps, _square(vectors) * (1 - self.slack)


def groups(owner: Ints, distance: Floats) -> Ints:
    """Return a number per edge, the same for tied neighbours of a point; edges are sorted by owner and distance."""
    if not len(owner):
        return np.empty(0, np.int64)
    new = np.ones(len(owner), bool)
    new[1:] = (owner[1:] != owner[:-1]) | (distance[1:] > tie_limit(distance[:-1]))
    return np.asarray(np.cumsum(new) - 1)


def _rank(owner: Ints) -> Ints:
    """Return the place of each edge among those of its owner."""
    starts = np.flatnonzero(np.append(True, owner[1:] != owner[:-1])) if len(owner) else np.empty(0, np.int64)
    return np.arange(len(owner)) - np.repeat(starts, np.diff(np.append(starts, len(owner))))


def _blocks(rows: Ints, width: int) -> Iterator[Ints]:
    size = max(_CELLS // max(width, 1), 1)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _joined(first: Vectors, second: Vectors) -> Vectors:
    if not first.shape[0]:
        return second
    return sp.vstack([first, second], format="csr") if sp.issparse(first) else np.concatenate([first, second])


def _square(vectors: Vectors) -> Floats:
    if sp.issparse(vectors):
        return np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
    return np.asarray((vectors * vectors).sum(axis=1))
