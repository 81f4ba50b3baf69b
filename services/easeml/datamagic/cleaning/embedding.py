"""Rows as points: standardised numbers and one-hot categories, the gaps filled by a Gaussian model.

Iterative imputation in closed steps: with the precision matrix P of the filled sample, the expected value of a missing
part b given the rest o is -P_bb^-1 P_bo x_o (relative to the mean); Gauss-Seidel sweeps over the columns solve all
missing parts of a row together, and P is estimated again from the filled sample. Source: chained equations (van
Buuren & Groothuis-Oudshoorn, JSS 2011) with one ridge regression per column; EM for the normal distribution
(Little & Rubin, Statistical Analysis with Missing Data, 2002, ch. 11) without the covariance of the gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.relation.block import Block
from easeml.stream.payloads import Column, ColumnKind

Floats = NDArray[np.float64]

NUMBERS = (ColumnKind.NUMERIC, ColumnKind.DATETIME)
CODED = (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL)
MOST_HOT = 12
"""Most frequent categories of a column that get an axis of their own."""
_RIDGE = 0.01
_LITTLE_RIDGE = 1e-4
"""Shrinkage of an extreme value looks like an error."""
_ROUNDS = 6
_SWEEPS = 4
_FAR = 6.0


def cells(block: Block, rows: Any, hidden: NDArray[np.bool_] | None = None) -> Floats:
    """Return rows of a block as numbers, codes as they are; missing, text and tensor cells are NaN.

    Parameters
    ----------
    block : Block
        The rows.
    rows : slice or ndarray of int64
        Which.
    hidden : ndarray of bool, shape (len(rows), columns), optional
        Cells to leave out as if they were missing.
    """
    out = np.full((len(np.arange(len(block))[rows]), len(block.columns)), np.nan)
    for place, column in enumerate(block.columns):
        if column.kind in NUMBERS:
            out[:, place] = block.column(place)[rows]
        elif column.kind in CODED:
            codes = block.column(place)[rows]
            out[:, place] = np.where(codes < 0, np.nan, codes)
    if hidden is not None:
        out[hidden] = np.nan
    return out


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where a column stands among the axes: its place, first and last axis, and how a cell is put there."""

    column: int
    start: int
    stop: int
    hot: tuple[int, ...]
    centre: float
    scale: float


@dataclass(frozen=True, slots=True)
class _Pull:
    """What is expected of an axis given all others: ``level`` less the point's product with ``slope``."""

    level: Floats
    slope: Floats


class Embedding:
    """Points of rows, gaps filled.

    Parameters
    ----------
    columns : sequence of Column
        Columns of the rows; text and tensor columns take no part.
    bounded : bool
        Whether points stay within six deviations, and what is expected within the range of the sample: good for
        finding neighbours, misleading for judging an extreme value. The model itself is always learnt from points
        within six deviations.

    Attributes
    ----------
    width : int
        Axes. A column adds 2 to the expected squared distance of two rows, whatever its kind.
    """

    def __init__(self, columns: Sequence[Column], *, bounded: bool = True) -> None:
        self.columns = tuple(columns)
        self.bounded = bounded
        self.width = 0
        self._axes: list[_Axis] = []

    def fit(self, numbers: Floats) -> Floats:
        """Learn scales and the precision matrix from a sample; return its points, filled.

        Parameters
        ----------
        numbers : ndarray of float64, shape (n, columns)
            As ``cells`` gives them.
        """
        for place, column in enumerate(self.columns):
            known = numbers[:, place][np.isfinite(numbers[:, place])]
            if len(known) and column.kind in (*NUMBERS, *CODED):
                self._add(place, column, known)
        points = self._points(numbers, bounded=True)
        gaps = np.isnan(points)
        self._mean = np.nan_to_num(np.nanmean(np.vstack([points, np.zeros(self.width)]), axis=0))
        self._low = np.nanmin(np.vstack([points, self._mean]), axis=0, initial=0.0)
        self._high = np.nanmax(np.vstack([points, self._mean]), axis=0, initial=0.0)
        points = np.where(gaps, self._mean, points)
        for _ in range(_ROUNDS if gaps.any() else 1):
            centred = points - self._mean
            covariance = centred.T @ centred / max(len(points), 1)
            covariance[np.diag_indices(self.width)] += _RIDGE if self.bounded else _LITTLE_RIDGE
            self._precision = np.linalg.inv(covariance)
            self._pulls = [self._pull(axis, self._precision) for axis in self._axes]
            self._solve(points, gaps)
        return points

    def _add(self, place: int, column: Column, known: Floats) -> None:
        if column.kind is ColumnKind.CATEGORICAL:
            codes, counts = np.unique(known.astype(np.int64), return_counts=True)
            mismatch = 1 - float(((counts / counts.sum()) ** 2).sum())
            hot = codes[np.lexsort((codes, -counts))][:MOST_HOT]
            scale = np.sqrt(max(mismatch, 1e-3))
            axis = _Axis(place, self.width, self.width + len(hot), tuple(hot.tolist()), 0.0, float(scale))
        else:
            spread = float(known.std())
            centre = float(known.mean())
            # Spread that is only rounding (a constant of 1e15) must not become distance.
            steady = spread <= 1e-12 * max(abs(centre), 1.0)
            axis = _Axis(place, self.width, self.width + 1, (), centre, 1.0 if steady else spread)
        self._axes.append(axis)
        self.width = axis.stop

    def _points(self, numbers: Floats, *, bounded: bool) -> Floats:
        points = np.full((len(numbers), self.width), np.nan)
        for axis in self._axes:
            own = numbers[:, axis.column]
            if axis.hot:
                same = own[:, None] == np.array(axis.hot)
                points[:, axis.start : axis.stop] = np.where(np.isnan(own)[:, None], np.nan, same / axis.scale)
            else:
                points[:, axis.start] = (own - axis.centre) / axis.scale
        return np.clip(points, -_FAR, _FAR) if bounded else points

    def _solve(self, points: Floats, gaps: NDArray[np.bool_]) -> None:
        """Fill the gaps in place with their expected values given all else, within the sample's range."""
        for _ in range(_SWEEPS):
            for axis, pull in zip(self._axes, self._pulls, strict=True):
                rows = np.flatnonzero(gaps[:, axis.start])
                if len(rows):
                    points[rows, axis.start : axis.stop] = self._expected(points[rows], axis, pull)

    def _pull(self, axis: _Axis, precision: Floats) -> _Pull:
        own = slice(axis.start, axis.stop)
        slope = np.asarray(np.linalg.solve(precision[own, own], precision[own]).T, np.float64)
        slope[own] = 0.0
        return _Pull(self._mean[own] + self._mean @ slope, slope)

    def _expected(self, points: Floats, axis: _Axis, pull: _Pull) -> Floats:
        own = slice(axis.start, axis.stop)
        value = pull.level - points @ pull.slope
        return np.asarray(np.clip(value, self._low[own], self._high[own]) if self.bounded else value, np.float64)

    def transform(self, numbers: Floats) -> Floats:
        """Return rows as points, gaps filled; shape (n, width)."""
        points = self._points(numbers, bounded=self.bounded)
        gaps = np.isnan(points)
        points = np.where(gaps, self._mean, points)
        self._solve(points, gaps)
        return points

    def without(self, points: Floats, column: int) -> Floats:
        """Return points in which a column's part is what the others let expect."""
        out = points.copy()
        for axis, pull in zip(self._axes, self._pulls, strict=True):
            if axis.column == column:
                out[:, axis.start : axis.stop] = self._expected(points, axis, pull)
        return out

    def expected(self, points: Floats, column: int, missing: NDArray[np.bool_]) -> Floats:
        """Return what the other columns let expect of a numeric column, in its own unit; shape (n,).

        Parameters
        ----------
        points : ndarray of float64, shape (n, width)
            As ``transform`` gives them.
        column : int
            Place of the numeric column.
        missing : ndarray of bool, shape (n, columns)
            Which cells ``transform`` filled. They are filled anew without the column: a gap that was filled from a
            cell would tell what that cell is, however little the two have to do with each other.
        """
        axis = next(axis for axis in self._axes if axis.column == column)
        others = [other for other in self._axes if other is not axis and missing[:, other.column].any()]
        if others:
            points = points.copy()
            for other in others:
                points[missing[:, other.column], other.start : other.stop] = self._mean[other.start : other.stop]
            # The precision of all other axes once this one is left out of the model.
            lean = self._precision[:, axis.start]
            precision = self._precision - np.outer(lean, lean) / lean[axis.start]
            pulls = [self._pull(other, precision) for other in others]
            for _ in range(_SWEEPS):
                for other, pull in zip(others, pulls, strict=True):
                    rows = np.flatnonzero(missing[:, other.column])
                    points[rows, other.start : other.stop] = self._expected(points[rows], other, pull)
        value = self._expected(points, axis, self._pull(axis, self._precision))[:, 0]
        return np.asarray(value * axis.scale + axis.centre, np.float64)

    def widening(self, missing: NDArray[np.bool_], columns: Sequence[int]) -> Floats:
        """Return by what factor the deviation of ``expected`` grows for want of missing cells; shape (n, columns).

        Parameters
        ----------
        missing : ndarray of bool, shape (n, columns)
            Cells that are not known.
        columns : sequence of int
            Places of numeric columns that have axes.
        """
        start = {axis.column: axis.start for axis in self._axes}
        own = np.array([start[column] for column in columns], np.int64)
        patterns, which = np.unique(missing, axis=0, return_inverse=True)
        factors = np.ones((len(patterns), len(own)))
        for place, pattern in enumerate(patterns):
            gap = np.flatnonzero(np.concatenate([np.repeat(pattern[a.column], a.stop - a.start) for a in self._axes]))
            if len(gap):
                inverse = np.linalg.inv(self._precision[np.ix_(gap, gap)])
                pull = self._precision[np.ix_(gap, own)]
                alone = self._precision[own, own]
                known = alone - np.einsum("gk,gh,hk->k", pull, inverse, pull)
                variance = 1.0 / np.maximum(known, 1e-12)
                inside = np.isin(own, gap)
                variance[inside] = np.diag(inverse)[np.searchsorted(gap, own[inside])]
                factors[place] = np.sqrt(np.maximum(alone * variance, 1.0))
        return np.asarray(factors[which.ravel()], np.float64)

    def covers(self, column: int) -> bool:
        """Whether the column has axes: its kind has numbers and the sample has values."""
        return any(axis.column == column for axis in self._axes)
