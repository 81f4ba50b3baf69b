"""Data debugging: which rows do harm, and what label would make them useful.

The value of a row is linear in its own label: with another label it differs by the mean over validation rows of
([class matches] - [own label matches]) / max(K, rank). So one pass gives the value of every row under every label.

Source: Jia et al., PVLDB 12(11), 2019, theorem 1, with the term of a row's own label set free.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from easeml.market.neighbours import Floats, Ints, Ranking, check_k, feature_matrix, label_codes
from easeml.market.shapley import labelled_rows, value_sums


class Suspects(NamedTuple):
    """Rows of negative value, the most harmful first.

    Parameters
    ----------
    rows : ndarray of int64, shape (s,)
        Numbers of training rows.
    values : ndarray of float64, shape (s,)
        Below 0.
    labels : ndarray of int64, shape (s,)
        Class codes they have.
    suggested : ndarray of int64, shape (s,)
        Class with which each would be worth most; may be its own.
    gain : ndarray of float64, shape (s,)
        What that class adds to the value, >= 0.
    harm : float
        Value of all of them together, <= 0.
    """

    rows: Ints
    values: Floats
    labels: Ints
    suggested: Ints
    gain: Floats
    harm: float


def label_values(
    x_train: npt.ArrayLike,
    y_train: npt.ArrayLike,
    x_val: npt.ArrayLike,
    y_val: npt.ArrayLike,
    *,
    k: int = 5,
    n_classes: int,
) -> Floats:
    """Return the Shapley value each row would have if its label alone were another.

    Parameters
    ----------
    x_train, y_train, x_val, y_val, k
        As for :func:`easeml.market.knn_shapley`.
    n_classes : int
        Classes c.

    Returns
    -------
    ndarray of float64, shape (n, c)

    Raises
    ------
    InvalidDataError, ConfigurationError

    Examples
    --------
    >>> label_values([[0.0], [1.0]], [0, 1], [[0.0]], [1], k=1, n_classes=2).tolist()
    [[-0.5, 0.5], [0.0, 0.5]]
    """
    check_k(k)
    x, labels = labelled_rows(x_train, y_train, None, "training")
    labels = label_codes(labels, len(x), "training", n_classes)
    queries = feature_matrix(x_val, "validation", x.shape[1])
    codes = label_codes(y_val, len(queries), "validation", n_classes)
    points = max(len(queries), 1)
    reach = np.zeros((n_classes, len(x)))
    if len(x):
        weights = 1 / np.maximum(k, np.arange(1, len(x) + 1))
        for part, orders in Ranking(x).orders(queries):
            for code, order in zip(codes[part].tolist(), orders, strict=True):
                reach[code, order] += weights
    own = value_sums(x, labels, queries, codes, k) - reach[labels, np.arange(len(x))]
    return np.asarray((own[:, None] + reach.T) / points, np.float64)


def suspects(values: Floats, labels: Ints) -> Suspects:
    """Pick the rows that do harm out of the values under every label.

    Parameters
    ----------
    values : ndarray of float64, shape (n, c)
        See :func:`label_values`.
    labels : ndarray of int64, shape (n,)
        Class codes of the rows.
    """
    own = values[np.arange(len(labels)), labels]
    rows = np.flatnonzero(own < 0)
    rows = rows[np.argsort(own[rows], kind="stable")]
    best = values[rows].max(axis=1, initial=-np.inf)
    # a class that is no better than the row's own is not suggested
    suggested = np.where(best > own[rows], values[rows].argmax(axis=1), labels[rows])
    gain = values[rows, suggested] - own[rows]
    return Suspects(rows, own[rows], labels[rows], suggested.astype(np.int64), gain, float(own[rows].sum()))
