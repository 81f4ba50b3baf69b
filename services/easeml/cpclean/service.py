"""CPClean on the stream: which message does what.

Event in: RelationBatch of train and validation, CandidateBatch and Answer (views), DataVersion, Tick; its own
CleaningReport. Event out: Question, CleaningReport.
A tick after which rows or candidates differ begins a study, whose reports lead to one another: begun, how far
predictions are certain, what cleaning can reach. An answer goes to the study at once and brings the next question; at
most a few are open, within the app's cleaning budget, until every validation prediction is certain. Studies live in the
worker process; a lost one is made anew from the same rows, and says the same. While nothing can be predicted (too few
labelled rows) there is no further report until something differs. Source: Karlas et al., PVLDB 14(3), 2021.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from easeml.cpclean.cleaning import Figures, Material
from easeml.cpclean.questions import Asking, is_outside
from easeml.cpclean.work import Found, Lost, Task, work
from easeml.errors import Busy, InvalidDataError
from easeml.ids import EventId
from easeml.relation import Relation
from easeml.relation.pillar_views import PillarViews, keep_version, study_pause
from easeml.stream.events import Event, Output
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    CandidateBatch,
    CleaningReport,
    DataVersion,
    Pillar,
    Question,
    QuestionKind,
    RelationBatch,
    Tick,
    tells_otherwise,
)
from easeml.stream.service import Context, Job, On, Packed, Service
from easeml.stream.topics import (
    ANSWERS,
    CANDIDATES,
    CLEANING,
    DATA_TRAIN,
    DATA_VALIDATION,
    DATA_VERSIONS,
    QUESTIONS,
    TICKS,
    Topic,
)

log = logging.getLogger(__name__)

ASKER = "cpclean"
_LEAST_CLASSES = 2


@dataclass
class Asked:
    """An open question: its row, its column (None: the label), and the bits it promised when it was asked last."""

    row_id: str
    column: str | None
    bits: float


@dataclass
class CleaningState:
    """What is remembered of one app beside its rows.

    Parameters
    ----------
    version : str
        Newest version of the train pillar.
    studied : str
        What the last study was begun for: what is known of rows, candidates and budget.
    begun_at : float
        When, in seconds since 1970 UTC.
    final : bool
        Whether its last report was given.
    answers, outside : int
        Answers about training rows; those of them that named a value which was no candidate.
    paid : int
        Answers to our questions.
    open : dict of str to Asked
        The questions whose answer has not been paid, by id.
    figures : Figures or None
        How far cleaning has come; None: not known yet.
    potential : float or None
        What the last study said that cleaning can reach.
    told : bool
        Whether the figures were reported.
    """

    version: str = ""
    studied: str = ""
    begun_at: float = 0.0
    final: bool = True
    answers: int = 0
    outside: int = 0
    paid: int = 0
    open: dict[str, Asked] = field(default_factory=dict)
    figures: Figures | None = None
    potential: float | None = None
    told: bool = True


@dataclass
class _Held:
    """The study that the worker process holds, as far as this process knows."""

    studied: str
    name: str
    heard: int = 0
    taken: int = 0
    """News that the newest result knew which was taken over."""


class CPCleanService(Service[CleaningState]):
    """Asks about the training rows that validation predictions depend on.

    Parameters
    ----------
    batch : int
        Questions that are open at most: several annotators can work at once.
    """

    name = ASKER

    def __init__(self, batch: int = 5) -> None:
        self._batch = batch
        self._rows = PillarViews(Pillar.TRAIN, Pillar.VALIDATION)
        self._held: dict[str, _Held] = {}

    def table(self) -> tuple[On[CleaningState], ...]:
        return (
            On(DATA_TRAIN, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(DATA_VALIDATION, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(CANDIDATES, CandidateBatch, fold=self._rows.fold),
            On(ANSWERS, Answer, fold=self._rows.fold, prepare=self._hand_on, handle=self._answered),
            On(DATA_VERSIONS, DataVersion, handle=keep_version),
            On(TICKS, Tick, handle=self._tick),
            On(CLEANING, CleaningReport, prepare=self._study, handle=self._studied),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (QUESTIONS, CLEANING)

    def new_state(self, app: str) -> CleaningState:
        del app
        return CleaningState()

    def pack(self, state: CleaningState) -> Packed:
        return Packed(asdict(state), {})

    def unpack(self, app: str, packed: Packed) -> CleaningState:
        del app
        document: dict[str, Any] = dict(packed.document)
        figures = document.pop("figures")
        opened = {name: Asked(**asked) for name, asked in document.pop("open").items()}
        return CleaningState(**document, open=opened, figures=None if figures is None else Figures(**figures))

    def forget(self, app: str) -> None:
        self._held.pop(app, None)
        self._rows.forget(app)

    # -- what is known -----------------------------------------------------------------------------------------------

    def _differs(self, app: AppDefined) -> str:
        """Return what is known of an app's rows, answers apart, and the budget, as a text that is another for others.

        Empty while there is nothing to study.
        """
        train, validation = self._rows.of(app.app, Pillar.TRAIN), self._rows.of(app.app, Pillar.VALIDATION)
        if len(app.classes) < _LEAST_CLASSES or not train.count(app) or not validation.count(app):
            return ""
        shape = hashlib.blake2b(repr((app.label, app.classes, app.columns)).encode(), digest_size=8).hexdigest()
        revisions = train.revision(app, answers=False), validation.revision(app)
        return f"{revisions[0]} {revisions[1]} {app.cleaning_budget} {shape}"

    # -- studies -----------------------------------------------------------------------------------------------------

    def _tick(self, state: CleaningState, event: Event[Tick], ctx: Context) -> Iterable[Output]:
        if state.final and state.figures is not None and not state.told:
            state.told = True
            return (Output(CLEANING, _report(ctx.app, state, final=True)),)
        count = self._rows.of(ctx.app.app, Pillar.TRAIN).count(ctx.app)
        if event.time < state.begun_at + study_pause(count):
            return ()
        asked = self._differs(ctx.app)
        if asked in ("", state.studied):
            return ()
        state.studied, state.begun_at, state.final = asked, event.time, False
        state.figures = state.potential = None
        return (Output(CLEANING, _report(ctx.app, state, final=False, rows=count)),)

    def _study(self, state: CleaningState, event: Event[CleaningReport], ctx: Context) -> Job | None:
        if not _leads_on(state, event.data):
            return None
        return self._job(state, ctx.app, potential=event.data.validation_rows > 0)

    def _studied(self, state: CleaningState, event: Event[CleaningReport], ctx: Context) -> Iterable[Output]:
        if not _leads_on(state, event.data):
            return ()
        questions = self._take(state, ctx)
        if state.figures is None:
            return ()
        state.told = True
        state.final = event.data.validation_rows > 0 or state.figures.certain == state.figures.validation_rows
        return (*questions, Output(CLEANING, _report(ctx.app, state, final=state.final)))

    def _hand_on(self, state: CleaningState, event: Event[Answer], ctx: Context) -> Job | None:
        answer = event.data
        if not _is_ours(answer) or not state.studied or self._differs(ctx.app) != state.studied:
            return None  # a tick will begin a study that knows the answer
        row = self._rows.of(event.app, Pillar.TRAIN).row(ctx.app, answer.row_id)
        return None if row is None else self._job(state, ctx.app, answer=answer, row=row)

    def _answered(self, state: CleaningState, event: Event[Answer], ctx: Context) -> Iterable[Output]:
        answer = event.data
        if not _is_ours(answer):
            return ()
        questions = self._take(state, ctx, answer)
        state.answers += 1
        state.paid += answer.asked_by == ASKER
        state.told = False
        proposed = self._rows.of(event.app, Pillar.TRAIN).row(ctx.app, answer.row_id, answers=False)
        if proposed is not None:
            state.outside += is_outside(proposed, _column(answer), answer.text)
        return questions

    def _job(
        self,
        state: CleaningState,
        app: AppDefined,
        *,
        answer: Answer | None = None,
        row: Relation | None = None,
        potential: bool = False,
    ) -> Job:
        held = self._held.get(app.app)
        news: Material | Relation | None = row
        if held is None or held.studied != state.studied:
            # A name of its own: a study of another life, or of a former process, is not this one.
            held = self._held[app.app] = _Held(state.studied, secrets.token_hex(8))
            news = self._material(app)
        heard = held.heard
        held.heard += isinstance(news, Relation)
        still, most = self._still_open(state, app, answer)
        room = max(most - len(still), 0)
        pending = tuple((asked.row_id, asked.column) for asked in still.values())
        return Job(work, (Task(held.name, heard, news, pending, room, potential),))

    def _material(self, app: AppDefined) -> Material:
        train, validation = self._rows.of(app.app, Pillar.TRAIN), self._rows.of(app.app, Pillar.VALIDATION)
        rows, proposed, points = train.relation(app), train.proposed(app), validation.relation(app)
        assert rows is not None
        assert proposed is not None
        assert points is not None
        return Material(rows, proposed, train.answered(app), points)

    def _still_open(self, state: CleaningState, app: AppDefined, answer: Answer | None) -> tuple[dict[str, Asked], int]:
        """Return the open questions that no answer has settled, whoever asked for it, and how many may be open.

        That is once this answer, which need not fit, is paid, and those that the view knows already.
        """
        train, unsettled = self._rows.of(app.app, Pillar.TRAIN), _unsettled(state, answer)
        still = {
            name: asked for name, asked in unsettled.items() if not train.is_answered(app, asked.row_id, asked.column)
        }
        paid = state.paid + (answer is not None and answer.asked_by == ASKER)
        owed = len(unsettled) - len(still)
        return still, min(self._batch, app.cleaning_budget - paid - owed)

    def _take(self, state: CleaningState, ctx: Context, answer: Answer | None = None) -> tuple[Output, ...]:
        """Take over what a job found; return the questions that may be asked now.

        Raises
        ------
        Busy
            When the worker process does not hold the study: the next try sends it everything. When an answer, which
            comes on another topic, has overtaken the result: the next try knows that answer.
        """
        found = ctx.result
        if isinstance(found, Lost):
            self._held.pop(ctx.app.app, None)
            raise Busy(f"The study of {ctx.app.app} is lost.", mend="It is made anew.")
        if isinstance(found, Found):
            held = self._held.get(ctx.app.app)
            if held is None or held.name != found.study or held.taken > found.heard:
                raise Busy(f"The study of {ctx.app.app} knows more by now.", mend="It is asked again.")
            held.taken = found.heard
        still, most = self._still_open(state, ctx.app, answer)
        state.open = _unsettled(state, answer)
        if isinstance(found, InvalidDataError):
            log.info("nothing to clean for %s yet: %s", ctx.app.app, found)
        if not isinstance(found, Found):
            return ()
        state.figures = found.figures
        state.potential = state.potential if found.potential is None else found.potential
        questions: list[Question] = []
        train = self._rows.of(ctx.app.app, Pillar.TRAIN)
        for asking in (*found.pending, *found.askings):
            if train.is_answered(ctx.app, asking.row_id, asking.column):
                continue  # while rows came, which the next study will know together with the answer
            question = _question(ctx.app, asking)
            asked = still.get(question.question)
            if asked is None and len(still) >= most:
                continue
            if asked is None or tells_otherwise(asked.bits, asking.bits):
                told = Asked(asking.row_id, asking.column, asking.bits)
                still[question.question] = state.open[question.question] = told
                questions.append(question)
        return tuple(Output(QUESTIONS, question) for question in questions)


def _leads_on(state: CleaningState, report: CleaningReport) -> bool:
    """Whether a report is one of the study under way, and not its last."""
    return not report.final and not state.final and report.begun_at == state.begun_at


def _is_ours(answer: Answer) -> bool:
    """Whether an answer is about a cell or label of a training row."""
    return answer.pillar is Pillar.TRAIN and answer.kind is not QuestionKind.ROW


def _unsettled(state: CleaningState, answer: Answer | None) -> dict[str, Asked]:
    """Return the questions that are not paid, apart from those that this answer settles, whoever asked for it."""
    told = None if answer is None else (answer.row_id, _column(answer))
    return {name: asked for name, asked in state.open.items() if (asked.row_id, asked.column) != told}


def _column(answer: Answer) -> str | None:
    return answer.column if answer.kind is QuestionKind.CELL else None


def _question(app: AppDefined, asking: Asking) -> Question:
    kind = QuestionKind.LABEL if asking.column is None else QuestionKind.CELL
    return Question(
        app=app.app,
        question=str(EventId.derive("question", ASKER, app.app, kind, asking.row_id, asking.column or "")),
        kind=kind,
        pillar=Pillar.TRAIN,
        row_id=asking.row_id,
        candidates=asking.candidates,
        information_gain=asking.bits,
        asked_by=ASKER,
        column=asking.column,
        context=asking.context,
        probabilities=np.array(asking.probabilities),
    )


def _report(app: AppDefined, state: CleaningState, *, final: bool, rows: int = 0) -> CleaningReport:
    figures = state.figures or Figures(rows, 0, 0, 0, 0.0, None)
    potential = state.potential
    if figures.expected is not None and figures.certain == figures.validation_rows:
        potential = figures.expected  # cleaning changes no prediction any more
    elif potential is not None and figures.expected is not None:
        potential = max(potential, figures.expected)
    return CleaningReport(
        app.app,
        state.version,
        final=final,
        begun_at=state.begun_at,
        answers=state.answers,
        outside=state.outside,
        potential=potential,
        **asdict(figures),
    )
