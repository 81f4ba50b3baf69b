"""The trainer: turns assigned trials into models.

Event in: TrialAssigned (work), RelationBatch, CandidateBatch and Answer of train and validation (views), DataVersion,
Tick. Event out: ModelPublished, TrialFinished, TrialProgress.
Trainers are a consumer group: each is a device that trains the trials of its partitions, and one that dies leaves them
to the others, which begin its trial again. A trial trains on the first ``train_rows`` rows that came, at the most
probable of what candidates and answers say of them when it begins, with the seed of its own name, in a process of its
own; the model file is content-addressed, so repeating a trial repeats its result (Li et al., PVLDB 2018, section 3).
It waits (Busy) for a store that cannot be written, and up to a minute for rows that are announced but not here. A
training that fails is a TrialFinished with its error; so is one that a newer version makes pointless, which is stopped.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import socket
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from easeml.artifacts import FORMAT
from easeml.automl import trial as work
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

PATIENCE = 60.0
"""Seconds that a trial waits for announced rows: they were on the broker before it, so only a lag explains it."""


BEAT = 10
"""Ticks between two signs of life of a trial."""
REMEMBERED = 64
"""Ended trials that an app's state names: an assignment may be repeated after a crash of the scheduler."""


@dataclass
class TrainerState:
    """What the trainer must remember of an app: its last ended trials, oldest first."""

    ended: list[str] = field(default_factory=list)


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
    """

    name = "trainer"

    def __init__(self, store_uri: str, max_artifact_bytes: int, device: str = "trainer") -> None:
        self._store = (store_uri, max_artifact_bytes)
        self._device = device
        self._rows = PillarViews(Pillar.TRAIN, Pillar.VALIDATION)
        self._announced: dict[str, int] = {}
        self._running: dict[str, Running] = {}
        self._stops = tempfile.TemporaryDirectory(prefix="easeml-trials-")
        self._begun = itertools.count()
        self._now = 0.0

    def table(self) -> tuple[On[TrainerState], ...]:
        return (
            On(DATA_TRAIN, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(DATA_VALIDATION, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(CANDIDATES, CandidateBatch, fold=self._rows.fold),
            On(ANSWERS, Answer, fold=self._rows.fold),
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
        return Packed({"ended": state.ended}, {})

    def unpack(self, app: str, packed: Packed) -> TrainerState:
        del app
        return TrainerState(list(packed.document["ended"]))

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
        if lacking > 0 and self._now <= event.time + PATIENCE:
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
        return Job(work.run, (*arguments, str(stop)))

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
        yield Output(
            MODELS,
            ModelPublished(
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
            ),
        )
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
    run(TrainerService(settings.store_uri, settings.max_artifact_bytes, device), settings)


if __name__ == "__main__":
    main()
