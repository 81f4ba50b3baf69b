"""What is believed about the arms of one tenant: a Gaussian process over a finite set, learnt run by run.

Source: Rasmussen & Williams, Gaussian Processes for Machine Learning, 2006, section 2.2; the update is one step of a
pivoted Cholesky decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from easeml.automl.kernel import Floats, Prior


class Belief:
    """Posterior mean and variance of every arm; a run is one rank-1 update, O(arms x runs) time and memory.

    Parameters
    ----------
    prior : Prior
        What is known before the first run; never changed.
    noise : float
        Standard deviation of an observation around the arm's value, > 0.

    Examples
    --------
    >>> belief = Belief(Prior(np.full(2, 0.7), np.array([[0.05, 0.04], [0.04, 0.05]])), noise=0.01)
    >>> belief.observe(0, 0.9)
    >>> bool(belief.mean[0] > belief.mean[1] > 0.7)
    True
    """

    def __init__(self, prior: Prior, noise: float) -> None:
        self.mean = prior.mean.copy()
        self.variance = np.diag(prior.covariance).copy()
        self._covariance = prior.covariance
        self._noise = noise
        self._steps = np.empty((0, len(self.mean)))  # the posterior covariance is the prior's minus steps^T steps

    def observe(self, arm: int, value: float) -> None:
        """Condition on one run of ``arm``."""
        step, scale = self._step(self._steps, arm)
        self.mean += step * ((value - self.mean[arm]) / scale)
        self.variance = np.maximum(self.variance - step**2, 0.0)
        self._steps = np.vstack([self._steps, step])

    def variance_after(self, arms: Iterable[int]) -> Floats:
        """Return the variance of every arm once ``arms`` have run too; it does not depend on how they end."""
        steps, variance = self._steps, self.variance
        for arm in arms:
            step, _ = self._step(steps, arm)
            variance = np.maximum(variance - step**2, 0.0)
            steps = np.vstack([steps, step])
        return variance

    def _step(self, steps: Floats, arm: int) -> tuple[Floats, float]:
        column = self._covariance[arm] - steps[:, arm] @ steps
        scale = math.sqrt(max(float(column[arm]), 0.0) + self._noise**2)
        return column / scale, scale
