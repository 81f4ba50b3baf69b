"""One arm: a transformation, the neighbours under it, and the error as rows were read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from easeml.snoopy.inputs import Inputs
from easeml.snoopy.neighbours import Neighbours
from easeml.snoopy.tally import Counts, Tally
from easeml.snoopy.transformations import TRANSFORMATIONS, Fit

FIT_ROWS = 20_000
"""Points that a transformation is fitted to, at most."""
_READINGS = 64
_ODD = np.random.default_rng(1).integers(0, 2**63, 8, np.uint64) * np.uint64(2) + np.uint64(1)
"""Multiplied with keys these are other keys: one more order each."""


class Arm:
    """Neighbours of points under one transformation, read in the order of the points.

    Parameters
    ----------
    name : str
        Key of ``TRANSFORMATIONS``.
    fit : dict of arrays
        What the transformation learned.

    Attributes
    ----------
    curve : float64[m, 3]
        Rows read, error of the nearest neighbour and mean disagreement with the three nearest, as rows were read.
    """

    def __init__(self, name: str, fit: Fit, inputs: Inputs, keys: npt.NDArray[np.uint64]) -> None:
        self.name = name
        self.fit = fit
        self.neighbours = Neighbours(TRANSFORMATIONS[name].apply(inputs, fit), keys)
        self.curve = np.empty((0, 3))
        self._tally: Tally | None = None

    @classmethod
    def fitted(cls, name: str, inputs: Inputs, keys: npt.NDArray[np.uint64]) -> Arm:
        """Return an arm that is fitted to the first rows and has read none."""
        fit = TRANSFORMATIONS[name].fit(inputs.take(slice(0, FIT_ROWS)))
        return cls(name, fit, inputs.take(slice(0, 0)), keys[:0])

    @property
    def read(self) -> int:
        """Points read."""
        return len(self.neighbours)

    def read_to(self, stops: Iterable[int], inputs: Inputs, keys: npt.NDArray[np.uint64], counts: Counts) -> None:
        """Read points in their order and note the error at each stop.

        Parameters
        ----------
        stops : iterable of int, rising
            Numbers of points.
        inputs, keys, counts
            Inputs, uint64[p] and int32[p, C] of all points.
        """
        for stop in stops:
            if stop > self.read:
                part = slice(self.read, stop)
                vectors = TRANSFORMATIONS[self.name].apply(inputs.take(part), self.fit)
                self.neighbours.add(vectors, keys[part])
                self._tally = None
            self.note(counts)

    @property
    def error(self) -> float:
        """Error after the last reading: the mean of both measures; 1 before the first."""
        return float(self.curve[-1, 1:].mean()) if len(self.curve) else 1.0

    def follow(self, counts: Counts) -> None:
        """Bring the curve up to labels and rows that changed since: all of it moves as its end does."""
        if len(self.curve):
            rows, *errors = self.measured(counts)
            self.curve[:, 1:] = np.clip(self.curve[:, 1:] + (np.array(errors) - self.curve[-1, 1:]), 0.0, 1.0)
            self.curve[-1, 0] = rows

    def note(self, counts: Counts) -> None:
        """Add the error now to the curve; of two at the same number of rows the later one stays."""
        rows, *errors = self.measured(counts)
        self.curve = np.vstack([self.curve[self.curve[:, 0] < rows], [[rows, *errors]]])
        if len(self.curve) > _READINGS:
            self.curve = np.delete(self.curve, np.s_[1:-1:2], axis=0)

    def average(self, orders: int, stops: list[int], counts: Counts) -> None:
        """Make the curve the mean over other reading orders and its own: an error at few rows depends on which.

        Parameters
        ----------
        orders : int
            Other orders, drawn from the keys.
        stops : list of int
            Numbers of points at which errors are averaged; the last one is all that were read.
        """
        vectors, keys, known = self.neighbours.vectors, self.neighbours.keys, counts[: self.read]
        curves = []
        for turn in range(orders):
            order = np.argsort(keys * _ODD[turn], kind="stable")
            again = Neighbours(vectors[:0], keys[:0])
            start = 0
            for stop in stops:
                part = order[start:stop]
                again.add(vectors[part], keys[part])
                start = stop
                curves.append(_measured(Tally.of(again, known[order[:stop]]), known[order[:stop]]))
        if not curves:
            return
        found = np.array(curves).reshape(orders, len(stops), 3)
        rows = found[:, :, 0].mean(axis=0)
        own = [np.interp(rows, self.curve[:, 0], self.curve[:, column]) for column in (1, 2)]
        errors = (found[:, :, 1:].sum(axis=0) + np.stack(own, axis=1)) / (orders + 1)
        self.curve = np.column_stack([rows, errors])

    def measured(self, counts: Counts) -> tuple[int, float, float]:
        """Return the rows read, the error of the nearest neighbour and the disagreement with the three nearest."""
        return _measured(self.tally(counts), counts[: self.read])

    def tally(self, counts: Counts) -> Tally:
        """Return the tally of the points read; made anew only when something besides labels has changed."""
        if self._tally is None:
            self._tally = Tally.of(self.neighbours, counts[: self.read])
        return self._tally

    def recount(self) -> None:
        """Forget the tally: rows were added to points or taken from them."""
        self._tally = None

    def remove(self, gone: npt.NDArray[np.bool_]) -> None:
        """Remove points; ``gone`` is bool[p] over all points, read or not."""
        self.neighbours.remove(gone[: self.read])
        self._tally = None

    def relabel(self, point: int, old: int, new: int, counts: Counts) -> None:
        """Take over that a row changes its label; ``counts`` are those before."""
        if point < self.read:
            self.tally(counts).shift(point, old, new, counts)


def _measured(tally: Tally, counts: Counts) -> tuple[int, float, float]:
    rows = int(counts.sum())
    nearest, soft = np.clip(1 - tally.agreement / max(rows, 1), 0.0, 1.0).tolist()
    return rows, nearest, soft
