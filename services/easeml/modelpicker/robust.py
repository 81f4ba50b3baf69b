"""The second estimate of which model is better, which holds even where the vote model is wrong.

For each pair the difference that the vote model believes, in the mean over rows, plus the mean error of that belief on
audited rows, each weighted by the inverse of the probability of its audit: unbiased whatever was believed, and of small
variance where the belief is good.

Source: Robins, Rotnitzky and Zhao, "Estimation of regression coefficients when some regressors are not always
observed", JASA 1994.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from easeml.modelpicker.voting import Floats

_FLOOR = 0.01
_FEWEST = 20
_MOST = 1000
_ALPHA = 0.05


class Audits:
    """Errors of belief on audited rows.

    Parameters
    ----------
    k : int

    Attributes
    ----------
    errors : ndarray of float64, shape (a, k)
        1[the model was right] - what was believed before the answer.
    weights : ndarray of float64, shape (a,)
        Inverse probabilities of the audits, those below 1 % taken as 1 %.
    """

    def __init__(self, k: int) -> None:
        self.errors: Floats = np.zeros((0, k))
        self.weights: Floats = np.zeros(0)

    def add(self, errors: Floats, probability: float) -> None:
        """Take an audited answer."""
        self.errors = np.vstack([self.errors, errors])[-_MOST:]
        self.weights = np.append(self.weights, 1 / max(probability, _FLOOR))[-_MOST:]

    def differences(self, believed: Floats, against: int) -> tuple[Floats, Floats]:
        """Return how much better each model is than one of them, and the standard errors.

        Parameters
        ----------
        believed : ndarray of float64, shape (k,)
            Mean probability over rows that each model is right.
        against : int
            Index of the model to compare with.

        Returns
        -------
        tuple of ndarray of float64, shape (k,)
        """
        apart = self.errors - self.errors[:, [against]]
        shares = self.weights / self.weights.sum()
        mean = shares @ apart
        error = np.sqrt((shares**2) @ (apart - mean) ** 2 * len(shares) / max(len(shares) - 1, 1))
        return believed - believed[against] + mean, np.asarray(error, np.float64)

    def contradict(self, believed: Floats, choice: int, alive: np.ndarray) -> int:
        """Return the choice, or the best model by this estimate where its interval excludes that the choice is.

        The intervals hold for all models together, with probability 0.95 when the audits are many.
        """
        if len(self.weights) < _FEWEST:
            return choice
        difference, error = self.differences(believed, choice)
        width = math.sqrt(2 * math.log(2 * len(believed) / _ALPHA))
        lower = np.where(alive, difference - width * error, -np.inf)
        return int(lower.argmax()) if lower.max() > 0 else choice

    def join(self) -> None:
        """Add a model; it is believed to be what the others are in the mean."""
        self.errors = (
            np.hstack([self.errors, self.errors.mean(axis=1, keepdims=True)])
            if self.errors.shape[1]
            else (np.zeros((len(self.errors), 1)))
        )

    def leave(self, index: int) -> None:
        """Remove a model."""
        self.errors = np.delete(self.errors, index, axis=1)

    def state(self) -> dict[str, Any]:
        """Return the arrays."""
        return {"errors": self.errors.copy(), "weights": self.weights.copy()}

    @classmethod
    def from_state(cls, state: dict[str, Any], k: int) -> Self:
        """Return what :meth:`state` described."""
        audits = cls(k)
        audits.errors = np.array(state["errors"], np.float64).reshape(len(state["weights"]), k)
        audits.weights = np.array(state["weights"], np.float64)
        return audits
