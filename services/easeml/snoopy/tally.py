"""How often neighbours have the same label: exact counts that a changed label changes in microseconds.

The leave-one-out error of the nearest neighbour is 1 - A/n, where A adds, over all rows, the share of the row's
nearest neighbours that have its label. Equal rows are one point with a count n_p[c] per class, so

    A = sum over edges (p, q) of w_pq <n_p, n_q>, and for q = p of w_pp (<n_p, n_p> - |n_p|),

and the weights w depend on where the points are and how many rows each has, not on labels. One set of weights is that
of the nearest neighbour, ties averaged; another that of the three nearest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easeml.snoopy.neighbours import NEAREST, Floats, Ints, Neighbours, groups

Counts = npt.NDArray[np.int32]
SIZES = np.array([1, NEAREST])
"""Neighbours asked by the two measures."""
_CELLS = 1 << 21


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Weights of who is asked about whom, and the agreement they give.

    Parameters
    ----------
    owner, other : int64[e]
        Sorted by owner; a point is a neighbour of its own, for its other rows.
    weight : float64[e, 2]
        Weight of one row of ``other`` in what is predicted for one row of ``owner``: nearest, three nearest.
    starts : int64[p + 1]
        Where the edges of each owner start.
    asked, asked_starts : int64[e], int64[p + 1]
        Edges sorted by ``other``, and where those of each point start.
    agreement : float64[2]
        A of both measures; changed in place by ``shift``.
    """

    owner: Ints
    other: Ints
    weight: Floats
    starts: Ints
    asked: Ints
    asked_starts: Ints
    agreement: Floats

    @classmethod
    def of(cls, neighbours: Neighbours, counts: Counts) -> Tally:
        """Return the tally of points; cost O(e C)."""
        points = len(neighbours)
        each = np.arange(points)
        owner = np.concatenate([each, neighbours.owner])
        order = np.argsort(owner, kind="stable")
        owner = owner[order]
        other = np.concatenate([each, neighbours.other])[order]
        distance = np.concatenate([np.zeros(points), neighbours.distance])[order]
        mass = counts.sum(axis=1)[other] - (owner == other)
        weight = _weights(owner, distance, mass)
        asked = np.argsort(other, kind="stable")
        bounds = np.arange(points + 1)
        return cls(
            owner,
            other,
            weight,
            np.searchsorted(owner, bounds),
            asked,
            np.searchsorted(other[asked], bounds),
            _agreement(owner, other, weight, counts),
        )

    def shift(self, point: int, old: int, new: int, counts: Counts) -> None:
        """Take over that one row of a point changes its label; ``counts`` are those before. Cost O(edges at it)."""
        gain = counts[:, new], counts[:, old]
        into = self.asked[self.asked_starts[point] : self.asked_starts[point + 1]]
        out = slice(self.starts[point], self.starts[point + 1])
        askers, asked = self.owner[into], self.other[out]
        # The edge of the point to itself is in both: its two halves make 2 (n_new - n_old), and 2 more is missing.
        own = int(np.flatnonzero(asked == point)[0])
        self.agreement[:] += (
            (gain[0][askers] - gain[1][askers]) @ self.weight[into]
            + (gain[0][asked] - gain[1][asked]) @ self.weight[out]
            + 2 * self.weight[out][own]
        )


def _weights(owner: Ints, distance: Floats, mass: Ints) -> Floats:
    """Return float64[e, 2]: the nearest rows are asked, and of tied ones each in the same part."""
    if not len(owner):
        return np.empty((0, len(SIZES)))
    group = groups(owner, distance)
    total = np.bincount(group, mass)
    first = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    whose = owner[first]
    before = np.cumsum(total) - total
    before -= before[np.searchsorted(whose, whose)]
    taken = np.clip(SIZES - before[:, None], 0, total[:, None])
    all_taken = np.stack([np.bincount(whose, part) for part in taken.T], axis=1)[whose]
    share = taken / np.where(all_taken > 0, all_taken, 1) / np.where(total > 0, total, 1)[:, None]
    return np.asarray(share[group])


def _agreement(owner: Ints, other: Ints, weight: Floats, counts: Counts) -> Floats:
    found = np.zeros(weight.shape[1])
    size = max(_CELLS // max(counts.shape[1], 1), 1)
    for start in range(0, len(owner), size):
        part = slice(start, start + size)
        left, right = owner[part], other[part]
        same = np.einsum("ec,ec->e", counts[left], counts[right], dtype=np.float64)
        same -= np.where(left == right, counts[left].sum(axis=1), 0)
        found += same @ weight[part]
    return found
