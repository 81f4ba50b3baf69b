"""The trainer: turns assigned trials into models.

Event in: TrialAssigned (work), RelationBatch, CandidateBatch and Answer of train and validation (views), Tick. Event
out: ModelPublished, TrialFinished.
A trial trains on the first ``train_rows`` rows that came, at the most probable of what candidates and answers say of
them when it begins, with the seed of its own name, in a worker process; the model file is content-addressed, so
repeating a trial repeats its result (Li et al., PVLDB 2018, section 3).
It waits (Busy) for a store that cannot be written, and up to a minute for rows that are announced but not here. A
training that fails is a TrialFinished with its error.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from easeml.artifacts import FORMAT
from easeml.automl import trial as work
from easeml.errors import Busy
from easeml.ids import ModelId
from easeml.relation.pillar_views import PillarViews
from easeml.stream.events import Event, Output
from easeml.stream.payloads import (
    Answer,
    CandidateBatch,
    ModelPublished,
    Pillar,
    RelationBatch,
    Tick,
    TrialAssigned,
    TrialFinished,
    TrialOutcome,
)
from easeml.stream.service import Context, Job, On, Packed, Service
from easeml.stream.settings import Settings
from easeml.stream.topics import (
    ANSWERS,
    CANDIDATES,
    DATA_TRAIN,
    DATA_VALIDATION,
    MODELS,
    TICKS,
    TRIALS,
    Topic,
)

PATIENCE = 60.0
"""Seconds that a trial waits for announced rows: they were on the broker before it, so only a lag explains it."""


class TrainerService(Service[None]):
    """Trains what the scheduler assigns; keeps no state of its own.

    Parameters
    ----------
    store_uri : str
        Artifact store that the models go to.
    max_artifact_bytes : int
        Larger models are refused.
    """

    name = "trainer"

    def __init__(self, store_uri: str, max_artifact_bytes: int) -> None:
        self._store = (store_uri, max_artifact_bytes)
        self._rows = PillarViews(Pillar.TRAIN, Pillar.VALIDATION)
        self._now = 0.0

    def table(self) -> tuple[On[None], ...]:
        return (
            On(DATA_TRAIN, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(DATA_VALIDATION, RelationBatch, fold=self._rows.fold, handle=self._rows.judge),
            On(CANDIDATES, CandidateBatch, fold=self._rows.fold),
            On(ANSWERS, Answer, fold=self._rows.fold),
            On(TICKS, Tick, fold=self._ticked),
            On(TRIALS, TrialAssigned, prepare=self._prepare, handle=self._finish),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (MODELS, TRIALS)

    def new_state(self, app: str) -> None:
        del app

    def pack(self, state: None) -> Packed:
        del state
        return Packed({}, {})

    def unpack(self, app: str, packed: Packed) -> None:
        del app, packed

    def forget(self, app: str) -> None:
        self._rows.forget(app)

    def _ticked(self, event: Event[Tick]) -> None:
        self._now = max(self._now, event.time)

    def _prepare(self, state: None, event: Event[TrialAssigned], ctx: Context) -> Job:
        del state
        trial = event.data
        train, validation = (self._rows.of(event.app, pillar) for pillar in (Pillar.TRAIN, Pillar.VALIDATION))
        lacking = max(trial.train_rows - train.count(ctx.app), trial.validation_rows - validation.count(ctx.app))
        if lacking > 0 and self._now <= event.time + PATIENCE:
            raise Busy(f"Trial {trial.trial} of {trial.app} waits for {lacking} rows that were announced.")
        if lacking > 0:
            # Rows that were refused never come; waiting for ever would hold up every app of the partition.
            return Job(work.refuse, (trial, lacking))
        return Job(
            work.run,
            (
                trial,
                work.learnable(trial, train.first(ctx.app, trial.train_rows)),
                work.labelled(validation.first(ctx.app, trial.validation_rows)),
                ctx.app.columns,
                ctx.app.classes,
                self._store,
            ),
        )

    def _finish(self, state: None, event: Event[TrialAssigned], ctx: Context) -> Iterable[Output]:
        del state
        trial, result = event.data, ctx.result
        assert isinstance(result, work.Result)
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
    run(TrainerService(settings.store_uri, settings.max_artifact_bytes), settings)


if __name__ == "__main__":
    main()
