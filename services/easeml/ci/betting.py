"""An e-process for the mean of a bounded quantity that takes few values, and the interval it gives.

Bet a fraction theta of the wealth against "the mean is at most m": after values z_1..z_t the wealth is
prod(1 - theta + theta (z_i - low)/(m - low)), whose expectation is at most 1 at every time if the claim is
true. A fixed mixture over theta needs no tuning and depends on the counts of the values only. By Ville's
inequality the wealth ever reaches 1/alpha with probability at most alpha, so one may look after every label.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024,
section 4.1 (the wealth falls in m for every theta, so the claims not refuted form an interval).
Cost: O(values x mixture) per look.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_COMPONENTS = 48
_SECTIONS = np.arange(32) / 32
_SECTIONINGS = 6
_LARGEST_BET = 0.98


def _log_mean_exp(logs: Floats) -> Floats:
    top = logs.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(logs - top).mean(axis=-1)) + top[..., 0], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class LowerBet:
    """Evidence that a mean lies above a bound.

    Parameters
    ----------
    values : ndarray of float64, shape (s,)
        The values one example can take.
    thetas : ndarray of float64, shape (j,)
        Fractions of the wealth staked, in (0, 1); mixed with equal weights.
    """

    values: Floats
    thetas: Floats

    @classmethod
    def against(cls, values: Floats, threshold: float, tolerance: float) -> LowerBet:
        """Return bets tuned to tell a mean of about ``threshold + tolerance`` or more from ``threshold``.

        The best bet on a gap g at variance v is about g / v; the mixture spreads log-uniformly from half the
        tolerance at the largest variance possible up to staking nearly everything.
        """
        low, width = float(values.min()), float(np.ptp(values))
        span = max(threshold - low, tolerance)
        smallest = min(0.5 * tolerance / (width / 2) ** 2 * span, 0.5)
        return cls(values, np.geomspace(smallest, _LARGEST_BET, _COMPONENTS))

    def log_wealth(self, counts: npt.NDArray[np.number], mean: float) -> Floats:
        """Return the log of the wealth against "the mean is at most ``mean``".

        Parameters
        ----------
        counts : ndarray, shape (..., s)
            How often each value occurred.
        mean : float

        Returns
        -------
        ndarray of float64, shape (...)
        """
        low = float(self.values.min())
        gap = max(mean - low, 1e-300)
        with np.errstate(over="ignore"):
            factors = 1 + self.thetas[:, None] * np.minimum((self.values - low) / gap - 1, 1e300)
        logs = np.asarray(counts, dtype=np.float64) @ np.log(factors).T
        return _log_mean_exp(logs)

    def bound(self, counts: npt.NDArray[np.number], log_alpha: float) -> float:
        """Return the smallest mean not refuted at level alpha: a lower confidence bound valid at any time."""
        floor, width = float(self.values.min()), float(np.ptp(self.values))
        below, part = 0.0, 1.0
        for _ in range(_SECTIONINGS):
            shares = below + part * _SECTIONS
            # 1 + theta (z - m)/(m - low) for all sections at once
            ratios = (self.values - floor) / np.maximum(shares * width, 1e-300)[:, None]
            factors = 1 + self.thetas[:, None] * (np.minimum(ratios, 1e300)[:, None, :] - 1)
            logs = np.log(factors) @ np.asarray(counts, dtype=np.float64)
            refuted = _log_mean_exp(logs) >= -log_alpha
            if not refuted[0]:
                break
            part /= len(_SECTIONS)
            below = float(shares[int(refuted.argmin()) - 1 if not refuted.all() else -1])
        return floor + below * width


@dataclass(frozen=True, slots=True)
class TwoSidedBet:
    """Bets on both sides of a threshold.

    Parameters
    ----------
    values : ndarray of float64, shape (s,)
    threshold : float
        Strictly needed only for tuning; the interval is valid whatever it is.
    tolerance : float
    """

    rising: LowerBet
    falling: LowerBet

    @classmethod
    def around(cls, values: Floats, threshold: float, tolerance: float) -> TwoSidedBet:
        """Return the two bets; the falling one sees mirrored values."""
        return cls(LowerBet.against(values, threshold, tolerance), LowerBet.against(-values, -threshold, tolerance))

    def interval(self, counts: npt.NDArray[np.number], log_low: float, log_high: float) -> tuple[float, float]:
        """Return the bounds of the mean, wrong below with level ``log_low`` and above with ``log_high``."""
        return self.rising.bound(counts, log_low), -self.falling.bound(counts, log_high)
