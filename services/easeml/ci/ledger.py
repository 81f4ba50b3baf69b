"""The ledger of one test set: its fixed label order, what was bought, and how often it may still be used.

A test set may be used for H steps. The error 1 - reliability is shared over all histories the developer
could have seen (H, or 2^H with full feedback), so the guarantee holds over all steps together.

Rules: the order is one permutation fixed at registration, and a stored label counts only when its turn
comes; the old model is scored on the same examples; condition, reliability, steps, mode and adaptivity are
frozen; one bit is released per step; a label delivered twice counts once.

Source: Renggli et al., SysML 2019, sections 2 and 3; rules 1-7 of the CI page.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.ci.bounds import log_histories, pass_budget_histories
from easeml.ci.clause_test import Levels
from easeml.ci.evaluation import UNKNOWN_LABEL, Evaluation, Setting, Verdict, Walk, outcome_of
from easeml.ci.language import Condition, parse
from easeml.ci.planning import check_passes, check_protocol
from easeml.ci.scores import ACCURACY, Scores
from easeml.errors import BudgetExhaustedError, ConfigurationError, ConflictError, InvalidDataError, NotFoundError

Ints = npt.NDArray[np.int32]

_MAX_CLASS = 2**31 - 1


class TestSetLedger:
    """Evaluates models on one test set of ``n`` examples for at most ``steps`` steps.

    Parameters
    ----------
    n : int
        Examples in the test set.
    condition : Condition or str
    reliability : float
        Probability, in (0, 1), that all decisions are right.
    steps : int
        H.
    adaptivity : {"full", "none", "first_change"}
    mode : {"fp-free", "fn-free"}
    passes : int, optional
        With full adaptivity: retire the test set after so many passes, which costs far fewer labels.
    scores : array_like of float, shape (classes, classes), optional
        What predicting a class is worth per label, in [0, 1]: n and o are then mean scores, not accuracies.
    slices : mapping of str to array_like of bool, shape (n,), optional
        Members of every slice that the condition names, e.g. ``{"country=CH": country == "CH"}``.
    rng : numpy.random.Generator
        Draws the label order, once.

    Raises
    ------
    ConfigurationError, ConditionError, InvalidDataError

    Examples
    --------
    >>> ledger = TestSetLedger(500, condition="n - o > 0 +/- 0.05", reliability=0.95, steps=4,
    ...                        adaptivity="full", mode="fp-free", rng=np.random.default_rng(0))
    >>> truth = np.zeros(500, dtype=int)
    >>> evaluation = ledger.propose("better", truth, np.arange(500) % 2)
    >>> for index in evaluation:
    ...     evaluation.observe(index, truth[index])
    >>> evaluation.verdict.outcome, evaluation.verdict.labels_used < 50
    ('PASSED', True)
    """

    __test__ = False  # not a test class, whatever its name

    def __init__(
        self,
        n: int,
        *,
        condition: Condition | str,
        reliability: float,
        steps: int,
        adaptivity: str = "full",
        mode: str = "fp-free",
        passes: int | None = None,
        scores: npt.ArrayLike | None = None,
        slices: Mapping[str, npt.ArrayLike] | None = None,
        rng: np.random.Generator,
    ) -> None:
        check_protocol(reliability, steps, adaptivity, mode)
        check_passes(passes, steps, adaptivity)
        if n < 1:
            raise ConfigurationError(f"A test set of {n} examples cannot test.", mend="Give at least one example.")
        self.condition = parse(condition) if isinstance(condition, str) else condition
        self.reliability, self.steps, self.adaptivity, self.mode = reliability, steps, adaptivity, mode
        self.passes = passes
        self.scores = ACCURACY if scores is None else Scores(scores)
        self._slices = _members(self.condition, slices or {}, n)
        self._order: Ints = rng.permutation(n).astype(np.int32)
        self._labels: Ints = np.full(n, UNKNOWN_LABEL, dtype=np.int32)
        self._bought_at: Ints = np.zeros(n, dtype=np.int32)
        self._baseline: tuple[str, Ints] | None = None
        self._verdicts: dict[str, Verdict] = {}
        self._digests: dict[str, str] = {}
        self._open: tuple[str, Ints, Ints] | None = None
        self._pool = (0, 0)
        self._setting = self._shared()
        self._walk: Walk | None = None

    def _shared(self) -> Setting:
        if self.passes is None:
            histories = log_histories(self.steps, self.adaptivity)
        else:
            histories = math.log(pass_budget_histories(self.steps, self.passes))
        return Setting(
            self.condition,
            Levels.of(self.reliability, histories, len(self.condition.clauses)),
            self._order,
            # seeded by the order, so that they are fixed with it and need no place in the state
            np.random.default_rng(self._order[:64]).random((2, self.n)),
            self.scores,
            self._slices,
            stop_unknown=self.mode == "fp-free",
        )

    @property
    def n(self) -> int:
        """Examples in the test set."""
        return len(self._order)

    @property
    def order(self) -> Ints:
        """The fixed order in which examples take their turns (a copy)."""
        return self._order.copy()

    @property
    def steps_used(self) -> int:
        """Evaluations begun."""
        return len(self._digests)

    @property
    def labels_bought(self) -> int:
        """Distinct examples whose label is known."""
        return int((self._labels != UNKNOWN_LABEL).sum())

    @property
    def closed(self) -> str | None:
        """The alarm after which nothing can be proposed any more, or None."""
        if self._open is not None:
            return None
        return self._closed_after(self._passed)

    @property
    def _passed(self) -> int:
        return sum(verdict.signal for verdict in self._verdicts.values())

    def _closed_after(self, passed: int) -> str | None:
        if self.adaptivity == "first_change" and passed:
            return "first_change"
        if self.passes is not None and passed >= self.passes:
            return "passes_exhausted"
        return "steps_exhausted" if self.steps_used >= self.steps else None

    @property
    def baseline(self) -> str | None:
        """The last accepted model (or the one the test set started with)."""
        return self._baseline[0] if self._baseline else None

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All verdicts, oldest first."""
        return tuple(self._verdicts.values())

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation that is open, if any."""
        return Evaluation(self, self._open[0]) if self._open else None

    def set_baseline(self, model_id: str, predictions: npt.ArrayLike) -> None:
        """Take a first model without a test; it costs no step and carries no guarantee.

        Raises
        ------
        ConflictError
            When a baseline stands already: only a verdict replaces it.
        InvalidDataError
        """
        checked = self._checked(predictions, "the baseline's predictions")
        if self._baseline is not None:
            if self._baseline[0] == model_id and np.array_equal(self._baseline[1], checked):
                return
            raise ConflictError(
                f"The baseline is {self._baseline[0]!r} already.", mend="Only a passed evaluation replaces it."
            )
        self._baseline = (model_id, checked)

    def propose(
        self,
        model_id: str,
        predictions_new: npt.ArrayLike,
        predictions_old: npt.ArrayLike | None = None,
        *,
        unlabelled: tuple[int, int] = (0, 0),
    ) -> Evaluation:
        """Begin the evaluation of a model; it uses up one step.

        Parameters
        ----------
        model_id : str
        predictions_new : array_like of int, shape (n,)
            Predicted classes (>= 0) of all examples.
        predictions_old : array_like of int, shape (n,), optional
            Those of the baseline; must agree with the baseline the ledger keeps. The first proposal may
            bring it.
        unlabelled : tuple of int
            Of further unlabelled examples from the same source: how many predictions changed, of how many. The
            better d is known, the fewer labels are needed.

        Returns
        -------
        Evaluation
            A proposal repeated with the same predictions continues (or has) its one evaluation.

        Raises
        ------
        BudgetExhaustedError
            When all steps are used or the set was retired after its first change.
        ConflictError
            When another evaluation is open, the model was evaluated with other predictions, or the old
            predictions are not those of the baseline.
        InvalidDataError
            When predictions are missing or malformed.
        """
        new = self._checked(predictions_new, f"the predictions of {model_id!r}")
        digest = hashlib.sha256(new.tobytes()).hexdigest()
        if model_id in self._digests:
            if self._digests[model_id] != digest:
                raise ConflictError(
                    f"Model {model_id!r} was proposed with other predictions.", mend="Give a new model a new id."
                )
            return Evaluation(self, model_id)
        self._refuse_if_closed(model_id)
        old = self._old(predictions_old)
        self._pool = _checked_pool(unlabelled)
        self._digests[model_id] = digest
        self._open = (model_id, new, new if old is None else old)
        self._start()
        self._advance()
        return Evaluation(self, model_id)

    def _refuse_if_closed(self, model_id: str) -> None:
        if self._open is not None:
            raise ConflictError(
                f"The evaluation of {self._open[0]!r} is open.", mend=f"Finish it before proposing {model_id!r}."
            )
        if (closed := self.closed) is not None:
            what = {
                "first_change": "had its first change",
                "passes_exhausted": f"has let {self.passes} models pass",
                "steps_exhausted": f"has seen all {self.steps} steps",
            }[closed]
            raise BudgetExhaustedError(
                f"The test set {what}: {model_id!r} cannot be evaluated on it.",
                mend="Open a new epoch with fresh test data.",
                reason=closed,
            )

    def _old(self, predictions: npt.ArrayLike | None) -> Ints | None:
        old = None if predictions is None else self._checked(predictions, "the old model's predictions")
        if self._baseline is None:
            if old is not None:
                self._baseline = ("", old)
            elif self.condition.uses_old:
                raise InvalidDataError(
                    f"The condition {self.condition.text!r} compares with an old model, and there is none.",
                    mend="Give predictions_old or call set_baseline first.",
                )
            return old
        if old is not None and not np.array_equal(old, self._baseline[1]):
            at = int(np.flatnonzero(old != self._baseline[1])[0])
            raise ConflictError(
                f"The old predictions differ from the baseline {self._baseline[0]!r} at example {at}.",
                mend="Pass the predictions of the last accepted model, or none.",
            )
        return self._baseline[1]

    def _checked(self, predictions: npt.ArrayLike, what: str) -> Ints:
        array = np.asarray(predictions)
        if array.shape != (self.n,):
            raise InvalidDataError(
                f"{what} have shape {array.shape}; the test set has {self.n} examples.",
                mend="Give one class per example, in the test set's own order.",
            )
        whole = np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_
        if not whole or array.min() < 0 or array.max() > _MAX_CLASS:
            bad = next((i for i, v in enumerate(array.tolist()) if not isinstance(v, int) or v < 0), 0)
            raise InvalidDataError(
                f"{what} are not class ids at example {bad}: {array[bad]!r}.",
                mend="Give integers >= 0; a test needs every prediction.",
            )
        return array.astype(np.int32)

    def _start(self) -> None:
        if self._open is not None:
            self._walk = Walk(self._setting, self._open[1], self._open[2], self._pool)

    def observe(self, index: int, label: int) -> None:
        """Store the label of one example and go on as far as it leads; see :meth:`Evaluation.observe`."""
        self._store(index, label)
        self._advance()

    def observe_many(self, indices: Sequence[int], labels: Sequence[int]) -> None:
        """Store several labels at once; the same as :meth:`observe` for each, and faster."""
        for index, label in zip(indices, labels, strict=True):
            self._store(index, label)
        self._advance()

    def _store(self, index: int, label: int) -> None:
        if isinstance(index, bool) or not 0 <= index < self.n:
            raise InvalidDataError(
                f"Example {index} does not exist.", mend=f"The test set has examples 0 to {self.n - 1}."
            )
        if isinstance(label, bool) or int(label) != label or not 0 <= label <= _MAX_CLASS:
            raise InvalidDataError(f"{label!r} is no label of example {index}.", mend="Give a class id >= 0.")
        if self.scores.classes is not None and label >= self.scores.classes:
            raise InvalidDataError(
                f"Label {label} of example {index} has no row in the table of scores.",
                mend=f"The table knows the classes 0 to {self.scores.classes - 1}.",
            )
        known = int(self._labels[index])
        if known == UNKNOWN_LABEL:
            self._labels[index] = label
            self._bought_at[index] = self.steps_used
        elif known != label:
            raise ConflictError(
                f"Example {index} has label {known} already, not {label}.",
                mend="Labels of a test set are final; a corrected one needs a new epoch.",
            )

    def _advance(self) -> None:
        if self._open is None or self._walk is None:
            return
        fresh = self._bought_at == self.steps_used
        finding = self._walk.advance(self._labels, fresh)
        if finding is None:
            return
        model_id, new, _ = self._open
        outcome, signal = outcome_of(finding.truth, self.mode)
        self._open = None
        closed = self._closed_after(self._passed + signal)
        self._verdicts[model_id] = Verdict(
            model_id=model_id,
            outcome=outcome,
            signal=signal,
            intervals=self._walk.intervals(),
            labels_used=finding.labels_used,
            labels_reused=finding.labels_reused,
            histories_left=0 if closed else self.steps - self.steps_used,
            alarm=closed or ("labels_exhausted" if finding.exhausted else None),
            clauses=self._walk.clauses(),
        )
        self._walk = None
        if signal:
            self._baseline = (model_id, new)

    def verdict_of(self, model_id: str) -> Verdict | None:
        """Return the verdict on a model, None while it is open.

        Raises
        ------
        NotFoundError
        """
        if model_id not in self._digests:
            raise NotFoundError(f"Model {model_id!r} was never proposed.", mend="Propose it first.")
        return self._verdicts.get(model_id)

    def wanted_by(self, model_id: str, limit: int) -> list[int]:
        """Return the next examples the open evaluation of ``model_id`` wants labelled, in ledger order."""
        if self._open is None or self._open[0] != model_id or self._walk is None:
            return []
        return self._walk.wanted(self._labels, limit)

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able scalars and numpy arrays."""
        return {
            "version": 2,
            "condition": self.condition.text,
            "reliability": self.reliability,
            "steps": self.steps,
            "adaptivity": self.adaptivity,
            "mode": self.mode,
            "passes": self.passes,
            "scores": None if self.scores.matrix is None else self.scores.matrix.copy(),
            "slice_names": list(self._slices),
            "slice_members": np.stack(list(self._slices.values())) if self._slices else None,
            "pool": list(self._pool),
            "order": self._order.copy(),
            "labels": self._labels.copy(),
            "bought_at": self._bought_at.copy(),
            "digests": dict(self._digests),
            "verdicts": [v.to_dict() for v in self._verdicts.values()],
            "baseline": self._baseline[0] if self._baseline else None,
            "baseline_predictions": self._baseline[1].copy() if self._baseline else None,
            "open": self._open[0] if self._open else None,
            "open_predictions": np.stack(self._open[1:]) if self._open else None,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the ledger that :meth:`state` described; an open evaluation goes on where it was."""
        order = np.asarray(state["order"], dtype=np.int32)
        kept = ("condition", "reliability", "steps", "adaptivity", "mode", "passes", "scores")
        members = () if state["slice_members"] is None else state["slice_members"]
        slices = dict(zip(state["slice_names"], members, strict=True))
        ledger = cls(len(order), **{key: state[key] for key in kept}, slices=slices, rng=np.random.default_rng(0))
        ledger._order, ledger._pool = order, (state["pool"][0], state["pool"][1])
        ledger._setting = ledger._shared()
        ledger._labels = np.array(state["labels"], dtype=np.int32)
        ledger._bought_at = np.array(state["bought_at"], dtype=np.int32)
        ledger._digests = dict(state["digests"])
        ledger._verdicts = {v["model_id"]: Verdict.from_dict(v) for v in state["verdicts"]}
        if state["baseline"] is not None:
            ledger._baseline = (state["baseline"], np.array(state["baseline_predictions"], dtype=np.int32))
        if state["open"] is not None:
            new, old = np.array(state["open_predictions"], dtype=np.int32)
            ledger._open = (state["open"], new, old)
            ledger._start()
            ledger._advance()
        return ledger


def _members(condition: Condition, slices: Mapping[str, npt.ArrayLike], n: int) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the members of every slice that the condition names, in the order of their names."""
    found = {}
    for name in condition.slices:
        if name not in slices:
            raise InvalidDataError(
                f"The condition speaks of the slice [{name}], whose members are not known.",
                mend=f"Give slices={{{name!r}: ...}}, one True or False per example.",
            )
        members = np.asarray(slices[name])
        if members.shape != (n,) or members.dtype != np.bool_:
            raise InvalidDataError(
                f"The slice [{name}] has members of shape {members.shape} and type {members.dtype}.",
                mend=f"Give True or False for each of the {n} examples.",
            )
        if not members.any():
            raise InvalidDataError(f"No example belongs to the slice [{name}].", mend="Check the name and the data.")
        found[name] = members.copy()
    return found


def _checked_pool(unlabelled: tuple[int, int]) -> tuple[int, int]:
    changed, rows = unlabelled
    if not 0 <= changed <= rows:
        raise InvalidDataError(
            f"{changed} of {rows} further unlabelled examples cannot have changed.", mend="Give (changed, rows)."
        )
    return int(changed), int(rows)
