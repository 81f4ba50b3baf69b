"""Models made of parts: steps before a model, and several models that vote.

Both have the estimators' contract (``classes_`` and ``predict_proba`` over the encoder's matrix), so that one encoder
serves a vote of whole pipelines and serving encodes a batch once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.artifacts.classifier import probabilities
from easeml.artifacts.steps import Codes, Floats, Step


class Pipeline:
    """Steps, then an estimator.

    Parameters
    ----------
    steps : list of Step
        In the order in which they are applied.
    estimator : object
        Fitted on the matrix that the last step gives.
    """

    def __init__(self, steps: Sequence[Step], estimator: Any) -> None:
        self.steps = list(steps)
        self.estimator = estimator

    @property
    def classes_(self) -> Codes:
        """Codes of the classes that the estimator has seen."""
        return np.asarray(self.estimator.classes_)

    def predict_proba(self, matrix: Floats) -> Floats:
        """Return float64[n, k] for ``matrix`` float64[n, d]."""
        for step in self.steps:
            matrix = step.apply(matrix)
        return probabilities(self.estimator, matrix)


class Vote:
    """Weighted mean of the probabilities of several models.

    Parameters
    ----------
    members : list of object
        Fitted estimators of the same matrix that have seen the same classes; pipelines among them.
    weights : float64[m]
        Weight of each, positive; they sum to 1.
    """

    def __init__(self, members: Sequence[Any], weights: NDArray[np.float64]) -> None:
        self.members = list(members)
        self.weights = weights

    @property
    def classes_(self) -> Codes:
        """Codes of the classes that every member has seen."""
        return np.asarray(self.members[0].classes_)

    def predict_proba(self, matrix: Floats) -> Floats:
        """Return float64[n, k] for ``matrix`` float64[n, d]."""
        votes = np.zeros((len(matrix), len(self.classes_)))
        for member, weight in zip(self.members, self.weights, strict=True):
            votes += weight * probabilities(member, matrix)
        return votes
