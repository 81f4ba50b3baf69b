"""Train the app's own kind of model again on changed rows: the experiment behind every expected gain."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from easeml.artifacts import Classifier, Encoder, trimmed
from easeml.errors import InvalidDataError
from easeml.stream.payloads import Column

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

FOLDS = 5


@dataclass(frozen=True)
class Sample:
    """Rows with labels.

    Parameters
    ----------
    frame : DataFrame, n rows
        Features.
    labels : ndarray of int64, shape (n,)
        Class codes; -1: unknown.
    weights : ndarray of float64, shape (n,), optional
        What each row stands for, e.g. 1 / its probability of being asked about; without them, all alike.
    """

    frame: pd.DataFrame
    labels: Codes
    weights: Floats | None = None

    def __post_init__(self) -> None:
        if len(self.frame) != len(self.labels):
            raise InvalidDataError(
                f"{len(self.frame)} rows but {len(self.labels)} labels.", mend="Give one label per row, -1: unknown."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def mass(self) -> Floats:
        """Weight of each row: float64[n]."""
        return np.ones(len(self)) if self.weights is None else self.weights

    def at(self, rows: NDArray[Any]) -> Sample:
        """Return the rows at these positions, or where these flags are set."""
        return Sample(self.frame.iloc[rows], self.labels[rows], None if self.weights is None else self.weights[rows])

    def labelled(self) -> Sample:
        """Return the rows whose label is known."""
        return self.at(np.flatnonzero(self.labels >= 0))

    def relabelled(self, rows: NDArray[Any], labels: Codes) -> Sample:
        """Return the rows with other labels at ``rows``."""
        changed = self.labels.copy()
        changed[rows] = labels
        return replace(self, labels=changed)

    def joined(self, other: Sample) -> Sample:
        """Return these rows and then those of ``other``; weights are dropped."""
        return Sample(
            pd.concat([self.frame, other.frame], ignore_index=True), np.concatenate([self.labels, other.labels])
        )


@dataclass(frozen=True)
class Learner:
    """How the app's models are trained.

    Parameters
    ----------
    estimator : scikit-learn classifier
        Unfitted, or of a fitted model: it is cloned.
    columns : tuple of Column
        Feature columns.
    classes : tuple of str
        The app's label domain, in code order.
    """

    estimator: Any
    columns: tuple[Column, ...]
    classes: tuple[str, ...]

    def fit(self, sample: Sample, weights: Floats | None = None) -> Classifier:
        """Return the classifier of ``sample``, every row of which has a label.

        Parameters
        ----------
        sample : Sample
            Training rows.
        weights : ndarray of float64, shape (n,), optional
            Importance of each row. An estimator that knows no weights gets each row as often as its weight says.

        Raises
        ------
        InvalidDataError
            When the rows have fewer than two classes, or the estimator refuses them.
        """
        if len(np.unique(sample.labels)) < 2:
            raise InvalidDataError(
                "The training rows have fewer than two classes.", mend="Label rows of at least two classes."
            )
        encoder = Encoder().fit(sample.frame, self.columns)
        estimator = clone(self.estimator)
        matrix, codes = encoder.transform(sample.frame), sample.labels
        if isinstance(estimator, KNeighborsClassifier):
            estimator.set_params(n_neighbors=min(estimator.n_neighbors, len(codes)))
        with threadpool_limits(1), warnings.catch_warnings():
            # How far a fixed number of steps came shows in the accuracy that is measured.
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                fitted = _fitted(estimator, matrix, codes, weights)
            except ValueError as error:
                raise InvalidDataError(
                    f"{type(estimator).__name__} cannot be trained on these {len(codes)} rows: {error}.",
                    mend="Publish more labelled rows of every class.",
                ) from error
        return Classifier(encoder, trimmed(fitted), self.classes)


def _fitted(estimator: Any, matrix: Floats, codes: Codes, weights: Floats | None) -> Any:
    if weights is None:
        return estimator.fit(matrix, codes)
    if has_fit_parameter(estimator, "sample_weight"):
        return estimator.fit(matrix, codes, sample_weight=weights)
    rows = _repeated(weights, codes)
    return estimator.fit(matrix[rows], codes[rows])


def _repeated(weights: Floats, codes: Codes) -> NDArray[np.intp]:
    """Return row numbers, each about in proportion to its weight, and one row of every class at least."""
    places = np.cumsum(weights) / weights.sum()
    count = 4 * len(weights)
    rows = np.minimum(np.searchsorted(places, (np.arange(count) + 0.5) / count), len(weights) - 1)
    first = np.unique(codes, return_index=True)[1]
    return np.concatenate([rows, first])


def right(model: Classifier, sample: Sample) -> Floats:
    """Return 1 where ``model`` gives a row its label, else 0: float64[n]."""
    return np.asarray(model.predict(sample.frame) == sample.labels, np.float64)


def folds(labels: Codes, count: int, rng: np.random.Generator) -> Codes:
    """Return the fold of each row, in [0, count): classes are spread alike."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % count
    return fold


@dataclass(frozen=True, slots=True)
class CrossFit:
    """What models trained without a row say about it.

    Parameters
    ----------
    proba : ndarray of float64, shape (n, c)
        Class probabilities of the training rows.
    elsewhere : ndarray of float64, shape (v,)
        How often the same models are right about each row of another sample, in [0, 1].
    """

    proba: Floats
    elsewhere: Floats


def cross_fit(learner: Learner, train: Sample, other: Sample, rng: np.random.Generator) -> CrossFit:
    """Train on all folds but one, for each fold.

    Rows of ``other`` are judged with the missing cells of random training rows, so that both are judged under the
    same conditions.
    """
    fold = folds(train.labels, FOLDS, rng)
    proba = np.zeros((len(train), len(learner.classes)))
    judged, elsewhere = with_gaps_of(train, other, learner.columns, rng), np.zeros(len(other))
    for turn in range(FOLDS):
        kept, held = np.flatnonzero(fold != turn), np.flatnonzero(fold == turn)
        if len(np.unique(train.labels[kept])) < 2:
            proba[held] = 1 / proba.shape[1]
            continue
        model = learner.fit(train.at(kept))
        proba[held] = model.predict_proba(train.frame.iloc[held])
        elsewhere += right(model, judged) / FOLDS
    return CrossFit(proba, elsewhere)


def gaps(frame: pd.DataFrame, columns: tuple[Column, ...]) -> NDArray[np.bool_]:
    """Return which cells are missing: bool[n, d] in the order of ``columns``."""
    return frame[[column.name for column in columns]].isna().to_numpy()


def with_gaps_of(
    source: Sample, sample: Sample, columns: tuple[Column, ...], rng: np.random.Generator, *, rows: float = 1.0
) -> Sample:
    """Return ``sample`` with the missing cells of random rows of ``source`` laid over a share ``rows`` of its rows."""
    missing = gaps(source.frame, columns)
    if not missing.any() or not len(sample):
        return sample
    cover = missing[rng.integers(len(missing), size=len(sample))] & (rng.random(len(sample)) < rows)[:, None]
    frame = sample.frame.copy()
    for place, column in enumerate(columns):
        frame[column.name] = frame[column.name].mask(cover[:, place])
    return replace(sample, frame=frame)
