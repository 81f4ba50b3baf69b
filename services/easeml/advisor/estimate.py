"""A figure with its 90 % interval, and the intervals that the advisor's evidence is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z90 = 1.6448536269514722
"""Half width of a two-sided 90 % interval, in standard errors."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure.

    Parameters
    ----------
    value : float
        Best guess.
    low, high : float
        Ends of the 90 % interval.
    """

    value: float
    low: float
    high: float

    @property
    def positive(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0


NOTHING_GAINED = Estimate(0.0, 0.0, 0.0)


def share(count: float, total: float) -> Estimate:
    """Return the share ``count / total`` with its Wilson interval; total 0: anything in [0, 1].

    Source: Wilson, JASA 22, 1927.

    Examples
    --------
    >>> found = share(90, 100)
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.9, 0.84, 0.939)
    """
    if total <= 0:
        return Estimate(0.5, 0.0, 1.0)
    rate, square = count / total, Z90**2 / total
    middle = (rate + square / 2) / (1 + square)
    half = Z90 / (1 + square) * math.sqrt(rate * (1 - rate) / total + square / (4 * total))
    # at shares of 0 and 1 an end is the share itself, up to rounding
    return Estimate(rate, min(max(0.0, middle - half), rate), max(min(1.0, middle + half), rate))


def difference(left: Estimate, right: Estimate) -> Estimate:
    """Return ``left - right`` of independent estimates.

    Source: Newcombe, Statistics in Medicine 17, 1998, method 10 (hybrid score).
    """
    value = left.value - right.value
    down = math.hypot(left.value - left.low, right.high - right.value)
    up = math.hypot(left.high - left.value, right.value - right.low)
    return Estimate(value, value - down, value + up)


def mean_gain(before: NDArray[np.float64], after: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    """Return the weighted mean of ``after - before`` over the same rows.

    Parameters
    ----------
    before, after : ndarray of float64, shape (n,)
        How right a row was and is, in [0, 1].
    weights : ndarray of float64, shape (n,)
        Weight of each row, >= 0, not all 0.

    Returns
    -------
    Estimate
        The interval is that of the gain to be seen on as many other rows: their chance counts as much as that of
        these. One discordant row more than was seen is counted, so that few equal rows are no certainty.
    """
    gains = after - before
    portion = weights / weights.sum()
    value = float(portion @ gains)
    effective = 1 / float(portion @ portion)
    variance = float(portion @ (gains - value) ** 2) + 1 / effective
    half = Z90 * math.sqrt(2 * variance / effective)
    return Estimate(value, value - half, value + half)
