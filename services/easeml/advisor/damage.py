"""What wrong labels and missing cells cost.

Validation rows are certain and complete. So the cost of damage can be measured on them: models trained on some of them
as they are, and with the damage that the training rows have, are compared on the others. For labels there is a second
measurement: the gain of training on the labels that models without a row suggest. People know better and the training
rows are more than the validation rows: the two bracket the gain.

Source: Northcutt, Jiang & Chuang, JAIR 70, 2021 (out-of-fold disagreement).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from easeml.advisor.estimate import Z90, Estimate, mean_gain
from easeml.advisor.learning import FOLDS, CrossFit, Floats, Learner, Sample, folds, gaps, right, with_gaps_of

REPEATS = 2
SURE = 0.005
"""Probability of calling clean labels noisy."""


@dataclass(frozen=True)
class LabelNoise:
    """Wrong labels among the training rows.

    Parameters
    ----------
    rate : Estimate
        Share of wrong labels.
    p_value : float
        That of no wrong labels at all.
    suspects : ndarray of int64, shape (k,)
        Rows whose label models without them speak against, the most doubtful first.
    gain : Estimate
        Accuracy gained when the suspects get their true labels.
    """

    rate: Estimate
    p_value: float
    suspects: NDArray[np.int64]
    gain: Estimate


@dataclass(frozen=True)
class MissingCells:
    """Missing cells of the training rows.

    Parameters
    ----------
    share : float
        Share of all cells.
    columns : tuple of str
        Columns with missing cells, those with most first.
    rows : ndarray of int64, shape (k,)
        Rows with missing cells, those with most first.
    cells : int
        How many.
    gain : Estimate
        Accuracy gained when all get their true values.
    """

    share: float
    columns: tuple[str, ...]
    rows: NDArray[np.int64]
    cells: int
    gain: Estimate


def label_noise(
    learner: Learner, train: Sample, validation: Sample, crossed: CrossFit, now: Floats, rng: np.random.Generator
) -> LabelNoise | None:
    """Return what is wrong with the training labels, None when nothing shows.

    Validation labels are certain. Models that are wrong about unseen training rows more often than about validation
    rows are so because of wrong labels: with a rate r of uniform flips and an error e, the excess is
    r (1 - e c / (c - 1)).

    Parameters
    ----------
    learner : Learner
        What is trained.
    train, validation : Sample
        Labelled rows.
    crossed : CrossFit
        Of the training rows, beside the validation rows.
    now : ndarray of float64, shape (v,)
        Whether the present model is right about each validation row.
    rng : Generator
        Draws flips.
    """
    classes = len(learner.classes)
    suggested = crossed.proba.argmax(axis=1).astype(np.int64)
    doubted = (suggested != train.labels).astype(np.float64)
    error = 1 - float(crossed.elsewhere.mean())
    excess = float(doubted.mean()) - error
    spread = math.sqrt((doubted.var() + 0.25 / len(train)) / len(train) + crossed.elsewhere.var() / len(validation))
    p_value = float(norm.sf(excess / spread))
    if p_value > SURE:
        return None
    keeps = max(1 - error * classes / (classes - 1), 0.05)
    rate = Estimate(*(float(np.clip(excess + z * spread, 0.0, 1.0) / keeps) for z in (0.0, -Z90, Z90)))
    own = crossed.proba[np.arange(len(train)), train.labels]
    suspects = np.flatnonzero(doubted)
    suspects = suspects[np.argsort(own[suspects], kind="stable")]
    mended = right(learner.fit(train.relabelled(suspects, suggested[suspects])), validation)
    known = mean_gain(now, mended, validation.mass)
    cost = _cost(learner, validation, lambda rows: _flipped(rows, rate.value, classes, rng), rng)
    return LabelNoise(rate, p_value, suspects.astype(np.int64), bracket(known, cost))


def missing_cells(learner: Learner, train: Sample, validation: Sample, rng: np.random.Generator) -> MissingCells | None:
    """Return what missing cells of the training rows cost, None when there are none.

    Parameters
    ----------
    learner, train, validation, rng
        As for ``label_noise``.
    """
    missing = gaps(train.frame, learner.columns)
    if not missing.any():
        return None
    share = float(missing.mean())
    cost = _cost(learner, validation, lambda rows: with_gaps_of(train, rows, learner.columns, rng), rng)
    # The cost falls with the rows there are, about as one over their number or slower.
    fewer = min((FOLDS - 1) / FOLDS * len(validation) / len(train), 1.0)
    gain = Estimate(cost.value * fewer, min(cost.low * fewer**2, cost.low), cost.high)
    per_column, per_row = missing.sum(axis=0), missing.sum(axis=1)
    names = [column.name for column in learner.columns]
    order = sorted(np.flatnonzero(per_column), key=lambda place: (-per_column[place], names[place]))
    rows = np.flatnonzero(per_row)
    rows = rows[np.argsort(-per_row[rows], kind="stable")].astype(np.int64)
    return MissingCells(share, tuple(names[place] for place in order), rows, int(missing.sum()), gain)


def bracket(low: Estimate, high: Estimate) -> Estimate:
    """Return what lies between a low and a high estimate of the same figure."""
    ends = sorted((low.value, high.value))
    return Estimate((ends[0] + ends[1]) / 2, min(low.low, high.low), max(low.high, high.high))


def _cost(
    learner: Learner, validation: Sample, damage: Callable[[Sample], Sample], rng: np.random.Generator
) -> Estimate:
    """Return the accuracy that damage costs models trained on certain rows, measured on rows they have not seen."""
    fold = folds(validation.labels, FOLDS, rng)
    whole, damaged = np.zeros(len(validation)), np.zeros(len(validation))
    for turn in range(FOLDS):
        kept, held = validation.at(np.flatnonzero(fold != turn)), np.flatnonzero(fold == turn)
        whole[held] = right(learner.fit(kept), validation.at(held))
        damaged[held] = np.mean([right(learner.fit(damage(kept)), validation.at(held)) for _ in range(REPEATS)], axis=0)
    return mean_gain(damaged, whole, validation.mass)


def _flipped(train: Sample, rate: float, classes: int, rng: np.random.Generator) -> Sample:
    rows = np.flatnonzero(rng.random(len(train)) < rate)
    return train.relabelled(rows, (train.labels[rows] + rng.integers(1, classes, len(rows))) % classes)
