"""One app's gate: models wait in the order of their publication, and are judged on the current test set.

Epochs: a test set opens when the first waiting model has predicted every labelled row and, where people may be
asked, enough others; it freezes the condition and the protocol. Labels that were not given are asked for as the
evaluation wants them, a few at a time. When it is used up, or the condition changes, models wait for fresh test rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from easeml.ci.agreement import frozen, meter_reliability_of, plan_of, protocol_of, scores_of
from easeml.ci.evaluation import Evaluation, Verdict
from easeml.ci.ledger import TestSetLedger
from easeml.ci.logic import Interval
from easeml.ci.meter import Meter
from easeml.ci.planning import Plan
from easeml.ci.questions import question, taken_back
from easeml.ci.register import UNKNOWN, Register
from easeml.ci.slices import Grouped
from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, Poison
from easeml.stream import payloads as p
from easeml.stream.payloads import Answer, AppDefined, Payload, Question
from easeml.stream.service import Packed

Ints = npt.NDArray[np.int32]

_LOOKAHEAD = 32
OPEN_QUESTIONS = 16
"""Labels asked for at a time: people work side by side, and few answers come after the verdict."""
_PATIENCE = 30.0
"""Seconds after which a model without predictions no longer holds up the queue, nor a test set of fewer rows than
planned waits for more."""
_SETTLING = 10.0
"""Seconds after which a test set opens although some predicted rows have no label."""
_DAY = 86_400


@dataclass(slots=True)
class Candidate:
    """A model that waits to be judged.

    ``since`` is the first tick after its publication: event times come from the data that caused an event and
    may lie far back, so only ticks measure waiting.
    """

    model: str
    accuracy: float | None
    since: float | None = None

    def waited(self, tick: float | None) -> float:
        """Return the seconds from then to ``tick``; 0 for an event that is no tick."""
        return 0.0 if tick is None or self.since is None else tick - self.since


@dataclass(slots=True)
class Gate:
    """State of one app.

    Attributes
    ----------
    epoch : int
        Number of the current test set.
    epochs : ndarray of int16
        By number of a row: the test set it belongs to; 0 or beyond the end: none yet.
    protocol : dict
        Condition, reliability, steps, adaptivity, mode, scores and classes, frozen for the epoch.
    planned : int
        Labels that an evaluation takes at worst.
    used_up : bool
        Whether models wait for fresh test rows.
    refused : str
        Why no test set could be opened, so that this is said once.
    judged : Candidate or None
        The model whose evaluation waits for labels.
    asked : list of int
        Examples whose label people are asked for now, in the order of their turns.
    """

    app: str
    epoch: int = 0
    epochs: npt.NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    protocol: dict[str, Any] = field(default_factory=dict)
    refused: str = ""
    planned: int = 0
    used_up: bool = False
    baseline: str | None = None
    baseline_accuracy: float | None = None
    queue: list[Candidate] = field(default_factory=list)
    judged: Candidate | None = None
    asked: list[int] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    day: int = 0
    submitted: int = 0
    ledger: TestSetLedger | None = None
    meter: Meter | None = None

    def enqueue(self, model: str, accuracy: float | None) -> None:
        """Let a model wait; once only."""
        if model not in self.seen:
            self.seen.append(model)
            self.queue.append(Candidate(model, accuracy))

    def withdraw(self, model: str) -> None:
        """Take a model out of the queue."""
        self.queue = [candidate for candidate in self.queue if candidate.model != model]

    def answered(self, register: Register, said: Answer) -> None:
        """Keep a label that somebody gave; it counts when its turn comes. Of rows of other test sets: nothing.

        Raises
        ------
        Poison
            When the row has another label already.
        """
        number, places = register.number(said.row_id), self._places()
        index = None if number is None else int(np.searchsorted(places, number))
        if self.ledger is None or index is None or index == len(places) or places[index] != number:
            return
        try:
            self.ledger.observe(index, self.protocol["classes"].index(said.text))
        except ConflictError as error:
            raise Poison(f"Test row {said.row_id!r}: {error.message}", mend=error.mend, reason="conflict") from error
        if index in self.asked and said.question == self._questions(register, [index])[index].question:
            self.asked.remove(index)

    def proceed(
        self,
        register: Register,
        app: AppDefined,
        now: float,
        rng: np.random.Generator,
        *,
        tick: float | None = None,
    ) -> list[Payload]:
        """Judge every model that can be judged now; return what there is to say."""
        said: list[Payload] = []
        for waiting in self.queue:
            waiting.since = tick if waiting.since is None else waiting.since
        protocol = frozen(app)
        if self.ledger is not None and protocol != self.protocol and not self.used_up:
            said += self._condition_changed(register, app, now)
        while self._step(register, app, now, rng, tick, said):
            pass
        return said

    def _step(
        self,
        register: Register,
        app: AppDefined,
        now: float,
        rng: np.random.Generator,
        tick: float | None,
        said: list[Payload],
    ) -> bool:
        """Conclude an evaluation or begin one; return False when nothing can be done now."""
        if self.judged is not None:
            return self._judge(self.judged, register, app, now, said)
        if not self.queue:
            return False
        if (self.ledger is None or self.used_up) and not self._open(register, app, tick, rng, said):
            return False
        candidate = self._ready(register, self._places(), app, tick)
        if candidate is None or not self._within_rate(app, now):
            return False
        self.queue.remove(candidate)
        if self._worth(candidate, app):
            said += self._submit(candidate, register, app)
        return True

    def _open(
        self, register: Register, app: AppDefined, tick: float | None, rng: np.random.Generator, said: list[Payload]
    ) -> bool:
        """Open a test set on rows not used yet, when the first model has predicted what it needs of them."""
        try:
            needed = plan_of(app)
            scores = scores_of(app)
            agreed = protocol_of(app)
            slices = agreed.condition.slices
            rows = self._choose(register, app, needed, slices, tick)
            if rows is None:
                return False
            places = rows.numbers
            ledger = TestSetLedger(
                len(places),
                condition=agreed.condition,
                reliability=agreed.reliability,
                steps=app.steps,
                adaptivity=app.adaptivity,
                mode=app.mode,
                passes=app.passes,
                scores=scores,
                slices=dict(zip(slices, rows.members[1:], strict=True)),
                rng=rng,
            )
            meter = Meter(len(places), steps=app.steps, reliability=meter_reliability_of(app)) if app.meter else None
        except (ConfigurationError, InvalidDataError) as error:
            if str(error) != self.refused:
                said.append(p.TestSetNeeded(self.app, self.epoch + 1, 0, f"No test set can be opened: {error}"))
            self.refused = str(error)
            for waiting in self.queue:
                waiting.since = None  # what mends it may come in parts
            return False
        self.epoch, self.protocol, self.refused = self.epoch + 1, frozen(app), ""
        self.ledger, self.meter, self.used_up, self.planned = ledger, meter, False, needed.labels_worst
        grown = np.zeros(max(len(self.epochs), int(places.max()) + 1), np.int16)
        grown[: len(self.epochs)] = self.epochs
        grown[places] = self.epoch
        self.epochs = grown
        old = self._old(register, places, app)
        if old is not None and self.baseline is not None:
            ledger.set_baseline(self.baseline, old)
        else:
            self.baseline = self.baseline_accuracy = None
        said.append(p.TestSetOpened(self.app, self.epoch, len(places), needed.labels_worst, app.steps))
        return True

    def _choose(
        self, register: Register, app: AppDefined, needed: Plan, slices: tuple[str, ...], tick: float | None
    ) -> Grouped | None:
        """Return the rows of the next test set, ascending; None: not yet."""
        labelled = register.labelled(app.classes)
        if None in labelled:
            return None
        labels = np.sort(self._fresh(np.array(labelled, dtype=np.int32)))
        given = register.grouped(labels, slices, app.columns)
        lacking = given.lacking(needed.unlabelled if app.test_label_budget else 0)
        first = self._ready(register, labels, app, tick, others=bool(lacking.any()))
        if first is None:
            return None
        waited = first.waited(tick)
        unlabelled = np.setdiff1d(self._fresh(register.predicted(first.model)), labels)
        others = register.grouped(unlabelled, slices, app.columns)
        enough = others.first(lacking)
        if waited < (_PATIENCE if enough is None else _SETTLING) and (len(unlabelled) or given.unknown):
            return None
        if self.epoch and not len(labels) and enough is None:
            return None  # what an earlier test set left over is no test set
        rows = given.with_first(others, len(others.numbers) if enough is None else enough)
        if not len(rows.numbers):
            if rows.unknown:
                raise InvalidDataError(
                    f"The condition speaks of the slice [{slices[0]}], but the {rows.unknown:,} rows that were "
                    "predicted did not come themselves.",
                    mend=f"Publish them with 'easeml publish {self.app} FILE --pillar test'.",
                )
            return None
        if waited < _PATIENCE and self.baseline is not None and self._old(register, rows.numbers, app) is None:
            return None
        return rows

    def _fresh(self, numbers: Ints) -> Ints:
        """Return those of the rows that no test set has."""
        used = np.flatnonzero(self.epochs)
        return numbers[~np.isin(numbers, used)]

    def _old(self, register: Register, places: Ints, app: AppDefined) -> Ints | None:
        return None if self.baseline is None else register.predictions(self.baseline, places, len(app.classes))

    def _condition_changed(self, register: Register, app: AppDefined, now: float) -> list[Payload]:
        if self.ledger is not None and not self.ledger.steps_used:
            # nothing was learnt from these rows yet, so they are still fresh
            self.epochs[self.epochs == self.epoch] = 0
            self.ledger = None
            return []
        said = self._ask(register, [], now)
        if self.judged is not None:
            self.queue.insert(0, self.judged)
            self.judged = None
        self.used_up = True
        return said + self._worn_out("condition_changed", app)

    def _worn_out(self, reason: str, app: AppDefined) -> list[Payload]:
        kind = "test rows" if app.test_label_budget else "labelled test rows"
        try:
            examples, slices = plan_of(app).unlabelled, protocol_of(app).condition.slices
            kind += "".join(f", {examples:,} of the slice [{name}]" for name in slices)
        except (ConfigurationError, InvalidDataError):
            examples = len(self._places())
        why = f"Test set {self.epoch} is used up ({reason}); publish fresh {kind}."
        return [
            p.TestSetExhausted(self.app, self.epoch, reason),
            p.TestSetNeeded(self.app, self.epoch + 1, examples, why),
        ]

    def _places(self) -> Ints:
        """Return the rows of the current test set: the place in it is the number of the ledger's example."""
        return np.flatnonzero(self.epochs == self.epoch).astype(np.int32) if self.epoch else np.zeros(0, np.int32)

    def _ready(
        self, register: Register, places: Ints, app: AppDefined, tick: float | None, *, others: bool = False
    ) -> Candidate | None:
        """Return the model whose turn it is, None while it has not predicted every row (``others``: or any fresh)."""
        for candidate in self.queue:
            if len(places):
                there = register.predictions(candidate.model, places, len(app.classes)) is not None
            else:
                there = others and len(self._fresh(register.predicted(candidate.model))) > 0
            if there:
                return candidate
            if candidate.waited(tick) < _PATIENCE:
                return None
        return None

    def _within_rate(self, app: AppDefined, now: float) -> bool:
        day = int(now // _DAY)
        if day > self.day:
            self.day, self.submitted = day, 0
        return self.submitted < app.gate_per_day

    def _worth(self, candidate: Candidate, app: AppDefined) -> bool:
        """Return whether a model's validation accuracy earns it one of the few steps."""
        assert self.ledger is not None
        known = candidate.accuracy is not None and self.baseline_accuracy is not None
        if not self.ledger.condition.uses_old or not known:
            return True
        return float(candidate.accuracy or 0) >= float(self.baseline_accuracy or 0) + app.gate_min_gain

    def _submit(self, candidate: Candidate, register: Register, app: AppDefined) -> list[Payload]:
        """Begin the evaluation of a model, or make it the baseline when there is none."""
        ledger = self.ledger
        assert ledger is not None
        predictions = register.predictions(candidate.model, self._places(), len(app.classes))
        assert predictions is not None
        if ledger.condition.uses_old and ledger.baseline is None:
            ledger.set_baseline(candidate.model, predictions)
            self.baseline, self.baseline_accuracy = candidate.model, candidate.accuracy
            return [p.Verdict(self.app, candidate.model, signal=False, guaranteed=False)]
        ledger.propose(candidate.model, predictions)
        self.submitted += 1
        self.judged = candidate
        return []

    def _judge(
        self, candidate: Candidate, register: Register, app: AppDefined, now: float, said: list[Payload]
    ) -> bool:
        """Go on with the open evaluation as far as labels are known, and conclude or ask for the next ones."""
        ledger = self.ledger
        assert ledger is not None
        places, compared = self._places(), self.baseline
        evaluation = Evaluation(ledger, candidate.model)
        while (verdict := evaluation.verdict) is None:
            wanted = evaluation.wanted(_LOOKAHEAD)
            codes = register.codes(places[wanted], app.classes)
            known = [(index, code) for index, code in zip(wanted, codes, strict=True) if code != UNKNOWN]
            if not known:
                said += self._ask(register, wanted[:OPEN_QUESTIONS], now)
                return False
            ledger.observe_many(*zip(*known, strict=True))
        said += self._ask(register, [], now)
        self.judged = None
        if verdict.signal:
            self.baseline, self.baseline_accuracy = candidate.model, candidate.accuracy
        said.append(p.Verdict(self.app, candidate.model, verdict.signal, guaranteed=True, baseline=compared))
        said.append(self._detail(verdict, compared))
        said += self._read_meter(candidate, register, app)
        if (closed := ledger.closed) is not None:
            self.used_up = True
            said += self._worn_out(closed, app)
        return True

    def _ask(self, register: Register, wanted: list[int], now: float) -> list[Payload]:
        """Ask for the labels wanted now that are not asked for yet, and take back what is wanted no more."""
        before, self.asked = self.asked, wanted
        known = self._questions(register, {*before, *wanted})
        unneeded = [taken_back(known[index], now) for index in before if index not in wanted]
        return [*unneeded, *(known[index] for index in wanted if index not in before)]

    def _questions(self, register: Register, indices: Collection[int]) -> dict[int, Question]:
        """Return what is asked in this step about examples."""
        if not indices or self.ledger is None:
            return {}
        places, turns = self._places(), np.argsort(self.ledger.order)
        return {
            index: question(
                self.app,
                register.row(places[index]),
                tuple(self.protocol["classes"]),
                life=str(self.protocol["life"]),
                turn=(self.epoch, self.ledger.steps_used, int(turns[index])),
                planned=self.planned,
            )
            for index in indices
        }

    def _read_meter(self, candidate: Candidate, register: Register, app: AppDefined) -> list[Payload]:
        """Return what the meter shows after a step; it needs every label of the test set, and a validation accuracy."""
        if self.meter is None or candidate.accuracy is None:
            return []
        places = self._places()
        codes = np.array(register.codes(places, app.classes), np.int32)
        predictions = register.predictions(candidate.model, places, len(app.classes))
        if predictions is None or (codes == UNKNOWN).any() or len(self.meter.levels) >= self.meter.steps:
            return []
        shown = self.meter.read(1 - candidate.accuracy, float((predictions != codes).mean()))
        return [p.MeterReading(self.app, self.epoch, candidate.model, **asdict(shown))]

    def _detail(self, verdict: Verdict, compared: str | None) -> p.VerdictDetail:
        ends = [_ends(verdict.intervals.get(name)) for name in ("n", "o", "d")]
        return p.VerdictDetail(
            app=self.app,
            model=verdict.model_id,
            baseline=compared,
            outcome=p.VerdictOutcome(verdict.outcome.lower()),
            signal=verdict.signal,
            condition=str(self.protocol["condition"]),
            epoch=self.epoch,
            labels_used=verdict.labels_used - verdict.labels_reused,
            labels_reused=verdict.labels_reused,
            histories_left=float(verdict.histories_left),
            alarm=verdict.alarm,
            clauses=tuple(
                p.ClauseFound(clause.text, clause.truth.lower(), *_ends(clause.interval)) for clause in verdict.clauses
            ),
            intervals=np.array(ends, dtype=np.float64).ravel(),
        )

    def pack(self) -> Packed:
        """Return the storable form."""
        apart = ("epochs", "queue", "judged", "ledger", "meter")
        document = {name: getattr(self, name) for name in self.__slots__ if name not in apart}
        document["queue"] = [asdict(candidate) for candidate in self.queue]
        document["judged"] = None if self.judged is None else asdict(self.judged)
        document["meter"] = None if self.meter is None else self.meter.state()
        ledger = self.ledger.state() if self.ledger is not None else {}
        arrays = {name: value for name, value in ledger.items() if isinstance(value, np.ndarray)}
        document["ledger"] = {name: value for name, value in ledger.items() if name not in arrays}
        return Packed(document, {"epochs": self.epochs, **arrays})

    @classmethod
    def unpack(cls, packed: Packed) -> Gate:
        """Return the gate that :meth:`pack` stored."""
        document, arrays = dict(packed.document), dict(packed.arrays)
        ledger, meter, judged = document.pop("ledger"), document.pop("meter"), document.pop("judged")
        queue = [Candidate(**candidate) for candidate in document.pop("queue")]
        gate = cls(**document, epochs=arrays.pop("epochs"), queue=queue)
        gate.judged = None if judged is None else Candidate(**judged)
        gate.meter = None if meter is None else Meter.from_state(meter)
        if ledger:
            gate.ledger = TestSetLedger.from_state({**ledger, **arrays})
        return gate


def _ends(interval: Interval | None) -> tuple[float, float]:
    return (np.nan, np.nan) if interval is None else (interval.low, interval.high)
