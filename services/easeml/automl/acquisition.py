"""How much a run of each arm promises: upper bounds and expected improvement.

Sources: Srinivas et al., ICML 2010 (GP-UCB); Li et al., PVLDB 2018, section 4.2 (costs); Jones et al., J. Global
Optimization 1998 (expected improvement).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from easeml.automl.kernel import Floats

FLOOR = 0.02
"""Least cost of an arm as a share of the mean: nothing is so cheap that it goes before everything."""


def floored(seconds: Floats) -> Floats:
    """Return the expected CPU seconds of the arms, at least 2 % of their mean."""
    return np.asarray(np.maximum(seconds, FLOOR * seconds.mean()))


def upper_bounds(mean: Floats, variance: Floats, seconds: Floats, step: int, delta: float) -> Floats:
    """Return mu + sqrt(beta_t / c_k) sigma of every arm, beta_t = log(arms t^2 / delta).

    Parameters
    ----------
    mean, variance : float64[arms]
        Belief about the qualities.
    seconds : float64[arms]
        Expected costs, > 0. c_k is in units of their geometric mean, so that neither the clock's unit nor a few arms
        that take hours decide how much is explored.
    step : int
        t, the number of this run of the tenant, from 1.
    delta : float
        Probability, in (0, 1), that a bound fails.
    """
    beta = math.log(len(mean) * step**2 / delta)
    relative = seconds / np.exp(np.log(seconds).mean())
    return np.asarray(mean + np.sqrt(beta / relative * variance))


def expected_improvement(mean: Floats, variance: Floats, best: float) -> Floats:
    """Return E max(quality - best, 0) of every arm, quality ~ N(mean, variance).

    Parameters
    ----------
    mean, variance : float64[arms]
        Belief about the qualities.
    best : float
        Best quality so far.
    """
    ahead = mean - best
    deviation = np.sqrt(np.maximum(variance, 1e-24))
    score = ahead / deviation
    density = np.exp(-0.5 * score**2) / math.sqrt(2 * math.pi)
    return np.asarray(np.maximum(ahead * ndtr(score) + deviation * density, 0.0))
