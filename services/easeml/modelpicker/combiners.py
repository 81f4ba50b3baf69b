"""Vote combiners: classes from the votes of all models, served instead of a model once they have proved better.

Two, both from what is believed of a row by its votes (:mod:`easeml.modelpicker.similarity`): one as it is, and one for
streams whose classes come and go, which divides by the balance of the labelled rows and multiplies by the classes of
recent rows, as answered or, where there is no answer, as believed.

Source: Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities",
Neural Computation 2002.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from easeml.modelpicker.discounting import discounted
from easeml.modelpicker.voting import MISSING, Floats, Votes

N_COMBINERS = 2
_HALF_LIFE = 15.0
_ANSWER = 40.0
_FLAT = 0.1
_DEVIATIONS = 1.0
_HEAD_START = 1.0
_AUDITED = 0.25


class RecentClasses:
    """Discounted counts of the classes of recent rows.

    Attributes
    ----------
    counts : ndarray of float64, shape (n_classes,)
        An answer counts as many believed rows.
    """

    def __init__(self, n_classes: int) -> None:
        self.counts: Floats = np.zeros(n_classes)

    def see(self, beliefs: Floats) -> Floats:
        """Let rows pass that are believed to be of these classes, shape (n, c); return the counts before each."""
        before, self.counts = discounted(self.counts, np.full((len(beliefs), 1), 0.5 ** (1 / _HALF_LIFE)), beliefs)
        return before

    def answer(self, label: int, ago: int) -> None:
        """Take the label of a row seen some rows ago."""
        self.counts[label] += _ANSWER * 0.5 ** (ago / _HALF_LIFE)


def balanced(belief: Floats, balance: Floats) -> Floats:
    """Return beliefs as if all classes were as frequent; ``balance`` is the weight of labelled rows by class."""
    even = belief / (balance + 1.0)
    return np.asarray(even / even.sum(axis=1, keepdims=True), np.float64)


def adapted(even: Floats, counts: Floats) -> Floats:
    """Return what the second combiner believes, from beliefs of even classes and the counts of recent ones."""
    belief = even * (counts + _FLAT)
    return np.asarray(belief / belief.sum(axis=1, keepdims=True), np.float64)


class Evidence:
    """Whether a combiner has been right more often than the best model, on answered rows before their answers.

    Rows chosen because models differ there are those on which the best model errs most, so all answers together must
    speak for the combiner by more than chance explains, and the audited ones alone as well.

    Attributes
    ----------
    ahead, spread : ndarray of float64, shape (2, 2)
        Wins minus losses, and wins plus losses; on all rows and on audited ones, for each combiner.
    """

    def __init__(self) -> None:
        self.ahead: Floats = np.zeros((2, N_COMBINERS))
        self.spread: Floats = np.zeros((2, N_COMBINERS))

    def add(self, said: Votes, label: int, *, audited: bool) -> None:
        """Take what the best model and then the combiners said about an answered row, shape (3,)."""
        right = (said == label).astype(np.float64)
        if said[0] != MISSING:
            self.ahead[: 1 + audited] += right[1:] - right[0]
            self.spread[: 1 + audited] += np.abs(right[1:] - right[0])

    @property
    def proven(self) -> int | None:
        """The better combiner, once weak evidence does not suffice to explain it."""
        deviations = np.sqrt(self.spread)
        margins = self.ahead[0] - _DEVIATIONS * deviations[0] - _HEAD_START
        margins[self.ahead[1] <= _AUDITED * deviations[1]] = -np.inf
        best = int(margins.argmax())
        return best if margins[best] > 0 else None

    def state(self) -> dict[str, Any]:
        """Return the sums."""
        return {"ahead": self.ahead.copy(), "spread": self.spread.copy()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        evidence = cls()
        evidence.ahead, evidence.spread = np.array(state["ahead"]), np.array(state["spread"])
        return evidence
