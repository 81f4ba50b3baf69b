"""One evaluation of one model on a test set: which labels it wants next, and its verdict.

The walk goes through the examples in the test set's fixed order. It stops at the first example whose label
is needed and not known; as it depends on order, predictions and labels alone, the verdict does not depend
on when, in which order or how often labels arrive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from easeml.ci.bounds import clopper_pearson
from easeml.ci.clause_test import (
    AGREE_RIGHT,
    AGREE_UNSEEN,
    AGREE_WRONG,
    BOTH_WRONG,
    CELLS,
    DIFFER_UNSEEN,
    NEW_RIGHT,
    OLD_RIGHT,
    ClauseTest,
    Levels,
    accuracy_interval,
)
from easeml.ci.language import Condition
from easeml.ci.logic import Interval, Truth

UNKNOWN_LABEL = -1
_STRETCH = 2048
_OUTCOMES = {Truth.TRUE: "PASSED", Truth.FALSE: "FAILED", Truth.UNKNOWN: "UNDECIDED"}


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
    alarm : {None, "steps_exhausted", "first_change", "labels_exhausted"}
    """

    model_id: str
    outcome: str
    signal: bool
    intervals: dict[str, Interval]
    labels_used: int
    labels_reused: int
    histories_left: int
    alarm: str | None

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
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Verdict:
        """Return the verdict that :meth:`to_dict` wrote."""
        intervals = {name: Interval(float(low), float(high)) for name, (low, high) in data["intervals"].items()}
        return cls(**{**data, "intervals": intervals})


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a walk ended: the truth of the formula, the cell counts there, and whether examples ran out."""

    truth: Truth
    counts: npt.NDArray[np.int64]
    labels_used: int
    labels_reused: int
    exhausted: bool


class Walk:
    """The sequential test of a formula along the fixed order.

    Parameters
    ----------
    condition : Condition
    levels : Levels
    order : ndarray of int, shape (n,)
        The fixed random permutation.
    new, old : ndarray of int, shape (n,)
        Predictions by example; ``old`` equals ``new`` when the condition does not use the old model.
    stop_unknown : bool
        Whether an undecidable clause settles the verdict (it does when unknown rejects).
    """

    def __init__(
        self,
        condition: Condition,
        levels: Levels,
        order: npt.NDArray[np.int32],
        new: npt.NDArray[np.int32],
        old: npt.NDArray[np.int32],
        *,
        stop_unknown: bool,
    ) -> None:
        self.order, self.new, self.old = order, new[order], old[order]
        self.changed = self.new != self.old
        self.stop_unknown = stop_unknown
        n = len(order)
        self.tests = [ClauseTest(clause, levels, n) for clause in condition.clauses]
        self.truths: list[Truth | None] = [
            test.decide_without_labels(int(self.changed.sum()), n) if test.free else None for test in self.tests
        ]
        self.rows = 0
        self.counts = np.zeros(CELLS, dtype=np.int64)
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
        while (finding := self._finding()) is None:
            part = slice(self.rows, self.rows + _STRETCH)
            needs = self._needs(part)
            known = labels[self.order[part]]
            missing = np.flatnonzero(needs & (known == UNKNOWN_LABEL))
            length = int(missing[0]) if len(missing) else len(needs)
            if not length:
                return None
            self._step(needs[:length], known[:length], fresh[self.order[part]][:length])
        return finding

    def wanted(self, labels: npt.NDArray[np.int32], limit: int) -> list[int]:
        """Return the next examples, in order, whose labels are needed if nothing is decided before."""
        found: list[int] = []
        if self._finding() is not None:
            return found
        for start in range(self.rows, len(self.order), _STRETCH):
            part = slice(start, start + _STRETCH)
            lacking = self.order[part][self._needs(part) & (labels[self.order[part]] == UNKNOWN_LABEL)]
            found.extend(map(int, lacking[: limit - len(found)]))
            if len(found) >= limit:
                break
        return found

    def _needs(self, part: slice) -> npt.NDArray[np.bool_]:
        changed = self.changed[part]
        needs: npt.NDArray[np.bool_] = np.zeros(len(changed), dtype=np.bool_)
        for test, truth in zip(self.tests, self.truths, strict=True):
            if truth is None:
                needs = np.logical_or(needs, test.needs(changed))
        return needs

    def _step(self, needs: npt.NDArray[np.bool_], known: npt.NDArray[np.int32], fresh: npt.NDArray[np.bool_]) -> None:
        """Take the next examples until one of them decides a clause."""
        part = slice(self.rows, self.rows + len(needs))
        new_right, old_right = self.new[part] == known, self.old[part] == known
        seen = np.select(
            [~self.changed[part] & new_right, ~self.changed[part], new_right, old_right],
            [AGREE_RIGHT, AGREE_WRONG, NEW_RIGHT, OLD_RIGHT],
            BOTH_WRONG,
        )
        unseen = np.where(self.changed[part], DIFFER_UNSEEN, AGREE_UNSEEN)
        cells = np.where(needs, seen, unseen)
        counts = self.counts + np.cumsum(np.eye(CELLS, dtype=np.int64)[cells], axis=0)
        decisions = {
            index: decision
            for index, (test, truth) in enumerate(zip(self.tests, self.truths, strict=True))
            if truth is None and (decision := test.first_decision(counts, self.rows)) is not None
        }
        taken = min((at for at, _ in decisions.values()), default=len(needs) - 1) + 1
        for index, (at, truth) in decisions.items():
            if at + 1 == taken:
                self.truths[index] = truth
        self.rows += taken
        self.counts = counts[taken - 1]
        self.labels_used += int(needs[:taken].sum())
        self.labels_reused += int((needs & ~fresh)[:taken].sum())

    def _finding(self) -> Finding | None:
        truth = reduce(and_, (t if t is not None else Truth.UNKNOWN for t in self.truths))
        hopeless = self.stop_unknown and Truth.UNKNOWN in self.truths
        exhausted = self.rows == len(self.order)
        if truth is Truth.FALSE or hopeless or exhausted or None not in self.truths:
            short = truth is Truth.UNKNOWN and any(
                t in (None, Truth.UNKNOWN) and test.cap < test.full_size and (test.free or self.rows >= test.cap)
                for test, t in zip(self.tests, self.truths, strict=True)
            )
            return Finding(truth, self.counts, self.labels_used, self.labels_reused, short)
        return None

    def intervals(self, levels: Levels, *, uses_old: bool) -> dict[str, Interval]:
        """Return the intervals of n, o and d at the end of the walk."""
        side = levels.true - math.log(2)
        found = {"n": accuracy_interval(self.counts, (AGREE_RIGHT, NEW_RIGHT), side)}
        if uses_old:
            found["o"] = accuracy_interval(self.counts, (AGREE_RIGHT, OLD_RIGHT), side)
            found["d"] = clopper_pearson(int(self.changed.sum()), len(self.order), side)
        return found


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
