"""Exact and truncated Shapley values of training rows for a K-nearest-neighbour classifier.

One validation row, training rows by distance, m_i = 1 if their labels match (or the probability that they do: the
recursion is linear, so uncertain labels are exact in expectation): s_n = m_n / max(K, n) and
s_i = s_{i+1} + (m_i - m_{i+1}) / max(K, i). The value of a row is the mean over validation rows; all values together
are the mean share of right labels among the K nearest.

Truncated at K* = max(K, ceil(1 / eps)): ranks from K* on are worth 0 and no value is off by more than 1 / K*.

Source: Jia et al., "Efficient task-specific data valuation for nearest neighbor algorithms", PVLDB 12(11), 2019,
theorems 1 and 2. The base m_n / n published there is wrong for n < K.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError
from easeml.market.inputs import Inputs, check_k
from easeml.market.neighbours import Floats


def knn_shapley(
    x_train: npt.ArrayLike,
    y_train: npt.ArrayLike | None,
    x_val: npt.ArrayLike,
    y_val: npt.ArrayLike,
    *,
    k: int = 5,
    truncate: float | None = None,
    y_train_proba: npt.ArrayLike | None = None,
) -> Floats:
    """Return what each training row adds to a K-nearest-neighbour classifier.

    Cost O(v n (d + log n)) and 64 n doubles of memory; truncated, O(v n d).

    Parameters
    ----------
    x_train : array_like, shape (n, d)
        Encoded features, standardised.
    y_train : array_like of int, shape (n,)
        Class codes; None with ``y_train_proba``.
    x_val, y_val : array_like, shapes (v, d) and (v,)
        Validation rows; their labels are certain.
    k : int
        Neighbours; may exceed n.
    truncate : float, optional
        Largest error of a value, in (0, 1]; by default none.
    y_train_proba : array_like of float, shape (n, c), optional
        Class probabilities where labels are uncertain; they replace ``y_train``.

    Returns
    -------
    ndarray of float64, shape (n,)
        In [-1 / k, 1 / k]; all 0 without validation rows. Rows equally far from a validation row rank in their order.

    Raises
    ------
    InvalidDataError, ConfigurationError

    Examples
    --------
    >>> knn_shapley([[0.0], [1.0], [2.0]], [0, 1, 0], [[0.1]], [0], k=1).round(3).tolist()
    [0.833, -0.167, 0.333]
    """
    given = Inputs.checked(x_train, y_train, x_val, y_val, proba=y_train_proba)
    return given.mean(value_sums(given, k, truncation(k, truncate)))


def truncation(k: int, error: float | None) -> int | None:
    """Return K*, the ranks that a truncated value looks at; None: all.

    Raises
    ------
    ConfigurationError
        When ``k`` or the error is out of its range.
    """
    check_k(k)
    if error is None:
        return None
    if not 0 < error <= 1:
        raise ConfigurationError(f"truncate={error!r} is no error.", mend="Use a number in (0, 1], or None: exact.")
    return max(k, math.ceil(1 / error - 1e-9))


def value_sums(given: Inputs, k: int, nearest: int | None = None) -> Floats:
    """Return the values summed over validation rows, so that shards add up: float64[n].

    Parameters
    ----------
    given : Inputs
    k, nearest : int
        K and K*.
    """
    n = len(given.x)
    depth = n if nearest is None or nearest >= n else nearest
    weights = 1 / np.maximum(k, np.arange(1, depth + 1))
    if depth < n:
        weights[-1] = 0.0
    sums, steps, values = np.zeros(n), np.empty(depth), np.empty(depth)
    for _, order, found in given.ranked(depth):
        np.subtract(found[:-1], found[1:], out=steps[:-1])
        steps[-1] = found[-1]
        steps *= weights
        np.cumsum(steps[::-1], out=values[::-1])
        sums[order] += values
    return sums
