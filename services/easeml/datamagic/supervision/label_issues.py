"""Labels that are probably wrong: what models trained without a row say against its label.

Source: Northcutt, Jiang & Chuang, JAIR 70, 2021 (confident learning, self-confidence ranking); the noise rule fits
the same rate of uniform flips and the sharpness of the model to the labels by maximum likelihood.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from easeml.datamagic.supervision.encoding import Matrix, RowEncoder
from easeml.datamagic.supervision.folds import same_rows, stratified_folds
from easeml.datamagic.supervision.votes import Floats, Ints, check_classes, check_codes
from easeml.errors import ConfigurationError, InvalidDataError
from easeml.progress import Progress
from easeml.relation import Relation

Rule = Literal["argmax", "confident", "noise"]

FOLDS = 5
ROUNDS = 2
"""The first round finds rows to leave out, so that the others do not learn their mistakes."""
MOST_ROWS = 20_000
"""Rows that one model is trained on."""
KIND = "label"
_SMALLEST = 1e-6
_PULL = 1e-2
_SHARP = 2.0


class LabelIssues(NamedTuple):
    """What is doubtful about labels.

    Parameters
    ----------
    indices : ndarray of int64, shape (k,)
        Rows whose label is probably wrong, the worst first.
    score : ndarray of float64, shape (n,)
        How doubtful each label is, in [0, 1]; 0 for an unknown label.
    suggested : ndarray of int64, shape (n,)
        The most probable class of each row.
    """

    indices: Ints
    score: Floats
    suggested: Ints


def find_label_issues(proba: ArrayLike, labels: ArrayLike, *, rule: Rule = "argmax") -> LabelIssues:
    """Find labels that out-of-fold probabilities speak against.

    Parameters
    ----------
    proba : array-like of float, shape (n, c)
        Class probabilities of each row by models that were trained without it.
    labels : array-like of int, shape (n,)
        Given labels, -1: unknown.
    rule : {"argmax", "confident", "noise"}
        ``argmax``: the most probable class is another one; score 1 - p(label). ``confident``: a class whose mean
        probability over its own rows the row reaches is another one; same score. ``noise``: the posterior
        probability that the label was flipped is above one half, and is the score; for the probabilities of
        ``out_of_fold`` with two rounds, where it finds more and calls next to nothing wrong in clean labels.

    Raises
    ------
    InvalidDataError
        When the shapes differ, a row is no distribution or a label is no class code.
    ConfigurationError
        When the rule is unknown.

    Examples
    --------
    >>> issues = find_label_issues([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 0, 1])
    >>> issues.indices.tolist(), issues.suggested.tolist()
    ([1, 2], [0, 1, 0])
    """
    table = np.asarray(proba, np.float64)
    if table.ndim != 2:
        raise InvalidDataError(f"Probabilities of shape {table.shape}.", mend="Give one row per label.")
    given = check_codes(labels, check_classes(table.shape[1]), "Labels")
    if given.shape != (len(table),):
        raise InvalidDataError(f"{len(table)} rows of probabilities, {given.size} labels.", mend="Give one per row.")
    bad = ~((table >= 0).all(axis=1) & (np.abs(table.sum(axis=1) - 1) <= 1e-6))
    if bad.any():
        place = int(np.argmax(bad))
        raise InvalidDataError(f"Row {place}: {table[place].tolist()} is no distribution.", mend="It must sum to 1.")
    known = given >= 0
    own = table[np.arange(len(table)), given]
    match rule:
        case "argmax":
            score, wrong = 1 - own, table.argmax(axis=1) != given
        case "confident":
            score, wrong = 1 - own, _confident(table, given)
        case "noise":
            score = np.zeros(len(table))
            score[known] = _flipped(table[known], given[known])
            wrong = score > 0.5
        case _:
            raise ConfigurationError(f"No rule {rule!r}.", mend="Rules are argmax, confident and noise.")
    score = np.where(known, score, 0.0)
    found = np.flatnonzero(wrong & known)
    return LabelIssues(found[np.argsort(-score[found], kind="stable")], score, table.argmax(axis=1).astype(np.int64))


def _confident(table: Floats, given: Ints) -> NDArray[np.bool_]:
    """Return the rows that are confidently of another class: off the diagonal of the confident joint."""
    # A class nobody was given has no confidence to reach.
    threshold = np.array([table[given == c, c].mean() if (given == c).any() else np.inf for c in range(table.shape[1])])
    reached = np.where(table >= threshold, table, -1.0)
    return np.asarray((reached.max(axis=1) >= 0) & (reached.argmax(axis=1) != given), bool)


def _flipped(table: Floats, given: Ints) -> Floats:
    """Return the posterior probability that each label was flipped.

    The label is the true class with probability 1 - r, any other one alike with r; the true class has the probability
    p^a / sum p^a. Both r and a, which takes back the caution of averaged models, are fitted.
    """
    if not len(table):
        return np.empty(0)
    classes, rows = table.shape[1], np.arange(len(table))
    logs = np.log(np.maximum(table, _SMALLEST))

    def parts(parameters: Floats) -> tuple[Floats, float]:
        sharp = np.exp(parameters[0]) * logs
        weights = np.exp(sharp - sharp.max(axis=1, keepdims=True))
        rate = float(expit(parameters[1])) * (classes - 1) / classes
        return weights[rows, given] / weights.sum(axis=1), rate

    def loss(parameters: Floats) -> float:
        own, rate = parts(parameters)
        likelihood = (1 - rate) * own + rate / (classes - 1) * (1 - own)
        pull = _PULL * (parameters[0] - np.log(_SHARP)) ** 2
        return float(pull - np.log(np.maximum(likelihood, 1e-12)).mean())

    starts = [np.array([np.log(_SHARP), odds]) for odds in (-2.0, 0.0)]
    best = min((minimize(loss, start, method="Nelder-Mead") for start in starts), key=lambda fit: float(fit.fun))
    own, rate = parts(best.x)
    stays, flips = (1 - rate) * own, rate / (classes - 1) * (1 - own)
    return np.asarray(flips / np.maximum(stays + flips, 1e-300), np.float64)


def out_of_fold(
    features: Matrix,
    labels: ArrayLike,
    *,
    rng: np.random.Generator,
    n_classes: int | None = None,
    model: Any = None,
    rounds: int = ROUNDS,
    progress: Progress | None = None,
) -> Floats:
    """Return class probabilities of every row by models trained without it, shape (n, c).

    Parameters
    ----------
    features : array or CSR matrix, shape (n, d)
        Rows; NaN: missing (in arrays).
    labels : array-like of int, shape (n,)
        Labels, -1: unknown; those rows are predicted, not trained on.
    rng : Generator
        Source of folds and seeds.
    n_classes : int, optional
        Number of classes; without it, the largest label + 1.
    model : scikit-learn classifier, optional
        With ``predict_proba``. Without it, the mean of a logistic regression and extremely randomised trees (texts:
        the regression alone).
    rounds : int
        Each round trains without the rows whose label the one before contradicts; the result is the mean over all
        rounds but the first, if there are several.
    progress : callable, optional
        Called with models trained, models in all, and what they are.

    Raises
    ------
    InvalidDataError
        When there are fewer than two labelled rows of two classes each.
    """
    given = np.asarray(labels)
    classes = check_classes(n_classes if n_classes is not None else int(given.max(initial=-1)) + 1)
    given = check_codes(given, classes, "Labels")
    if given.shape != (features.shape[0],):
        raise InvalidDataError(f"{features.shape[0]} rows, {given.size} labels.", mend="Give one label per row.")
    counts = np.bincount(given[given >= 0], minlength=classes)
    if (counts >= 2).sum() < 2:
        raise InvalidDataError(
            "Fewer than two classes have two labelled rows.", mend="Label more rows before looking for mistakes."
        )
    models = [model] if model is not None else _models(features, rng)
    same = same_rows(features)
    folds = int(min(FOLDS, counts.max()))
    trained, total = 0, rounds * folds * len(models)
    keep = given >= 0
    proba = np.full((len(given), classes), 1 / classes)
    judged = np.zeros_like(proba)
    for turn in range(rounds):
        if turn:
            keep = (given >= 0) & (proba.argmax(axis=1) == given)
        for fold in stratified_folds(given, folds, rng, same):
            train = np.flatnonzero(keep & ~fold)
            if len(train) > MOST_ROWS:
                train = np.sort(rng.choice(train, MOST_ROWS, replace=False))
            proba[fold] = 0.0
            for one in models:
                proba[fold] += _predicted(one, features, given, train, fold, classes) / len(models)
                trained += 1
                if progress is not None:
                    progress(trained, total, "models against wrong labels")
        if turn or rounds == 1:
            judged += proba / max(rounds - 1, 1)
    return judged


def _models(features: Matrix, rng: np.random.Generator) -> list[Any]:
    if sparse.issparse(features):
        return [LogisticRegression(C=4.0, max_iter=300)]
    seed = int(rng.integers(2**31))
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300))
    trees = ExtraTreesClassifier(100, min_samples_leaf=3, random_state=seed)
    return [make_pipeline(SimpleImputer(keep_empty_features=True), one) for one in (regression, trees)]


def _predicted(model: Any, features: Matrix, given: Ints, train: Ints, fold: NDArray[np.bool_], classes: int) -> Floats:
    proba = np.zeros((int(fold.sum()), classes))
    seen = np.unique(given[train])
    if len(seen) == 1:
        proba[:, seen[0]] = 1.0
    elif not len(seen):
        proba[:] = 1 / classes
    elif len(proba):
        fitted = clone(model).fit(features[train], given[train])
        proba[:, fitted.classes_] = fitted.predict_proba(features[fold])
    return proba


def detect_label_issues(
    relation: Relation, *, rng: np.random.Generator, model: Any = None, progress: Progress | None = None
) -> pd.DataFrame:
    """Return the labels of a relation that are probably wrong, the worst first.

    Parameters
    ----------
    relation : Relation
        Rows with labels; unlabelled ones take no part. Uncertain cells count at their most probable value.
    rng : Generator
        Source of folds and seeds.
    model, progress
        As for ``out_of_fold``.

    Returns
    -------
    DataFrame
        ``row_id``, ``column`` (the label), ``kind`` ("label"), ``score`` (probability that the label is wrong) and
        ``detail``, as from error detection.

    Raises
    ------
    InvalidDataError
        When the relation has no labels, or too few.
    """
    if relation.label is None:
        raise InvalidDataError("The relation has no label column.", mend="Read it with label=...")
    rows = relation.labelled()
    if not len(rows):
        raise InvalidDataError("No row is labelled.", mend="Label some rows first.")
    labels = rows.labels.astype(np.int64)
    world = rows.most_probable_world()
    features = RowEncoder.of(world).transform(world)
    proba = out_of_fold(features, labels, rng=rng, n_classes=len(relation.classes), model=model, progress=progress)
    issues = find_label_issues(proba, labels, rule="noise")
    names = relation.classes
    return pd.DataFrame(
        {
            "row_id": [rows.row_ids[place] for place in issues.indices],
            "column": relation.label,
            "kind": KIND,
            "score": issues.score[issues.indices],
            "detail": [
                f"labelled {names[labels[place]]}, rows like it are {names[issues.suggested[place]]}"
                for place in issues.indices
            ],
        }
    )
