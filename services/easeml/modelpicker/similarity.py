"""What the labels of rows with similar votes say: a vote model of any number of classes.

A labelled row counts exp(-m 20/k) for a row on which m of the k distinct models vote differently. Correlated models
repeat one another, so the weight of one model is tempered by their number. A missing vote is a symbol of its own.
Selection by votes does not bias this: given its votes, a row's label is the same whether it was asked about or not.

Source: Nadaraya, "On estimating regression", 1964, with an exponential kernel on the Hamming distance.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.modelpicker.voting import MISSING, Floats, Votes

_SHARPNESS = 20.0
_MOST = 600
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
    votes : ndarray of int, shape (a, k)
    labels : ndarray of int64, shape (a,)
    numbers : ndarray of int64, shape (a,)
        When the rows arrived.
    weights : ndarray of float64, shape (a,)
    right : ndarray of float64, shape (a, k)
        1 right, 0 wrong; a missing vote is as right as the others in the mean.
    """

    def __init__(self, k: int, n_classes: int) -> None:
        self.n_classes = n_classes
        self._symbol = np.min_scalar_type(-n_classes)
        self.votes: Votes = np.zeros((0, k), np.int32)
        self.labels = np.zeros(0, np.int64)
        self.numbers = np.zeros(0, np.int64)
        self.weights: Floats = np.zeros(0)
        self.right: Floats = np.zeros((0, k))
        self.compare(np.arange(k))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def balance(self) -> Floats:
        """Weight of the labelled rows of each class, shape (n_classes,)."""
        return np.bincount(self.labels, self.weights, self.n_classes).astype(np.float64)

    def compare(self, distinct: npt.NDArray[np.int64]) -> None:
        """Count only these models, by index, when rows are compared."""
        self._distinct = distinct
        self._across = np.ascontiguousarray(self.votes[:, distinct].T, self._symbol)[:, None]
        self._worth = np.exp(-_SHARPNESS / max(len(distinct), 1) * np.arange(len(distinct) + 1))
        self._count = np.min_scalar_type(len(distinct))

    def sums(self, votes: Votes) -> Floats:
        """Return how much speaks for each class, shape (n, n_classes), from votes of shape (n, k).

        A row's sums do not depend on those beside it, to the last bit. Cost O(n a k).
        """
        n, step = len(votes), max(_BLOCK // max(self._across.size, 1), 1)
        own = np.ascontiguousarray(votes[:, self._distinct].T, self._symbol)[:, :, None]
        # blocks stay in the cache
        blocks = [self._spoken(own[:, i : i + step]) for i in range(0, n, step)]
        keys = np.arange(n)[:, None] * self.n_classes + self.labels
        spoken = np.concatenate(blocks) if blocks else np.zeros(0)
        # without rows, counts are integers
        found = np.bincount(keys.ravel(), spoken, n * self.n_classes).astype(np.float64)
        return found.reshape(n, self.n_classes)

    def _spoken(self, own: npt.NDArray[Any]) -> Floats:
        """Return what each labelled row counts for each of some rows, shape (n * a,), from (distinct, n, 1)."""
        apart = (self._across != own).view(np.uint8).sum(axis=0, dtype=self._count)
        return np.asarray((self._worth[apart] * self.weights).ravel(), np.float64)

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
        self.compare(self._distinct)

    def worth(self, votes: Votes) -> Floats:
        """Return what the newest label counts for rows with these votes, shape (n,) from (n, k)."""
        newest = self.votes[-1, self._distinct]
        return np.asarray(self._worth[(votes[:, self._distinct] != newest).sum(axis=1)], np.float64)

    def expire(self, before: int) -> bool:
        """Drop the rows that are too many, or from before a row number where those are many; return whether any."""
        old = int(np.searchsorted(self.numbers, before)) if before > 0 else 0
        surplus = _AT_ONCE if len(self) > _MOST else 0
        if surplus == 0 and old <= len(self) // 4:
            return False
        kept = slice(max(surplus, old), None)
        for name in ("votes", "labels", "numbers", "weights", "right"):
            setattr(self, name, getattr(self, name)[kept])
        self.compare(self._distinct)
        return True

    def temper(self, factor: float) -> None:
        """Let everything known so far count less, by a power of two so that sums scale exactly."""
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
        """Return the arrays."""
        names = ("votes", "labels", "numbers", "weights", "right")
        return {name: getattr(self, name).copy() for name in names}

    @classmethod
    def from_state(cls, state: dict[str, Any], k: int, n_classes: int) -> Self:
        """Return what :meth:`state` described."""
        rows = cls(k, n_classes)
        for name, value in rows.state().items():
            setattr(rows, name, np.array(state[name], value.dtype).reshape(len(state["labels"]), *value.shape[1:]))
        return rows
