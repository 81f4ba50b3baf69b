"""Candidates of one column: values of near rows, quantiles, the observed domain; calibrated on held-out cells.

Of the 20 nearest rows that have a value, five are taken, spread over their values (ranks 2, 6, 11, 16, 19), each with
the weight of those around it: on four real tables the best of them is nearer to the truth than the best of the five
nearest, which are too much alike. The quantiles (min, 25 %, mean, 75 %, max of the column) join them; cells whose
truth is known say which of the ten to keep and how often each is the nearest to the truth, which is its prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KNN, QUANTILE, DOMAIN = 0, 1, 2
"""Sources of a candidate."""
_MOST_DECIMALS = 6
"""Decimals up to which a column of numbers is taken to be written with so many."""
FEW_VALUES = 10
"""A column of at most so many values has all of them as candidates."""
_RANKS = (0.075, 0.275, 0.525, 0.775, 0.925)
_EDGES = (0.0, 0.175, 0.4, 0.65, 0.85)
_STRENGTH = 2.0


@dataclass(frozen=True, slots=True)
class Lines:
    """Candidates of some cells of one column.

    Parameters
    ----------
    cell : ndarray of int64, shape (m,)
        Which of the cells asked for.
    value, probability : ndarray of float64, shape (m,)
        Probabilities sum to 1 per cell, values are distinct in it.
    source : ndarray of int64, shape (m,)
        ``KNN``, ``QUANTILE`` or ``DOMAIN``.
    """

    cell: Ints
    value: Floats
    probability: Floats
    source: Ints

    def select(self, keep: NDArray[np.bool_] | Ints) -> Lines:
        """Return the chosen lines."""
        return Lines(self.cell[keep], self.value[keep], self.probability[keep], self.source[keep])


def joined(parts: Sequence[Lines]) -> Lines:
    """Return several tables as one."""
    return Lines(
        np.concatenate([part.cell for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.probability for part in parts]),
        np.concatenate([part.source for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class Near:
    """The nearest rows with a value, per cell asked for.

    Parameters
    ----------
    value, weight : ndarray of float64, shape (cells, k)
        Their values, and weights that fall with the distance and sum to 1.
    """

    value: Floats
    weight: Floats


def near(value: Floats, distance: NDArray[np.floating]) -> Near:
    """Return neighbours with their weights, given their values and squared distances, of shape (cells, k).

    Notes
    -----
    Weight of the donor at squared distance d2: 1 / (1 + d2 / h2), h2 the mean over the k.
    """
    distance = distance.astype(np.float64)
    width = distance.mean(axis=1, keepdims=True)
    weight = 1.0 / (1.0 + distance / np.where(width > 0, width, 1.0))
    return Near(value, weight / weight.sum(axis=1, keepdims=True))


class ColumnDonors:
    """Candidates of a column's cells.

    Parameters
    ----------
    known : ndarray of float64
        The column's values in the sample, at least one.
    coded : bool
        Whether they are codes of categories, which have no order.
    most : int
        Most candidates of a cell.
    """

    def __init__(self, known: Floats, *, coded: bool, most: int) -> None:
        self.coded = coded
        self.most = most
        values, counts = np.unique(known, return_counts=True)
        self.domain = values if coded or len(values) <= FEW_VALUES else None
        self.share = counts / counts.sum()
        self.few = len(values) <= FEW_VALUES
        marks = np.array([values[0], *np.quantile(known, (0.25, 0.75)), known.mean(), values[-1]])[[0, 1, 3, 2, 4]]
        self.marks = np.clip(_written_as(values, marks), values[0], values[-1])
        slots = len(_RANKS) + len(self.marks)
        self.slots: Ints = np.arange(slots)
        self.prior: Floats = np.full(slots, 1.0 / slots)

    def calibrate(self, near: Near, truth: Floats) -> None:
        """Choose among donors and quantiles by cells whose truth is known.

        Parameters
        ----------
        near : Near
            Their neighbours, found without looking at the cells.
        truth : ndarray of float64, shape (cells,)
            What stands in them.

        Notes
        -----
        Greedy facility location: the slot is added that lowers the squared distance from the truth to the nearest
        chosen one most.
        """
        if self.domain is not None or not len(truth):
            return
        error = (self._slots(near)[0] - truth[:, None]) ** 2
        left = list(range(error.shape[1]))
        best = np.full(len(truth), np.inf)
        chosen: list[int] = []
        while left and len(chosen) < self.most:
            sums = [float(np.minimum(best, error[:, slot]).sum()) for slot in left]
            slot = left.pop(int(np.argmin(sums)))
            chosen.append(slot)
            best = np.minimum(best, error[:, slot])
        self.slots = np.sort(np.array(chosen, np.int64))
        wins = np.bincount(np.argmin(error[:, self.slots], axis=1), minlength=len(self.slots))
        # One pseudo-count each: a slot that never won on the held-out cells is rare, not impossible.
        self.prior = (wins + 1.0) / (wins + 1.0).sum()

    def _slots(self, near: Near) -> tuple[Floats, Floats]:
        """Return the value of every slot, and the weight of the donors relative to an even share."""
        order = np.argsort(near.value, axis=1, kind="stable")
        value = np.take_along_axis(near.value, order, axis=1)
        weight = np.take_along_axis(near.weight, order, axis=1)
        k = value.shape[1]
        ranks = np.minimum((np.array(_RANKS) * k).astype(np.int64), k - 1)
        edges = np.minimum((np.array(_EDGES) * k).astype(np.int64), k - 1)
        totals = np.concatenate([np.zeros((len(value), 1)), np.cumsum(weight, axis=1)], axis=1)
        ends = np.append(edges[1:], k)
        mass = totals[:, np.maximum(ends, edges + 1)] - totals[:, edges]
        relative = mass / (np.maximum(ends - edges, 1) / k)
        marks = np.broadcast_to(self.marks, (len(value), len(self.marks)))
        return np.hstack([value[:, ranks], marks]), np.hstack([relative, np.ones(marks.shape)])

    def propose(self, near: Near) -> Lines:
        """Return the candidates of cells, given their neighbours."""
        if self.domain is not None:
            return self._votes(near)
        value, relative = self._slots(near)
        value, weight = value[:, self.slots], relative[:, self.slots] * self.prior
        source = np.where(self.slots < len(_RANKS), KNN, QUANTILE)
        cell = np.repeat(np.arange(len(value)), value.shape[1])
        sources = np.broadcast_to(source, value.shape).ravel()
        return merged(Lines(cell, value.ravel(), weight.ravel(), sources), self.most)

    def _votes(self, near: Near) -> Lines:
        """Return the values that neighbours vote for and, of a small domain, all others by their frequency."""
        assert self.domain is not None
        rows, k = near.value.shape
        code = np.searchsorted(self.domain, near.value.ravel())
        if self.few:
            size = len(self.domain)
            cell = np.repeat(np.arange(rows), k)
            votes = np.bincount(cell * size + code, near.weight.ravel() * k, minlength=rows * size).reshape(rows, size)
            weight = votes + _STRENGTH * self.share
            source = np.where(votes > 0, KNN, DOMAIN)
            cells, values = np.repeat(np.arange(rows), size), np.tile(self.domain, rows)
            return merged(Lines(cells, values, weight.ravel(), source.ravel()), self.most)
        cell = np.repeat(np.arange(rows), k)
        weight = near.weight.ravel()
        most = min(self.most, len(_RANKS))
        return merged(Lines(cell, self.domain[code], weight, np.full(len(cell), KNN)), most)


def merged(lines: Lines, most: int) -> Lines:
    """Return lines with equal values of a cell summed, the most probable ones kept, normalised, by cell and value.

    Of equal values the source of the largest weight is named.
    """
    if not len(lines.cell):
        return lines
    lines = lines.select(np.argsort(lines.cell, kind="stable"))
    heads = np.flatnonzero(np.diff(lines.cell, prepend=lines.cell[0] - 1))
    sizes = np.diff(heads, append=len(lines.cell))
    # A rectangle of cells by slots: sorting its short rows takes a fraction of what sorting all lines would.
    filled = np.arange(sizes.max()) < sizes[:, None]
    value, weight = np.full(filled.shape, np.inf), np.full(filled.shape, -np.inf)
    source = np.zeros(filled.shape, np.int64)
    value[filled], weight[filled], source[filled] = lines.value, lines.probability, lines.source
    order = np.argsort(value, axis=1, kind="stable")
    value, weight, source = (np.take_along_axis(table, order, axis=1) for table in (value, weight, source))
    kept = filled & _summed(value, weight, source, filled)
    if kept.sum(axis=1).max() > most:
        rank = np.argsort(np.argsort(np.where(kept, -weight, np.inf), axis=1, kind="stable"), axis=1)
        kept &= rank < most
    weight[~kept] = 0.0
    weight /= weight.sum(axis=1, keepdims=True)
    cell = np.broadcast_to(lines.cell[heads, None], kept.shape)
    return Lines(cell[kept], value[kept], weight[kept], source[kept])


def _summed(value: Floats, weight: Floats, source: Ints, filled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Sum, in place, the weights of equal values that stand side by side into the first; return which are first."""
    first = np.ones(value.shape, bool)
    first[:, 1:] = (value[:, 1:] != value[:, :-1]) | ~filled[:, 1:]
    largest = weight.copy()
    for slot in np.flatnonzero(~first.all(axis=0))[::-1].tolist():
        same = np.flatnonzero(~first[:, slot])
        ours, theirs = largest[same, slot], largest[same, slot - 1]
        named = (ours > theirs) | ((ours == theirs) & (source[same, slot] < source[same, slot - 1]))
        source[same[named], slot - 1] = source[same[named], slot]
        largest[same, slot - 1] = np.maximum(ours, theirs)
        weight[same, slot - 1] += weight[same, slot]
    return first


def _written_as(values: Floats, marks: Floats) -> Floats:
    """Return marks with no more decimals than the column's own values have: people are to read them.

    >>> _written_as(np.array([1.25, 3.0]), np.array([2.0 / 3.0])).tolist()
    [0.67]
    """
    for decimals in range(_MOST_DECIMALS + 1):
        if np.array_equal(np.round(values, decimals), values):
            return np.asarray(np.round(marks, decimals))
    return marks
