"""Slices that can be mended: where the model fails although a model that learnt from such rows would not.

Every model fails more often near the boundary between its classes; that is no fault of the data. A slice is broken when

- its training labels mean something else (*stale*): models taught by certain rows contradict them more often than they
  are wrong about certain rows of the slice, and this excess is larger than outside, where it is that of labels wrong at
  random;
- or the model is wrong there and hardly any training row is in it (*absent*);

and when models that are taught right rows of the slice in place of its training rows are right more often. Slices are
looked for in one half of the rows and confirmed on the other, then the other way round: what was chosen because it
looked bad is judged by rows that did not choose it.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binomtest, norm

from easeml.advisor.conditions import Condition, Flags, all_hold
from easeml.advisor.estimate import Estimate, mean_gain
from easeml.advisor.evidence import BrokenSlice
from easeml.advisor.learning import FOLDS, Floats, Learner, Sample, cross_fit, folds, right, with_gaps_of
from easeml.advisor.slices import find_slices, judge_slice

FEWEST = 20
"""Rows of a slice at least, in the half that finds it."""
LEAST_SHARE = 0.06
"""Share of the rows that a slice has at least."""
SURE = 0.01
"""Probability of calling labels of a slice stale, or its rows too few, when they are not."""

Conjunction = tuple[Condition, ...]


def broken_slices(
    learner: Learner, train: Sample, judged: Sample, now: Floats, rng: np.random.Generator
) -> tuple[BrokenSlice, ...]:
    """Return the slices that can be mended, the greatest gain first.

    Parameters
    ----------
    learner : Learner
        What is trained.
    train : Sample
        Training rows.
    judged : Sample
        Rows with certain labels that the model was not trained on.
    now : ndarray of float64, shape (n,)
        Whether the present model is right about each judged row.
    rng : Generator
        Draws folds.
    """
    alike = with_gaps_of(train, judged, learner.columns, rng)
    everywhere = np.ones(len(judged), bool)
    suspected = [(conditions, everywhere, True) for conditions in _stale(learner, train, alike, rng)]
    suspected += [(*one, False) for one in _absent(learner, train, judged, alike, now, rng)]
    found = [
        _broken(learner, train, judged, now, conditions, confirming, stale, rng)
        for conditions, confirming, stale in suspected
    ]
    worth = [one for one in found if one is not None and one.gain.positive]
    return tuple(sorted(worth, key=lambda one: (-one.gain.value, one.found.text)))


def _halves(
    sample: Sample, wrong: Flags, learner: Learner, rng: np.random.Generator
) -> list[tuple[Conjunction, Flags]]:
    """Return the slices found in either half, each with the rows of the half that did not find it."""
    half = folds(sample.labels, 2, rng)
    candidates: dict[Conjunction, Flags] = {}
    for turn in range(2):
        rows = np.flatnonzero(half == turn)
        support = max(FEWEST, round(LEAST_SHARE * len(rows)))
        for one in find_slices(sample.frame.iloc[rows], wrong[rows], learner.columns, support=support):
            candidates.setdefault(one.conditions, half != turn)
    return list(candidates.items())


def _stale(learner: Learner, train: Sample, alike: Sample, rng: np.random.Generator) -> list[Conjunction]:
    """Return the slices whose training labels certain rows (with the gaps of training rows) contradict."""
    taught = cross_fit(learner, alike, train, rng)
    contradicted = (taught.elsewhere < 0.5).astype(np.float64)
    mistaken = (taught.proba.argmax(axis=1) != alike.labels).astype(np.float64)
    candidates = _halves(train, contradicted > 0.5, learner, rng)
    found = []
    for conditions, confirming in candidates:
        own, same = all_hold(conditions, train.frame), all_hold(conditions, alike.frame)
        groups = (
            contradicted[own & confirming], mistaken[same],
            contradicted[~own & confirming], mistaken[~same],
        )  # fmt: skip
        if min(map(len, groups)) and _more_excess(*groups) <= SURE / len(candidates):
            found.append(conditions)
    return found


def _more_excess(inside: Floats, mistaken: Floats, outside: Floats, mistaken_outside: Floats) -> float:
    """Return the p-value of no larger excess of contradictions over mistakes inside than outside."""
    groups = (inside, mistaken, outside, mistaken_outside)
    excess = float(inside.mean() - mistaken.mean() - outside.mean() + mistaken_outside.mean())
    # One row of each kind more than was seen: few rows that agree are no certainty.
    rates = [(group.sum() + 1) / (len(group) + 2) for group in groups]
    variance = sum(rate * (1 - rate) / len(group) for rate, group in zip(rates, groups, strict=True))
    return float(norm.sf(excess / math.sqrt(variance)))


def _absent(
    learner: Learner, train: Sample, judged: Sample, alike: Sample, now: Floats, rng: np.random.Generator
) -> list[tuple[Conjunction, Flags]]:
    """Return the slices where the model fails and far fewer training rows are than there should be."""
    candidates = _halves(judged, now < 0.5, learner, rng)
    found = []
    for conditions, confirming in candidates:
        own, expected = all_hold(conditions, train.frame).sum(), all_hold(conditions, alike.frame).mean()
        test = binomtest(int(own), len(train), max(float(expected), 1e-9), alternative="less")
        if test.pvalue <= SURE / len(candidates):
            found.append((conditions, confirming))
    return found


def _broken(
    learner: Learner,
    train: Sample,
    judged: Sample,
    now: Floats,
    conditions: Conjunction,
    confirming: Flags,
    stale: bool,
    rng: np.random.Generator,
) -> BrokenSlice | None:
    own = np.flatnonzero(all_hold(conditions, train.frame))
    rows = all_hold(conditions, judged.frame)
    if not (rows & confirming).any():
        return None
    rest = train.at(np.setdiff1d(np.arange(len(train)), own))
    mended = _mended(learner, rest, judged, rows, len(own), not stale, rng)
    learnt = mean_gain(now[confirming], mended[confirming], judged.mass[confirming])
    found = judge_slice(conditions, rows, now < 0.5)
    # The experiment knows few rows of the slice: it may still become as good as the rest, at best flawless.
    left = float((1 - mended)[rows & confirming].mean()) * float(rows.mean())
    above = max(left - found.error_elsewhere * float(rows.mean()), 0.0)
    gain = Estimate(learnt.value + above / 2, learnt.low, learnt.high + left)
    return BrokenSlice(found, own.astype(np.int64), stale, gain)


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
