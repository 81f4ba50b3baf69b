"""The sequential test of one clause on the stream of test examples.

The expression is the mean of a value per example, whose label matters only where the models disagree (``n - o``,
whatever else on ``d``) or everywhere. Examples that need no label stay in the stream, agreements as a value of 0,
and so do disagreements where both models are wrong. Where agreements matter little (``n > 1.02 * o``: by 0.02
each), only a random part of them is labelled, and counts for the others too: the mean stays what it is, and labels
are spent where the models disagree.

An e-process over the stream may stop after any label; one exact test stands at a cap fixed by predictions alone, at
which the expression is known to its tolerance whatever happens. They halve the error between them; a twentieth of it
is kept for what predictions alone can show.

Guarantee: a clause is called true though it is false, or false though it is true, with probability at most
alpha, for examples drawn independently; both-wrong disagreements and an unknown disagreement rate included.
Source: Renggli et al., SysML 2019, section 4 (pattern 2, active labelling); the test is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from easeml.ci.betting import TwoSidedBet
from easeml.ci.bounds import LOG_SMALLEST, clopper_pearson, exact_binomial_size, hoeffding_size
from easeml.ci.exact import PairedDesign
from easeml.ci.language import Clause
from easeml.ci.logic import Interval, Truth
from easeml.ci.scores import ACCURACY, Scores

_SHARE_OF_D = 0.05
_WIDTH_LOOK_EVERY = 16
_THINNED_BELOW = 0.25
"""Weight of an agreement against a disagreement up to which labelling a part of the agreements pays."""
EARLY = 256
"""Examples after which the bets are tuned to the disagreements seen so far: earlier ones cannot know them."""
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
    early : int
        How many of the first :data:`EARLY` of them changed.
    pool_rows, pool_changed : int
        Further unlabelled examples from the same source.
    """

    rows: int
    changed: int
    early: int
    pool_rows: int = 0
    pool_changed: int = 0

    def share(self, log_alpha: float) -> Interval:
        """Return the interval of d, each end wrong with probability at most alpha."""
        return clopper_pearson(self.changed + self.pool_changed, self.rows + self.pool_rows, log_alpha)

    def guesses(self) -> tuple[float, float]:
        """Return d as one would guess it for the first examples, and for those after them."""
        changed, rows = self.pool_changed + 1, self.pool_rows + 10
        return changed / rows, (changed + self.early) / (rows + min(self.rows, EARLY))


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
        self.clause, self.seen, self.unlabelled_cell = clause, seen, scores.cells
        # the claim "above" is the true one for '>' and the false one for '<'
        above, below = (levels.true, levels.false) if clause.above else (levels.false, levels.true)
        self.free = not clause.needs_disagreements
        self.paired = not self.free and not clause.needs_agreements
        lowest = min(above, below)
        self.share = _CERTAIN
        if self.free or self.paired:
            self.share = seen.share(lowest + (math.log(_SHARE_OF_D) if self.paired else 0.0))
        rest = math.log((1 - _SHARE_OF_D if self.paired else 1.0) / 2)
        self.log_above, self.log_below = above + rest, below + rest
        self.part = 0.0 if self.paired else _labelled_part(clause)
        self.values, self.cells = scores.values(clause.coefficients, part=self.part)
        exact = scores.values(clause.coefficients, only_changed=True)[0] if self.paired else self.values
        self.low, self.width = float(exact.min()), float(np.ptp(exact))
        self.design = self._paired_design()
        self.full_size = self._full_size()
        self.cap = min(seen.changed if self.paired else seen.rows, self.full_size)
        self.bets = self._bets()
        self.counts = np.zeros(2 * len(self.values), dtype=np.int64)
        self.taken = self.reached = self.tossed = 0

    def _bets(self) -> TwoSidedBet:
        """Return bets for the first examples, and after them such as are tuned to the disagreements seen by then."""
        c, gap = self.clause.threshold, 2 * self.clause.tolerance
        low, high = float(self.values.min()), float(self.values.max())
        first, later = (
            TwoSidedBet.around(self.values, c, gap, max(abs(low), abs(high)) ** 2 * (share + (1 - share) * self.part))
            if self.part < 1
            else TwoSidedBet.around(self.values, c, gap, (c - low) * (high - c))
            for share in self.seen.guesses()
        )
        return first.then(later)

    def _paired_design(self) -> PairedDesign:
        seen, clause = self.seen, self.clause
        lowest = min(self.log_above, self.log_below)
        rows = max(seen.rows + seen.pool_rows, 1)
        return PairedDesign(rows, not seen.pool_rows, self.low, self.width, clause.threshold, clause.tolerance, lowest)

    def _full_size(self) -> int:
        """Return after how many disagreements, or examples, the expression is known to its tolerance."""
        if self.free:
            return 0
        if self.paired:
            return int(self.design.labels(np.array([self.seen.changed + self.seen.pool_changed]))[0])
        return _exact_size(self.clause.tolerance / self.width, min(self.log_above, self.log_below))

    @property
    def short(self) -> bool:
        """Whether all examples were taken and the expression is not known to its tolerance."""
        if self.free:
            return abs(self.clause.coefficients[2]) * self.share.half_width > self.clause.tolerance
        return self.reached >= self.cap < self.full_size

    def asks(self, changed: npt.NDArray[np.bool_], draws: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return which examples of the slice need a label, given where predictions changed and uniform numbers."""
        if self.free:
            return np.zeros_like(changed)
        return changed | (draws < self.part)

    def decide_without_labels(self) -> Truth | None:
        """Return the truth where predictions alone show it; for a clause on ``d`` alone, the final one."""
        if self.free:
            return self._compare(self.clause.coefficients[2] * self.share)
        if self.paired:
            truth = self._compare(_times(self.share, Interval(self.low, self.low + self.width)))
            return None if truth is Truth.UNKNOWN and self.cap else truth
        return None if self.cap else Truth.UNKNOWN

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
        ripe = self._counts_to_the_cap(cells)
        at_the_cap = ripe & (self.reached + np.cumsum(ripe) == self.cap)
        rows = np.flatnonzero((cells != self.unlabelled_cell) | at_the_cap)
        if not len(rows):
            return None
        steps = np.eye(len(self.counts), dtype=np.int64)[self._places(cells)]
        counts = (self.counts + np.cumsum(steps, axis=0))[rows]
        above, below = self.refuted(counts, self.clause.threshold)
        looks = np.flatnonzero(((self.taken + rows) % _WIDTH_LOOK_EVERY == 0) & ~(above | below))
        narrow = np.zeros(len(rows), dtype=np.bool_)
        narrow[looks] = self.near_the_tolerance(counts[looks])
        for at in np.flatnonzero(above | below | at_the_cap[rows] | narrow):
            row = int(rows[at])
            if above[at] or below[at]:
                return row, Truth.TRUE if bool(above[at]) == self.clause.above else Truth.FALSE
            if at_the_cap[row]:
                ones = self.tossed + self._tosses(cells[: row + 1], coins[: row + 1])
                return row, self._at_the_cap(ones)
            if self.interval(counts[at]).half_width <= self.clause.tolerance:
                return row, Truth.UNKNOWN
        return None

    def take(self, cells: npt.NDArray[np.int64], coins: npt.NDArray[np.float64]) -> None:
        """Count examples of the slice in."""
        self.counts = self.counts + np.bincount(self._places(cells), minlength=len(self.counts))
        self.tossed += self._tosses(cells, coins)
        self.reached += int(self._counts_to_the_cap(cells).sum())
        self.taken += len(cells)

    def _places(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return where each example counts: by its value, and whether it is one of the early ones."""
        late = np.arange(self.taken, self.taken + len(cells)) >= EARLY
        return self.cells[cells] + len(self.values) * late

    def _counts_to_the_cap(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        return cells % 2 == 1 if self.paired else np.ones(len(cells), dtype=np.bool_)

    def refuted(
        self, counts: npt.NDArray[np.number], threshold: float
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return where "at most ``threshold``" and "at least ``threshold``" are refuted by the e-process."""
        above = below = np.zeros(len(counts), dtype=np.bool_)
        if threshold < self.values.max():
            above = self.bets.rising.log_wealth(counts, threshold) >= -self.log_above
        if threshold > self.values.min():
            below = self.bets.falling.log_wealth(counts, -threshold) >= -self.log_below
        return above, below

    def near_the_tolerance(self, counts: npt.NDArray[np.number]) -> npt.NDArray[np.bool_]:
        """Return where the expression may be known to its tolerance: only there the costly interval is computed.

        A half-width up to the tolerance around the threshold implies that both shifted claims are refuted.
        """
        apart = 2 * self.clause.tolerance
        high = self.refuted(counts, self.clause.threshold - apart)[0]
        return np.asarray(high & self.refuted(counts, self.clause.threshold + apart)[1], dtype=np.bool_)

    def interval(self, counts: npt.NDArray[np.number]) -> Interval:
        """Return the interval of the expression that holds at every time at once, given counts of the values."""
        low, high = self.bets.interval(counts, self.log_above, self.log_below)
        return Interval(min(low, high), max(low, high))

    def known(self, truth: Truth | None) -> Interval | None:
        """Return the interval of the expression where the test stands; None before the first label.

        The side of the threshold on which it lies was shown by one of the two tests, at the same level.
        """
        if self.free:
            return self.clause.coefficients[2] * self.share
        if not self.taken:
            return None
        found, c = self.interval(self.counts), self.clause.threshold
        if truth in (None, Truth.UNKNOWN):
            return found
        above = (truth is Truth.TRUE) == self.clause.above
        return (
            Interval(max(found.low, c), max(found.high, c))
            if above
            else Interval(min(found.low, c), min(found.high, c))
        )

    def _tosses(self, cells: npt.NDArray[np.int64], coins: npt.NDArray[np.float64]) -> int:
        """Return how many examples become 1 when each is rounded to 0 or 1 by its coin.

        The mean stays what it was and the count is binomial, so the exact test needs no third value.
        """
        values = self.values[self.cells[cells]]
        return int((self._counts_to_the_cap(cells) & (coins < (values - self.low) / self.width)).sum())

    def _at_the_cap(self, ones: int) -> Truth:
        """Return what the exact test says of ``ones`` examples that were rounded to 1, of as many as the cap."""
        seen, c = self.seen, self.clause.threshold
        if self.paired and seen.pool_rows and self.cap < self.full_size:
            # the exact test of pooled examples counts on labels that this test set does not have
            return Truth.UNKNOWN
        if not self.paired or min(self.log_above, self.log_below) < LOG_SMALLEST:
            low = clopper_pearson(ones, self.cap, self.log_above).low
            high = clopper_pearson(ones, self.cap, self.log_below).high
            mean = Interval(self.low, self.low) + self.width * Interval(low, high)
            return self._compare(_times(self.share, mean))
        changed = seen.changed + seen.pool_changed
        above = changed / self.design.rows * (self.low + self.width * ones / self.cap) > c
        if above:
            shown = self.design.log_p_value(changed, ones) <= self.log_above
        else:
            mirrored = replace(self.design, low=-self.low - self.width, threshold=-c)
            shown = mirrored.log_p_value(changed, self.cap - ones) <= self.log_below
        if not shown:
            return Truth.UNKNOWN
        return Truth.TRUE if above == self.clause.above else Truth.FALSE

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


__all__ = ["EARLY", "ClauseTest", "Levels", "Seen"]
