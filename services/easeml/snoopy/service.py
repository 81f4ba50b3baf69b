"""Snoopy on the stream: which message does what.

Event in: RelationBatch, CandidateBatch and Answer of train (views), DataVersion, ModelPublished, Tick; its own
FeasibilityReport. Event out: FeasibilityReport.
A tick after which anything differs begins a study of the rows that are there; each report that is not final leads to
the next one, about a second later, until all arms are done. Studies live in the worker process, which compares the rows
with those it has seen; a lost one is made anew. Of rows that no study can be made of (too few, one class) there is no
further report until something differs.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import numpy as np

from easeml.errors import InvalidDataError
from easeml.relation.pillar_views import PillarViews, keep_version, study_pause
from easeml.snoopy import work
from easeml.snoopy.report import FeasibilityReport as Found
from easeml.stream.events import Event, Output
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    ArmProgress,
    CandidateBatch,
    DataVersion,
    FeasibilityReport,
    FeasibilitySignal,
    ModelPublished,
    ModelRetired,
    Pillar,
    RelationBatch,
    Tick,
)
from easeml.stream.service import Context, Job, On, Packed, Service
from easeml.stream.topics import ANSWERS, CANDIDATES, DATA_TRAIN, DATA_VERSIONS, FEASIBILITY, MODELS, TICKS, Topic

log = logging.getLogger(__name__)
_ADAPTED = "adapted"
_LEAST_CLASSES = 2
_MODELS = 20
"""Models whose errors are remembered."""


@dataclass
class SnoopyState:
    """What Snoopy remembers of one app beside its rows.

    Parameters
    ----------
    version : str
        Newest version of the train pillar.
    errors : dict of str to float
        Validation errors of the best models, by name.
    studied : str
        What the last study was begun for: what is known of the rows, target, version and model error.
    begun_at : float
        When, in seconds since 1970 UTC.
    """

    version: str = ""
    errors: dict[str, float] = field(default_factory=dict)
    studied: str = ""
    begun_at: float = 0.0

    @property
    def model_error(self) -> float | None:
        """Validation error of the best model so far."""
        return min(self.errors.values(), default=None)


class SnoopyService(Service[SnoopyState]):
    """Studies the labelled training rows of every app."""

    name = "snoopy"

    def __init__(self) -> None:
        self._rows = PillarViews(Pillar.TRAIN)
        self._studies: dict[str, str] = {}

    def table(self) -> tuple[On[SnoopyState], ...]:
        return (
            On(DATA_TRAIN, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(CANDIDATES, CandidateBatch, fold=self._rows.fold),
            On(ANSWERS, Answer, fold=self._rows.fold),
            On(DATA_VERSIONS, DataVersion, handle=keep_version),
            On(MODELS, ModelPublished, handle=self._model),
            On(MODELS, ModelRetired, handle=self._retired),
            On(TICKS, Tick, handle=self._begin),
            On(FEASIBILITY, FeasibilityReport, prepare=self._prepare, handle=self._report),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (FEASIBILITY,)

    def new_state(self, app: str) -> SnoopyState:
        del app
        return SnoopyState()

    def pack(self, state: SnoopyState) -> Packed:
        return Packed(asdict(state), {})

    def unpack(self, app: str, packed: Packed) -> SnoopyState:
        del app
        return SnoopyState(**packed.document)

    def forget(self, app: str) -> None:
        self._rows.forget(app)
        self._studies.pop(app, None)

    def _model(self, state: SnoopyState, event: Event[ModelPublished], ctx: Context) -> Iterable[Output]:
        del ctx
        model, accuracy = event.data, event.data.metrics.get("accuracy")
        if model.origin == _ADAPTED or accuracy is None or not 0 <= accuracy <= 1:
            return ()  # what was made for production says nothing about these rows
        state.errors[model.model] = 1 - accuracy
        for worst in sorted(state.errors, key=lambda name: (state.errors[name], name))[_MODELS:]:
            del state.errors[worst]
        return ()

    def _retired(self, state: SnoopyState, event: Event[ModelRetired], ctx: Context) -> Iterable[Output]:
        del ctx
        state.errors.pop(event.data.model, None)
        return ()

    def _begin(self, state: SnoopyState, event: Event[Tick], ctx: Context) -> Iterable[Output]:
        rows = self._rows.of(ctx.app.app, Pillar.TRAIN)
        count = rows.count(ctx.app)
        if not count or len(ctx.app.classes) < _LEAST_CLASSES:
            return ()
        if event.time < state.begun_at + study_pause(count):
            return ()
        asked = f"{rows.revision(ctx.app)} {ctx.app.target} {state.version} {state.model_error}"
        if asked == state.studied:
            return ()
        state.studied, state.begun_at = asked, event.time
        return (Output(FEASIBILITY, _begun(ctx.app, state, count)),)

    def _prepare(self, state: SnoopyState, event: Event[FeasibilityReport], ctx: Context) -> Job | None:
        del state
        report, relation = event.data, self._rows.of(event.app, Pillar.TRAIN).relation(ctx.app)
        if report.final or relation is None:
            return None
        # A name of its own: rows of another life, or of a former process, are no rows of this study.
        study = self._studies.setdefault(event.app, secrets.token_hex(8))
        return Job(work.read_on, (study, relation, report.target_accuracy, report.model_error))

    def _report(self, state: SnoopyState, event: Event[FeasibilityReport], ctx: Context) -> Iterable[Output]:
        del state
        if isinstance(ctx.result, InvalidDataError):
            log.info("no study of %s yet: %s", event.app, ctx.result)
        if not isinstance(ctx.result, Found):
            return ()
        return (Output(FEASIBILITY, _payload(ctx.result, event.data)),)


def _begun(app: AppDefined, state: SnoopyState, rows: int) -> FeasibilityReport:
    """Return the report of a study that has read nothing: anything up to guessing is possible."""
    guessing = 1 - 1 / len(app.classes)
    return FeasibilityReport(
        app.app,
        state.version,
        rows,
        final=False,
        target_accuracy=app.target,
        signal=FeasibilitySignal.UNDECIDED,
        bayes_error=guessing,
        bayes_error_upper=guessing,
        interval_low=0.0,
        interval_high=guessing,
        best_transformation="",
        distinct_row_ratio=1.0,
        begun_at=state.begun_at,
        model_error=state.model_error,
    )


def _payload(found: Found, before: FeasibilityReport) -> FeasibilityReport:
    return FeasibilityReport(
        before.app,
        before.version,
        found.rows,
        final=found.final,
        target_accuracy=found.target_accuracy,
        signal=found.signal,
        bayes_error=found.bayes_error.lower,
        bayes_error_upper=found.bayes_error.upper,
        interval_low=found.bayes_error.interval[0],
        interval_high=found.bayes_error.interval[1],
        best_transformation=found.best_transformation,
        distinct_row_ratio=found.distinct_row_ratio,
        begun_at=before.begun_at,
        floor=found.floor,
        samples_needed=found.samples_needed,
        clean_bayes_error=found.clean_bayes_error,
        labels_to_clean=found.labels_to_clean,
        model_error=found.model_error,
        arms=tuple(
            ArmProgress(arm.transformation, arm.state, arm.share, float(arm.error[-1]) if len(arm.error) else math.nan)
            for arm in found.arms
        ),
        curve_arm=np.repeat(np.arange(len(found.arms), dtype=np.int32), [len(arm.rows) for arm in found.arms]),
        curve_rows=np.concatenate([arm.rows for arm in found.arms]).astype(np.float64),
        curve_error=np.concatenate([arm.error for arm in found.arms]),
    )
