"""The trainer: turns assigned trials into models.

Event in: TrialAssigned (work), RelationBatch, CandidateBatch and Answer of train and validation (views; labels that
online learners go on with), DataVersion, Tick. Event out: ModelPublished, TrialFinished, TrialProgress.
Trainers are a consumer group: each is a device that trains the trials of its partitions, and one that dies leaves them
to the others, which begin its trial again; restarted where it was, a committee goes on (``checkpoint``). A trial trains
on the first ``train_rows`` rows that came, at the most probable of what candidates and answers say of them when it
begins, with the seed of its own name, in a process of its own; the model file is content-addressed, so repeating a
trial repeats its result (Li et al., PVLDB 2018, section 3).
It waits (Busy) for a store that cannot be written, and up to a minute for rows that are announced but not here. A
training that fails is a TrialFinished with its error; so is one that a newer version makes pointless, which is stopped.
An online learner whose algorithm says ``follow`` learns every label that comes after its trial, as an answer or with
new rows, and publishes the next version, whose parent is the one before (``following``).
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import re
import socket
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from easeml.artifacts import FORMAT
from easeml.automl import trial as work
from easeml.automl.following import Followed, follows, taught
from easeml.automl.service import supersedes
from easeml.errors import Busy
from easeml.ids import ModelId
from easeml.relation.pillar_views import PillarViews
from easeml.stream.events import Event, Output
from easeml.stream.payloads import (
    Answer,
    CandidateBatch,
    DataVersion,
    ModelPublished,
    Pillar,
    RelationBatch,
    Tick,
    TrialAssigned,
    TrialFinished,
    TrialOutcome,
    TrialProgress,
)
from easeml.stream.service import Context, Job, On, Packed, Service
from easeml.stream.settings import Settings
from easeml.stream.topics import (
    ANSWERS,
    CANDIDATES,
    DATA_TRAIN,
    DATA_VALIDATION,
    DATA_VERSIONS,
    MODELS,
    TICKS,
    TRIALS,
    Topic,
)

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that a trial waits for announced rows: they were on the broker before it, so only a lag explains it."""


BEAT = 10
"""Ticks between two signs of life of a trial."""
REMEMBERED = 64
"""Ended trials that an app's state names: an assignment may be repeated after a crash of the scheduler."""


@dataclass
class TrainerState:
    """What the trainer must remember of an app.

    Parameters
    ----------
    ended : list of str
        Its last ended trials, oldest first.
    following : dict of str to Followed
        Models that go on learning, by algorithm.
    """

    ended: list[str] = field(default_factory=list)
    following: dict[str, Followed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """A trial at work: when it began, and the file that stops it."""

    trial: TrialAssigned
    since: float
    stop: Path


class TrainerService(Service[TrainerState]):
    """Trains what the scheduler assigns.

    Parameters
    ----------
    store_uri : str
        Artifact store that the models go to.
    max_artifact_bytes : int
        Larger models are refused.
    device : str
        Name of this trainer; distinct for every one that runs.
    checkpoints : Path, optional
        Folder where trials keep what they have done, for their next beginning after a restart of this trainer.
    """

    name = "trainer"

    def __init__(
        self, store_uri: str, max_artifact_bytes: int, device: str = "trainer", checkpoints: Path | None = None
    ) -> None:
        self._store = (store_uri, max_artifact_bytes)
        self._device = device
        self._rows = PillarViews(Pillar.TRAIN, Pillar.VALIDATION)
        self._announced: dict[str, int] = {}
        self._running: dict[str, Running] = {}
        self._stops = tempfile.TemporaryDirectory(prefix="easeml-trials-")
        self._checkpoints = None if checkpoints is None else str(checkpoints)
        self._begun = itertools.count()
        self._now = 0.0

    def table(self) -> tuple[On[TrainerState], ...]:
        return (
            On(DATA_TRAIN, RelationBatch, fold=self._rows.fold, prepare=self._teach, handle=self._arrived),
            On(DATA_VALIDATION, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(CANDIDATES, CandidateBatch, fold=self._rows.fold),
            On(ANSWERS, Answer, fold=self._rows.fold, prepare=self._teach, handle=self._learnt),
            On(DATA_VERSIONS, DataVersion, fold=self._versioned),
            On(TICKS, Tick, fold=self._ticked, handle=self._beat),
            On(TRIALS, TrialAssigned, prepare=self._prepare, handle=self._finish),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (MODELS, TRIALS)

    def new_state(self, app: str) -> TrainerState:
        del app
        return TrainerState()

    def pack(self, state: TrainerState) -> Packed:
        return Packed(asdict(state), {})

    def unpack(self, app: str, packed: Packed) -> TrainerState:
        del app
        following = {
            algorithm: Followed(**told | {"trial": TrialAssigned(**told["trial"])})
            for algorithm, told in packed.document["following"].items()
        }
        return TrainerState(list(packed.document["ended"]), following)

    def forget(self, app: str) -> None:
        self._rows.forget(app)
        self._announced.pop(app, None)
        running = self._running.pop(app, None)
        if running is not None:
            running.stop.touch()

    def _versioned(self, event: Event[DataVersion]) -> None:
        if event.data.pillar is not Pillar.TRAIN:
            return
        self._announced[event.app] = max(self._announced.get(event.app, 0), event.data.rows)
        running = self._running.get(event.app)
        if running is not None and self._superseded(running.trial):
            running.stop.touch()

    def _superseded(self, trial: TrialAssigned) -> bool:
        return trial.train_rows > 0 and supersedes(self._announced.get(trial.app, 0), trial.train_rows)

    def _ticked(self, event: Event[Tick]) -> None:
        self._now = max(self._now, event.time)

    def _beat(self, state: TrainerState, event: Event[Tick], ctx: Context) -> Iterable[Output]:
        del state
        running = self._running.get(event.app)
        if running is None or event.data.sequence % BEAT:
            return ()
        share = (ctx.now - running.since) / work.cpu_seconds_of(running.trial)
        return (Output(TRIALS, TrialProgress(event.app, running.trial.trial, self._device, min(max(share, 0.0), 1.0))),)

    def _prepare(self, state: TrainerState, event: Event[TrialAssigned], ctx: Context) -> Job | None:
        trial = event.data
        if trial.trial in state.ended:
            return None
        if self._superseded(trial):
            return Job(work.give_up, (trial,))
        train, validation = (self._rows.of(event.app, pillar) for pillar in (Pillar.TRAIN, Pillar.VALIDATION))
        lacking = max(trial.train_rows - train.count(ctx.app), trial.validation_rows - validation.count(ctx.app))
        # A time to come, which some wrong clock wrote, shall not hold up every app of the partition until then.
        if lacking > 0 and (self._now == 0 or abs(self._now - event.time) <= PATIENCE):
            raise Busy(f"Trial {trial.trial} of {trial.app} waits for {lacking} rows that were announced.")
        if lacking > 0:
            # Rows that were refused never come; waiting for ever would hold up every app of the partition.
            return Job(work.refuse, (trial, lacking))
        arguments = (
            trial,
            work.learnable(trial, train.first(ctx.app, trial.train_rows)),
            work.labelled(validation.first(ctx.app, trial.validation_rows)),
            ctx.app.columns,
            ctx.app.classes,
            self._store,
        )
        # Not by the trial's name: it may begin here again after a rebalance that stopped it.
        stop = Path(self._stops.name) / str(next(self._begun))
        self._running[event.app] = Running(trial, self._now, stop)
        return Job(work.run, (*arguments, str(stop), self._checkpoints), work.seconds_of(trial))

    def _finish(self, state: TrainerState, event: Event[TrialAssigned], ctx: Context) -> Iterable[Output]:
        trial, result = event.data, ctx.result
        running = self._running.pop(event.app, None)
        if running is not None:
            running.stop.unlink(missing_ok=True)
        if not isinstance(result, work.Result):
            return  # it has ended before
        state.ended = [*state.ended, trial.trial][-REMEMBERED:]
        if result.stored is None or result.metrics is None:
            yield Output(
                TRIALS,
                TrialFinished(
                    app=trial.app,
                    trial=trial.trial,
                    algorithm=trial.algorithm,
                    outcome=TrialOutcome.FAILED,
                    quality=float("nan"),
                    cost_seconds=result.cpu_seconds,
                    error=result.error,
                    device=self._device,
                ),
            )
            return
        model = model_id(trial.algorithm, trial.trial)
        self._follow(state, trial, model, ctx)
        yield Output(MODELS, _publication(trial, model, result, ctx))
        yield Output(
            TRIALS,
            TrialFinished(
                app=trial.app,
                trial=trial.trial,
                algorithm=trial.algorithm,
                outcome=TrialOutcome.TRAINED,
                quality=result.metrics["accuracy"],
                cost_seconds=result.cpu_seconds,
                model=model,
                device=self._device,
            ),
        )

    # -- what goes on learning -----------------------------------------------------------------------------------

    def _follow(self, state: TrainerState, trial: TrialAssigned, model: ModelId, ctx: Context) -> None:
        every, before = follows(trial), state.following.get(trial.algorithm)
        if not every or (before is not None and before.trial.round > trial.round):
            return
        followed = Followed(replace(trial, seen={}), model, every)
        rows = self._rows.of(trial.app, Pillar.TRAIN)
        here = rows.relation(ctx.app)
        if here is not None:  # also what came while it was trained
            followed.learnt = followed.known(here.row_ids[trial.train_rows :], rows, ctx.app)
        state.following[trial.algorithm] = followed

    def _fresh(
        self, state: TrainerState, event: Event[RelationBatch] | Event[Answer], ctx: Context
    ) -> dict[str, list[str]]:
        """Return the rows that each followed algorithm learns now that this came."""
        rows = self._rows.of(event.app, Pillar.TRAIN)
        found = {name: followed.fresh(event.data, rows, ctx.app) for name, followed in state.following.items()}
        return {name: row_ids for name, row_ids in found.items() if row_ids}

    def _teach(self, state: TrainerState, event: Event[RelationBatch] | Event[Answer], ctx: Context) -> Job | None:
        train, validation = (self._rows.of(event.app, pillar) for pillar in (Pillar.TRAIN, Pillar.VALIDATION))
        lessons = {}
        for algorithm, fresh in self._fresh(state, event, ctx).items():
            lesson = state.following[algorithm].lesson(fresh, train, validation, ctx.app, self._store)
            if lesson is not None:
                lessons[algorithm] = lesson
        seconds = sum(work.seconds_of(lesson.trial) for lesson in lessons.values())
        return Job(taught, (lessons,), seconds) if lessons else None

    def _arrived(self, state: TrainerState, event: Event[RelationBatch], ctx: Context) -> Iterable[Output]:
        self._rows.judge(state, event, ctx)
        return self._learnt(state, event, ctx)

    def _learnt(
        self, state: TrainerState, event: Event[RelationBatch] | Event[Answer], ctx: Context
    ) -> Iterable[Output]:
        for algorithm, fresh in self._fresh(state, event, ctx).items():
            state.following[algorithm].learnt += fresh
        for algorithm, result in (ctx.result or {}).items():
            followed = state.following[algorithm]
            followed.published = len(followed.learnt)
            if result.stored is None:
                log.warning("no new version of %s for %s: %s", followed.model, event.app, result.error)
                continue
            parents, trial = (followed.model,), followed.trial
            followed.model = model_id(algorithm, f"{trial.trial} {followed.published}")
            yield Output(MODELS, _publication(trial, followed.model, result, ctx, parents))


def _publication(
    trial: TrialAssigned, model: ModelId, result: work.Result, ctx: Context, parents: tuple[ModelId, ...] = ()
) -> ModelPublished:
    assert result.stored is not None
    assert result.metrics is not None
    return ModelPublished(
        app=trial.app,
        model=model,
        algorithm=trial.algorithm,
        uri=result.stored.uri,
        sha256=result.stored.sha256,
        size=result.stored.size,
        format=FORMAT,
        columns=tuple(column.name for column in ctx.app.columns),
        classes=ctx.app.classes,
        data_version=trial.data_version,
        origin="automl",
        metrics=result.metrics,
        parents=parents,
    )


def model_id(algorithm: str, trial: str) -> ModelId:
    """Return the name of the model of a trial: short and readable.

    >>> model_id("extra-trees", "t1")
    'extra-trees-628b49'
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", algorithm)[:60].strip("-") or "model"
    return ModelId(f"{stem}-{hashlib.sha256(trial.encode()).hexdigest()[:6]}")


def main() -> None:
    """Run the trainer as a process."""
    from easeml.stream.main import run  # noqa: PLC0415 - the scheduler's tests and tools need no runtime

    settings = Settings.load()
    device = os.environ.get("EASEML_INSTANCE") or socket.gethostname()
    checkpoints = settings.home / "checkpoints"
    run(TrainerService(settings.store_uri, settings.max_artifact_bytes, device, checkpoints), settings)


if __name__ == "__main__":
    main()
