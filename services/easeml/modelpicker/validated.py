"""What validation said of models before production rows are answered: rows of the past, for what they are worth.

Production differs from validation, so an accuracy there is worth a bounded number of rows: v validation rows count as
1/(1/v + 1/100). That is what they are worth to the difference of two models that disagree on a tenth of the rows when
the difference itself changes by 3 points, one standard deviation, from validation to production: .1/.03^2 is about 100.

Source: Chen & Ibrahim, "The relationship between the power prior and hierarchical models", Bayesian Analysis 2006.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from easeml.errors import InvalidDataError
from easeml.modelpicker.voting import Floats

_WORTH_AT_MOST = 100.0
_TEMPER = 0.25


class Validation(NamedTuple):
    """How right a model was on validation rows.

    Attributes
    ----------
    accuracy : float
        In [0, 1].
    rows : float
        Validation rows, above 0.
    """

    accuracy: float
    rows: float

    @classmethod
    def checked(cls, accuracy: float, rows: float) -> Self:
        """Return the figures if they can be true.

        Raises
        ------
        InvalidDataError
        """
        if not (0 <= accuracy <= 1 and 0 < rows < np.inf):
            raise InvalidDataError(
                f"An accuracy of {accuracy} on {rows} validation rows cannot be.",
                mend="Give a share in [0, 1] and the number of rows, or neither.",
            )
        return cls(float(accuracy), float(rows))


class Validated:
    """Validation accuracies of k models.

    Attributes
    ----------
    accuracy : ndarray of float64, shape (k,)
        NaN where nothing is known.
    rows : ndarray of float64, shape (k,)
        0 where nothing is known.
    share : float
        Of what it was worth at first; it falls with every alarm.
    """

    def __init__(self, k: int) -> None:
        self.accuracy, self.rows, self.share = np.full(k, np.nan), np.zeros(k), 1.0

    @property
    def known(self) -> np.ndarray:
        """Of which models something is known: bool[k]."""
        return self.rows > 0

    @property
    def worth(self) -> float:
        """Rows that every accuracy counts as: those of the model with the fewest; 0 while no two are known."""
        if self.known.sum() < 2:
            return 0.0
        return self.share / (1 / float(self.rows[self.known].min()) + 1 / _WORTH_AT_MOST)

    @property
    def expected(self) -> Floats:
        """Accuracies, those not known level with the best: float64[k]; 0 while none is known."""
        best = self.accuracy[self.known].max(initial=0.0)
        return np.where(self.known, self.accuracy, best)

    @property
    def losses(self) -> Floats:
        """Wrong predictions beyond those of the best model: float64[k], at least 0."""
        expected = self.expected
        return np.asarray(self.worth * (expected.max(initial=0.0) - expected), np.float64)

    def join(self) -> None:
        """Add a model of which nothing is known."""
        self.accuracy, self.rows = np.append(self.accuracy, np.nan), np.append(self.rows, 0.0)

    def learn(self, index: int, found: Validation) -> None:
        """Take what validation said of a model."""
        self.accuracy[index], self.rows[index] = found

    def leave(self, index: int) -> None:
        """Remove a model."""
        self.accuracy, self.rows = np.delete(self.accuracy, index), np.delete(self.rows, index)

    def temper(self) -> None:
        """Let it count less: something has changed."""
        self.share *= _TEMPER

    def state(self) -> dict[str, Any]:
        """Return the figures."""
        return {"accuracy": self.accuracy.copy(), "rows": self.rows.copy(), "share": self.share}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        validated = cls(0)
        validated.accuracy, validated.rows = np.array(state["accuracy"], float), np.array(state["rows"], float)
        validated.share = float(state["share"])
        return validated
