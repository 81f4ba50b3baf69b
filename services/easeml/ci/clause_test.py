"""The sequential test of one clause on its stream of test examples.

When the label of an example matters only where the models disagree (``n - o``, whatever else on ``d``), the
stream holds the disagreements alone, and the expression is d times the mean of a value on it; d is known up to
an interval from predictions, which cost nothing. Otherwise the stream holds every example of the clause's
slice. Disagreements where both models are wrong stay in the stream as a value of 0.

Where agreements matter little (``n > 1.02 * o``: by 0.02 each), only a random part of them is labelled, and
counts for the others too: the mean stays what it is, and labels are spent where the models disagree.

One twentieth of the error goes to the interval of d where it is needed; the rest is halved between an e-process
that may stop after any label, and one exact test at a cap fixed before the first label, at which the expression
is known to its tolerance whatever happens.

Guarantee: a clause is called true though it is false, or false though it is true, with probability at most
alpha, for examples drawn independently; both-wrong disagreements and an unknown disagreement rate included.
Source: Renggli et al., SysML 2019, section 4 (pattern 2, active labelling); the test is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from easeml.ci.betting import TwoSidedBet
from easeml.ci.bounds import LOG_SMALLEST, clopper_pearson, exact_binomial_size, hoeffding_size
from easeml.ci.language import Clause
from easeml.ci.logic import Interval, Truth
from easeml.ci.scores import ACCURACY, Scores

_LOG2 = math.log(2)
_SHARE_OF_D = 0.05
_WIDTH_LOOK_EVERY = 16
_THINNED_BELOW = 0.25
"""Weight of an agreement against a disagreement up to which labelling a part of the agreements pays."""
_LEAST_PRECISION = 0.2
"""Part of the tolerance that is left to the labels even where the interval of d takes more than the rest."""
_CERTAIN = Interval(1.0, 1.0)


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


@dataclass(frozen=True, slots=True)
class Seen:
    """What predictions alone tell, before any label.

    Attributes
    ----------
    rows, changed : int
        Examples of the clause's slice in the test set, and how many of their predictions changed.
    pool_rows, pool_changed : int
        The same of further unlabelled examples from the same source.
    """

    rows: int
    changed: int
    pool_rows: int = 0
    pool_changed: int = 0

    def share(self, log_alpha: float) -> Interval:
        """Return the interval of d, each end wrong with probability at most alpha."""
        return clopper_pearson(self.changed + self.pool_changed, self.rows + self.pool_rows, log_alpha)


class ClauseTest:
    """Decides one clause from the values of successive examples.

    Parameters
    ----------
    clause : Clause
    levels : Levels
    seen : Seen
    scores : Scores
        What a prediction is worth; accuracy by default.
    """

    def __init__(self, clause: Clause, levels: Levels, seen: Seen, scores: Scores = ACCURACY) -> None:
        self.clause = clause
        # the claim "above" is the true one for '>' and the false one for '<'
        above, below = (levels.true, levels.false) if clause.above else (levels.false, levels.true)
        self.free = not clause.needs_disagreements
        self.paired = not self.free and not clause.needs_agreements
        lowest = min(above, below)
        self.share = _CERTAIN
        if self.free:
            self.share = seen.share(lowest)
        elif self.paired:
            self.share = seen.share(lowest + math.log(_SHARE_OF_D))
        rest = math.log((1 - _SHARE_OF_D if self.paired else 1.0) / 2)
        self.log_above, self.log_below = above + rest, below + rest
        self.part = 1.0 if self.paired else _labelled_part(clause)
        self.values, self.cells = scores.values(clause.coefficients, only_changed=self.paired, part=self.part)
        self.low, self.high = float(self.values.min()), float(self.values.max())
        self.items = 0 if self.free else seen.changed if self.paired else seen.rows
        self.full_size = self._full_size()
        self.cap = min(self.items, self.full_size)
        lower, upper = self._means(clause.threshold)
        gap = 2 * clause.tolerance / max(self._middle, clause.tolerance)
        self.bets = TwoSidedBet.around(self.values, lower, gap, upper=upper)
        self.counts = np.zeros(len(self.values), dtype=np.int64)
        self.taken = 0
        self.tossed = 0

    @property
    def _middle(self) -> float:
        return (self.share.low + self.share.high) / 2

    def _means(self, threshold: float) -> tuple[float, float]:
        """Return the least and the largest mean on the stream at which the expression is ``threshold``."""
        if threshold == 0:
            return 0.0, 0.0
        ends = threshold / max(self.share.low, 1e-12), threshold / max(self.share.high, 1e-12)
        return min(ends), max(ends)

    def _full_size(self) -> int:
        """Return after how many examples of the stream the expression is known to its tolerance."""
        if self.free:
            return 0
        c, tolerance, middle = self.clause.threshold, self.clause.tolerance, self._middle
        lost = abs(c) * self.share.half_width / max(middle, 1e-12)
        left = max(tolerance - lost, _LEAST_PRECISION * tolerance) / max(middle, 1e-12)
        if left >= self.high - self.low:
            return 1
        return _exact_size(left / (self.high - self.low), min(self.log_above, self.log_below))

    @property
    def short(self) -> bool:
        """Whether all examples were taken and the expression is not known to its tolerance."""
        if self.free:
            return abs(self.clause.coefficients[2]) * self.share.half_width > self.clause.tolerance
        return self.taken >= self.items < self.full_size

    def takes(self, changed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which examples of the slice belong to the stream, given where predictions changed."""
        if self.free:
            return np.zeros_like(changed)
        return changed if self.paired else np.ones_like(changed)

    def asks(self, changed: npt.NDArray[np.bool_], draws: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return which examples of the stream need a label, given a uniform number per example."""
        return changed | (draws < self.part)

    def decide_without_labels(self) -> Truth | None:
        """Return the truth where predictions alone show it; for a clause on ``d`` alone, the final one."""
        if self.free:
            return self._compare(self.clause.coefficients[2] * self.share)
        if self.paired:
            truth = self._compare(_times(self.share, Interval(self.low, self.high)))
            return None if truth is Truth.UNKNOWN and self.items else truth
        return None if self.items else Truth.UNKNOWN

    def first_decision(self, cells: npt.NDArray[np.int64], coins: npt.NDArray[np.float64]) -> tuple[int, Truth] | None:
        """Return the first of the next examples of the stream after which the clause is decided.

        Parameters
        ----------
        cells : ndarray of int64, shape (t,)
            How each of t successive examples turned out; see :class:`~easeml.ci.scores.Scores`. One more than
            its cells stands for an agreement that needed no label.
        coins : ndarray of float64, shape (t,)
            A uniform number per example, drawn with the label order.

        Returns
        -------
        tuple of int and Truth, or None
            Position in ``cells`` and the truth; UNKNOWN when the expression is known to its tolerance and
            still straddles the threshold.
        """
        if not len(cells):
            return None
        found = self.cells[cells]
        counts = self.counts + np.cumsum(np.eye(len(self.values), dtype=np.int64)[found], axis=0)
        number = np.arange(self.taken + 1, self.taken + len(cells) + 1)
        above, below = self.refuted(counts, self.clause.threshold)
        looks = np.flatnonzero((number % _WIDTH_LOOK_EVERY == 0) & ~(above | below))
        # Half-width <= tolerance around the threshold implies that both shifted claims are refuted; only there
        # is the costly interval computed.
        apart = 2 * self.clause.tolerance
        high = self.refuted(counts[looks], self.clause.threshold - apart)[0]
        low = self.refuted(counts[looks], self.clause.threshold + apart)[1]
        narrow = np.zeros(len(cells), dtype=np.bool_)
        narrow[looks[high & low]] = True
        for at in np.flatnonzero(above | below | (number == self.cap) | narrow):
            if above[at] or below[at]:
                return int(at), Truth.TRUE if bool(above[at]) == self.clause.above else Truth.FALSE
            if number[at] == self.cap:
                ones = self.tossed + self._tosses(found[: at + 1], coins[: at + 1])
                return int(at), self._compare(self._exact(ones))
            if self.interval(counts[at]).half_width <= self.clause.tolerance:
                return int(at), Truth.UNKNOWN
        return None

    def take(self, cells: npt.NDArray[np.int64], coins: npt.NDArray[np.float64]) -> None:
        """Count examples of the stream in."""
        found = self.cells[cells]
        self.counts = self.counts + np.bincount(found, minlength=len(self.values))
        self.taken += len(cells)
        self.tossed += self._tosses(found, coins)

    def refuted(
        self, counts: npt.NDArray[np.number], threshold: float
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return where "at most ``threshold``" and "at least ``threshold``" are refuted by the e-process."""
        lower, upper = self._means(threshold)
        never = np.zeros(len(counts), dtype=np.bool_)
        above, below = never, never
        if upper < self.high:
            above = ~never if upper < self.low else self.bets.rising.log_wealth(counts, upper) >= -self.log_above
        if lower > self.low:
            below = ~never if lower > self.high else self.bets.falling.log_wealth(counts, -lower) >= -self.log_below
        return above, below

    def interval(self, counts: npt.NDArray[np.number]) -> Interval:
        """Return the interval of the expression that holds at every time at once, given counts of the values."""
        low, high = self.bets.interval(counts, self.log_above, self.log_below)
        return _times(self.share, Interval(min(low, high), max(low, high)))

    def known(self) -> Interval | None:
        """Return the interval of the expression where the test stands; None before the first label."""
        if self.free:
            return self.clause.coefficients[2] * self.share
        if not self.taken:
            return None
        found = self.interval(self.counts)
        if self.taken < self.cap:
            return found
        exact = self._exact(self.tossed)
        # both hold at once; that they do not meet is one of the rare errors they may make
        ends = max(found.low, exact.low), min(found.high, exact.high)
        return Interval(*ends) if ends[0] <= ends[1] else exact

    def _tosses(self, found: npt.NDArray[np.int64], coins: npt.NDArray[np.float64]) -> int:
        """Return how many examples become 1 when each is rounded to 0 or 1 by its coin.

        The mean stays what it was and the count is binomial, so the exact test needs no third value.
        """
        return int((coins < (self.values[found] - self.low) / (self.high - self.low)).sum())

    def _exact(self, ones: int) -> Interval:
        """Return the interval of the expression at the cap, where ``ones`` examples were rounded to 1."""
        low = clopper_pearson(ones, self.cap, self.log_above).low
        high = clopper_pearson(ones, self.cap, self.log_below).high
        mean = Interval(self.low, self.low) + (self.high - self.low) * Interval(low, high)
        return _times(self.share, mean)

    def _compare(self, interval: Interval) -> Truth:
        compare = interval.above if self.clause.above else interval.below
        return compare(self.clause.threshold, strict=self.clause.strict)


def _labelled_part(clause: Clause) -> float:
    """Return the share of agreements to label: their weight against disagreements, which costs least in all."""
    n, o, _ = clause.coefficients
    weight = abs(n + o) / max(abs(n), abs(o), 1e-12)
    return weight if 0 < weight <= _THINNED_BELOW else 1.0


def _times(one: Interval, other: Interval) -> Interval:
    ends = [a * b for a in (one.low, one.high) for b in (other.low, other.high)]
    return Interval(min(ends), max(ends))


@lru_cache(maxsize=4096)
def _exact_size(tolerance: float, log_alpha: float) -> int:
    if log_alpha < LOG_SMALLEST:
        return math.ceil(hoeffding_size(1.0, tolerance, log_alpha))
    return exact_binomial_size(tolerance, log_alpha)


__all__ = ["ClauseTest", "Levels", "Seen"]
