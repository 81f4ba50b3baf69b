"""What is known about the arms of a new tenant: mean and covariance, learnt from past tasks.

Arms that behaved alike on past tasks are expected to behave alike here, and every task has its own level: without that
offset one good run makes a tenant look finished, and one slow run tells nothing about the others.

Sources: Li et al., PVLDB 2018, section 4.1 (a kernel on vectors of past qualities).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

Floats = NDArray[np.float64]

QUALITY_NOISE = 0.01
"""Standard deviation of a measured quality around the arm's true one."""

COST_NOISE = 0.1
"""Standard deviation of measured log-seconds."""

LEAST_SECONDS = 1e-6
"""A cost below is taken for this one: its logarithm must exist."""

_QUALITY, _SPREAD, _LEVEL = 0.7, 0.1, 0.2  # of accuracies when nothing is known: mean, arm spread, task spread
_LOG_SPREAD, _LOG_LEVEL = 0.5, 1.0  # the same of log-seconds
_SHRINK = 0.1  # towards independent arms: a covariance of few tasks is not to be believed in full
_NEAREST = 5


class Prior(NamedTuple):
    """Mean, float64[arms], and covariance, float64[arms, arms], before a tenant's first run."""

    mean: Floats
    covariance: Floats


def quality_prior(history: Floats | None, log_seconds: Floats) -> Prior:
    """Return the prior of qualities: RBF on the arms' vectors of past qualities, plus a constant for the task's level.

    Parameters
    ----------
    history : float64[tasks, known] or None
        Qualities in [0, 1] on past tasks of the first ``known <= arms`` arms; two tasks at least. The width of the RBF
        is the median squared distance of the vectors.
    log_seconds : float64[arms]
        Expected log-seconds. An arm without history has the mean of the five known arms of nearest cost, and a
        variance of its own.
    """
    arms = len(log_seconds)
    if history is None:
        return Prior(np.full(arms, _QUALITY), np.eye(arms) * _SPREAD**2 + _LEVEL**2)
    known = history.shape[1]
    level, spread = _two_way(history)
    spread += QUALITY_NOISE**2
    apart = pdist(history.T, "sqeuclidean")
    width = float(np.median(apart)) if apart.size else 0.0
    covariance = np.eye(arms) * spread
    covariance[:known, :known] = spread * np.exp(-squareform(apart) / (2 * width or 1.0))
    return Prior(_extended(history.mean(axis=0), log_seconds), covariance + level)


def cost_prior(history: Floats | None, hints: Floats) -> Prior:
    """Return the prior of log-seconds: the covariance of past tasks, a tenth of it without the arms' company.

    Parameters
    ----------
    history : float64[tasks, known] or None
        CPU seconds on past tasks of the first ``known <= arms`` arms; two tasks at least.
    hints : float64[arms]
        Expected CPU seconds, NaN where nobody said; they come before the history's mean. 1 where neither is known.
    """
    arms = len(hints)
    if history is None:
        mean, covariance = np.zeros(arms), np.eye(arms) * _LOG_SPREAD**2 + _LOG_LEVEL**2
    else:
        past = np.log(np.maximum(history, LEAST_SECONDS))
        mean = np.append(past.mean(axis=0), np.zeros(arms - past.shape[1]))
        covariance = _company(past, arms)
    told = np.isfinite(hints)
    mean[told] = np.log(np.maximum(hints[told], LEAST_SECONDS))
    return Prior(mean, covariance)


def _company(past: Floats, arms: int) -> Floats:
    """Return the covariance of log-seconds; an arm without history goes with the average arm, and its own way."""
    tasks, known = past.shape
    centred = past - past.mean(axis=0)
    together = centred.T @ centred / tasks
    together = (1 - _SHRINK) * together + _SHRINK * np.diag(np.diag(together))
    average = np.vstack([np.eye(known), np.full((arms - known, known), 1 / known)])
    covariance: Floats = average @ together @ average.T
    new = np.arange(known, arms)
    covariance[new, new] += _two_way(past)[1] + COST_NOISE**2
    return covariance


def _two_way(table: Floats) -> tuple[float, float]:
    """Return the variance of the rows' means and the one that remains beside the means of rows and columns."""
    rows = table.mean(axis=1, keepdims=True)
    rest = table - rows - table.mean(axis=0) + table.mean()
    return float(rows.var()), float((rest**2).mean())


def _extended(means: Floats, log_seconds: Floats) -> Floats:
    """Return the means with a column for every arm of ``log_seconds`` beyond them."""
    known = len(means)
    new = [
        means[np.argsort(np.abs(log_seconds[:known] - cost), kind="stable")[:_NEAREST]].mean()
        for cost in log_seconds[known:]
    ]
    return np.append(means, new)
