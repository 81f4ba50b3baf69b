"""Other values of training rows: for tests, for comparison, and where one of them suits better.

Leave-one-out and permutation sampling value the same utility as :func:`easeml.market.knn_shapley`; the soft-label and
the threshold classifier have utilities of their own with exact values.

Sources: Wang & Jia, "A note on 'Efficient task-specific data valuation for nearest neighbor algorithms'", 2023
(soft label); Wang et al., "Threshold KNN-Shapley", NeurIPS 2023 (threshold); Castro et al., 2009 (permutations).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError
from easeml.market.inputs import Inputs, check_k
from easeml.market.neighbours import BLOCK, Floats, matches, squared_distances


def leave_one_out(
    x_train: npt.ArrayLike, y_train: npt.ArrayLike, x_val: npt.ArrayLike, y_val: npt.ArrayLike, *, k: int = 5
) -> Floats:
    """Return what the K-nearest-neighbour utility loses without each row: (m_i - m_{K+1}) / K for the K nearest.

    Parameters and result as for :func:`easeml.market.knn_shapley`.

    Raises
    ------
    InvalidDataError, ConfigurationError
    """
    check_k(k)
    given = Inputs.checked(x_train, y_train, x_val, y_val)
    values = np.zeros(len(given.x))
    for _, order, found in given.ranked():
        next_one = found[k] if len(found) > k else 0.0
        values[order[:k]] += (found[:k] - next_one) / k
    return given.mean(values)


def soft_label_shapley(
    x_train: npt.ArrayLike,
    y_train: npt.ArrayLike,
    x_val: npt.ArrayLike,
    y_val: npt.ArrayLike,
    *,
    k: int = 5,
    n_classes: int,
) -> Floats:
    """Return exact values for the share of right labels among the min(K, n) nearest; 1 / c without any row.

    Unlike the values of :func:`easeml.market.knn_shapley` a small set is not punished for being smaller than K.

    Parameters
    ----------
    x_train, y_train, x_val, y_val, k
        As for :func:`easeml.market.knn_shapley`.
    n_classes : int
        Classes c that an empty set guesses among.

    Raises
    ------
    InvalidDataError, ConfigurationError
    """
    check_k(k)
    given = Inputs.checked(x_train, y_train, x_val, y_val)
    n = len(given.x)
    values = np.zeros(n)
    rank = np.arange(1, n)
    spread = sum(1 / j for j in range(1, min(k, n - 1) + 1))
    crowd = (np.minimum(rank, k) * (n - 1) / rank - k) / k if n > k else np.zeros(max(n - 1, 0))
    later = sum(1 / (j + 1) for j in range(1, min(k, n)))
    for _, order, found in given.ranked():
        last = (found[-1] - 1 / n_classes) / n
        if n >= 2:
            last += (found[-1] - found[:-1].sum() / (n - 1)) * later / n
        steps = np.append((found[:-1] - found[1:]) / max(n - 1, 1) * (spread + crowd), last)
        values[order] += np.cumsum(steps[::-1])[::-1]
    return given.mean(values)


def threshold_shapley(
    x_train: npt.ArrayLike,
    y_train: npt.ArrayLike,
    x_val: npt.ArrayLike,
    y_val: npt.ArrayLike,
    *,
    radius: float,
    n_classes: int,
) -> Floats:
    """Return exact values for the share of right labels within a radius; 1 / c where nobody is within.

    Needs two counts per validation row, which makes it the cheapest to keep up to date.

    Parameters
    ----------
    x_train, y_train, x_val, y_val
        As for :func:`easeml.market.knn_shapley`.
    radius : float
        Largest distance of a neighbour, >= 0.
    n_classes : int
        Classes c.

    Raises
    ------
    InvalidDataError, ConfigurationError
    """
    if not 0 <= radius < math.inf:
        raise ConfigurationError(f"radius={radius!r} is no distance.", mend="Use a finite number >= 0.")
    given = Inputs.checked(x_train, y_train, x_val, y_val)
    x, labels, queries, codes = given
    values = np.zeros(len(x))
    origin = x.mean(axis=0) if len(x) else 0.0
    spreads: dict[int, float] = {}
    for start in range(0, len(queries), BLOCK):
        inside = squared_distances(queries[start : start + BLOCK] - origin, x - origin) <= radius**2
        for code, near in zip(codes[start : start + BLOCK].tolist(), inside, strict=True):
            rows = np.flatnonzero(near)
            c = len(rows)
            if not c:
                continue
            found = matches(labels, code)[rows]
            values[rows] += (found - 1 / n_classes) / c
            if c >= 2:
                if c not in spreads:
                    spreads[c] = _spread(len(x), c)
                values[rows] += (found / c - (found.sum() - found) / (c * (c - 1))) * (spreads[c] - 1)
    return given.mean(values)


def _spread(n: int, c: int) -> float:
    """Return A(n, c) = sum_{j < n} 1 / (j + 1) (1 - prod_{t <= j} (n - t - c) / (n - t))."""
    j = np.arange(n)
    return float((1 / (j + 1) * (1 - np.cumprod(np.maximum(n - j - c, 0) / (n - j)))).sum())


def permutation_shapley(
    x_train: npt.ArrayLike,
    y_train: npt.ArrayLike,
    x_val: npt.ArrayLike,
    y_val: npt.ArrayLike,
    *,
    k: int = 5,
    permutations: int,
    rng: np.random.Generator,
) -> Floats:
    """Return values sampled over random orders of arrival; see :func:`permutations_needed` for their error.

    Cost O(permutations v n k).

    Parameters
    ----------
    x_train, y_train, x_val, y_val, k
        As for :func:`easeml.market.knn_shapley`.
    permutations : int
        Orders drawn, at least 1.
    rng : Generator
        Draws them.

    Raises
    ------
    InvalidDataError, ConfigurationError
    """
    check_k(k)
    if permutations < 1:
        raise ConfigurationError(f"{permutations} permutations say nothing.", mend="Use at least one.")
    given = Inputs.checked(x_train, y_train, x_val, y_val)
    n, ranked = len(given.x), list(given.ranked())
    rank, right = np.empty((len(ranked), n), np.int64), np.empty((len(ranked), n))
    for point, (_, order, found) in enumerate(ranked):
        rank[point, order] = np.arange(n)
        right[point, order] = found
    values = np.zeros(n)
    for _ in range(permutations):
        # ranks and labels of the k nearest so far; a rank of n stands for an empty place
        nearest, held = np.full((len(ranked), k), n), np.zeros((len(ranked), k))
        for row in rng.permutation(n).tolist():
            farthest = nearest.argmax(axis=1)
            points = np.flatnonzero(rank[:, row] < nearest[np.arange(len(ranked)), farthest])
            places = farthest[points]
            values[row] += (right[points, row] - held[points, places]).sum() / k
            nearest[points, places], held[points, places] = rank[points, row], right[points, row]
    return values / (permutations * max(len(ranked), 1))


def permutations_needed(error: float, confidence: float, n: int, k: int = 5) -> int:
    """Return how many permutations keep all n values within ``error`` with probability ``confidence``.

    Hoeffding's inequality over contributions in [-1/K, 1/K], and the union of n values:
    2 n exp(-error^2 K^2 T / 2) <= 1 - confidence.

    Raises
    ------
    ConfigurationError

    Examples
    --------
    >>> permutations_needed(0.05, 0.95, n=100, k=5)
    266
    """
    check_k(k)
    if not (error > 0 and 0 < confidence < 1 and n >= 1):
        raise ConfigurationError(
            f"error={error}, confidence={confidence}, n={n} do not belong together.",
            mend="Use an error > 0, a confidence between 0 and 1, and at least one row.",
        )
    return math.ceil(2 * math.log(2 * n / (1 - confidence)) / (error * k) ** 2)
