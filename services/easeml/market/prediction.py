"""Which pool rows are worth looking at, predicted from features alone: two forests, each with how far to trust it.

*Value*: a forest learns the Shapley values of the owned rows; it finds regions where examples do harm, such as those
of a careless annotator. *Resemblance*: a forest tells validation rows from pool rows; what it takes for a validation
row comes from where the model will be used, what it does not is junk, broken sensors, another population. Both are
judged on rows that their trees did not see.

Sources: value prediction after Jia et al., CVPR 2021; resemblance is the classifier form of the density ratio,
Bickel, Brueckner & Scheffer, JMLR 10, 2009.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from easeml.market.neighbours import Floats

_LEAF = 3
_VALUE_TREES, _RESEMBLANCE_TREES = 50, 100
_POOL_SHARE, _LARGEST_POOL = 5, 5000
"""Pool rows that the resemblance forest learns from at most: per validation row, and in all."""
_FEWEST = 8


class Forecast(NamedTuple):
    """What a forest says about pool rows.

    Parameters
    ----------
    scores : ndarray of float64, shape (m,)
        More is better.
    trust : float
        In [0, 1], measured out of bag; 0: no better than guessing.
    """

    scores: Floats
    trust: float


def predicted_values(x: Floats, values: Floats, pool: Floats, rng: np.random.Generator) -> Forecast:
    """Predict the values of pool rows from those of the owned rows.

    Parameters
    ----------
    x : ndarray of float64, shape (n, d)
        Owned rows.
    values : ndarray of float64, shape (n,)
        Their Shapley values.
    pool : ndarray of float64, shape (m, d)
    rng : Generator
        Draws the forest.

    Returns
    -------
    Forecast
        ``trust`` is the rank correlation with the values out of bag. With fewer than 8 owned rows, or values all
        alike, nothing is predicted: scores and trust are 0.
    """
    if len(x) < _FEWEST or not len(pool) or np.ptp(values) == 0:
        return Forecast(np.zeros(len(pool)), 0.0)
    forest = RandomForestRegressor(_VALUE_TREES, min_samples_leaf=_LEAF, oob_score=True, random_state=_seed(rng))
    _fit(forest, x, values)
    return Forecast(
        np.asarray(forest.predict(pool), np.float64), max(_rank_correlation(forest.oob_prediction_, values), 0.0)
    )


def resemblance(validation: Floats, pool: Floats, rng: np.random.Generator) -> Forecast:
    """Tell how much pool rows look like validation rows.

    Parameters
    ----------
    validation : ndarray of float64, shape (v, d)
    pool : ndarray of float64, shape (m, d)
    rng : Generator
        Draws the forest.

    Returns
    -------
    Forecast
        Scores are probabilities out of bag, at even odds. ``trust`` is 2 AUC - 1: 0 where the pool cannot be told
        from the validation rows, and nothing is to be gained by looking. With fewer than 8 rows of either, 0.
    """
    if min(len(validation), len(pool)) < _FEWEST:
        return Forecast(np.zeros(len(pool)), 0.0)
    chosen = np.arange(len(pool))
    most = min(_POOL_SHARE * len(validation), _LARGEST_POOL)
    if len(pool) > most:
        chosen = np.sort(rng.choice(len(pool), most, replace=False))
    # a validation row does not see itself out of bag: leaves so small that it was the only one would deny it
    leaf = max(_LEAF, math.ceil(len(chosen) / len(validation)))
    forest = RandomForestClassifier(
        _RESEMBLANCE_TREES, min_samples_leaf=leaf, class_weight="balanced", oob_score=True, random_state=_seed(rng)
    )
    ours = np.repeat([True, False], [len(validation), len(chosen)])
    _fit(forest, np.vstack([validation, pool[chosen]]), ours)
    # a row that is in the sample of every tree has no figure out of bag
    unseen = np.nan_to_num(forest.oob_decision_function_[:, 1], nan=0.5)
    scores = np.empty(len(pool))
    scores[chosen] = unseen[len(validation) :]
    rest = np.setdiff1d(np.arange(len(pool)), chosen, assume_unique=True)
    if len(rest):
        scores[rest] = forest.predict_proba(pool[rest])[:, 1]
    wins = rankdata(unseen)[ours].sum() - len(validation) * (len(validation) + 1) / 2
    return Forecast(scores, max(2 * float(wins) / (len(validation) * len(chosen)) - 1, 0.0))


def ranks(scores: Floats) -> Floats:
    """Return the rank of each score in (0, 1], ties at their mean."""
    return np.asarray(rankdata(scores) / max(len(scores), 1), np.float64)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _fit(forest: Any, x: Floats, y: npt.NDArray[Any]) -> None:
    with warnings.catch_warnings():
        # few rows may leave some without a figure out of bag, which is handled where it is read
        warnings.simplefilter("ignore", UserWarning)
        forest.fit(x, y)


def _rank_correlation(a: Floats, b: Floats) -> float:
    known = np.isfinite(a)
    left, right = rankdata(a[known]), rankdata(b[known])
    if known.sum() < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])
