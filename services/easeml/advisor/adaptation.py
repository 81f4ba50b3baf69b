"""Adapted models: the app's own kind of model, fitted to what production looks like now.

Four techniques need no production label:

- ``importance``: training rows count as often as production has rows like them (density ratio by cross-fitted
  classifiers, clipped). Shimodaira, JSPI 90, 2000; Bickel, Brückner & Scheffer, JMLR 10, 2009.
- ``label_shift``: posteriors are reweighted to the class shares of production, which answers tell or, without them,
  predictions (EM). Saerens et al., 2002.
- ``coral``: numeric columns of the training rows get mean and covariance of production. Sun, Feng & Saenko, AAAI 2016.
- ``moments``: the same column by column, for those columns that have drifted, as when a sensor is recalibrated.

Where none of them helps, ``recent`` does what needs no theory: it trains on answered production rows as well.

The result is an ordinary classifier of the app's kind, trained on other rows or with other priors, so the artifact
store writes and reads it as any other. Whether it is worth a step of CI is told by its expected gain in production:
on production rows with answers if there are enough; else on validation rows changed in the same way, and then only
techniques after whose change a classifier can hardly tell them from production are believed: of all, those that come
nearest to it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from easeml.advisor.estimate import Estimate, mean_gain
from easeml.advisor.learning import FOLDS, Floats, Learner, Sample, right
from easeml.advisor.shift import (
    CovariateShift,
    Drift,
    LabelShift,
    covariate_shift,
    drifted,
    label_shift,
    told_label_shift,
)
from easeml.artifacts import Classifier
from easeml.stream.payloads import ColumnKind

ALPHA = 0.01
"""Probability of looking for adapted models although production is what it was."""
ENOUGH = 40
"""Answers from which production itself judges an adapted model."""
_ALIKE = 0.03
"""Techniques whose areas under the curve differ by less explain production alike."""


@dataclass(frozen=True)
class Adapted:
    """One adapted model.

    Parameters
    ----------
    technique : str
        ``importance``, ``label_shift``, ``coral``, ``moments`` or ``recent``.
    model : Classifier
        Ready to be stored and served.
    gain : Estimate
        Accuracy in production minus that of the present model.
    """

    technique: str
    model: Classifier
    gain: Estimate

    @property
    def worth_it(self) -> bool:
        """Whether the mean gain is above 0 with its whole interval; what single rows bring is for CI to judge."""
        # Half the variance of the gain's interval is the chance of the rows that it will be seen on.
        return self.gain.value > (self.gain.value - self.gain.low) / math.sqrt(2)


@dataclass(frozen=True)
class Shift:
    """What has changed between training and production.

    Parameters
    ----------
    columns : tuple of Drift
        Columns that have drifted.
    covariate : CovariateShift
        All columns together; its weights are those of the training rows and then of the validation rows.
    label : LabelShift
        Class shares.
    """

    columns: tuple[Drift, ...]
    covariate: CovariateShift
    label: LabelShift

    @property
    def present(self) -> bool:
        """Whether anything has changed, wrongly so with probability ``ALPHA``."""
        return bool(self.columns) or min(self.covariate.p_value, self.label.p_value) <= ALPHA / 3


def find_shift(
    learner: Learner,
    model: Classifier,
    train: Sample,
    validation: Sample,
    production: Sample,
    rng: np.random.Generator,
) -> Shift:
    """Compare production with training and validation rows, without labels of production.

    Parameters
    ----------
    learner : Learner
        How the model was trained.
    model : Classifier
        The model that is served, not trained on the validation rows.
    train, validation, production : Sample
        Rows.
    rng : Generator
        Draws folds.
    """
    before, answered = train.joined(validation), production.labelled()
    return Shift(
        drifted(before.frame, production.frame, learner.columns, alpha=ALPHA / 3),
        covariate_shift(model.encoder.transform(before.frame), model.encoder.transform(production.frame), rng),
        told_label_shift(validation.labels, answered.labels, answered.mass, len(learner.classes))
        if len(answered) >= ENOUGH
        else label_shift(
            model.predict_proba(validation.frame), validation.labels, model.predict_proba(production.frame)
        ),
    )


def adapt(
    learner: Learner,
    model: Classifier,
    train: Sample,
    validation: Sample,
    production: Sample,
    shift: Shift,
    rng: np.random.Generator,
) -> list[Adapted]:
    """Return adapted models whose mean gain is above 0 with its whole interval, best first; none without a shift.

    Parameters
    ----------
    learner : Learner
        How the present model was trained.
    model : Classifier
        The present model.
    train, validation : Sample
        Labelled rows.
    production : Sample
        Recent rows; those with an answer have a label.
    shift : Shift
        As found.
    rng : Generator
        Draws rows in proportion to weights.
    """
    if not shift.present:
        return []
    answered = production.labelled()
    found, apart = [], []
    for technique, adapted, like_production in _candidates(learner, model, train, validation, production, shift):
        judge = answered if len(answered) >= ENOUGH else like_production
        gain = mean_gain(right(model, judge), right(adapted, judge), judge.mass)
        found.append(Adapted(technique, adapted, gain))
        if len(answered) < ENOUGH:
            apart.append(_told_apart(model, like_production, production, rng))
    if apart:
        found = [one for one, auc in zip(found, apart, strict=True) if auc <= max(min(apart), 0.5) + _ALIKE]
    worth = [one for one in found if one.worth_it]
    if not worth and len(answered) >= ENOUGH:
        worth = [one for one in [_recent(learner, model, train, answered)] if one.worth_it]
    return sorted(worth, key=lambda one: (-one.gain.value, one.technique))


def _told_apart(model: Classifier, like: Sample, production: Sample, rng: np.random.Generator) -> float:
    """Return how well a classifier tells the changed validation rows from production: the area under its curve."""
    # No row comes twice: a classifier would know it again. So only about as many are drawn as the weights are worth.
    portion = like.mass / like.mass.sum()
    count = max(FOLDS, int(0.5 / float(portion @ portion)))
    drawn = like.at(rng.choice(len(like), count, replace=False, p=portion))
    encode = model.encoder.transform
    return covariate_shift(encode(drawn.frame), encode(production.frame), rng).auc


def _recent(learner: Learner, model: Classifier, train: Sample, answered: Sample) -> Adapted:
    """Return the model of training and answered rows; its gain is measured with each answered row left out once."""
    fold, after = np.arange(len(answered)) % FOLDS, np.zeros(len(answered))
    for turn in range(FOLDS):
        kept, held = np.flatnonzero(fold != turn), np.flatnonzero(fold == turn)
        after[held] = right(learner.fit(train.joined(answered.at(kept))), answered.at(held))
    gain = mean_gain(right(model, answered), after, answered.mass)
    return Adapted("recent", learner.fit(train.joined(answered)), gain)


def _candidates(
    learner: Learner, model: Classifier, train: Sample, validation: Sample, production: Sample, shift: Shift
) -> Iterator[tuple[str, Classifier, Sample]]:
    """Yield technique, model, and validation rows changed to look like production under its assumption."""
    weights = shift.covariate.weights
    yield (
        "importance",
        learner.fit(train, weights[: len(train)]),
        replace(validation, weights=weights[len(train) :] * validation.mass),
    )
    ratios = shift.label.ratios
    prior = with_priors(model, ratios)
    if prior is None:
        prior = learner.fit(train, ratios[train.labels])
    yield "label_shift", prior, replace(validation, weights=ratios[validation.labels] * validation.mass)
    numbers = [column.name for column in learner.columns if column.kind is ColumnKind.NUMERIC]
    if numbers:
        move = coral(train.frame[numbers], production.frame[numbers])
        yield "coral", learner.fit(_moved(train, move)), _moved(validation, move)
    changed = [one.column for one in shift.columns if one.column in numbers]
    if changed:
        move = moments(train.frame[changed], production.frame[changed])
        yield "moments", learner.fit(_moved(train, move)), _moved(validation, move)


@dataclass(frozen=True)
class Alignment:
    """An affine map of numeric columns: (x - before) @ matrix + after; missing cells stay missing."""

    columns: tuple[str, ...]
    before: Floats
    matrix: Floats
    after: Floats

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with its columns mapped."""
        cells = frame[list(self.columns)].to_numpy(np.float64, na_value=np.nan)
        missing = np.isnan(cells)
        moved = np.where(missing, 0.0, cells - self.before) @ self.matrix + self.after
        return frame.assign(**dict(zip(self.columns, np.where(missing, np.nan, moved).T, strict=True)))


def coral(source: pd.DataFrame, target: pd.DataFrame) -> Alignment:
    """Return the map that gives the columns of ``source`` mean and covariance of ``target``.

    Columns are scaled first and the covariances shrunk by 1 / sqrt(rows), so that few rows or constant columns do no
    harm.

    Source: Sun, Feng & Saenko, AAAI 2016, algorithm 1.
    """
    names, (left, right_) = tuple(source.columns), (_filled(frame) for frame in (source, target))
    scale = np.where(left.std(axis=0) > 0, left.std(axis=0), 1.0)
    whitened = _power(_covariance(left / scale), -0.5)
    coloured = _power(_covariance(right_ / scale), 0.5)
    matrix = (whitened @ coloured) / scale[:, None] * scale[None, :]
    return Alignment(names, left.mean(axis=0), matrix, right_.mean(axis=0))


def moments(source: pd.DataFrame, target: pd.DataFrame) -> Alignment:
    """Return the map that gives each column of ``source`` mean and deviation of that of ``target``."""
    names, (left, right_) = tuple(source.columns), (_filled(frame) for frame in (source, target))
    known = (left.std(axis=0) > 0) & (right_.std(axis=0) > 0)
    stretch = np.where(known, right_.std(axis=0), 1.0) / np.where(known, left.std(axis=0), 1.0)
    return Alignment(names, left.mean(axis=0), np.diag(stretch), right_.mean(axis=0))


def with_priors(model: Classifier, ratios: Floats) -> Classifier | None:
    """Return the model with each class's posterior multiplied by its ratio (and normed), None where it cannot be.

    The ratios go into fitted parameters (an intercept, a prior, the votes of the leaves), so nothing new is needed to
    serve the model.

    Parameters
    ----------
    model : Classifier
        A linear, discriminant, naive Bayes, tree or forest model.
    ratios : ndarray of float64, shape (c,)
        New share over old share of each class, > 0.
    """
    estimator = copy.deepcopy(model.estimator)
    factors = ratios[np.asarray(estimator.classes_, np.intp)]
    if isinstance(estimator, LogisticRegression | LinearDiscriminantAnalysis):
        logs = np.log(factors)
        estimator.intercept_ = estimator.intercept_ + (logs[1:] - logs[:1] if len(logs) == 2 else logs)
    elif isinstance(estimator, GaussianNB):
        prior = estimator.class_prior_ * factors
        estimator.class_prior_ = prior / prior.sum()
    elif isinstance(estimator, RandomForestClassifier | ExtraTreesClassifier | DecisionTreeClassifier):
        for tree in _trees(estimator):
            # Votes need not sum to 1 in a tree: the classifier norms them once they are added up.
            tree.value[...] *= factors
    else:
        return None
    return Classifier(model.encoder, estimator, model.classes)


def _trees(estimator: Any) -> list[Any]:
    return [one.tree_ for one in getattr(estimator, "estimators_", [estimator])]


def _moved(sample: Sample, move: Alignment) -> Sample:
    return replace(sample, frame=move(sample.frame))


def _filled(frame: pd.DataFrame) -> Floats:
    cells = frame.to_numpy(np.float64, na_value=np.nan)
    known = ~np.isnan(cells)
    mean = np.where(known, cells, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, cells, mean)


def _covariance(cells: Floats) -> Floats:
    centred = cells - cells.mean(axis=0)
    covariance = centred.T @ centred / len(cells)
    shrink = min(1.0, 1 / np.sqrt(len(cells)))
    level = np.trace(covariance) / len(covariance)
    return np.asarray((1 - shrink) * covariance + shrink * max(level, 1e-12) * np.eye(len(covariance)))


def _power(matrix: NDArray[np.float64], exponent: float) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 1e-12) ** exponent) @ vectors.T)
