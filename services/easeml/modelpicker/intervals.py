"""Intervals of each model's accuracy on contested rows that hold at every time.

Rows are asked about with a probability u that depends on their votes. Staking at most the row-independent
floor of u keeps every stake fair: the wealth factor 1 + c (floor/u) (right - m) of an asked row has mean 1
when the accuracy is m. A mixture over c and Ville's inequality give the interval.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_STAKES = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
_BISECTIONS = 20


def accuracy_intervals(right: npt.NDArray[np.int8], ratios: Floats, alpha: float) -> Floats:
    """Return the interval of each model's accuracy on contested rows.

    Parameters
    ----------
    right : ndarray of int8, shape (a, k)
        Per asked row and model: 1 right, 0 wrong, -1 no vote.
    ratios : ndarray of float64, shape (a,)
        Floor of the inclusion probability divided by the probability, in (0, 1].
    alpha : float
        Probability that an interval ever misses.

    Returns
    -------
    ndarray of float64, shape (k, 2)
    """
    return np.stack(
        [_lower(right, ratios, alpha / 2), 1 - _lower(np.where(right < 0, right, 1 - right), ratios, alpha / 2)],
        axis=1,
    )


def _lower(right: npt.NDArray[np.integer], ratios: Floats, alpha: float) -> Floats:
    low, high = np.zeros(right.shape[1]), np.ones(right.shape[1])
    if not len(right):
        return low
    voted, target = right >= 0, math.log(len(_STAKES) / alpha)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        gains = np.where(voted, right - middle, 0.0)
        logs = np.stack([np.log1p(c * ratios[:, None] * gains).sum(axis=0) for c in _STAKES])
        top = logs.max(axis=0)
        refuted = top + np.log(np.exp(logs - top).sum(axis=0)) >= target
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return low
