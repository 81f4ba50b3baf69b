"""Shapley values that follow the stream: rows, labels and validation rows come one batch after the other.

Values add up over validation rows, so a running sum is the stream form and sums of shards add up. Truncated, each
validation row keeps its K* nearest training rows only, and a new training row, or a new label, touches only the lists
it appears in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.errors import InvalidDataError, NotFoundError
from easeml.market.inputs import Inputs, feature_matrix, label_codes, labelled_rows
from easeml.market.neighbours import BLOCK, Floats, Ints, squared_distances
from easeml.market.shapley import truncation, value_sums


class KnnShapley:
    """Values of :func:`easeml.market.knn_shapley`, kept up to date.

    Exact values cost O(new validation rows) when validation rows come, and a whole recount when training rows or
    labels do. Truncated ones cost O(v (K* + new training rows)) whatever comes, and v K* numbers of memory.

    Parameters
    ----------
    k : int
        Neighbours.
    truncate : float, optional
        Largest error of a value; by default none.

    Raises
    ------
    ConfigurationError

    Examples
    --------
    >>> running = KnnShapley(k=1).add_train([[0.0], [1.0]], [0, 1]).add_validation([[0.1]], [0])
    >>> running.add_train([[2.0]], [0]).values().round(3).tolist()
    [0.833, -0.167, 0.333]
    """

    def __init__(self, k: int = 5, *, truncate: float | None = None) -> None:
        self.k, self.truncate = k, truncate
        self._nearest = truncation(k, truncate)
        self._x: Floats = np.empty((0, 0))
        self._labels: npt.NDArray[Any] = np.empty(0, np.int64)
        self._queries: Floats = np.empty((0, 0))
        self._codes: Ints = np.empty(0, np.int64)
        self._sums: Floats = np.empty(0)
        self._counted = 0
        self._origin: Floats = np.empty(0)
        self._lists: Ints = np.empty((0, 0), np.int64)
        self._distances: Floats = np.empty((0, 0))

    def __len__(self) -> int:
        return len(self._x)

    def add_train(self, x: npt.ArrayLike, y: npt.ArrayLike | None, *, proba: npt.ArrayLike | None = None) -> Self:
        """Add training rows, numbered on.

        Parameters
        ----------
        x : array_like, shape (n, d)
        y : array_like of int, shape (n,)
            Class codes; None with ``proba``.
        proba : array_like of float, shape (n, c), optional
            Class probabilities; either all training rows have them or none.

        Raises
        ------
        InvalidDataError
        """
        rows, labels = labelled_rows(x, y, proba, "training", self._width())
        if len(self) and labels.shape[1:] != self._labels.shape[1:]:
            raise InvalidDataError(
                "Class codes and class probabilities cannot be mixed.", mend="Give probabilities of 0 and 1 for codes."
            )
        first = len(self)
        self._x = np.vstack([self._x, rows]) if first else rows
        self._labels = np.concatenate([self._labels, labels]) if first else labels
        self._counted = 0
        if self._nearest is not None:
            self._admit(first, slice(0, len(self._queries)))
        return self

    def add_validation(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Add validation rows.

        Parameters
        ----------
        x : array_like, shape (v, d)
        y : array_like of int, shape (v,)

        Raises
        ------
        InvalidDataError
        """
        rows = feature_matrix(x, "validation", self._width())
        codes = label_codes(y, len(rows), "validation")
        first = len(self._queries)
        self._queries = np.vstack([self._queries, rows]) if first else rows
        self._codes = np.append(self._codes, codes)
        if self._nearest is not None:
            width = self._lists.shape[1]
            self._lists = np.vstack([self._lists, np.zeros((len(rows), width), np.int64)])
            self._distances = np.vstack([self._distances, np.full((len(rows), width), np.inf)])
            self._admit(0, slice(first, first + len(rows)))
        return self

    def relabel(self, rows: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Take other labels, such as answers, of training rows.

        Parameters
        ----------
        rows : array_like of int, shape (r,)
            Numbers of training rows.
        y : array_like of int, shape (r,)
            Class codes; certain from now on.

        Raises
        ------
        NotFoundError, InvalidDataError
        """
        places = np.asarray(rows, np.int64)
        if places.size and not (places.min() >= 0 and places.max() < len(self)):
            raise NotFoundError(f"There are training rows 0 to {len(self) - 1} only.", mend="Add the row first.")
        certain = self._labels.ndim == 2
        codes = label_codes(y, len(places), "training", self._labels.shape[1] if certain else None)
        if certain:
            self._labels[places] = np.eye(self._labels.shape[1])[codes]
        else:
            self._labels[places] = codes
        self._counted = 0
        return self

    def sums(self) -> tuple[Floats, int]:
        """Return the values summed over validation rows, and how many those are: shards of validation rows add up."""
        if self._nearest is not None:
            return self._truncated_sums(), len(self._queries)
        if self._counted == 0:
            self._sums = np.zeros(len(self))
        fresh = slice(self._counted, len(self._queries))
        self._sums = self._sums + value_sums(
            Inputs(self._x, self._labels, self._queries[fresh], self._codes[fresh]), self.k
        )
        self._counted = len(self._queries)
        return self._sums.copy(), self._counted

    def values(self) -> Floats:
        """Return the value of each training row: float64[n]."""
        sums, count = self.sums()
        return np.asarray(sums / max(count, 1), np.float64)

    def state(self) -> dict[str, Any]:
        """Return everything as scalars and arrays."""
        arrays = ("_x", "_labels", "_queries", "_codes", "_sums", "_origin", "_lists", "_distances")
        return {
            "version": 1,
            "k": self.k,
            "truncate": self.truncate,
            "counted": self._counted,
            **{name[1:]: getattr(self, name).copy() for name in arrays},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the values that :meth:`state` described."""
        running = cls(state["k"], truncate=state["truncate"])
        running._counted = int(state["counted"])
        for name in ("x", "labels", "queries", "codes", "sums", "origin", "lists", "distances"):
            setattr(running, f"_{name}", np.array(state[name]))
        return running

    def _width(self) -> int | None:
        return next((rows.shape[1] for rows in (self._x, self._queries) if len(rows)), None)

    def _admit(self, first: int, part: slice) -> None:
        """Let training rows from number ``first`` on into the lists of some validation rows."""
        assert self._nearest is not None
        fresh = self._x[first:]
        if not len(fresh):
            return
        if not len(self._origin):
            # fixed once, so that a distance is the same whenever it is measured
            self._origin = fresh.mean(axis=0)
        depth = min(self._nearest, len(self))
        missing = depth - self._lists.shape[1]
        if missing > 0:
            self._lists = np.pad(self._lists, ((0, 0), (0, missing)))
            self._distances = np.pad(self._distances, ((0, 0), (0, missing)), constant_values=np.inf)
        centred, numbers = fresh - self._origin, np.arange(first, len(self))
        for start in range(part.start, part.stop, BLOCK):
            block = slice(start, min(start + BLOCK, part.stop))
            new = squared_distances(self._queries[block] - self._origin, centred)
            distances = np.hstack([self._distances[block], new])
            rows = np.hstack([self._lists[block], np.broadcast_to(numbers, new.shape)])
            order = np.argsort(distances, axis=1, kind="stable")[:, :depth]
            self._distances[block] = np.take_along_axis(distances, order, axis=1)
            self._lists[block] = np.take_along_axis(rows, order, axis=1)

    def _truncated_sums(self) -> Floats:
        n, depth = len(self), self._lists.shape[1]
        if not n or not len(self._queries):
            return np.zeros(n)
        if self._labels.ndim == 1:
            found = np.asarray(self._labels[self._lists] == self._codes[:, None], np.float64)
        else:
            known = np.minimum(self._codes, self._labels.shape[1] - 1)
            found = np.where((self._codes == known)[:, None], self._labels[self._lists, known[:, None]], 0.0)
        weights = 1 / np.maximum(self.k, np.arange(1, depth + 1))
        if depth < n:
            weights[-1] = 0.0
        found[:, :-1] -= found[:, 1:].copy()
        values = np.cumsum((found * weights)[:, ::-1], axis=1)[:, ::-1]
        return np.asarray(np.bincount(self._lists.ravel(), weights=values.ravel(), minlength=n), np.float64)
