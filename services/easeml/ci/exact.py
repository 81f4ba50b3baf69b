r"""The exact test of d times a mean, both estimated: the share of predictions that changed, and what changes are worth.

Of ``rows`` examples K changed their prediction, K ~ Binomial(rows, d); of the changed ones the first k(K) are
labelled, and X of them count as 1, X ~ Binomial(k(K), p). The expression is d (low + width p), its estimate
(K / rows) (low + width X / k(K)). As k depends on K alone, the joint distribution is known up to d once the
expression is fixed, and a one-sided p-value is a sum of binomial tails, maximised over d.

Source: Berger and Boos, "P values maximized over a confidence set for the nuisance parameter", JASA 1994.
Cost: O(sizes of K x values of d) binomial tails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, gammaln, ndtri_exp

from easeml.ci.bounds import clopper_pearson

Ints = npt.NDArray[np.int64]

_NUISANCE_SHARE = 0.01
_NUISANCE_VALUES = 9
_MOST_SIZES = 500
_LEAST_PRECISION = 0.04
"""Part of the squared tolerance left to the labels even where the uncertainty of d takes more than the rest."""


@dataclass(frozen=True, slots=True)
class PairedDesign:
    """How many changed examples are labelled, as a function of how many changed.

    Attributes
    ----------
    rows : int
        Examples whose predictions are known.
    all_labelled : bool
        Whether every one of them may be labelled, so that no more than K labels can be had; otherwise there are
        enough.
    low, width : float
        Range of the value of a changed example.
    threshold, tolerance : float
        Of the expression.
    log_alpha : float
        Of either side.
    """

    rows: int
    all_labelled: bool
    low: float
    width: float
    threshold: float
    tolerance: float
    log_alpha: float

    def labels(self, changed: Ints) -> Ints:
        """Return after how many labels the expression is known to its tolerance near the threshold.

        By the normal approximation and a correction for counts: the test is exact whatever this is.
        """
        share = np.maximum(changed, 1) / self.rows
        precision = self.tolerance**2 / float(ndtri_exp(self.log_alpha)) ** 2
        of_share = (self.threshold / share) ** 2 * share * (1 - share) / self.rows
        left = np.maximum(precision - of_share, _LEAST_PRECISION * precision)
        needed = np.ceil((share * self.width / 2) ** 2 / left + share * self.width / self.tolerance)
        return np.asarray(needed, dtype=np.int64)

    def cap(self, changed: Ints) -> Ints:
        """Return k(K)."""
        needed = self.labels(changed)
        return np.minimum(needed, np.maximum(changed, 1)) if self.all_labelled else needed

    def log_p_value(self, changed: int, ones: int) -> float:
        """Return the log of the p-value of "the expression is at most the threshold".

        Parameters
        ----------
        changed, ones : int
            K > 0, and X of the first k(K).
        """
        share = changed / self.rows
        estimate = share * (self.low + self.width * ones / int(self.cap(np.array([changed]))[0]))
        log_nuisance = self.log_alpha + math.log(_NUISANCE_SHARE)
        interval = clopper_pearson(changed, self.rows, log_nuisance)
        ends = max(interval.low, 1e-9), interval.high
        worst = max(self._tail(d, estimate) for d in np.linspace(*ends, _NUISANCE_VALUES))
        return math.log(worst + 2 * math.exp(log_nuisance))  # d may lie beyond either end

    def _tail(self, share: float, estimate: float) -> float:
        """Return the probability of an estimate of at least ``estimate`` when d is ``share``."""
        p = min(max((self.threshold / share - self.low) / self.width, 0.0), 1.0)
        reach = (math.sqrt(-2 * self.log_alpha) + 3) * (math.sqrt(self.rows * share * (1 - share)) + 1)
        first, last = (
            max(1, math.floor(self.rows * share - reach)),
            min(self.rows, math.ceil(self.rows * share + reach)),
        )
        changed = np.arange(first, last + 1, max(1, (last - first) // _MOST_SIZES))
        logs = -gammaln(changed + 1) - gammaln(self.rows - changed + 1)
        logs += changed * math.log(share) + (self.rows - changed) * math.log1p(-min(share, 1 - 1e-15))
        weights = np.exp(logs - logs.max())
        labels = self.cap(changed)
        ones = np.ceil(labels * (estimate * self.rows / changed - self.low) / self.width - 1e-9)
        inside = betainc(np.clip(ones, 1, labels), np.clip(labels - ones + 1, 1, None), p)
        tails = np.where(ones <= 0, 1.0, np.where(ones > labels, 0.0, inside))
        return float(weights @ tails / weights.sum())
