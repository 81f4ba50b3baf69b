"""Neighbour lists: for each validation point the candidates that can be among its K nearest, nearest first.

Total order: larger similarity 1 / (1 + Euclid) first, then the smaller row, then the smaller candidate. The K-th row
all of whose candidates have passed ends the list: whatever comes after it has K rows before it in every world.
Candidates of a row at the same similarity are one step of the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_AT_ONCE = 1 << 22
"""Distances kept in memory at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Lists of several points, one after the other.

    Parameters
    ----------
    pointer : ndarray of int64, shape (points + 1,)
        Point ``v`` owns the lines ``pointer[v]:pointer[v + 1]``.
    candidate : ndarray of int32, shape (m,)
        Candidates, nearest first.
    tied : ndarray of bool, shape (m,)
        Whether the line is the same row at the same similarity as the line before.
    """

    pointer: Ints
    candidate: NDArray[np.int32]
    tied: Bools

    def select(self, keep: Bools) -> Lists:
        """Return the lists without the other lines."""
        kept = np.concatenate(([0], np.cumsum(keep)))
        run = np.cumsum(~self.tied)[keep]
        tied = np.zeros(len(run), bool)
        # A line whose leader is gone leads those that are left.
        tied[1:] = run[1:] == run[:-1]
        return Lists(kept[self.pointer], self.candidate[keep], tied)

    def points(self) -> Ints:
        """Return the point of each line."""
        return np.repeat(np.arange(len(self.pointer) - 1), np.diff(self.pointer))

    def take(self, points: Bools) -> Lists:
        """Return the lists of the chosen points."""
        kept = self.select(np.repeat(points, np.diff(self.pointer)))
        return Lists(np.append(kept.pointer[:-1][points], kept.pointer[-1]), kept.candidate, kept.tied)

    def split(self) -> Iterator[tuple[NDArray[np.int32], Bools]]:
        """Yield the list of each point."""
        bounds = self.pointer.tolist()
        for start, stop in pairwise(bounds):
            yield self.candidate[start:stop], self.tied[start:stop]


def joined(lists: list[tuple[NDArray[np.int32], Bools]]) -> Lists:
    """Return the lists of several points as one object."""
    pointer = np.concatenate(([0], np.cumsum([len(candidate) for candidate, _ in lists], dtype=np.int64)))
    if not lists:
        return Lists(pointer, np.empty(0, np.int32), np.empty(0, bool))
    return Lists(pointer, np.concatenate([one for one, _ in lists]), np.concatenate([tied for _, tied in lists]))


def similarity(points: Floats, features: Floats) -> Floats:
    """Return 1 / (1 + Euclid) of each point to each candidate, shape (points, candidates)."""
    return np.asarray(1.0 / (1.0 + cdist(points, features)))


def neighbour_lists(points: Floats, features: Floats, owner: Ints, candidate: NDArray[np.int32], k: int) -> Lists:
    """Return the neighbour lists of points. Cost O(points m d), memory bounded.

    Parameters
    ----------
    points : ndarray of float64, shape (v, d)
    features : ndarray of float64, shape (m, d)
        Candidates, by row, then by number.
    owner : ndarray of int64, shape (m,)
        Row of each, ascending; K rows or more.
    candidate : ndarray of int32, shape (m,)
        Number of each.
    k : int
        Neighbours.
    """
    starts = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
    step = max(1, _AT_ONCE // len(owner))
    made = [_block(points[at : at + step], features, starts, owner, candidate, k) for at in range(0, len(points), step)]
    return joined([one for block in made for one in block.split()])


def _block(points: Floats, features: Floats, starts: Ints, owner: Ints, candidate: NDArray[np.int32], k: int) -> Lists:
    distance = cdist(points, features)
    farthest = distance if len(starts) == len(owner) else np.maximum.reduceat(distance, starts, axis=1)
    # A little more than the K-th: similarities of different distances may be equal.
    bound = np.partition(farthest, k - 1, axis=1)[:, k - 1] * (1 + 1e-9) + 1e-9
    point, place = np.nonzero(distance <= bound[:, None])
    near = 1.0 / (1.0 + distance[point, place])
    # Candidates come by row and number, and the sort is stable.
    order = np.lexsort((-near, point))
    point, place, near = point[order], place[order], near[order]
    row = owner[place]
    tied = np.zeros(len(point), bool)
    tied[1:] = (point[1:] == point[:-1]) & (row[1:] == row[:-1]) & (near[1:] == near[:-1])
    pointer = np.searchsorted(point, np.arange(len(points) + 1))
    return Lists(pointer, candidate[place], tied)
