"""The sequential test of one clause on the paired stream of test examples.

Every example falls in one of seven cells (which models were right, whether the prediction changed, whether
its label was needed at all); the expression of the clause is the mean of a value per cell. Half of the error
goes to an e-process that may stop after any example, half to one fixed-sample interval at a cap fixed
beforehand, at which the expression is known to its tolerance whatever happens.

Guarantee: a clause is called true though it is false, or false though it is true, with probability at most
alpha, for examples drawn independently; both-wrong disagreements and an unknown disagreement rate included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easeml.ci.betting import LowerBet, TwoSidedBet
from easeml.ci.bounds import clopper_pearson, hoeffding_half_width, hoeffding_size
from easeml.ci.language import Clause
from easeml.ci.logic import Interval, Truth

AGREE_RIGHT, AGREE_WRONG, NEW_RIGHT, OLD_RIGHT, BOTH_WRONG, AGREE_UNSEEN, DIFFER_UNSEEN = range(7)
CELLS = 7

_LOG2 = math.log(2)
_WIDTH_LOOK_EVERY = 16


@dataclass(frozen=True, slots=True)
class Levels:
    """Error levels of one evaluation, as natural logarithms.

    Attributes
    ----------
    true : float
        Of calling a clause true. A pass needs every clause, so one false clause called true is the only way
        to a wrong pass, and no union over clauses is paid.
    false : float
        Of calling a clause false; any clause can fail the formula, so the k clauses share the level.
    """

    true: float
    false: float

    @classmethod
    def of(cls, reliability: float, log_histories: float, clauses: int) -> Levels:
        """Return the levels for one of M histories of a formula with k clauses."""
        true = math.log1p(-reliability) - log_histories
        return cls(true, true - math.log(clauses))


class ClauseTest:
    """Decides one clause from cell counts.

    Parameters
    ----------
    clause : Clause
    levels : Levels
    n : int
        Size of the test set; the cap is never beyond it.
    """

    def __init__(self, clause: Clause, levels: Levels, n: int) -> None:
        self.clause = clause
        # the claim "above" is the true one for '>' and the false one for '<'
        above, below = (levels.true, levels.false) if clause.above else (levels.false, levels.true)
        self.free = not clause.needs_disagreements
        share = 0.0 if self.free else _LOG2
        self.log_above, self.log_below = above - share, below - share
        five = clause.row_values
        self.values = np.array([*five, five[AGREE_RIGHT], five[BOTH_WRONG]])
        self.bets = TwoSidedBet.around(self.values, clause.threshold, clause.tolerance)
        self.width = float(np.ptp(self.values))
        self.full_size = math.ceil(hoeffding_size(self.width, clause.tolerance, min(self.log_above, self.log_below)))
        self.cap = min(n, self.full_size)

    def needs(self, changed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which examples need a label, given where the predictions differ; shape as ``changed``."""
        if self.free:
            return np.zeros_like(changed)
        return np.ones_like(changed) if self.clause.needs_agreements else changed

    def decide_without_labels(self, changed: int, n: int) -> Truth:
        """Return the truth of a clause on ``d`` alone, from all ``n`` examples at once."""
        factor = self.clause.coefficients[2]
        share = clopper_pearson(changed, n, min(self.log_above, self.log_below))
        return self._compare(factor * share)

    def first_decision(self, counts: npt.NDArray[np.int64], rows: int) -> tuple[int, Truth] | None:
        """Return the first example after which the clause is decided.

        Parameters
        ----------
        counts : ndarray of int64, shape (t, 7)
            Cell counts after each of t successive examples.
        rows : int
            Examples before the first of them.

        Returns
        -------
        tuple of int and Truth, or None
            Position in ``counts`` and the truth; UNKNOWN when the expression is known to its tolerance and
            still straddles the threshold.
        """
        threshold, tolerance = self.clause.threshold, self.clause.tolerance
        rising, falling = self.bets.rising, self.bets.falling
        above = rising.log_wealth(counts, threshold) >= -self.log_above
        below = falling.log_wealth(counts, -threshold) >= -self.log_below
        capped = np.arange(rows + 1, rows + len(counts) + 1) >= self.cap
        # Half-width <= tolerance around the threshold implies that both shifted claims are refuted; only
        # there is the costly interval computed.
        narrow = (np.arange(rows + 1, rows + len(counts) + 1) % _WIDTH_LOOK_EVERY == 0) & ~(above | below)
        narrow &= rising.log_wealth(counts, threshold - 2 * tolerance) >= -self.log_above
        narrow &= falling.log_wealth(counts, -threshold - 2 * tolerance) >= -self.log_below
        for at in np.flatnonzero(above | below | capped | narrow):
            if above[at] or below[at]:
                return int(at), Truth.TRUE if bool(above[at]) == self.clause.above else Truth.FALSE
            if capped[at]:
                return int(at), self._compare(self.fixed_interval(counts[at]))
            if self.interval(counts[at]).half_width <= tolerance:
                return int(at), Truth.UNKNOWN
        return None

    def interval(self, counts: npt.NDArray[np.number]) -> Interval:
        """Return the interval of the expression that holds at every time at once."""
        low, high = self.bets.interval(counts, self.log_above, self.log_below)
        return Interval(min(low, high), max(low, high))

    def fixed_interval(self, counts: npt.NDArray[np.int64]) -> Interval:
        """Return the interval for a sample size fixed beforehand: exact for two values, else Hoeffding's."""
        n = int(counts.sum())
        log_alpha = min(self.log_above, self.log_below)
        low, high = float(self.values.min()), float(self.values.max())
        if np.isin(self.values, (low, high)).all():
            share = clopper_pearson(int(counts[self.values == high].sum()), n, log_alpha)
            return Interval(low + share.low * self.width, low + share.high * self.width)
        mean = float(counts @ self.values) / n
        return Interval.around(mean, hoeffding_half_width(self.width, n, log_alpha)).clipped(low, high)

    def _compare(self, interval: Interval) -> Truth:
        compare = interval.above if self.clause.above else interval.below
        return compare(self.clause.threshold, strict=self.clause.strict)


def accuracy_interval(counts: npt.NDArray[np.int64], right: tuple[int, int], log_alpha: float) -> Interval:
    """Return an interval of a model's accuracy that holds at every time at once.

    Parameters
    ----------
    counts : ndarray of int64, shape (7,)
        Cell counts. Examples whose label was never needed count as wrong for the lower end and as right for
        the upper one, so the interval is honest and may be wide.
    right : tuple of int
        The two labelled cells in which the model is right.
    log_alpha : float
        Error of each end.
    """
    seen = np.zeros(CELLS)
    seen[list(right)] = 1.0
    hopeful = seen.copy()
    hopeful[[AGREE_UNSEEN, DIFFER_UNSEEN]] = 1.0
    if not counts.sum():
        return Interval(0.0, 1.0)
    ends = np.array([0.0, 1.0])
    bet = LowerBet.against(ends, 0.5, 0.02)
    total = int(counts.sum())
    sure, possible = int(counts @ seen), int(counts @ hopeful)
    low = bet.bound(np.array([total - sure, sure]), log_alpha)
    high = 1.0 - bet.bound(np.array([possible, total - possible]), log_alpha)
    return Interval(min(low, high), max(low, high))
