"""Slices that can be mended: where the model fails although a model that learnt from such rows would not.

Every model fails more often near the boundary between its classes; that is no fault of the data. A slice is broken when

- its training rows are there but mean something else: the model is wrong about certain labels more often than models
  without a training row are about that row's label. Where labels are wrong at random, or rows are hard, they are not;
- or its training rows are not there;

and when models that are taught right rows of the slice in place of its training rows are right more often. Slices are
looked for in one half of the judged rows and confirmed on the other, then the other way round: what was chosen because
it looked bad is judged by rows that did not choose it.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest, fisher_exact

from easeml.advisor.conditions import Condition, Flags, all_hold
from easeml.advisor.estimate import Estimate, mean_gain
from easeml.advisor.evidence import BrokenSlice
from easeml.advisor.learning import FOLDS, Floats, Learner, Sample, folds, right, with_gaps_of
from easeml.advisor.slices import find_slices, judge_slice

FEWEST = 20
"""Rows of a slice at least, in the half that finds it."""
LEAST_SHARE = 0.06
"""Share of the rows that a slice has at least."""
SURE = 0.01
"""Probability of calling labels of a slice stale, or its rows too few, when they are not."""


def broken_slices(
    learner: Learner, train: Sample, doubted: Floats, judged: Sample, now: Floats, rng: np.random.Generator
) -> tuple[BrokenSlice, ...]:
    """Return the slices that can be mended, the greatest gain first.

    Parameters
    ----------
    learner : Learner
        What is trained.
    train : Sample
        Training rows.
    doubted : ndarray of float64, shape (m,)
        1 where a model without the training row gives it another label than it has.
    judged : Sample
        Rows with certain labels that the model was not trained on.
    now : ndarray of float64, shape (n,)
        Whether the present model is right about each judged row.
    rng : Generator
        Draws folds.
    """
    half = folds(judged.labels, 2, rng)
    candidates: dict[tuple[Condition, ...], Flags] = {}
    for turn in range(2):
        rows = np.flatnonzero(half == turn)
        support = max(FEWEST, round(LEAST_SHARE * len(rows)))
        for one in find_slices(judged.frame.iloc[rows], now[rows] < 0.5, learner.columns, support=support):
            candidates.setdefault(one.conditions, half != turn)
    found = [
        _broken(learner, train, doubted, judged, now, conditions, confirming, SURE / len(candidates), rng)
        for conditions, confirming in candidates.items()
    ]
    worth = [one for one in found if one is not None and one.gain.positive]
    return tuple(sorted(worth, key=lambda one: (-one.gain.value, one.found.text)))


def _broken(
    learner: Learner,
    train: Sample,
    doubted: Floats,
    judged: Sample,
    now: Floats,
    conditions: tuple[Condition, ...],
    confirming: Flags,
    sure: float,
    rng: np.random.Generator,
) -> BrokenSlice | None:
    own = np.flatnonzero(all_hold(conditions, train.frame))
    rows = all_hold(conditions, judged.frame)
    wrong = 1 - now[rows & confirming]
    expected = all_hold(conditions, with_gaps_of(train, judged, learner.columns, rng).frame).mean()
    absent = binomtest(len(own), len(train), max(float(expected), 1e-9), alternative="less").pvalue <= sure
    if len(wrong) < FEWEST // 2 or not (absent or _contradicted(wrong, doubted[own], sure)):
        return None
    mended = _mended(learner, train.at(np.setdiff1d(np.arange(len(train)), own)), judged, rows, len(own), absent, rng)
    learnt = mean_gain(now[confirming], mended[confirming], judged.mass[confirming])
    found = judge_slice(conditions, rows, now < 0.5)
    # The experiment knows few rows of the slice: it may still become as good as the rest, at best flawless.
    left = float((1 - mended)[rows & confirming].mean()) * float(rows.mean())
    above = max(left - found.error_elsewhere * float(rows.mean()), 0.0)
    gain = Estimate(learnt.value + above / 2, learnt.low, learnt.high + left)
    return BrokenSlice(found, own.astype(np.int64), not absent, gain)


def _mended(
    learner: Learner, rest: Sample, judged: Sample, rows: Flags, own: int, absent: bool, rng: np.random.Generator
) -> Floats:
    """Return how right models are about each judged row that were taught other right rows of the slice."""
    inside, outside = np.flatnonzero(rows), np.flatnonzero(~rows)
    fold, mended = folds(judged.labels[inside], FOLDS, rng), np.zeros(len(judged))
    for turn in range(FOLDS):
        kept = rng.permutation(np.flatnonzero(fold != turn))
        # As many right rows as there were wrong ones: more rows help anywhere.
        model = learner.fit(rest.joined(judged.at(inside[kept if absent else kept[:own]])))
        held = inside[fold == turn]
        mended[held] = right(model, judged.at(held))
        mended[outside] += right(model, judged.at(outside)) / FOLDS
    return mended


def _contradicted(wrong: Floats, doubted: Floats, sure: float) -> bool:
    """Return whether the model is wrong about certain labels more often than about the slice's training labels."""
    counts = [[int(part.sum()), int(len(part) - part.sum())] for part in (wrong, doubted)]
    return bool(fisher_exact(counts, alternative="greater").pvalue <= sure)
