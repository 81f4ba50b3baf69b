"""Market on the stream: which message does what.

Event in: RelationBatch, CandidateBatch and Answer of train, pool and validation (views), DataVersion, Tick; its own
ValuesReport. Event out: ValuesReport, Question (labels of pool rows), and answered pool rows as training rows.
A tick after which anything differs, and has come to rest, begins a study of the rows that are there; it waits longer
while training or validation rows are missing, and while most questions are open, for little can be asked then. What
the study wants to ask goes into the state, and its final report, coming back, asks it: so a crash in between leaves
the same questions, whatever came meanwhile.
Questions open and answered never cost more than the acquisition budget.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from easeml.errors import InvalidDataError
from easeml.ids import EventId
from easeml.market.study import Assignment, Findings, Planned, study
from easeml.relation import validate_batch
from easeml.relation.pillar_views import PillarViews, keep_version, study_pause
from easeml.stream.events import Event, Output
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    CandidateBatch,
    DataVersion,
    Pillar,
    Question,
    QuestionKind,
    RelationBatch,
    Tick,
    ValuesReport,
)
from easeml.stream.service import Context, Job, On, Packed, Service
from easeml.stream.topics import (
    ANSWERS,
    CANDIDATES,
    DATA_POOL,
    DATA_TRAIN,
    DATA_VALIDATION,
    DATA_VERSIONS,
    QUESTIONS,
    TICKS,
    VALUES,
    Topic,
)

log = logging.getLogger(__name__)
ASKER = "market"
ACQUIRED = "acquired"
"""Publication that answered pool rows belong to as training rows; DataMagic announces their versions."""
BATCH = 10
"""Questions that are open at once."""
_PILLARS = (Pillar.TRAIN, Pillar.POOL, Pillar.VALIDATION)
_LEAST_CLASSES = 2
_ROUNDING = 1e-9
_ASKED_PAUSE = 30.0
"""Seconds between the beginnings of two studies of an app, at least, while more than half of the questions are open."""
_PATIENCE = 10.0
"""Seconds after which what never comes to rest, or lacks training or validation rows, is studied as it is."""


@dataclass
class MarketState:
    """What Market remembers of one app beside its rows.

    Parameters
    ----------
    version : str
        Newest version of the train pillar.
    studied : str
        What the last study was begun for: what is known of the rows, classes, budget and price column.
    begun_at : float
        When, in seconds since 1970 UTC.
    seen, since : str, float
        The same at the last tick, and the time of the first tick that saw it differ from ``studied``.
    paid : float
        Price of the questions answered.
    open : dict of str to float
        Price of the questions that wait for their answer, by row.
    plan, planned_at : list of Planned, float
        What the last study wants to ask, and when that study was begun.
    """

    version: str = ""
    studied: str = ""
    begun_at: float = 0.0
    seen: str = ""
    since: float = 0.0
    paid: float = 0.0
    open: dict[str, float] = field(default_factory=dict)
    plan: list[Planned] = field(default_factory=list)
    planned_at: float = 0.0

    @property
    def spent(self) -> float:
        """Price of what was asked."""
        return self.paid + math.fsum(self.open.values())


class MarketService(Service[MarketState]):
    """Values the rows of every app, and asks for the labels that help most."""

    name = "market"

    def __init__(self) -> None:
        self._rows = PillarViews(*_PILLARS)
        self._labelled: defaultdict[str, set[str]] = defaultdict(set)

    def table(self) -> tuple[On[MarketState], ...]:
        return (
            On(DATA_TRAIN, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(DATA_POOL, RelationBatch, fold=self._rows.fold, handle=self._pool),
            On(DATA_VALIDATION, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(CANDIDATES, CandidateBatch, fold=self._rows.fold),
            On(ANSWERS, Answer, fold=self._told, handle=self._answered),
            On(DATA_VERSIONS, DataVersion, handle=keep_version),
            On(TICKS, Tick, handle=self._begin),
            On(VALUES, ValuesReport, prepare=self._prepare, handle=self._report),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (VALUES, QUESTIONS, DATA_TRAIN)

    def new_state(self, app: str) -> MarketState:
        del app
        return MarketState()

    def pack(self, state: MarketState) -> Packed:
        return Packed(asdict(state), {})

    def unpack(self, app: str, packed: Packed) -> MarketState:
        del app
        plan = [Planned(**planned) for planned in packed.document["plan"]]
        return MarketState(**{**packed.document, "plan": plan})

    def forget(self, app: str) -> None:
        self._rows.forget(app)
        self._labelled.pop(app, None)

    # -- rows --------------------------------------------------------------------------------------------------------

    def _told(self, event: Event[Answer]) -> None:
        self._rows.fold(event)
        if _labels_pool(event.data):
            self._labelled[event.app].add(event.data.row_id)

    def _is_trained(self, app: AppDefined, row_id: str) -> bool:
        """Return whether a row is a training row."""
        return self._rows.of(app.app, Pillar.TRAIN).holds(app, row_id)

    def _pool(self, state: MarketState, event: Event[RelationBatch], ctx: Context) -> Iterable[Output]:
        """Rows whose answers came first are training rows at once."""
        del state
        validate_batch(event.data, ctx.app)
        answered = [row_id for row_id in event.data.row_ids if row_id in self._labelled[event.app]]
        return self._acquired(ctx.app, [row_id for row_id in answered if not self._is_trained(ctx.app, row_id)])

    def _answered(self, state: MarketState, event: Event[Answer], ctx: Context) -> Iterable[Output]:
        answer = event.data
        if not _labels_pool(answer):
            return ()
        if answer.asked_by == ASKER:
            state.paid += state.open.pop(answer.row_id, 0.0)
        return self._acquired(ctx.app, [answer.row_id])

    def _acquired(self, app: AppDefined, row_ids: Sequence[str]) -> list[Output]:
        """Return those of some pool rows whose label is certain as training rows."""
        rows = self._rows.of(app.app, Pillar.POOL).some(app, row_ids)
        if rows is None or not len(labelled := rows.labelled()):
            return []
        return [Output(DATA_TRAIN, batch) for batch in labelled.to_batches(app.app, Pillar.TRAIN, ACQUIRED)]

    # -- studies -----------------------------------------------------------------------------------------------------

    def _begin(self, state: MarketState, event: Event[Tick], ctx: Context) -> Iterable[Output]:
        app = ctx.app
        rows = {pillar: self._rows.of(app.app, pillar) for pillar in _PILLARS}
        counts = {pillar: rows[pillar].count(app) for pillar in _PILLARS}
        if not counts[Pillar.TRAIN] + counts[Pillar.POOL] or len(app.classes) < _LEAST_CLASSES:
            return ()
        known = " ".join(str(rows[pillar].revision(app)) for pillar in _PILLARS)
        asked = f"{known} {len(app.classes)} {app.acquisition_budget} {app.price_column}"
        if state.seen == state.studied:
            state.since = event.time
        complete = counts[Pillar.TRAIN] > 0 and counts[Pillar.VALIDATION] > 0
        rests, state.seen = complete and asked == state.seen, asked
        pause = study_pause(sum(counts.values()))
        if 2 * self._waiting(state, app) > BATCH:
            pause = max(pause, _ASKED_PAUSE)
        if asked == state.studied or event.time < state.begun_at + pause:
            return ()
        if not rests and event.time < state.since + _PATIENCE:
            return ()
        state.studied, state.begun_at = asked, event.time
        report = ValuesReport(
            app.app,
            state.version,
            final=False,
            begun_at=event.time,
            rows=counts[Pillar.TRAIN],
            pool_rows=counts[Pillar.POOL],
            validation_rows=counts[Pillar.VALIDATION],
            spent=state.spent,
        )
        return (Output(VALUES, report),)

    def _waiting(self, state: MarketState, app: AppDefined) -> int:
        """Return the number of open questions about rows that nobody published as training rows."""
        return sum(not self._is_trained(app, row_id) for row_id in state.open)

    def _prepare(self, state: MarketState, event: Event[ValuesReport], ctx: Context) -> Job | None:
        if event.data.final or len(ctx.app.classes) < _LEAST_CLASSES:
            return None
        train, pool, validation = (self._rows.of(event.app, pillar).relation(ctx.app) for pillar in _PILLARS)
        assignment = Assignment(
            train,
            validation,
            pool,
            ctx.app.classes,
            ctx.app.price_column,
            tuple(state.open),
            max(ctx.app.acquisition_budget - state.spent, 0.0),
            max(BATCH - self._waiting(state, ctx.app), 0),
            ctx.seed,
        )
        return Job(study, (assignment,))

    def _report(self, state: MarketState, event: Event[ValuesReport], ctx: Context) -> Iterable[Output]:
        if event.data.final:
            return self._ask(state, ctx.app) if event.data.begun_at == state.planned_at else ()
        if isinstance(ctx.result, InvalidDataError):
            log.info("no study of %s yet: %s", event.app, ctx.result)
        if not isinstance(ctx.result, Findings):
            return ()
        found = ctx.result
        if found.unpriced:
            log.warning(
                "%d pool rows of %s have a price of 0 or less in column %r and are not asked about",
                found.unpriced,
                event.app,
                ctx.app.price_column,
            )
        state.plan, state.planned_at = list(found.plan), event.data.begun_at
        return (Output(VALUES, _final(event.data, found, state.spent)),)

    def _ask(self, state: MarketState, app: AppDefined) -> list[Output]:
        """Ask what was planned, as far as it still makes sense and can be paid."""
        plan, state.plan = state.plan, []
        asked: list[Output] = []
        for planned in plan:
            if len(planned.probabilities) != len(app.classes):
                break  # the classes have changed since; the next study knows them
            left = app.acquisition_budget - state.spent
            known = planned.row_id in self._labelled[app.app] or self._is_trained(app, planned.row_id)
            if known or planned.row_id in state.open or planned.cost > left + _ROUNDING:
                continue
            state.open[planned.row_id] = planned.cost
            asked.append(Output(QUESTIONS, _question(app, planned)))
        return asked


def _labels_pool(answer: Answer) -> bool:
    return answer.pillar is Pillar.POOL and answer.kind is QuestionKind.LABEL


def _question(app: AppDefined, planned: Planned) -> Question:
    order = np.argsort(-np.array(planned.probabilities), kind="stable")[:2].tolist()
    likely = " and ".join(f"{app.classes[code]} ({planned.probabilities[code]:.0%})" for code in order)
    return Question(
        app=app.app,
        question=str(EventId.derive("question", app.app, ASKER, planned.row_id)),
        kind=QuestionKind.LABEL,
        pillar=Pillar.POOL,
        row_id=planned.row_id,
        candidates=app.classes,
        information_gain=planned.information_gain,
        asked_by=ASKER,
        cost=planned.cost,
        context={"why": f"rows like it help, and of its label only this is known: {likely}"},
        probabilities=np.array(planned.probabilities),
    )


def _final(begun: ValuesReport, found: Findings, spent: float) -> ValuesReport:
    return replace(
        begun,
        final=True,
        rows=found.rows,
        pool_rows=found.pool_rows,
        validation_rows=found.validation_rows,
        spent=spent,
        value_trust=found.value_trust,
        resemblance_trust=found.resemblance_trust,
        harm=found.harm,
        harmful_rows=found.harmful_rows,
        suggested=found.suggested,
        valuable_rows=found.valuable_rows,
        harmful_values=found.harmful_values,
        valuable_values=found.valuable_values,
        curve_rows=found.curve_rows,
        curve_accuracy=found.curve_accuracy,
    )
