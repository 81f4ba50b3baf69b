"""Published sample sizes and fixed-sample intervals.

All probabilities are natural logarithms (``log_alpha = ln alpha < 0``), because the histories of a fully
adaptive test set (2^H of them) push error levels far below the smallest float.

Source: Renggli et al., SysML 2019, sections 3 and 4; Hoeffding 1963; Bennett 1962; Clopper and Pearson 1934.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betainc, betaincinv

from easeml.ci.logic import Interval

LOG_SMALLEST = -690.0
"""Below this a probability no longer fits a float (e^-690 = 1e-300)."""


def hoeffding_size(width: float, tolerance: float, log_alpha: float) -> float:
    """Return width^2 ln(1/alpha) / (2 tolerance^2): examples for a one-sided error of ``tolerance``.

    Parameters
    ----------
    width : float
        Range of the averaged quantity; for a linear expression with the tolerance split in proportion to
        the coefficients it is the sum of their absolute values.
    tolerance : float
    log_alpha : float

    >>> round(hoeffding_size(1.0, 0.01, math.log(1e-4)))
    46052
    """
    return width**2 * -log_alpha / (2 * tolerance**2)


def hoeffding_half_width(width: float, n: int, log_alpha: float) -> float:
    """Return the one-sided error of a mean of ``n`` values of range ``width`` at level alpha."""
    return width * math.sqrt(-log_alpha / (2 * n))


def bennett_size(variance: float, tolerance: float, log_alpha: float) -> float:
    """Return ln(1/alpha) / (p h(eps/p)) with h(u) = (1+u) ln(1+u) - u and p the variance bound."""
    u = tolerance / variance
    return -log_alpha / (variance * ((1 + u) * math.log1p(u) - u))


def exact_binomial_size(tolerance: float, log_alpha: float) -> int:
    """Return the smallest N with sup_p P(X/N - p > tolerance) <= alpha, X ~ Binomial(N, p).

    Parameters
    ----------
    tolerance : float
        In (0, 1).
    log_alpha : float
        Not below :data:`LOG_SMALLEST`.

    Notes
    -----
    The tail is a saw-tooth in N, so bisection finds one crossing, and stops at 0.1 % of it; it lies within
    0.5 % of the last one.
    The supremum for a count j is approached at p = j/N - tolerance from below, and the resulting curve over
    j is smooth with one maximum near j = N/2, so that a coarse grid and one refinement find it.
    """
    alpha = math.exp(log_alpha)

    def worst(n: int) -> float:
        low, high = math.floor(n * tolerance) + 1, n
        for _ in range(7):
            j = np.unique(np.linspace(low, high, 33).astype(np.int64))
            tail = betainc(j, n - j + 1, np.clip(j / n - tolerance, 0.0, 1.0))
            best = int(tail.argmax())
            if high - low <= 32:
                break
            low, high = int(j[max(best - 1, 0)]), int(j[min(best + 1, len(j) - 1)])
        return float(tail.max())

    high = math.ceil(hoeffding_size(1.0, tolerance, log_alpha)) + 1
    low = high // 2 if worst(max(high // 2, 1)) > alpha else 1
    while high - low > max(1, high // 1000):
        middle = (low + high) // 2
        low, high = (low, middle) if worst(middle) <= alpha else (middle, high)
    return high


def clopper_pearson(successes: int, n: int, log_alpha: float) -> Interval:
    """Return the exact interval of a binomial probability, each side wrong with probability <= alpha.

    Parameters
    ----------
    successes, n : int
        ``0 <= successes <= n``.
    log_alpha : float
        Error of each side.

    >>> clopper_pearson(0, 10, math.log(0.05)).low
    0.0
    """
    if n == 0:
        return Interval(0.0, 1.0)
    if log_alpha < LOG_SMALLEST:
        # The beta quantile would leave the floats; Hoeffding's interval has no such limit.
        return Interval.around(successes / n, hoeffding_half_width(1.0, n, log_alpha)).clipped(0.0, 1.0)
    alpha = math.exp(log_alpha)
    low = float(betaincinv(successes, n - successes + 1, alpha)) if successes else 0.0
    if successes == n:
        return Interval(low, 1.0)
    # P(X <= s | p) = alpha; the mirrored quantile keeps full precision for small alpha.
    return Interval(low, 1.0 - float(betaincinv(n - successes, successes + 1, alpha)))


def log_histories(steps: int, adaptivity: str) -> float:
    """Return ln M, M = H histories without feedback or until the first change, 2^H with full feedback."""
    return steps * math.log(2) if adaptivity == "full" else math.log(steps)


def pass_budget_histories(steps: int, passes: int) -> int:
    """Return M = sum over i <= B of C(H, i): histories of a set that is retired after B passes.

    >>> pass_budget_histories(32, 2) < 2**32
    True
    """
    return sum(math.comb(steps, i) for i in range(passes + 1))


__all__ = [
    "LOG_SMALLEST",
    "bennett_size",
    "clopper_pearson",
    "exact_binomial_size",
    "hoeffding_half_width",
    "hoeffding_size",
    "log_histories",
    "pass_budget_histories",
]
