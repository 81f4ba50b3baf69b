"""What a scheduler believes about the algorithms of one tenant: a Gaussian process over a finite set of arms.

Arms that behaved alike on past tasks are expected to behave alike here (RBF kernel on their vectors of past
qualities), and every task has its own level (a constant added to the kernel): without that offset one good run would
make a tenant look finished.

Sources: Li et al., PVLDB 2018, section 4.1; Srinivas et al., ICML 2010 (GP-UCB).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NOISE = 0.01
"""Standard deviation of a quality around the algorithm's true one, as a share of 1."""

_MEAN, _SPREAD, _LEVEL = 0.7, 0.1, 0.2  # of accuracies when nothing is known: arm mean, arm spread, task spread
_COST_FLOOR = 0.02


class Prior:
    """Mean and covariance of the arms before a tenant's first run.

    Parameters
    ----------
    arms : int
        Number of algorithms.
    history : float64[tasks, known], optional
        Qualities on past tasks of the first ``known <= arms`` algorithms. The others, announced later, have the mean
        of the known ones and a variance of their own.
    """

    def __init__(self, arms: int, history: Floats | None = None) -> None:
        self.mean = np.full(arms, _MEAN)
        self.covariance = np.eye(arms) * _SPREAD**2 + _LEVEL**2
        if history is None or len(history) < 2:
            return
        known = history.shape[1]
        means = history.mean(axis=0)
        level = float(history.mean(axis=1).var())
        spread = float(history.var(axis=0).mean()) + NOISE**2
        distance = ((history[:, :, None] - history[:, None, :]) ** 2).sum(axis=0)
        apart = distance[np.triu_indices(known, 1)]
        width = float(np.median(apart)) if apart.size and np.median(apart) > 0 else 1.0
        self.mean = np.full(arms, means.mean())
        self.mean[:known] = means
        self.covariance = np.eye(arms) * spread + level
        self.covariance[:known, :known] = spread * np.exp(-distance / (2 * width)) + level


class Belief:
    """Posterior of one tenant; each run is one rank-1 update, O(arms^2).

    Parameters
    ----------
    prior : Prior
        What is known before the first run.

    Examples
    --------
    >>> belief = Belief(Prior(2))
    >>> belief.observe(0, 0.9)
    >>> bool(belief.mean[0] > belief.mean[1] > 0.7)
    True
    """

    def __init__(self, prior: Prior) -> None:
        self.mean = prior.mean.copy()
        self.covariance = prior.covariance.copy()

    def observe(self, arm: int, quality: float) -> None:
        """Condition on one run of ``arm`` with this quality in [0, 1]."""
        column = self.covariance[:, arm].copy()
        gain = column / (column[arm] + NOISE**2)
        self.mean += gain * (quality - self.mean[arm])
        self.covariance -= np.outer(gain, column)

    def upper_bounds(self, costs: Floats, step: int, delta: float) -> Floats:
        """Return mu + sqrt(beta_t / c_k) sigma of every arm (Li et al., section 4.2).

        Parameters
        ----------
        costs : float64[arms]
            Expected CPU seconds; only their ratios matter.
        step : int
            t, the number of this run of the tenant, from 1.
        delta : float
            beta_t = log(arms t^2 / delta), delta in (0, 1).
        """
        beta = math.log(max(len(costs), 2) * step**2 / delta)
        average = float(costs.mean())
        relative = np.maximum(costs / average, _COST_FLOOR) if average > 0 else np.ones(len(costs))
        sigma = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        return np.asarray(self.mean + np.sqrt(beta / relative) * sigma)
