"""Weak supervision, or training on the labelled few: what cross-validation on the labelled rows prefers.

On two of five real vote sets a model trained on the labelled few alone beats weak supervision; nobody knows before.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from easeml.datamagic.supervision.encoding import Matrix
from easeml.datamagic.supervision.folds import same_rows, stratified_folds
from easeml.datamagic.supervision.label_model import LabelModel
from easeml.datamagic.supervision.votes import ABSTAIN, Floats, Ints, check_classes, check_codes, check_matrix
from easeml.errors import InvalidDataError
from easeml.progress import Progress

Way = Literal["few", "weak", "both"]

WAYS: tuple[Way, ...] = ("few", "weak", "both")
"""The labelled rows alone; the rows with votes alone; all of them."""
_LEAST = 1e-6


class Supervision(NamedTuple):
    """The chosen way of training.

    Parameters
    ----------
    chosen : {"few", "weak", "both"}
        The way with the best score.
    model : scikit-learn classifier
        Trained that way on all rows.
    label_model : LabelModel
        Fitted on all votes, with all labelled rows as validation.
    report : DataFrame
        Per way (the index): ``accuracy``, ``log_loss`` (nats) and ``rows`` trained on; judged
        out of fold on the labelled rows. Without a single vote there is only the way "few".
    """

    chosen: Way
    model: Any
    label_model: LabelModel
    report: pd.DataFrame


def train_on_probabilities(model: Any, features: Matrix, proba: ArrayLike, weight: ArrayLike | None = None) -> Any:
    """Return a classifier trained on rows whose labels are probabilities.

    Every row is given once per class, weighted by its probability: the expected loss under the labels.

    Parameters
    ----------
    model : scikit-learn classifier
        Takes sample weights; it is cloned.
    features : array or CSR matrix, shape (n, d)
        Rows.
    proba : array-like of float, shape (n, c)
        Probability of each class per row.
    weight : array-like of float, shape (n,), optional
        Weight per row.
    """
    table = np.asarray(proba, np.float64)
    if weight is not None:
        table = table * np.asarray(weight, np.float64)[:, None]
    row, code = np.nonzero(table > _LEAST)
    return clone(model).fit(features[row], code, sample_weight=table[row, code])


def choose_supervision(
    features: Matrix,
    votes: ArrayLike,
    few: tuple[Matrix, ArrayLike, ArrayLike],
    *,
    n_classes: int,
    rng: np.random.Generator,
    model: Any = None,
    folds: int = 5,
    repeats: int = 2,
    progress: Progress | None = None,
) -> Supervision:
    """Train on the labelled few, on weak labels, or on both, as cross-validation on the labelled rows says.

    In every fold the label model is fitted again without the labels of the fold, so that weak supervision does not
    know the answers it is judged by.

    Parameters
    ----------
    features : array or CSR matrix, shape (n, d)
        Unlabelled rows.
    votes : array-like of int, shape (n, m)
        Votes on them, -1: abstain. Rows without a vote are not trained on.
    few : (features, votes, labels)
        The k labelled rows: shapes (k, d), (k, m) and (k,).
    n_classes : int
        Number of classes c.
    rng : Generator
        Source of folds.
    model : scikit-learn classifier, optional
        With ``predict_proba``, trained with sample weights; without it, a logistic regression.
    folds, repeats : int
        Cross-validation on the labelled rows.
    progress : callable, optional
        Called with folds done, folds in all, and what they are.

    Raises
    ------
    InvalidDataError
        When the shapes differ, or fewer than two classes have two labelled rows.
    """
    own, own_votes, gold = few
    classes = check_classes(n_classes)
    table = check_matrix(votes, classes)
    known = check_matrix(own_votes, classes, table.shape[1])
    labels = check_codes(gold, classes, "Labels", least=0)
    if features.shape[0] != len(table) or own.shape[0] != len(known) or labels.shape != (len(known),):
        raise InvalidDataError(
            f"{features.shape[0]} rows with {len(table)} rows of votes; {own.shape[0]} labelled rows with {len(known)} "
            f"and {labels.size} labels.",
            mend="Give votes, and labels where they are known, for every row.",
        )
    if (np.bincount(labels, minlength=classes) >= 2).sum() < 2:
        raise InvalidDataError("Fewer than two classes have two labelled rows.", mend="Label more rows first.")
    covered = (table != ABSTAIN).any(axis=1)
    judge = model if model is not None else LogisticRegression(C=4.0, max_iter=500)
    desk = _Desk(judge, features[covered], table, covered, own, known, labels, classes)
    ways = WAYS if covered.any() else WAYS[:1]
    proba = {way: np.zeros((len(labels), classes)) for way in ways}
    same = same_rows(own)
    splits = int(min(folds, np.bincount(labels).max()))
    for repeat in range(repeats):
        for fold, held in enumerate(stratified_folds(labels, splits, rng, same)):
            label_model = desk.label_model(~held)
            for way in ways:
                proba[way][held] += desk.judged(way, label_model, ~held, own[held]) / repeats
            if progress is not None:
                progress(repeat * splits + fold + 1, repeats * splits, "folds of supervision trials")
    report = pd.DataFrame(
        {
            "accuracy": [float((proba[way].argmax(axis=1) == labels).mean()) for way in ways],
            "log_loss": [_log_loss(proba[way], labels) for way in ways],
            "rows": [len(labels), int(covered.sum()), len(labels) + int(covered.sum())][: len(ways)],
        },
        index=pd.Index(ways, name="way"),
    )
    # Accuracy is what people ask for, but a hundred rows leave ties; the likelihood tells them apart.
    best = max(range(len(ways)), key=lambda place: (report["accuracy"].iloc[place], -report["log_loss"].iloc[place]))
    every = np.ones(len(labels), bool)
    final = desk.label_model(every)
    return Supervision(WAYS[best], desk.trained(WAYS[best], final, every), final, report)


def _log_loss(proba: Floats, labels: Ints) -> float:
    own = proba[np.arange(len(labels)), labels] / proba.sum(axis=1)
    return float(-np.log(np.maximum(own, _LEAST)).mean())


class _Desk(NamedTuple):
    """The rows, and how a model is trained on them."""

    judge: Any
    features: Matrix
    votes: Ints
    covered: NDArray[np.bool_]
    own: Matrix
    known: Ints
    labels: Ints
    classes: int

    def label_model(self, keep: NDArray[np.bool_]) -> LabelModel:
        return LabelModel(self.classes).fit(self.votes, valid=(self.known[keep], self.labels[keep]))

    def trained(self, way: Way, label_model: LabelModel, keep: NDArray[np.bool_]) -> Any:
        gold = np.eye(self.classes)[self.labels[keep]]
        if way == "few":
            return train_on_probabilities(self.judge, self.own[keep], gold)
        weak = label_model.predict_proba(self.votes[self.covered])
        if way == "weak":
            return train_on_probabilities(self.judge, self.features, weak)
        rows = (
            sparse.csr_matrix(sparse.vstack([self.features, self.own[keep]]))
            if sparse.issparse(self.features)
            else np.concatenate([self.features, self.own[keep]])
        )
        return train_on_probabilities(self.judge, rows, np.concatenate([weak, gold]), self._balance(weak, gold))

    def _balance(self, weak: Floats, gold: Floats) -> Floats:
        """Return weights under which the labelled rows weigh at least a third of the weak ones together."""
        factor = max(1.0, len(weak) / (3 * max(len(gold), 1)))
        return np.concatenate([np.ones(len(weak)), np.full(len(gold), factor)])

    def judged(self, way: Way, label_model: LabelModel, keep: NDArray[np.bool_], rows: Matrix) -> Floats:
        """Return the probabilities of rows the model was not trained on."""
        out = np.zeros((rows.shape[0], self.classes))
        model = self.trained(way, label_model, keep)
        if rows.shape[0]:
            out[:, model.classes_] = model.predict_proba(rows)
        return out
