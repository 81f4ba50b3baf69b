"""How good each model is on the rows of late: over all rows remembered, and by experts of shorter memory.

What a row's label will be is believed from its votes and the labels of other rows, so that every row counts, labelled
or not; a model's advantage is how much likelier its vote is than the mean vote of the row. The estimate over all rows
remembered is made anew with every answer. Experts forget: rows count half after 50 or 400 rows. The longest memory
leads until an expert's choices have been believed better, on rows not seen when they were made, by more than chance
explains.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from easeml.modelpicker.discounting import discounted
from easeml.modelpicker.voting import MISSING, Floats, Votes

AUTO = (50.0, 400.0)
_MEMORY = 400.0
_DEVIATIONS = 2.5
_SHRINKAGE = 50.0


def level(found: Floats, votes: Votes) -> Floats:
    """Return the values with those of missing votes at the mean of the others."""
    voted = votes != MISSING
    if voted.all():
        return found
    count = np.maximum(voted.sum(axis=-1, keepdims=True), 1)
    return np.where(voted, found, np.where(voted, found, 0.0).sum(axis=-1, keepdims=True) / count)


class Standing:
    """Advantages of k models.

    Parameters
    ----------
    k : int
    half_life : float, "auto" or None
        One memory for all, experts beside an endless one, or an endless one alone.

    Attributes
    ----------
    advantage, seen : ndarray of float64, shape (k,)
        Sum of advantages over the rows remembered, and the number of the model's votes there.
    recent : ndarray of float64, shape (e, k)
        Discounted advantages by expert.
    gained, spread : ndarray of float64, shape (e,)
        Discounted differences of an expert's choice to that of the longest memory, and their squares.
    leader : int or None
        The expert to follow; None for the longest memory.
    """

    def __init__(self, k: int, half_life: float | str | None) -> None:
        self.half_life = half_life
        self.experts = AUTO if half_life == "auto" else ()
        self.advantage, self.seen = np.zeros(k), np.zeros(k)
        self.recent = np.zeros((len(self.experts), k))
        self.gained, self.spread = np.zeros(len(self.experts)), np.zeros(len(self.experts))
        self.leader: int | None = None
        self.row = 0

    @property
    def half_life_in_use(self) -> float | None:
        """Rows after which a row counts half for whoever leads; None for ever."""
        return self.experts[self.leader] if self.leader is not None else self._own

    def faded(self, ages: np.ndarray) -> Floats:
        """Return what rows of these ages, in rows, still count for whoever leads."""
        return np.asarray(np.exp2(-ages / (self.half_life_in_use or math.inf)), np.float64)

    @property
    def _own(self) -> float | None:
        return None if self.half_life is None or isinstance(self.half_life, str) else float(self.half_life)

    def scores(self, expert: int | None) -> Floats:
        """Return a value per model by which an expert, or the longest memory, chooses; shape (k,)."""
        return self.recent[expert] if expert is not None else self.advantage / (self.seen + _SHRINKAGE)

    def see(self, numbers: np.ndarray, votes: Votes, own: Floats, adapted: Floats, alive: np.ndarray) -> np.ndarray:
        """Let contested rows pass; return the best model before each, shape (n,).

        Parameters
        ----------
        numbers : ndarray of int64, shape (n,)
            Of the rows.
        votes : ndarray of int, shape (n, k)
        own, adapted : ndarray of float64, shape (n, k)
            Probability that each vote is the label, as it is and by the classes of recent rows.
        alive : ndarray of bool, shape (k,)
        """
        gaps = np.diff(numbers, prepend=self.row)[:, None, None]
        experts, own_memory = len(self.experts), self._own or math.inf
        fades = np.exp2(-gaps / np.array([own_memory, own_memory, *self.experts])[:, None])
        values = np.stack([_above(own), votes != MISSING, *[_above(adapted)] * experts], axis=1)
        before, after = discounted(np.vstack([self.advantage, self.seen, self.recent]), fades, values)
        self.advantage, self.seen, self.recent = after[0], after[1], after[2:]
        choices = _best(before[:, 0] / (before[:, 1] + _SHRINKAGE), alive)
        if experts:
            choices = self._led(np.exp2(-gaps / _MEMORY), adapted, _best(before[:, 2:], alive), choices)
        if len(numbers):
            self.row = int(numbers[-1])
        return choices

    def _led(self, fades: Floats, adapted: Floats, picks: np.ndarray, choices: np.ndarray) -> np.ndarray:
        """Judge the experts by what they picked, shape (n, e); return the choices of whoever led before each row."""
        rows = np.arange(len(choices))
        more = adapted[rows[:, None], picks] - adapted[rows, choices][:, None]
        records = np.stack([self.gained, self.spread])
        before, (self.gained, self.spread) = discounted(records, fades, np.stack([more, more**2], axis=1))
        self.leader = _leader(self.gained, self.spread)
        margins = _margins(before[:, 0], before[:, 1])
        return np.where(margins.max(axis=1) > 0, picks[rows, margins.argmax(axis=1)], choices)

    def best(self, alive: np.ndarray) -> int:
        """Return the best model now."""
        return int(_best(self.scores(self.leader), alive))

    def remake(self, numbers: np.ndarray, votes: Votes, own: Floats, worth: float, validated: Floats) -> None:
        """Make the longest memory's estimate anew from the rows remembered and from validation.

        Parameters
        ----------
        numbers : ndarray of int64, shape (n,)
        votes : ndarray of int, shape (n, k)
        own : ndarray of float64, shape (n, k)
            Probability that each vote is the label: 0 or 1 where it is known.
        worth : float
            Rows that validation counts as.
        validated : ndarray of float64, shape (k,)
            Accuracies there.
        """
        weights = np.ones(len(numbers)) if self._own is None else np.exp2((numbers - self.row) / self._own)
        self.advantage = (_above(own) * weights[:, None]).sum(axis=0) + worth * _above(validated[None])[0]
        self.seen = ((votes != MISSING) * weights[:, None]).sum(axis=0) + worth

    def join(self) -> None:
        """Add a model; the experts let it start level with the best."""
        self.advantage, self.seen = np.append(self.advantage, 0.0), np.append(self.seen, 0.0)
        start = self.recent.max(axis=1, initial=-np.inf, keepdims=True) if self.recent.shape[1] else 0.0
        self.recent = np.hstack([self.recent, np.broadcast_to(start, (len(self.experts), 1))])

    def leave(self, index: int) -> None:
        """Remove a model."""
        self.advantage, self.seen = np.delete(self.advantage, index), np.delete(self.seen, index)
        self.recent = np.delete(self.recent, index, axis=1)

    def state(self) -> dict[str, Any]:
        """Return the sums."""
        names = ("advantage", "seen", "recent", "gained", "spread")
        return {"half_life": self.half_life, "row": self.row, **{name: getattr(self, name).copy() for name in names}}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        standing = cls(len(state["seen"]), state["half_life"])
        standing.row = int(state["row"])
        for name in ("advantage", "seen", "gained", "spread"):
            setattr(standing, name, np.array(state[name], np.float64))
        standing.recent = np.array(state["recent"], np.float64).reshape(standing.recent.shape)
        standing.leader = _leader(standing.gained, standing.spread)
        return standing


def _above(right: Floats) -> Floats:
    """Return by how much each vote is likelier than the mean vote of its row, shape (n, k)."""
    return np.asarray(right - right.sum(axis=1, keepdims=True) / max(right.shape[1], 1), np.float64)


def _best(scores: Floats, alive: np.ndarray) -> np.ndarray:
    """Return the best of the models alive, along the last axis."""
    return np.asarray(np.where(alive, scores, -np.inf).argmax(axis=-1))


def _margins(gained: Floats, spread: Floats) -> Floats:
    """Return how much better each expert has been than chance explains."""
    return np.asarray(gained - _DEVIATIONS * np.sqrt(spread), np.float64)


def _leader(gained: Floats, spread: Floats) -> int | None:
    margins = _margins(gained, spread)
    return int(margins.argmax()) if len(margins) and margins.max() > 0 else None
