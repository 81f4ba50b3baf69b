"""What labelled rows say about rows with other votes: a vote model of any number of classes.

A Gaussian process about vote mass. Of two rows on which m of the k distinct models vote differently,
the covariance is the share that votes alike plus exp(-20 m/k). The first part learns a weight per model and carries
from row to row where many independent models never vote alike twice; the second learns what single patterns of votes
mean. Correlated models, which repeat one another, count less by the number of models. A missing vote is a symbol of its
own. Selection by votes does not bias this: given its votes, a row's label is the same whether it was asked about or
not.

Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, sections 2.2 and 2.7.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from easeml.modelpicker.voting import MISSING, Floats, Votes

MOST = 601
"""Labelled rows there are at most, in between."""

_SHARPNESS = 20.0
_NOISE, _FEW = 0.85, 8.0
_LEAST = 0.01
_AT_ONCE = 100
_BLOCK = 1 << 18


class Labelled:
    """Labelled rows: votes, labels, how much they count, and which models were right.

    Parameters
    ----------
    k : int
        Models.
    n_classes : int

    Attributes
    ----------
    symbol : dtype
        The smallest that holds a vote.
    distinct : ndarray of int64
        The models that are counted when rows are compared.
    votes : ndarray of int, shape (a, k)
    labels : ndarray of int64, shape (a,)
    numbers : ndarray of int64, shape (a,)
        When the rows arrived.
    weights : ndarray of float64, shape (a,)
    right : ndarray of float64, shape (a, k)
        1 right, 0 wrong; a missing vote is as right as the others in the mean.
    coefficients : ndarray of float64, shape (a, n_classes)
        Of the labelled rows in what is believed of others, see :meth:`fit`.
    """

    def __init__(self, k: int, n_classes: int) -> None:
        self.n_classes = n_classes
        self.symbol = np.min_scalar_type(-n_classes)
        self.votes: Votes = np.zeros((0, k), np.int32)
        self.labels = np.zeros(0, np.int64)
        self.numbers = np.zeros(0, np.int64)
        self.weights: Floats = np.zeros(0)
        self.right: Floats = np.zeros((0, k))
        self.coefficients: Floats = np.zeros((0, n_classes))
        self.compare(np.arange(k))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def balance(self) -> Floats:
        """Weight of the labelled rows of each class, shape (n_classes,)."""
        return np.bincount(self.labels, self.weights, self.n_classes).astype(np.float64)

    def compare(self, distinct: npt.NDArray[np.int64]) -> None:
        """Count only these models, by index, when rows are compared."""
        self.distinct = distinct
        apart = np.arange(len(distinct) + 1) / max(len(distinct), 1)
        self._alike = 1 - apart + np.exp(-_SHARPNESS * apart)
        self._count = np.min_scalar_type(len(distinct))
        self._line_up()
        self._between = self.apart(self.votes)

    def _line_up(self) -> None:
        self._across = np.ascontiguousarray(self.votes[:, self.distinct].T, self.symbol)[:, None]

    def apart(self, votes: Votes) -> npt.NDArray[Any]:
        """Return how many models vote differently on each labelled row, shape (n, a), from votes of shape (n, k).

        Cost O(n a k).
        """
        own = votes[:, self.distinct].T.astype(self.symbol, "C")[:, :, None]
        step = max(_BLOCK // max(self._across.size, 1), 1)
        apart = np.empty((len(votes), len(self)), self._count)
        # blocks stay in the cache
        for i in range(0, len(votes), step):
            unlike = (self._across != own[:, i : i + step]).view(np.uint8)
            unlike.sum(axis=0, dtype=self._count, out=apart[i : i + step])
        return apart

    def fit(self, mass: Floats) -> None:
        """Learn from the labels where vote mass, shape (a, n_classes), is wrong.

        A row that counts less is noisier, and so is every row while they are few: what is the models' doing and what
        is chance cannot be told apart then. Cost O(a^3 + a^2 c).
        """
        covariance = self._alike[self._between] + np.diag(_NOISE * (1 + _FEW / max(len(self), 1)) / self.weights)
        missed = (self.labels[:, None] == np.arange(self.n_classes)) - mass
        self.coefficients = np.asarray(cho_solve(cho_factor(covariance), missed), np.float64)

    def believed(self, apart: npt.NDArray[Any], mass: Floats) -> Floats:
        """Return how probable each class is, shape (n, n_classes), from vote mass of that shape; cost O(n a c)."""
        found: Floats = self._alike[apart] @ self.coefficients
        found += mass
        np.maximum(found, _LEAST / self.n_classes, out=found)
        found /= found.sum(axis=1, keepdims=True)
        return found

    def add(self, votes: Votes, label: int, number: int) -> None:
        """Take a labelled row."""
        voted = votes != MISSING
        right = (votes == label).astype(np.float64)
        right[~voted] = right[voted].mean() if voted.any() else 0.0
        self.votes = np.vstack([self.votes, votes])
        self.labels = np.append(self.labels, label)
        self.numbers = np.append(self.numbers, number)
        self.weights = np.append(self.weights, 1.0)
        self.right = np.vstack([self.right, right])
        self._line_up()
        newest = self.apart(votes[None])
        self._between = np.vstack([np.hstack([self._between, newest[:, :-1].T]), newest])

    def newest_apart(self, votes: Votes) -> npt.NDArray[Any]:
        """Return how many models vote differently on the newest labelled row, shape (n,) from (n, k)."""
        newest = self.votes[-1, self.distinct]
        return np.asarray((votes[:, self.distinct] != newest).sum(axis=1))

    def expire(self, before: int) -> bool:
        """Drop the rows that are too many, or from before a row number where those are many; return whether any."""
        old = int(np.searchsorted(self.numbers, before)) if before > 0 else 0
        surplus = _AT_ONCE if len(self) >= MOST else 0
        if surplus == 0 and old <= len(self) // 4:
            return False
        kept = slice(max(surplus, old), None)
        for name in ("votes", "labels", "numbers", "weights", "right"):
            setattr(self, name, getattr(self, name)[kept])
        self.compare(self.distinct)
        return True

    def temper(self, factor: float) -> None:
        """Let everything known so far count less."""
        self.weights *= factor

    def join(self, votes: Votes, right: Floats) -> None:
        """Add a model with its votes on these rows, shape (a,), and how right they are."""
        self.votes = np.hstack([self.votes, votes[:, None].astype(np.int32)])
        self.right = np.hstack([self.right, right[:, None]])

    def leave(self, index: int) -> None:
        """Remove a model."""
        self.votes = np.delete(self.votes, index, axis=1)
        self.right = np.delete(self.right, index, axis=1)

    def state(self) -> dict[str, Any]:
        """Return the arrays; where a model voted, votes and labels tell whether it was right."""
        named = {name: getattr(self, name).copy() for name in ("labels", "numbers", "weights")}
        return named | {"votes": self.votes.astype(self.symbol), "right": self.right[self.votes == MISSING]}

    @classmethod
    def from_state(cls, state: dict[str, Any], k: int, n_classes: int) -> Self:
        """Return what :meth:`state` described."""
        rows = cls(k, n_classes)
        rows.labels, rows.numbers = np.array(state["labels"], np.int64), np.array(state["numbers"], np.int64)
        rows.weights = np.array(state["weights"], np.float64)
        rows.votes = np.array(state["votes"], np.int32).reshape(len(rows.labels), k)
        rows.right = (rows.votes == rows.labels[:, None]).astype(np.float64)
        rows.right[rows.votes == MISSING] = state["right"]
        return rows
