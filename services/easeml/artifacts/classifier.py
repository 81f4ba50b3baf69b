"""A trained classifier: encoder, estimator and the app's classes in one object with one contract."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from easeml.artifacts.encoder import Encoder, Matrix
from easeml.errors import InvalidDataError

Probabilities = NDArray[np.float64]


class Classifier:
    """What ``easeml`` trains, stores and serves.

    Parameters
    ----------
    encoder : Encoder
        Fitted encoder.
    estimator : object
        Fitted estimator over the encoder's matrix with ``classes_`` (codes of the classes it has seen) and
        ``predict_proba`` or ``decision_function``.
    classes : tuple of str
        The app's whole label domain, in code order, also classes that no training row had.
    """

    def __init__(self, encoder: Encoder, estimator: Any, classes: tuple[str, ...]) -> None:
        self.encoder = encoder
        self.estimator = estimator
        self.classes = tuple(map(str, classes))

    @property
    def columns(self) -> tuple[str, ...]:
        """Input columns, in order."""
        return tuple(self.encoder.columns)

    def predict_proba(self, frame: pd.DataFrame, encoded: MutableMapping[str, Matrix] | None = None) -> Probabilities:
        """Return the probability of each class for each row.

        Parameters
        ----------
        frame : DataFrame, n rows
            Rows with the model's columns.
        encoded : mapping of str to float64[n, width], optional
            Matrices of this very frame by encoder fingerprint: read and extended, so that models with the same
            encoder share the work.

        Returns
        -------
        float64[n, k]
            Rows sum to 1; classes unseen in training have 0.

        Raises
        ------
        InvalidDataError
            When a column is missing or the estimator's output is not finite.
        """
        cache = {} if encoded is None else encoded
        matrix = cache.get(self.encoder.fingerprint)
        if matrix is None:
            matrix = cache[self.encoder.fingerprint] = self.encoder.transform(frame)
        return self.from_matrix(matrix)

    def predict(self, frame: pd.DataFrame) -> NDArray[np.int32]:
        """Return the code of the most probable class of each row: int32[n]."""
        return np.asarray(self.predict_proba(frame).argmax(axis=1), np.int32)

    def from_matrix(self, matrix: Matrix) -> Probabilities:
        """Return the probabilities of encoded rows: float64[n, k]."""
        if not len(matrix):
            return np.zeros((0, len(self.classes)))
        return over_domain(self.estimator, matrix, len(self.classes))


def over_domain(estimator: Any, matrix: Matrix, classes: int) -> Probabilities:
    """Return an estimator's probabilities over a whole label domain: float64[n, classes], rows sum to 1.

    Raises
    ------
    InvalidDataError
        When its output has another shape than (n, classes it has seen), is not finite or below 0.
    """
    seen = probabilities(estimator, matrix)
    expected = (len(matrix), len(estimator.classes_))
    if seen.shape != expected:
        raise InvalidDataError(
            f"The model {type(estimator).__name__} gave an output of shape {seen.shape}, expected was {expected}.",
            mend="An estimator gives one probability for each row and class of its classes_.",
        )
    if not (np.isfinite(seen) & (seen >= 0)).all():
        raise InvalidDataError(
            "The model's output is not finite, or below 0.",
            mend="Look for extreme values in the rows, or retire the model.",
        )
    whole = np.zeros((len(matrix), classes))
    whole[:, np.asarray(estimator.classes_, np.intp)] = seen
    total = whole.sum(axis=1, keepdims=True)
    # A generative model may underflow to nothing far away from all training rows: then it knows nothing.
    return np.where(total > 0, whole / np.where(total > 0, total, 1.0), 1.0 / classes)


def probabilities(estimator: Any, matrix: Matrix) -> Probabilities:
    """Return what an estimator says of each row and class it has seen: float64[n, k]."""
    if isinstance(estimator, RandomForestClassifier | ExtraTreesClassifier):
        return _forest(estimator, matrix)
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(matrix))
    scores = np.asarray(estimator.decision_function(matrix))
    if scores.ndim == 1:
        scores = np.column_stack([-scores, scores])
    return softmax(scores)


def _forest(forest: Any, matrix: Matrix) -> Probabilities:
    # predict_proba of a forest spends most of a small batch on starting one joblib task per tree.
    rows = np.ascontiguousarray(matrix, np.float32)
    votes = np.zeros((len(rows), len(forest.classes_)))
    for tree in forest.estimators_:
        votes += tree.tree_.predict(rows)
    return np.asarray(votes / len(forest.estimators_))


def softmax(scores: Matrix) -> Probabilities:
    """Return exp(scores) with rows normed to 1: float64[n, k]."""
    exponent = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))
