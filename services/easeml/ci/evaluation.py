"""One evaluation of one model on a test set: which labels it wants next, and its verdict.

The walk goes through the examples in the test set's fixed order. It stops at the first example whose label
is needed and not known; as it depends on order, predictions and labels alone, the verdict does not depend
on when, in which order or how often labels arrive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from easeml.ci.betting import TwoSidedBet
from easeml.ci.bounds import clopper_pearson
from easeml.ci.clause_test import EARLY, ClauseTest, Levels, Seen
from easeml.ci.language import Condition
from easeml.ci.logic import Interval, Truth
from easeml.ci.scores import Scores

UNKNOWN_LABEL = -1
_STRETCH = 2048
_OUTCOMES = {Truth.TRUE: "PASSED", Truth.FALSE: "FAILED", Truth.UNKNOWN: "UNDECIDED"}


@dataclass(frozen=True, slots=True)
class ClauseVerdict:
    """What one evaluation found out about one clause.

    Attributes
    ----------
    text : str
    truth : {"TRUE", "FALSE", "UNKNOWN"}
    interval : Interval or None
        Of its expression; None when no label was looked at for it.
    """

    text: str
    truth: str
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one evaluation.

    Only ``signal`` is meant for the developer; everything else belongs to the owner of the test set.

    Attributes
    ----------
    model_id : str
    outcome : {"PASSED", "FAILED", "UNDECIDED"}
    signal : bool
        The one bit released: whether the model is accepted.
    intervals : dict of str to Interval
        For n, o and d; each holds with the reliability over all steps. ``o`` and ``d`` are missing when the
        condition does not use the old model.
    labels_used : int
        Labels this evaluation looked at.
    labels_reused : int
        Those among them that an earlier evaluation had bought.
    histories_left : int
        Evaluations left on this test set.
    alarm : {None, "steps_exhausted", "first_change", "passes_exhausted", "labels_exhausted"}
    clauses : tuple of ClauseVerdict
        Each clause of the condition, in its order.
    """

    model_id: str
    outcome: str
    signal: bool
    intervals: dict[str, Interval]
    labels_used: int
    labels_reused: int
    histories_left: int
    alarm: str | None
    clauses: tuple[ClauseVerdict, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON-able values."""
        return {
            "model_id": self.model_id,
            "outcome": self.outcome,
            "signal": self.signal,
            "intervals": {name: [i.low, i.high] for name, i in self.intervals.items()},
            "labels_used": self.labels_used,
            "labels_reused": self.labels_reused,
            "histories_left": self.histories_left,
            "alarm": self.alarm,
            "clauses": [[c.text, c.truth, c.interval and [c.interval.low, c.interval.high]] for c in self.clauses],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Verdict:
        """Return the verdict that :meth:`to_dict` wrote."""
        intervals = {name: Interval(float(low), float(high)) for name, (low, high) in data["intervals"].items()}
        clauses = tuple(
            ClauseVerdict(text, truth, None if ends is None else Interval(float(ends[0]), float(ends[1])))
            for text, truth, ends in data.get("clauses", ())
        )
        return cls(**{**data, "intervals": intervals, "clauses": clauses})


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a walk ended: the truth of the formula, labels looked at, and whether examples ran out."""

    truth: Truth
    labels_used: int
    labels_reused: int
    exhausted: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """What every walk on one test set shares.

    Attributes
    ----------
    condition : Condition
    levels : Levels
    order : ndarray of int32, shape (n,)
        The fixed random permutation.
    coins : ndarray of float64, shape (2, n)
        Two uniform numbers per turn: for the exact test, and for whether an agreement is labelled.
    scores : Scores
    slices : mapping of str to ndarray of bool, shape (n,)
        Members, by example, of each slice that the condition names.
    stop_unknown : bool
        Whether an undecidable clause settles the verdict (it does when unknown rejects).
    """

    condition: Condition
    levels: Levels
    order: npt.NDArray[np.int32]
    coins: npt.NDArray[np.float64]
    scores: Scores
    slices: Mapping[str, npt.NDArray[np.bool_]]
    stop_unknown: bool


class Walk:
    """The sequential test of a formula along the fixed order.

    Parameters
    ----------
    setting : Setting
    new, old : ndarray of int, shape (n,)
        Predictions by example; ``old`` equals ``new`` when the condition does not use the old model.
    pool : tuple of int
        How many predictions changed, of how many further unlabelled examples.
    """

    def __init__(
        self, setting: Setting, new: npt.NDArray[np.int32], old: npt.NDArray[np.int32], pool: tuple[int, int] = (0, 0)
    ) -> None:
        self.setting, order = setting, setting.order
        self.new, self.old = new[order], old[order]
        self.changed = self.new != self.old
        everyone = np.ones(len(order), dtype=np.bool_)
        self.tests: list[ClauseTest] = []
        self.members: list[npt.NDArray[np.bool_]] = []
        self.asked: list[npt.NDArray[np.bool_]] = []
        for clause in setting.condition.clauses:
            members = setting.slices[clause.slice][order] if clause.slice else everyone
            # further examples come without their slices, so they tell about the whole only
            changed, rows = (0, 0) if clause.slice else pool
            where = self.changed[members]
            seen = Seen(len(where), int(where.sum()), int(where[:EARLY].sum()), rows, changed)
            test = ClauseTest(clause, setting.levels, seen, setting.scores)
            self.tests.append(test)
            self.members.append(members)
            self.asked.append(members & test.asks(self.changed, setting.coins[1]))
        self.truths: list[Truth | None] = [test.decide_without_labels() for test in self.tests]
        self.rows = 0
        self.cells = np.zeros(setting.scores.cells, dtype=np.int64)
        self.unseen = 0
        self.labels_used = 0
        self.labels_reused = 0

    def advance(self, labels: npt.NDArray[np.int32], fresh: npt.NDArray[np.bool_]) -> Finding | None:
        """Walk as far as the labels reach.

        Parameters
        ----------
        labels : ndarray of int32, shape (n,)
            By example; :data:`UNKNOWN_LABEL` where none is known.
        fresh : ndarray of bool, shape (n,)
            Whether the label was bought by this evaluation.

        Returns
        -------
        Finding or None
            None while a label is missing.
        """
        order = self.setting.order
        while (finding := self._finding()) is None:
            part = slice(self.rows, self.rows + _STRETCH)
            needs = self._needs(part)
            known = labels[order[part]]
            missing = np.flatnonzero(needs & (known == UNKNOWN_LABEL))
            length = int(missing[0]) if len(missing) else len(needs)
            if not length:
                return None
            self._step(needs[:length], known[:length], fresh[order[part]][:length])
        return finding

    def wanted(self, labels: npt.NDArray[np.int32], limit: int) -> list[int]:
        """Return the next examples, in order, whose labels are needed if nothing is decided before."""
        found: list[int] = []
        if self._finding() is not None:
            return found
        order = self.setting.order
        for start in range(self.rows, len(order), _STRETCH):
            part = slice(start, start + _STRETCH)
            lacking = order[part][self._needs(part) & (labels[order[part]] == UNKNOWN_LABEL)]
            found.extend(map(int, lacking[: limit - len(found)]))
            if len(found) >= limit:
                break
        return found

    def _needs(self, part: slice) -> npt.NDArray[np.bool_]:
        needs = np.zeros(len(self.new[part]), dtype=np.bool_)
        for asked, truth in zip(self.asked, self.truths, strict=True):
            if truth is None:
                needs |= asked[part]
        return needs

    def _step(self, needs: npt.NDArray[np.bool_], known: npt.NDArray[np.int32], fresh: npt.NDArray[np.bool_]) -> None:
        """Take the next examples until one of them decides a clause."""
        part = slice(self.rows, self.rows + len(needs))
        cells = self.setting.scores.cell(known, self.new[part], self.old[part])
        taken, decisions, streams = len(needs), {}, {}
        for index, test in enumerate(self.tests):
            if self.truths[index] is None:
                at = np.flatnonzero(self.members[index][part])
                turned_out = np.where(self.asked[index][part][at], cells[at], self.setting.scores.cells)
                streams[index] = (at, turned_out, self.setting.coins[0][part][at])
                if (decision := test.first_decision(*streams[index][1:])) is not None:
                    decisions[index] = (int(at[decision[0]]) + 1, decision[1])
                    taken = min(taken, decisions[index][0])
        for index, (at, turned_out, coins) in streams.items():
            count = int(np.searchsorted(at, taken))
            self.tests[index].take(turned_out[:count], coins[:count])
        for index, (rows, truth) in decisions.items():
            if rows == taken:
                self.truths[index] = truth
        self.rows += taken
        self.cells += np.bincount(cells[:taken][needs[:taken]], minlength=len(self.cells))
        used = int(needs[:taken].sum())
        self.unseen += taken - used
        self.labels_used += used
        self.labels_reused += int((needs & ~fresh)[:taken].sum())

    def _finding(self) -> Finding | None:
        truth = reduce(and_, (t if t is not None else Truth.UNKNOWN for t in self.truths))
        hopeless = self.setting.stop_unknown and Truth.UNKNOWN in self.truths
        exhausted = self.rows == len(self.setting.order)
        if truth is Truth.FALSE or hopeless or exhausted or None not in self.truths:
            short = truth is Truth.UNKNOWN and any(
                t in (None, Truth.UNKNOWN) and test.short for test, t in zip(self.tests, self.truths, strict=True)
            )
            return Finding(truth, self.labels_used, self.labels_reused, short)
        return None

    def intervals(self) -> dict[str, Interval]:
        """Return the intervals of n, o and d at the end of the walk.

        Examples whose label was never needed count with the lowest score for the lower end and with the
        highest for the upper one, so the intervals are honest and may be wide.
        """
        side = self.setting.levels.true - math.log(2)
        new, old, _ = self.setting.scores.parts()
        found = {"n": self._mean(new, side)}
        if self.setting.condition.uses_old:
            found["o"] = self._mean(old, side)
            found["d"] = clopper_pearson(int(self.changed.sum()), len(self.changed), side)
        return found

    def _mean(self, score: npt.NDArray[np.float64], log_alpha: float) -> Interval:
        values = self.setting.scores.distinct
        counts = np.bincount(np.searchsorted(values, score), weights=self.cells, minlength=len(values))
        if not counts.sum() + self.unseen:
            return Interval(float(values[0]), float(values[-1]))
        lowest, highest = counts.copy(), counts.copy()
        lowest[0] += self.unseen
        highest[-1] += self.unseen
        bets = TwoSidedBet.around(values, 0.5, 0.04, 0.25)
        low, high = bets.rising.bound(lowest, log_alpha), -bets.falling.bound(highest, log_alpha)
        return Interval(min(low, high), max(low, high))

    def clauses(self) -> tuple[ClauseVerdict, ...]:
        """Return what is known of each clause at the end of the walk."""
        return tuple(
            ClauseVerdict(str(test.clause), Truth.UNKNOWN.name if truth is None else truth.name, test.known(truth))
            for test, truth in zip(self.tests, self.truths, strict=True)
        )


class EvaluationLedger(Protocol):
    """What an :class:`Evaluation` needs of its ledger."""

    def verdict_of(self, model_id: str) -> Verdict | None: ...

    def wanted_by(self, model_id: str, limit: int) -> list[int]: ...

    def observe(self, index: int, label: int) -> None: ...


class Evaluation:
    """Iterates over the examples it wants labelled, until it has a verdict.

    ::

        for index in evaluation:
            evaluation.observe(index, ask_a_human(index))
        print(evaluation.verdict)

    Iterating without observing looks ahead in the order; labels that arrive late or twice are welcome.
    """

    def __init__(self, ledger: EvaluationLedger, model_id: str) -> None:
        self._ledger = ledger
        self.model_id = model_id

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, or None while labels are missing."""
        return self._ledger.verdict_of(self.model_id)

    def wanted(self, limit: int = 1) -> list[int]:
        """Return up to ``limit`` examples, in ledger order, to ask for now."""
        return self._ledger.wanted_by(self.model_id, limit)

    def observe(self, index: int, label: int) -> None:
        """Give the label of one example (again: no effect).

        Raises
        ------
        InvalidDataError
            When the example or the label does not exist.
        ConflictError
            When the example has another label already.
        """
        self._ledger.observe(index, label)

    def __iter__(self) -> Iterator[int]:
        given: set[int] = set()
        while True:
            index = next((i for i in self.wanted(len(given) + 1) if i not in given), None)
            if index is None:
                return
            given.add(index)
            yield index
            # an observed example is wanted no more, so it need not be remembered
            given.intersection_update(self.wanted(len(given)))


def outcome_of(truth: Truth, mode: str) -> tuple[str, bool]:
    """Return the outcome and the released bit.

    >>> outcome_of(Truth.UNKNOWN, "fp-free")
    ('UNDECIDED', False)
    """
    return _OUTCOMES[truth], truth is Truth.TRUE or (truth is Truth.UNKNOWN and mode == "fn-free")
