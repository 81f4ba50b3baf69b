"""Rows far from every training row: a model can only guess there.

Source: Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics 51, 2023: leave-one-out
distances of the training rows are the calibration scores, Benjamini-Hochberg over the rows the control.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from easeml.advisor.multiplicity import benjamini_hochberg

Floats = NDArray[np.float64]


def uncovered(train: Floats, rows: Floats, *, k: int = 5, alpha: float = 0.05) -> NDArray[np.bool_]:
    """Return the rows that lie farther from the training rows than those lie from each other.

    Parameters
    ----------
    train : ndarray of float64, shape (n, d)
        Encoded training rows.
    rows : ndarray of float64, shape (m, d)
        Encoded rows to judge.
    k : int
        The distance is that to the k-th neighbour.
    alpha : float
        Share of rows returned that are covered after all, in expectation.

    Returns
    -------
    ndarray of bool, shape (m,)
        Fewer than 1 / alpha training rows can never show that one row is uncovered.
    """
    k = min(k, len(train) - 1)
    if k < 1 or not len(rows):
        return np.zeros(len(rows), bool)
    near = NearestNeighbors(n_neighbors=k).fit(train)
    own = np.sort(near.kneighbors()[0][:, -1])
    distance = near.kneighbors(rows)[0][:, -1]
    at_least = len(own) - np.searchsorted(own, distance, side="left")
    return benjamini_hochberg((1 + at_least) / (1 + len(own)), alpha)
