"""An e-process for the mean of a bounded quantity that takes few values, and the interval it gives.

Bet a fraction theta of the wealth against "the mean is at most m": after values z_1..z_t the wealth is
prod(1 - theta + theta (z_i - low)/(m - low)), whose expectation is at most 1 at every time if the claim is
true. A fixed mixture over theta depends on the counts of the values only. By Ville's inequality the wealth
ever reaches 1/alpha with probability at most alpha, so one may look after every label.

For two values this is the mixture likelihood ratio of a coin; any further value (both models wrong) simply
stays in the stream. One direction is tested at a time, so the mixture holds bets in that direction only.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024,
section 4.1 (the wealth falls in m for every theta, so the claims not refuted form an interval).
Cost: O(values x mixture) per look.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_FOCUS, _BROAD = 12, 20
_SECTIONS = np.arange(32) / 32
_SECTIONINGS = 6
_LARGEST_BET = 0.98


def _bets(best: float) -> tuple[Floats, Floats]:
    """Return the stakes of the mixture and the logs of their weights, for a best stake in (0, 1).

    Half of the wealth stands near the best stake, the other half is spread log-uniformly up to staking
    nearly everything: larger gaps, and streams with less variance, want more than the best stake.
    """
    best = min(max(best, 1e-4), 0.9)
    near = np.geomspace(0.6 * best, min(1.8 * best, _LARGEST_BET), _FOCUS)
    wide = np.geomspace(0.4 * best, _LARGEST_BET, _BROAD)
    weights = np.concatenate([np.full(_FOCUS, 0.5 / _FOCUS), np.full(_BROAD, 0.5 / _BROAD)])
    return np.concatenate([near, wide]), np.log(weights)


@dataclass(frozen=True, slots=True)
class LowerBet:
    """Evidence that a mean lies above a bound.

    Parameters
    ----------
    values : ndarray of float64, shape (s,)
        The values one example can take, at least two distinct ones.
    thetas : ndarray of float64, shape (j, s)
        Fractions of the wealth staked, in (0, 1). They may differ between values that tell examples apart by
        what was known before them, such as early and late ones.
    log_weights : ndarray of float64, shape (j,)
        Logs of the parts of the mixture, which sum to 1.
    """

    values: Floats
    thetas: Floats
    log_weights: Floats

    @classmethod
    def against(cls, values: Floats, mean: float, gap: float, variance: float) -> LowerBet:
        """Return bets tuned to tell a mean of about ``mean + gap`` or more from ``mean``.

        The best stake on a gap g is g (mean - low) / variance.
        """
        thetas, log_weights = _bets(gap * (mean - float(values.min())) / max(variance, 1e-12))
        return cls(values, np.repeat(thetas[:, None], len(values), axis=1), log_weights)

    def then(self, other: LowerBet) -> LowerBet:
        """Return the bets that go on as ``other``: counts hold the values seen under these bets, then those since."""
        values, thetas = np.concatenate([self.values, other.values]), np.hstack([self.thetas, other.thetas])
        return LowerBet(values, thetas, self.log_weights)

    def log_wealth(self, counts: npt.NDArray[np.number], mean: float) -> Floats:
        """Return the log of the wealth against "the mean is at most ``mean``".

        Parameters
        ----------
        counts : ndarray, shape (..., s)
            How often each value occurred.
        mean : float
            Above the smallest value.

        Returns
        -------
        ndarray of float64, shape (...)
        """
        low = float(self.values.min())
        factors = self._log_factors((self.values - low) / max(mean - low, 1e-300))
        return self._mixed(np.asarray(counts, dtype=np.float64) @ factors.T)

    def bound(self, counts: npt.NDArray[np.number], log_alpha: float) -> float:
        """Return the smallest mean not refuted at level alpha: a lower confidence bound valid at any time."""
        floor, width = float(self.values.min()), float(np.ptp(self.values))
        below, part = 0.0, 1.0
        for _ in range(_SECTIONINGS):
            shares = below + part * _SECTIONS
            # for all sections at once: shape (sections, s)
            ratios = (self.values - floor) / np.maximum(shares * width, 1e-300)[:, None]
            refuted = self._mixed(self._log_factors(ratios) @ np.asarray(counts, dtype=np.float64)) >= -log_alpha
            if not refuted[0]:
                break
            part /= len(_SECTIONS)
            below = float(shares[int(refuted.argmin()) - 1 if not refuted.all() else -1])
        return floor + below * width

    def _log_factors(self, ratios: Floats) -> Floats:
        """Return the log of what each stake makes of each value; shape (..., j, s) for ratios (..., s)."""
        factors = self.thetas * (np.minimum(ratios, 1e300)[..., None, :] - 1)
        return np.asarray(np.log1p(factors), dtype=np.float64)

    def _mixed(self, logs: Floats) -> Floats:
        logs = logs + self.log_weights
        top = logs.max(axis=-1, keepdims=True)
        return np.asarray(np.log(np.exp(logs - top).sum(axis=-1)) + top[..., 0], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class TwoSidedBet:
    """Bets on both sides of a threshold.

    ``rising`` gathers evidence that the mean is larger, ``falling`` that it is smaller; the falling one sees
    mirrored values, so its claims are mirrored too.
    """

    rising: LowerBet
    falling: LowerBet

    @classmethod
    def around(cls, values: Floats, threshold: float, gap: float, variance: float) -> TwoSidedBet:
        """Return the two bets, tuned to a ``gap`` on either side of ``threshold`` at this ``variance``.

        Tuning affects how fast they decide; the interval is valid whatever it is.
        """
        rising = LowerBet.against(values, threshold, gap, variance)
        return cls(rising, LowerBet.against(-values, -threshold, gap, variance))

    def then(self, other: TwoSidedBet) -> TwoSidedBet:
        """Return the bets that go on as ``other``; see :meth:`LowerBet.then`."""
        return TwoSidedBet(self.rising.then(other.rising), self.falling.then(other.falling))

    def interval(self, counts: npt.NDArray[np.number], log_low: float, log_high: float) -> tuple[float, float]:
        """Return the bounds of the mean, wrong below with level ``log_low`` and above with ``log_high``."""
        return self.rising.bound(counts, log_low), -self.falling.bound(counts, log_high)
