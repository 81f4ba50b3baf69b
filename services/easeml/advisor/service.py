"""The Advisor on the stream: which message does what.

Event in: RelationBatch, CandidateBatch and Answer of train, validation and production (views), FeasibilityReport,
CleaningReport, ValuesReport, ModelPublished, ModelRetired, Verdict, test set events, ModelPicked. Event out: Advice,
ModelPublished of origin ``adapted``.
Advice after the feasibility study follows a final report that differs enough from those last advised on, unless a newer
one waits; one on rows that are no longer the newest asks for it once in two minutes at most. Advice on production
follows a pick after a drift alarm if anything is new, and answers: at 20 of them, and whenever there are half as many
again. Either follows when a test set is used up. The experiments run in a worker process on at most 3,000 rows of a
pillar.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from easeml.advisor import reports, work
from easeml.advisor.evidence import Verdicts
from easeml.artifacts import FORMAT, ArtifactStore
from easeml.relation.pillar_views import PillarViews
from easeml.stream.events import Event, Output
from easeml.stream.needs import Needs
from easeml.stream.payloads import (
    Advice,
    AdvicePhase,
    Answer,
    CandidateBatch,
    CleaningReport,
    DataVersion,
    FeasibilityReport,
    ModelPicked,
    ModelPublished,
    ModelRetired,
    Pillar,
    RelationBatch,
    TestSetExhausted,
    TestSetNeeded,
    TestSetOpened,
    ValuesReport,
    Verdict,
)
from easeml.stream.service import Context, Job, On, Packed, Service
from easeml.stream.topics import (
    ADVICE,
    ANSWERS,
    CANDIDATES,
    CLEANING,
    DATA_PRODUCTION,
    DATA_TRAIN,
    DATA_VALIDATION,
    DATA_VERSIONS,
    FEASIBILITY,
    MODELS,
    PICKS,
    TESTSETS,
    VALUES,
    VERDICTS,
    Topic,
)

FIRST_ANSWERS = 20
MORE = 1.5
"""Answers, as a multiple of those advised on, that production is looked at again with."""
PAUSE = 120.0
"""Seconds after advice in which a report on other than the newest rows brings none: one on those will follow."""
_OLDER = 100
_KEPT_ROWS = {Pillar.PRODUCTION: work.MOST_ROWS}


@dataclass
class AdvisorState:
    """What the Advisor remembers of one app beside its rows.

    Parameters
    ----------
    version, pool : str, int
        Newest version of the train pillar, and rows of the pool.
    older : list of str
        The versions before it.
    known : dict of str to dict
        Figures of the last final report of each kind that came.
    advised : dict of str to dict
        Those that the last advice after the feasibility study knew.
    advised_at : float
        Time of the report that it followed, in seconds since 1970 UTC.
    models : dict of str to [str, str, float]
        URI, digest and validation accuracy of every model that has a file.
    served : str or None
        The model that production is served by.
    passed, failed : int
        Verdicts.
    exhausted, examples : bool, int
        Whether the test set is used up, and the examples that the next one needs.
    answers, looked : int
        Answers about production rows, and those of them that the last advice knew.
    sought : list of (str or None, str or None, int)
        Model, newest production row and answers that the last advice on production knew.
    events : dict of str to str
        Newest event that advice rests on, by what it tells.
    """

    version: str = ""
    pool: int = 0
    older: list[str] = field(default_factory=list)
    known: dict[str, reports.Figures] = field(default_factory=dict)
    advised: dict[str, reports.Figures] = field(default_factory=dict)
    advised_at: float = 0.0
    models: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    served: str | None = None
    passed: int = 0
    failed: int = 0
    exhausted: bool = False
    examples: int = 0
    answers: int = 0
    looked: int = 0
    sought: list[Any] = field(default_factory=list)
    events: dict[str, str] = field(default_factory=dict)

    def best(self) -> str | None:
        """Return the model that advice is about: the served one, else that of the highest validation accuracy."""
        if self.served is not None:
            return self.served
        return max(self.models, key=lambda name: (self.models[name][2], name), default=None)


class AdvisorService(Service[AdvisorState]):
    """Says what to do next.

    Parameters
    ----------
    store_uri : str
        Artifact store that models are read from and adapted ones go to.
    max_artifact_bytes : int
        Larger models are refused.

    Raises
    ------
    ConfigurationError
        When the URI is not one of an artifact store.
    """

    name = "advisor"

    def __init__(self, store_uri: str, max_artifact_bytes: int) -> None:
        self._store = (store_uri, max_artifact_bytes)
        ArtifactStore(*self._store)  # a wrong URI stops the service here, not in a worker
        self._rows = PillarViews(Pillar.TRAIN, Pillar.VALIDATION, Pillar.PRODUCTION, keep_last=_KEPT_ROWS)

    def table(self) -> tuple[On[AdvisorState], ...]:
        return (
            On(DATA_TRAIN, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(DATA_VALIDATION, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(DATA_PRODUCTION, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(CANDIDATES, CandidateBatch, fold=self._rows.fold),
            On(DATA_VERSIONS, DataVersion, handle=self._version),
            On(MODELS, ModelPublished, handle=self._published),
            On(MODELS, ModelRetired, handle=self._retired),
            On(VERDICTS, Verdict, handle=self._judged),
            On(TESTSETS, TestSetOpened, handle=self._opened),
            On(TESTSETS, TestSetExhausted, handle=self._exhausted),
            On(TESTSETS, TestSetNeeded, prepare=self._lacking, handle=self._needed),
            On(FEASIBILITY, FeasibilityReport, prepare=self._weigh, handle=self._reported),
            On(CLEANING, CleaningReport, prepare=self._weigh, handle=self._reported),
            On(VALUES, ValuesReport, prepare=self._weigh, handle=self._reported),
            On(PICKS, ModelPicked, prepare=self._drifted, handle=self._picked),
            On(ANSWERS, Answer, fold=self._rows.fold, prepare=self._enough, handle=self._answered),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (ADVICE, MODELS)

    def new_state(self, app: str) -> AdvisorState:
        del app
        return AdvisorState()

    def pack(self, state: AdvisorState) -> Packed:
        return Packed(asdict(state), {})

    def unpack(self, app: str, packed: Packed) -> AdvisorState:
        del app
        document = dict(packed.document)
        models = {name: (uri, digest, accuracy) for name, (uri, digest, accuracy) in document.pop("models").items()}
        return AdvisorState(**document, models=models)

    def needed(self, app: str, state: AdvisorState | None) -> Needs:
        del state
        return self._rows.needed(app)

    def forget(self, app: str) -> None:
        self._rows.forget(app)

    # -- what is remembered ------------------------------------------------------------------------------------------

    def _version(self, state: AdvisorState, event: Event[DataVersion], ctx: Context) -> Iterable[Output]:
        del ctx
        if event.data.pillar is Pillar.TRAIN:
            older = [*state.older, state.version]
            state.version = event.data.version
            state.older = [version for version in older if version not in ("", state.version)][-_OLDER:]
        elif event.data.pillar is Pillar.POOL:
            state.pool = event.data.rows
        return ()

    def _published(self, state: AdvisorState, event: Event[ModelPublished], ctx: Context) -> Iterable[Output]:
        del ctx
        model = event.data
        if model.format == FORMAT:
            state.models[model.model] = (model.uri, model.sha256, model.metrics.get("accuracy", 0.0))
        return ()

    def _retired(self, state: AdvisorState, event: Event[ModelRetired], ctx: Context) -> Iterable[Output]:
        del ctx
        state.models.pop(event.data.model, None)
        if state.served == event.data.model:
            state.served = None
        return ()

    def _judged(self, state: AdvisorState, event: Event[Verdict], ctx: Context) -> Iterable[Output]:
        del ctx
        if event.data.guaranteed:
            state.passed += event.data.signal
            state.failed += not event.data.signal
            state.events["verdict"] = event.id
        return ()

    def _opened(self, state: AdvisorState, event: Event[TestSetOpened], ctx: Context) -> Iterable[Output]:
        del event, ctx
        state.exhausted = False
        return ()

    def _exhausted(self, state: AdvisorState, event: Event[TestSetExhausted], ctx: Context) -> Iterable[Output]:
        del event, ctx
        state.exhausted = True
        return ()

    # -- when advice is given ----------------------------------------------------------------------------------------

    def _weigh(self, state: AdvisorState, event: Event[reports.Report], ctx: Context) -> Job | None:
        name, figures = reports.name_of(event.data), reports.figures_of(event.data)
        if figures is None or reports.alike(state.advised.get(name), figures):
            return None
        if name != "feasibility" and "feasibility" not in state.known:
            return None  # advice follows the feasibility study, and will know these figures
        if ctx.followed or (event.data.version in state.older and event.time < state.advised_at + PAUSE):
            return None  # advice on each of many small publications would fall ever further behind them
        return self._job(AdvicePhase.DATA, state, ctx, known=state.known | {name: figures})

    def _reported(self, state: AdvisorState, event: Event[reports.Report], ctx: Context) -> Iterable[Output]:
        name, figures = reports.name_of(event.data), reports.figures_of(event.data)
        if figures is None:
            return ()
        state.known[name] = figures
        state.events[name] = event.id
        if isinstance(ctx.result, work.Advised) and ctx.result.diagnosed:
            state.advised, state.advised_at = dict(state.known), event.time
        return self._said(state, ctx)

    def _enough(self, state: AdvisorState, event: Event[Answer], ctx: Context) -> Job | None:
        if event.data.pillar is not Pillar.PRODUCTION:
            return None
        enough = state.answers + 1 >= max(FIRST_ANSWERS, MORE * state.looked)
        return self._job(AdvicePhase.PRODUCTION, state, ctx) if enough else None

    def _answered(self, state: AdvisorState, event: Event[Answer], ctx: Context) -> Iterable[Output]:
        if event.data.pillar is not Pillar.PRODUCTION:
            return ()
        state.answers += 1
        state.events["answer"] = event.id
        return self._said(state, ctx)

    def _drifted(self, state: AdvisorState, event: Event[ModelPicked], ctx: Context) -> Job | None:
        if not event.data.drift:
            return None
        job = self._job(AdvicePhase.PRODUCTION, state, ctx, served=event.data.model)
        about = job.arguments[0].about
        return None if state.sought == [about.model, about.newest, state.answers] else job

    def _picked(self, state: AdvisorState, event: Event[ModelPicked], ctx: Context) -> Iterable[Output]:
        state.served = event.data.model
        state.events["pick"] = event.id
        return self._said(state, ctx)

    def _lacking(self, state: AdvisorState, event: Event[TestSetNeeded], ctx: Context) -> Job | None:
        if not state.exhausted:
            return None  # the first test set: the app is being set up
        return self._job(self._phase(ctx), state, ctx, examples=event.data.examples)

    def _phase(self, ctx: Context) -> AdvicePhase:
        return (
            AdvicePhase.PRODUCTION if self._rows.of(ctx.app.app, Pillar.PRODUCTION).count(ctx.app) else AdvicePhase.DATA
        )

    def _needed(self, state: AdvisorState, event: Event[TestSetNeeded], ctx: Context) -> Iterable[Output]:
        state.examples = event.data.examples
        state.events["test set"] = event.id
        return self._said(state, ctx)

    # -- how -----------------------------------------------------------------------------------------------------------

    def _job(
        self,
        phase: AdvicePhase,
        state: AdvisorState,
        ctx: Context,
        *,
        known: dict[str, reports.Figures] | None = None,
        served: str | None = None,
        examples: int | None = None,
    ) -> Job:
        known = state.known if known is None else known
        model = served or state.best()
        file = state.models.get(model) if model is not None else None
        production = (
            self._rows.of(ctx.app.app, Pillar.PRODUCTION).relation(ctx.app) if phase is AdvicePhase.PRODUCTION else None
        )
        request = work.Request(
            work.About(phase, model, production.row_ids[-1] if production is not None else None),
            ctx.app.target,
            ctx.app.columns,
            ctx.app.classes,
            # What is drawn here need not be sent to the worker.
            work.drawn(self._rows.of(ctx.app.app, Pillar.TRAIN).relation(ctx.app), ctx.rng),
            work.drawn(self._rows.of(ctx.app.app, Pillar.VALIDATION).relation(ctx.app), ctx.rng),
            work.drawn(production, ctx.rng),
            pool=state.pool,
            model=file[:2] if file is not None else None,
            feasibility=reports.feasibility_of(known["feasibility"]) if "feasibility" in known else None,
            cleaning=reports.cleaning_of(known["cleaning"]) if "cleaning" in known else None,
            values=reports.values_of(known["values"]) if "values" in known else None,
            verdicts=Verdicts(state.passed, state.failed, state.exhausted, examples or state.examples),
            seed=ctx.seed,
        )
        return Job(work.answer, (request, self._store))

    def _said(self, state: AdvisorState, ctx: Context) -> Iterable[Output]:
        found = ctx.result
        if not isinstance(found, work.Advised):
            return
        about = found.about
        if about.phase is AdvicePhase.PRODUCTION:
            state.looked = state.answers
            state.sought = [about.model, about.newest, state.answers]
        events = tuple(state.events.values())
        yield Output(ADVICE, Advice(ctx.app.app, about.phase, state.version, about.model, events, found.steps))
        for adapted in found.adapted:
            name = f"{adapted.technique.replace('_', '-')}-{adapted.stored.sha256[:6]}"
            if name not in state.models:
                yield Output(MODELS, _published(name, adapted, about.model, state.version, ctx))


def _published(name: str, adapted: work.AdaptedFile, parent: str | None, version: str, ctx: Context) -> ModelPublished:
    return ModelPublished(
        ctx.app.app,
        name,
        adapted.technique,
        adapted.stored.uri,
        adapted.stored.sha256,
        adapted.stored.size,
        FORMAT,
        tuple(column.name for column in ctx.app.columns),
        ctx.app.classes,
        version,
        origin="adapted",
        metrics={"accuracy": adapted.accuracy, "expected_gain": adapted.gain},
        parents=() if parent is None else (parent,),
    )
