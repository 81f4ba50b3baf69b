"""One app's gate: models wait in the order of their publication, and are judged on the current test set.

Epochs: a test set opens when the first waiting model has predicted every labelled row; it freezes the
condition and the protocol. When it is used up, or the condition changes, models wait for fresh test rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from easeml.ci.evaluation import Verdict
from easeml.ci.ledger import TestSetLedger
from easeml.ci.planning import Plan, plan
from easeml.ci.register import Register
from easeml.errors import ConditionError, ConfigurationError
from easeml.stream import payloads as p
from easeml.stream.payloads import AppDefined, Payload
from easeml.stream.service import Packed

_LOOKAHEAD = 32
_PATIENCE = 30.0
"""Seconds after which a model without predictions no longer holds up the queue."""
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
    epoch, start, rows : int
        Number of the current test set, and its range in the order of labels.
    protocol : dict
        Condition, reliability, steps, adaptivity, mode and classes, frozen for the epoch.
    used_up : bool
        Whether models wait for fresh test rows.
    refused : dict
        The protocol that could not be read, so that this is said once.
    """

    app: str
    epoch: int = 0
    start: int = 0
    rows: int = 0
    protocol: dict[str, Any] = field(default_factory=dict)
    refused: dict[str, Any] = field(default_factory=dict)
    used_up: bool = False
    baseline: str | None = None
    baseline_accuracy: float | None = None
    queue: list[Candidate] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    day: int = 0
    submitted: int = 0
    ledger: TestSetLedger | None = None

    def enqueue(self, model: str, accuracy: float | None) -> None:
        """Let a model wait; once only."""
        if model not in self.seen:
            self.seen.append(model)
            self.queue.append(Candidate(model, accuracy))

    def withdraw(self, model: str) -> None:
        """Take a model out of the queue."""
        self.queue = [candidate for candidate in self.queue if candidate.model != model]

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
        protocol = _protocol(app)
        if self.ledger is not None and protocol != self.protocol and not self.used_up:
            said += self._condition_changed(app)
        while self.queue and self.refused != protocol:
            if (self.ledger is None or self.used_up) and not self._open(register, app, tick, rng, said):
                break
            candidate = self._ready(register, self._places(register, app), app, tick)
            if candidate is None or not self._within_rate(app, now):
                break
            self.queue.remove(candidate)
            if self._worth(candidate, app):
                said += self._judge(candidate, register, app)
        return said

    def _open(
        self, register: Register, app: AppDefined, tick: float | None, rng: np.random.Generator, said: list[Payload]
    ) -> bool:
        """Open a test set on the rows not used yet, when the first model has predicted all of them."""
        start = self.start + self.rows if self.used_up else self.start
        places = register.labelled(app.classes, start)
        first = self._ready(register, places, app, tick)
        if first is None:
            return False
        waited = first.waited(tick)
        if waited < _SETTLING and register.unlabelled_predictions(first.model):
            return False
        old = register.predictions(self.baseline, places, len(app.classes)) if self.baseline is not None else None
        if old is None and self.baseline is not None and waited < _PATIENCE:
            return False
        protocol = _protocol(app)
        try:
            needed = _plan(app)
            frozen = {name: value for name, value in protocol.items() if name != "classes"}
            ledger = TestSetLedger(len(places), **frozen, rng=rng)
        except (ConditionError, ConfigurationError) as error:
            self.refused = protocol
            said.append(p.TestSetNeeded(self.app, self.epoch + 1, 0, f"No test set can be opened: {error}"))
            return False
        self.epoch, self.start, self.rows = self.epoch + 1, start, register.size() - start
        self.protocol, self.refused, self.ledger, self.used_up = protocol, {}, ledger, False
        if old is not None and self.baseline is not None:
            ledger.set_baseline(self.baseline, old)
        else:
            self.baseline = self.baseline_accuracy = None
        said.append(p.TestSetOpened(self.app, self.epoch, len(places), needed.labels_worst, app.steps))
        return True

    def _condition_changed(self, app: AppDefined) -> list[Payload]:
        if self.ledger is not None and not self.ledger.steps_used:
            # nothing was learnt from these rows yet, so they are still fresh
            self.ledger, self.rows = None, 0
            return []
        self.used_up = True
        return self._worn_out("condition_changed", app)

    def _worn_out(self, reason: str, app: AppDefined) -> list[Payload]:
        try:
            examples = _plan(app).unlabelled
        except (ConditionError, ConfigurationError):
            examples = self.rows
        why = f"Test set {self.epoch} is used up ({reason}); publish fresh labelled test rows."
        return [
            p.TestSetExhausted(self.app, self.epoch, reason),
            p.TestSetNeeded(self.app, self.epoch + 1, examples, why),
        ]

    def _places(self, register: Register, app: AppDefined) -> list[int]:
        assert self.ledger is not None
        return register.labelled(app.classes, self.start)[: self.ledger.n]

    def _ready(self, register: Register, places: list[int], app: AppDefined, tick: float | None) -> Candidate | None:
        """Return the model whose turn it is, None while it has not predicted every row."""
        for candidate in self.queue:
            if register.predictions(candidate.model, places, len(app.classes)) is not None:
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

    def _judge(self, candidate: Candidate, register: Register, app: AppDefined) -> list[Payload]:
        ledger = self.ledger
        assert ledger is not None
        places = self._places(register, app)
        predictions = register.predictions(candidate.model, places, len(app.classes))
        assert predictions is not None
        if ledger.condition.uses_old and ledger.baseline is None:
            ledger.set_baseline(candidate.model, predictions)
            self.baseline, self.baseline_accuracy = candidate.model, candidate.accuracy
            return [p.Verdict(self.app, candidate.model, signal=False, guaranteed=False)]
        compared = ledger.baseline
        evaluation = ledger.propose(candidate.model, predictions)
        truth = register.codes(places, app.classes)
        while (verdict := evaluation.verdict) is None:
            wanted = evaluation.wanted(_LOOKAHEAD)
            ledger.observe_many(wanted, [truth[index] for index in wanted])
        self.submitted += 1
        if verdict.signal:
            self.baseline, self.baseline_accuracy = candidate.model, candidate.accuracy
        said: list[Payload] = [
            p.Verdict(self.app, candidate.model, verdict.signal, guaranteed=True, baseline=compared),
            self._detail(verdict, compared),
        ]
        if (closed := ledger.closed) is not None:
            self.used_up = True
            said += self._worn_out(closed, app)
        return said

    def _detail(self, verdict: Verdict, compared: str | None) -> p.VerdictDetail:
        unknown = (float("nan"), float("nan"))
        ends = [
            (verdict.intervals[name].low, verdict.intervals[name].high) if name in verdict.intervals else unknown
            for name in ("n", "o", "d")
        ]
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
            intervals=np.array(ends, dtype=np.float64).ravel(),
        )

    def pack(self) -> Packed:
        """Return the storable form."""
        ledger = self.ledger.state() if self.ledger is not None else None
        document = {name: getattr(self, name) for name in self.__slots__ if name not in ("ledger", "queue")}
        document["queue"] = [asdict(candidate) for candidate in self.queue]
        document["ledger"] = None
        if ledger is None:
            return Packed(document, {})
        arrays = {name: value for name, value in ledger.items() if isinstance(value, np.ndarray)}
        document["ledger"] = {name: value for name, value in ledger.items() if name not in arrays}
        return Packed(document, arrays)

    @classmethod
    def unpack(cls, packed: Packed) -> Gate:
        """Return the gate that :meth:`pack` stored."""
        document = dict(packed.document)
        ledger = document.pop("ledger")
        queue = [Candidate(**candidate) for candidate in document.pop("queue")]
        gate = cls(**document, queue=queue)
        if ledger is not None:
            gate.ledger = TestSetLedger.from_state({**ledger, **packed.arrays})
        return gate


def _protocol(app: AppDefined) -> dict[str, Any]:
    return {
        "condition": app.condition,
        "reliability": app.reliability,
        "steps": app.steps,
        "adaptivity": app.adaptivity,
        "mode": app.mode,
        "classes": list(app.classes),
    }


def _plan(app: AppDefined) -> Plan:
    return plan(app.condition, reliability=app.reliability, steps=app.steps, adaptivity=app.adaptivity, mode=app.mode)
