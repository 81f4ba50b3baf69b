"""Value of rows not owned yet, in closed form.

A candidate that would come at rank r of a validation row is worth S'_r + (p - m_r) / max(K, r) there: S'_r is the
suffix sum of the owned rows behind it with their ranks shifted by one, p the probability that its label would match.
Behind all n rows: p / max(K, n + 1).

Source: insertion into the recursion of Jia et al., PVLDB 12(11), 2019, theorem 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from easeml.market.inputs import Inputs, check_k, class_probabilities, feature_matrix
from easeml.market.neighbours import Floats, Ranking, matches

_POOL_BLOCK = 4096


def candidate_values(
    x_pool: npt.ArrayLike,
    p_pool: npt.ArrayLike,
    x_train: npt.ArrayLike,
    y_train: npt.ArrayLike | None,
    x_val: npt.ArrayLike,
    y_val: npt.ArrayLike,
    *,
    k: int = 5,
    y_train_proba: npt.ArrayLike | None = None,
) -> Floats:
    """Return the Shapley value each pool row would have if it alone were labelled and added.

    One binary search per candidate and validation row: O(v (n log n + pool (d + log n))).

    Parameters
    ----------
    x_pool : array_like, shape (m, d)
    p_pool : array_like of float, shape (m, c)
        Belief about the labels; the value is linear in it, so it is exact in expectation.
    x_train, y_train, x_val, y_val, k, y_train_proba
        As for :func:`easeml.market.knn_shapley`.

    Returns
    -------
    ndarray of float64, shape (m,)
        A candidate as near as an owned row ranks behind it.

    Raises
    ------
    InvalidDataError, ConfigurationError

    Examples
    --------
    >>> candidate_values([[0.2], [9.0]], [[1.0, 0.0], [0.5, 0.5]], [[1.0]], [1], [[0.0]], [0], k=1).tolist()
    [1.0, 0.25]
    """
    check_k(k)
    given = Inputs.checked(x_train, y_train, x_val, y_val, proba=y_train_proba)
    x, labels, queries, codes = given
    pool = feature_matrix(x_pool, "pool", x.shape[1])
    belief = class_probabilities(p_pool, len(pool), "pool")
    n = len(x)
    values = np.zeros(len(pool))
    if not n:
        for code in codes.tolist():
            values += matches(belief, code) / k
        return given.mean(values)
    # one rank more, with a match of 0, stands for the place behind all owned rows
    weights = 1 / np.maximum(k, np.arange(1, n + 2))
    ranking = Ranking(x)
    for part, keys in ranking.blocks(queries):
        found = np.zeros((len(keys), n + 1))
        for point, code in enumerate(codes[part].tolist()):
            found[point, :n] = matches(labels, code)[keys[point] & ranking.mask]
        steps = (found[:, :-1] - found[:, 1:]) * weights[1:]
        base = np.zeros_like(found)
        base[:, :-1] = np.cumsum(steps[:, ::-1], axis=1)[:, ::-1]
        base -= found * weights
        for start in range(0, len(pool), _POOL_BLOCK):
            rows = slice(start, start + _POOL_BLOCK)
            mine = ranking.behind(queries[part], pool[rows])
            for point, code in enumerate(codes[part].tolist()):
                place = np.searchsorted(keys[point], mine[point], side="right")
                values[rows] += base[point, place] + matches(belief[rows], code) * weights[place]
    return given.mean(values)
