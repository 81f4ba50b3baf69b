"""Whether production differs from training: single columns, all columns together, and the shares of the classes.

Sources: Lopez-Paz & Oquab, "Revisiting classifier two-sample tests", ICLR 2017; Lipton, Wang & Smola, "Detecting and
correcting for label shift with black box predictors", ICML 2018; Saerens, Latinne & Decaestecker, Neural Computation
14, 2002 (EM for the class shares).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, ks_2samp, norm, rankdata
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from easeml.advisor.learning import FOLDS, Codes, Floats, folds
from easeml.advisor.multiplicity import holm
from easeml.stream.payloads import Column, ColumnKind

_ORDERED = (ColumnKind.NUMERIC, ColumnKind.BOOLEAN, ColumnKind.DATETIME)
_MOST_WEIGHT = 20.0


@dataclass(frozen=True, slots=True)
class Drift:
    """One column whose values have changed.

    Parameters
    ----------
    column : str
        Its name.
    distance : float
        Largest difference of the two distribution functions (numbers) or half the sum of the differences of the
        shares (categories), in [0, 1].
    p_value : float
        That of no change.
    """

    column: str
    distance: float
    p_value: float


def drifted(
    before: pd.DataFrame, after: pd.DataFrame, columns: tuple[Column, ...], *, alpha: float = 0.01
) -> tuple[Drift, ...]:
    """Return the columns whose values have changed, most changed first.

    Numbers: Kolmogorov-Smirnov; categories, "missing" being one: chi-square; Holm over the columns. Texts and tensors
    are judged by their missing cells alone.
    """
    tested = [_drift(before[column.name], after[column.name], column) for column in columns]
    found = [one for one, changed in zip(tested, holm([one.p_value for one in tested], alpha), strict=True) if changed]
    return tuple(sorted(found, key=lambda one: (-one.distance, one.column)))


def _drift(before: pd.Series, after: pd.Series, column: Column) -> Drift:
    if column.kind is ColumnKind.CATEGORICAL:
        distance, p_value = _changed_shares(_named(before), _named(after))
        return Drift(column.name, distance, p_value)
    distance, p_value = _changed_shares(before.isna().to_numpy(), after.isna().to_numpy())
    if column.kind in _ORDERED and before.notna().any() and after.notna().any():
        left, right = (
            series.dropna().to_numpy(dtype="datetime64[ns]" if series.dtype.kind == "M" else np.float64)
            for series in (before, after)
        )
        test = ks_2samp(left.astype(np.float64), right.astype(np.float64), method="asymp")
        distance, p_value = max(distance, float(test.statistic)), min(1.0, 2 * min(p_value, float(test.pvalue)))
    return Drift(column.name, distance, p_value)


def _named(series: pd.Series) -> NDArray[np.str_]:
    # A mark in front keeps a category that is called "missing" apart from what is missing.
    return np.where(series.isna(), "", "=" + series.astype(object).astype(str)).astype(str)


def _changed_shares(before: NDArray[np.generic], after: NDArray[np.generic]) -> tuple[float, float]:
    known, places = np.unique(np.concatenate([before, after]), return_inverse=True)
    if len(known) < 2:
        return 0.0, 1.0
    counts = np.stack([
        np.bincount(part, minlength=len(known)) for part in (places[: len(before)], places[len(before) :])
    ])  # fmt: skip
    shares = counts / counts.sum(axis=1, keepdims=True)
    return float(abs(shares[0] - shares[1]).sum() / 2), float(chi2_contingency(counts).pvalue)


@dataclass(frozen=True)
class CovariateShift:
    """Whether a classifier tells production rows from training rows.

    Parameters
    ----------
    auc : float
        Probability that it finds the production row of a pair; 0.5: it cannot tell.
    p_value : float
        That of no difference.
    weights : ndarray of float64, shape (n,)
        Density of production over that of the training rows, for each row of the first sample; mean 1.
    """

    auc: float
    p_value: float
    weights: Floats


def covariate_shift(before: Floats, after: Floats, rng: np.random.Generator) -> CovariateShift:
    """Test two samples of encoded rows for a difference, and weigh the first to look like the second.

    Parameters
    ----------
    before, after : ndarray of float64, shapes (n, d), (m, d)
        Encoded rows.
    rng : Generator
        Draws the folds.
    """
    rows = np.vstack([before, after])
    side = np.repeat([0, 1], [len(before), len(after)]).astype(np.int64)
    fold, later = folds(side, FOLDS, rng), np.empty(len(rows))
    seed = int(rng.integers(2**31))
    excess, variance, pairs = 0.0, 0.0, 0.0
    for turn in range(FOLDS):
        held = fold == turn
        models = (
            LogisticRegression(C=0.1, max_iter=100),
            ExtraTreesClassifier(60, min_samples_leaf=5, random_state=seed),
        )
        with threadpool_limits(1):
            scores = [m.fit(rows[~held], side[~held]).predict_proba(rows[held])[:, 1] for m in models]
        later[held] = np.mean(scores, axis=0)
        # Scores of different folds come from different models: ranks are taken within each.
        ours = int(side[held].sum())
        theirs = int(held.sum()) - ours
        ranks = rankdata(later[held])
        excess += float(ranks[side[held] == 1].sum()) - ours * (ours + 1) / 2 - ours * theirs / 2
        variance += ours * theirs * (ours + theirs + 1) / 12
        pairs += ours * theirs
    odds = later[: len(before)] / (1 - np.minimum(later[: len(before)], 1 - 1e-6)) * len(before) / len(after)
    weights = np.clip(odds, 1 / _MOST_WEIGHT, _MOST_WEIGHT)
    return CovariateShift(
        0.5 + excess / max(pairs, 1.0), float(norm.sf(excess / np.sqrt(max(variance, 1e-12)))), weights / weights.mean()
    )


@dataclass(frozen=True)
class LabelShift:
    """Whether the classes have other shares in production.

    Parameters
    ----------
    ratios : ndarray of float64, shape (c,)
        Share in production over the share before; 1 for a class that was not seen.
    p_value : float
        That of the same shares of predicted classes.
    """

    ratios: Floats
    p_value: float


def label_shift(proba: Floats, labels: Codes, after: Floats) -> LabelShift:
    """Estimate the class shares of production from predictions.

    Parameters
    ----------
    proba : ndarray of float64, shape (v, c)
        Predictions for labelled rows that the model was not trained on.
    labels : ndarray of int64, shape (v,)
        Their classes.
    after : ndarray of float64, shape (m, c)
        Predictions for production rows.
    """
    classes = proba.shape[1]
    predicted = proba.argmax(axis=1), after.argmax(axis=1)
    shares = np.bincount(labels, minlength=classes) / len(labels)
    _, p_value = _changed_shares(*predicted)
    seen = shares > 0
    prior = shares.copy()
    density = recalibrated(proba, labels, after)
    for _ in range(200):
        posterior = density * np.where(seen, prior / np.where(seen, shares, 1.0), 0.0)
        posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), 1e-300)
        prior, last = posterior.mean(axis=0), prior
        if abs(prior - last).max() < 1e-6:
            break
    ratios = np.where(seen, prior / np.where(seen, shares, 1.0), 1.0)
    return LabelShift(np.clip(ratios, 1 / _MOST_WEIGHT, _MOST_WEIGHT), p_value)


def told_label_shift(labels: Codes, answers: Codes, weights: Floats, classes: int) -> LabelShift:
    """Return the class shares of production as answers tell them; half a row of each class is added to both sides.

    Parameters
    ----------
    labels : ndarray of int64, shape (v,)
        Classes before.
    answers, weights : ndarray of int64 and float64, shape (a,)
        Classes of answered production rows, and what each row stands for.
    classes : int
        Classes in all.
    """
    shares = [
        (np.bincount(codes, mass, classes) * len(codes) / mass.sum() + 0.5) / (len(codes) + 0.5 * classes)
        for codes, mass in ((labels, np.ones(len(labels))), (answers, weights))
    ]
    _, p_value = _changed_shares(labels, answers)
    return LabelShift(np.clip(shares[1] / shares[0], 1 / _MOST_WEIGHT, _MOST_WEIGHT), p_value)


def recalibrated(proba: Floats, labels: Codes, after: Floats) -> Floats:
    """Return ``after`` with a temperature and class biases that make ``proba`` fit ``labels`` best.

    The EM needs calibrated posteriors.

    Source: Alexandari, Kundaje & Shrikumar, "Maximum likelihood with bias-corrected calibration is hard to beat at
    label shift adaptation", ICML 2020.
    """
    if len(np.unique(labels)) < 2:
        return after
    logs, later = (np.log(np.maximum(part, 1e-3)) for part in (proba, after))
    with warnings.catch_warnings():
        # Nearly calibrated is near enough: the EM averages over all rows.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=1.0, max_iter=100).fit(logs, labels)
    whole = np.full(after.shape, 1e-9)
    whole[:, model.classes_] = model.predict_proba(later)
    return whole
