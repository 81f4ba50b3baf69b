"""The rows a picker remembers: the lookback window, open questions, and what was answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.modelpicker.rows import RowKey
from easeml.modelpicker.voting import MISSING, Floats, Votes


@dataclass(slots=True)
class Asked:
    """One question as it was when it was asked.

    Attributes
    ----------
    votes : ndarray of int32, shape (k,)
    served : ndarray of int32, shape (e,)
        Classes that the experts, and first of all the picker itself, would have served.
    probability, ratio : float
        Inclusion probability u, and its floor divided by it.
    """

    votes: Votes
    served: Votes
    probability: float
    ratio: float


class Memory:
    """Window of the last rows, open questions and answers.

    Parameters
    ----------
    lookback : int
        Rows kept in the window.
    """

    def __init__(self, lookback: int) -> None:
        self.lookback = lookback
        self.window: dict[RowKey, Votes] = {}
        self.open: dict[RowKey, Asked] = {}
        self.labels: dict[RowKey, int] = {}
        self.weights: dict[RowKey, float] = {}
        self.asked: list[RowKey] = []
        self.right: list[npt.NDArray[np.int8]] = []
        self.ratios: list[float] = []

    @property
    def lookback_rows(self) -> list[RowKey]:
        """Rows in the window, oldest first."""
        return list(self.window)

    def see(self, row: RowKey, votes: Votes) -> None:
        """Put a row into the window, the oldest falling out."""
        self.window.pop(row, None)
        self.window[row] = votes
        while len(self.window) > self.lookback:
            gone = next(iter(self.window))
            del self.window[gone]
            self.weights.pop(gone, None)

    def recent(self, k: int) -> Votes:
        """Return the votes in the window, shape (len(window), k), oldest row first."""
        return np.array(list(self.window.values()), dtype=np.int32).reshape(len(self.window), k)

    def close(self, row: RowKey, label: int) -> Asked:
        """Turn an open question into an answer."""
        asked = self.open.pop(row)
        self.labels[row] = label
        if row in self.window:
            self.weights[row] = 1 / asked.probability
        right = np.where(asked.votes == MISSING, -1, asked.votes == label)
        self.asked.append(row)
        self.right.append(right.astype(np.int8))
        self.ratios.append(asked.ratio)
        return asked

    def history(self, k: int) -> tuple[npt.NDArray[np.int8], Floats]:
        """Return which models were right on the answered rows, shape (a, k), and the ratios, shape (a,)."""
        if not self.right:
            return np.zeros((0, k), dtype=np.int8), np.zeros(0)
        return np.stack(self.right), np.array(self.ratios)

    def forget_history(self) -> None:
        """Start the intervals afresh."""
        self.asked.clear()
        self.right.clear()
        self.ratios.clear()

    def join(self, votes: Votes, reference: int | None) -> float:
        """Add a model's votes on the window; return its weighted losses there beyond those of ``reference``.

        Parameters
        ----------
        votes : ndarray of int32, shape (len(window),)
            Oldest row first.
        reference : int or None
            Column of the model to compare with.
        """
        shift = 0.0
        for (row, others), vote in zip(self.window.items(), votes, strict=True):
            label = self.labels.get(row)
            if label is not None and vote != MISSING and reference is not None and others[reference] != MISSING:
                shift += ((vote != label) - float(others[reference] != label)) * self.weights.get(row, 0.0)
            self.window[row] = np.append(others, vote).astype(np.int32)
        for row, asked in self.open.items():
            vote = self.window[row][-1] if row in self.window else MISSING
            asked.votes = np.append(asked.votes, vote).astype(np.int32)
        newest = {row: int(votes[-1]) for row, votes in self.window.items()}
        for place, row in enumerate(self.asked):
            vote = newest.get(row, MISSING)
            known = -1 if vote == MISSING else int(vote == self.labels[row])
            self.right[place] = np.append(self.right[place], known).astype(np.int8)
        return shift

    def leave(self, index: int) -> None:
        """Remove a model's votes."""
        self.window = {row: np.delete(votes, index) for row, votes in self.window.items()}
        self.right = [np.delete(right, index) for right in self.right]
        for asked in self.open.values():
            asked.votes = np.delete(asked.votes, index)

    def state(self, k: int, experts: int) -> dict[str, Any]:
        """Return lists of row ids and arrays."""
        right, ratios = self.history(k)
        return {
            "lookback": self.lookback,
            "window_ids": list(self.window),
            "window_votes": self.recent(k),
            "open_ids": list(self.open),
            "open_votes": np.array([a.votes for a in self.open.values()], dtype=np.int32).reshape(len(self.open), k),
            "open_served": np.array([a.served for a in self.open.values()], dtype=np.int32).reshape(-1, experts),
            "open_numbers": np.array([(a.probability, a.ratio) for a in self.open.values()]).reshape(-1, 2),
            "answered_ids": list(self.labels),
            "answered_labels": np.array(list(self.labels.values()), dtype=np.int32),
            "weight_ids": list(self.weights),
            "weights": np.array(list(self.weights.values()), dtype=np.float64),
            "asked_ids": list(self.asked),
            "right": right,
            "ratios": ratios,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        memory = cls(int(state["lookback"]))
        memory.window = dict(zip(state["window_ids"], np.array(state["window_votes"]), strict=True))
        for row, votes, served, (probability, ratio) in zip(
            state["open_ids"],
            np.array(state["open_votes"]),
            np.array(state["open_served"]),
            state["open_numbers"],
            strict=True,
        ):
            memory.open[row] = Asked(votes, served, float(probability), float(ratio))
        memory.labels = dict(zip(state["answered_ids"], map(int, state["answered_labels"]), strict=True))
        memory.weights = dict(zip(state["weight_ids"], map(float, state["weights"]), strict=True))
        memory.asked = list(state["asked_ids"])
        memory.right = list(np.array(state["right"], dtype=np.int8))
        memory.ratios = list(map(float, state["ratios"]))
        return memory
