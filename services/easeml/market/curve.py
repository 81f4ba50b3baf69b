"""Learning curve of a K-nearest-neighbour classifier, exact and without any training.

Of a random subset of s rows, the row at rank i of a validation row is among its K nearest with probability
(s / n) P[Hypergeometric(n - 1, i - 1, s - 1) < K]; the mean match by rank does the rest. Derived for this project and
checked against all subsets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from easeml.errors import ConfigurationError
from easeml.market.inputs import Inputs, check_k
from easeml.market.neighbours import Floats


def learning_curve(
    x_train: npt.ArrayLike,
    y_train: npt.ArrayLike | None,
    x_val: npt.ArrayLike,
    y_val: npt.ArrayLike,
    sizes: npt.ArrayLike,
    *,
    k: int = 5,
    y_train_proba: npt.ArrayLike | None = None,
) -> Floats:
    """Return the expected share of right labels among the min(K, s) nearest of s random training rows.

    With the pool's rows and a belief about their labels as ``y_train_proba``, the curve goes on to what labelling the
    pool is expected to bring.

    Parameters
    ----------
    x_train, y_train, x_val, y_val, k, y_train_proba
        As for :func:`easeml.market.knn_shapley`.
    sizes : array_like of int, shape (s,)
        Rows of the subsets, each in [1, n].

    Returns
    -------
    ndarray of float64, shape (s,)
        In [0, 1]; all 0 without validation rows.

    Raises
    ------
    InvalidDataError
    ConfigurationError
        When a size is out of range.

    Examples
    --------
    >>> learning_curve([[0.0], [1.0], [2.0]], [0, 1, 1], [[0.0]], [0], [1, 2, 3], k=1).round(3).tolist()
    [0.333, 0.667, 1.0]
    """
    check_k(k)
    given = Inputs.checked(x_train, y_train, x_val, y_val, proba=y_train_proba)
    n = len(given.x)
    counts = np.asarray(sizes, np.int64)
    if counts.size and not (counts.min() >= 1 and counts.max() <= n):
        raise ConfigurationError(f"Sizes {counts.tolist()} do not fit {n} rows.", mend=f"Use sizes from 1 to {n}.")
    profile = np.zeros(n)
    for _, _, found in given.ranked():
        profile += found
    profile = given.mean(profile)
    factorials = gammaln(np.arange(n + 1) + 1.0)
    shares = [_among_nearest(factorials, size, k) @ profile * size / n / min(size, k) for size in counts.tolist()]
    return np.array(shares, np.float64)


def _among_nearest(factorials: Floats, size: int, k: int) -> Floats:
    """Return P[Hypergeometric(n - 1, i, size - 1) < K] for the n rows with i = 0, 1, ... rows nearer: float64[n].

    Parameters
    ----------
    factorials : ndarray of float64, shape (n + 1,)
        Logarithms of 0!, 1!, ..., n!.
    size, k : int
    """
    others, drawn = len(factorials) - 2, size - 1
    nearer = np.arange(others + 1)
    found = np.zeros(others + 1)
    for hits in range(min(k, size)):
        # outside of this range so many cannot be drawn
        i = nearer[hits : others - (drawn - hits) + 1]
        near = factorials[i] - factorials[hits] - factorials[i - hits]
        far = factorials[others - i] - factorials[drawn - hits] - factorials[others - i - drawn + hits]
        every = factorials[others] - factorials[drawn] - factorials[others - drawn]
        found[i] += np.exp(near + far - every)
    return found
