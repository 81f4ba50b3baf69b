"""What the owned rows say about labels: the current model's probabilities, and an ensemble that knows its doubts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from easeml.market.information import information_gain
from easeml.market.neighbours import Floats, Ints

_MEMBERS = 50
_LEAF = 3
KEPT = 0.3
"""Bits that labels brought, of each that the forest promised: the fall of its log loss on rows not seen.

Single trees differ more than forests grown on other rows would, and no tree knows that a pool row may be useless.
Measured by ``tests/benchmarks/bench_one_queue.py --calibrate``.
"""


def probabilities(x: Floats, y: Ints, pool: Floats, n_classes: int) -> Floats:
    """Return class probabilities of pool rows by logistic regression (C = 0.3): float64[m, c].

    With no two classes owned there is nothing to tell apart: the smoothed shares of the classes, the same for all.
    """
    counts = np.bincount(y, minlength=n_classes)
    proba = np.tile((counts + 1) / (counts.sum() + n_classes), (len(pool), 1))
    if (counts > 0).sum() < 2 or not len(pool):
        return proba
    model = LogisticRegression(C=0.3, max_iter=200)
    with warnings.catch_warnings():
        # probabilities only order the pool: the last digits do not matter
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    return _all_classes(model, pool, n_classes)


def label_information(
    x: Floats, y: Ints, pool: Floats, validation: Floats, n_classes: int, rng: np.random.Generator
) -> Floats:
    """Return the information gain of pool rows in bits, believed by a forest grown on the owned rows: float64[m].

    It is what the trees promise times the share of such promises that is kept. Fifty trees tell like rows apart mostly
    by chance, and the list would take chance for knowledge: the first rows of a batch would promise too much, the last
    nothing. So each row's promise is drawn to the mean as far as two halves of the forest do not agree on the rows.
    With no two classes owned every label is as good as any other: log2 c each.

    Source: Kelley, "Interpretation of Educational Measurements", 1927 (the estimate), Brown, 1910 (of the halves).
    """
    if len(np.unique(y)) < 2:
        return np.full(len(pool), np.log2(n_classes))
    if not len(pool) or not len(validation):
        return np.zeros(len(pool))
    forest = RandomForestClassifier(_MEMBERS, min_samples_leaf=_LEAF, random_state=int(rng.integers(2**31)))
    forest.fit(x, y)
    both = np.vstack([pool, validation])
    members = np.zeros((_MEMBERS, len(both), n_classes))
    # the trees know the classes by their places in the forest's
    members[:, :, forest.classes_] = [tree.predict_proba(both) for tree in forest.estimators_]
    pools, points = members[:, : len(pool)], members[:, len(pool) :]
    gains = information_gain(pools, points, rng)
    trust = _reliability(*(information_gain(pools[half::2], points[half::2], rng) for half in (0, 1)))
    return np.asarray(KEPT * (gains.mean() + trust * (gains - gains.mean())), np.float64)


def _reliability(first: Floats, second: Floats) -> float:
    """Return how far values can be trusted of which two halves were found apart, in [0, 1]."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    agreement = max(float(np.corrcoef(first, second)[0, 1]), 0.0)
    return 2 * agreement / (1 + agreement)


def margins(proba: Floats) -> Floats:
    """Return by how much the most probable class leads: float64[m] in [0, 1]."""
    top = np.sort(proba, axis=1)
    return np.asarray(top[:, -1] - top[:, -2] if proba.shape[1] > 1 else np.ones(len(proba)), np.float64)


def _all_classes(model: Any, rows: Floats, n_classes: int) -> Floats:
    proba = np.zeros((len(rows), n_classes))
    proba[:, model.classes_] = model.predict_proba(rows)
    return proba
