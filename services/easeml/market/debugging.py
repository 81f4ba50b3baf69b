"""Data debugging: which rows do harm, and what label would make them useful.

The value of a row is linear in its own label: with another label it differs by the mean over validation rows of
([class matches] - [own label matches]) / max(K, rank). So one pass gives the value of every row under every label.

Source: Jia et al., PVLDB 12(11), 2019, theorem 1, with the term of a row's own label set free.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from easeml.market.inputs import Inputs, check_k
from easeml.market.neighbours import Floats, Ints
from easeml.market.shapley import value_sums


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
    given = Inputs.checked(x_train, y_train, x_val, y_val, n_classes=n_classes)
    rows = np.arange(len(given.x))
    weights = 1 / np.maximum(k, rows + 1)
    reach = np.zeros((n_classes, len(rows)))
    for code, order, _ in given.ranked():
        reach[code, order] += weights
    own = value_sums(given, k) - reach[given.labels, rows]
    return given.mean(own[:, None] + reach.T)


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
