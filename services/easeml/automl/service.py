"""AutoML: decides which algorithm each app trains next.

Event in: DataVersion (train, validation), CandidateBatch and Answer (train), TrialFinished, Tick. Event out:
TrialAssigned.
Within an app cost-aware GP-UCB over the announced algorithms (Li et al., PVLDB 2018); at most ``parallel`` trials at a
time. A train pillar that grew by a fifth, or of which a fifth as many cells were proposed or settled as it has rows,
starts a new round at its next version; a new algorithm joins the running one at the next tick.
A trial whose lease ends counts as failed; its late result counts all the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from easeml.automl.scheduler import Scheduler
from easeml.errors import Poison
from easeml.ids import EventId
from easeml.stream.events import Event, Output
from easeml.stream.payloads import (
    AlgorithmAnnounced,
    Answer,
    CandidateBatch,
    DataVersion,
    Pillar,
    Tick,
    TrialAssigned,
    TrialFinished,
    TrialOutcome,
)
from easeml.stream.service import Context, On, Packed, Service
from easeml.stream.topics import ANSWERS, CANDIDATES, DATA_VERSIONS, TICKS, TRIALS, Topic

LEASE_SECONDS = 900.0
GROWTH = 1.2
SETTLED = 0.2
"""Cells of the train pillar, per row, that candidates or answers must speak about for a new round."""


@dataclass
class Trial:
    """A trial that was assigned and has not ended."""

    algorithm: str
    round: int
    until: float  # end of its lease, seconds since 1970 UTC


@dataclass
class AutoMLState:
    """What AutoML knows about one app.

    Parameters
    ----------
    versions : dict of str to [str, int]
        Newest version and number of rows per pillar.
    round : int
        Rounds begun; 0: none.
    round_rows : int
        Train rows of the running round.
    round_cells : int
        Cells of the train pillar that candidates and answers spoke about since the round began.
    scheduler : Scheduler or None
        Of the running round.
    outstanding : dict of str to Trial
        Trials not ended, by id; also those of earlier rounds.
    expired : dict of str to Trial
        Trials whose lease ended; a late result still counts.
    """

    versions: dict[str, tuple[str, int]] = field(default_factory=dict)
    round: int = 0
    round_rows: int = 0
    round_cells: int = 0
    scheduler: Scheduler | None = None
    outstanding: dict[str, Trial] = field(default_factory=dict)
    expired: dict[str, Trial] = field(default_factory=dict)


class AutoMLService(Service[AutoMLState]):
    """Assigns trials.

    Parameters
    ----------
    parallel : int
        Trials of one app at a time.
    policy : str
        Policy of the scheduler.
    """

    name = "automl"

    def __init__(self, parallel: int = 2, policy: str = "hybrid") -> None:
        self._parallel = parallel
        self._policy = policy

    def table(self) -> tuple[On[AutoMLState], ...]:
        return (
            On(DATA_VERSIONS, DataVersion, handle=self._version),
            On(CANDIDATES, CandidateBatch, handle=self._proposed),
            On(ANSWERS, Answer, handle=self._answered),
            On(TRIALS, TrialFinished, handle=self._finished),
            On(TICKS, Tick, handle=self._tick),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (TRIALS,)

    def new_state(self, app: str) -> AutoMLState:
        del app
        return AutoMLState()

    def pack(self, state: AutoMLState) -> Packed:
        document = {
            "versions": {pillar: list(version) for pillar, version in state.versions.items()},
            "round": state.round,
            "round_rows": state.round_rows,
            "round_cells": state.round_cells,
            "scheduler": state.scheduler.state() if state.scheduler else None,
            "outstanding": {name: asdict(trial) for name, trial in state.outstanding.items()},
            "expired": {name: asdict(trial) for name, trial in state.expired.items()},
        }
        return Packed(document, {})

    def unpack(self, app: str, packed: Packed) -> AutoMLState:
        del app
        document = packed.document
        return AutoMLState(
            versions={pillar: (name, rows) for pillar, (name, rows) in document["versions"].items()},
            round=document["round"],
            round_rows=document["round_rows"],
            round_cells=document["round_cells"],
            scheduler=Scheduler.from_state(document["scheduler"]) if document["scheduler"] else None,
            outstanding={name: Trial(**trial) for name, trial in document["outstanding"].items()},
            expired={name: Trial(**trial) for name, trial in document["expired"].items()},
        )

    def _version(self, state: AutoMLState, event: Event[DataVersion], ctx: Context) -> Iterable[Output]:
        version = event.data
        if version.pillar not in (Pillar.TRAIN, Pillar.VALIDATION):
            return ()
        if version.rows < 1:
            raise Poison(
                f"Version {version.version!r} of {version.pillar} of {version.app} has {version.rows} rows.",
                mend="Announce a version after its rows.",
                reason="empty_version",
            )
        state.versions[version.pillar] = (version.version, version.rows)
        if Pillar.TRAIN not in state.versions or Pillar.VALIDATION not in state.versions:
            return ()
        rows = state.versions[Pillar.TRAIN][1]
        known = state.round_cells > SETTLED * state.round_rows
        if state.scheduler is None or known or rows >= GROWTH * state.round_rows:
            self._begin_round(state, event.app, rows, ctx)
        return self._assign(state, event.app, ctx)

    @staticmethod
    def _proposed(state: AutoMLState, event: Event[CandidateBatch], ctx: Context) -> Iterable[Output]:
        # Whether they fit is DataMagic's to judge: without a version after them they change nothing here.
        del ctx
        if event.data.pillar is Pillar.TRAIN:
            columns = event.data.column.tolist() or [0] * len(event.data.row)
            state.round_cells += len(set(zip(event.data.row.tolist(), columns, strict=False)))
        return ()

    @staticmethod
    def _answered(state: AutoMLState, event: Event[Answer], ctx: Context) -> Iterable[Output]:
        del ctx
        state.round_cells += event.data.pillar is Pillar.TRAIN
        return ()

    def _begin_round(self, state: AutoMLState, app: str, rows: int, ctx: Context) -> None:
        state.round += 1
        state.round_rows = rows
        state.round_cells = 0
        state.expired.clear()
        state.scheduler = Scheduler(
            list(ctx.algorithms),
            policy=self._policy,
            costs={name: _positive(algorithm.cost_hint) for name, algorithm in ctx.algorithms.items()},
            rng=ctx.rng,
        )
        state.scheduler.add_tenant(app, priority=_positive(ctx.app.priority))

    def _finished(self, state: AutoMLState, event: Event[TrialFinished], ctx: Context) -> Iterable[Output]:
        finished = event.data
        if finished.outcome is TrialOutcome.TRAINED:
            _check_result(finished)
        late = state.expired.pop(finished.trial, None)
        trial = state.outstanding.pop(finished.trial, late)
        if trial is None:
            return ()  # not assigned here
        if trial.round == state.round and state.scheduler is not None:
            if finished.outcome is TrialOutcome.TRAINED:
                state.scheduler.finish(event.app, trial.algorithm, finished.quality, finished.cost_seconds)
            elif late is None:
                state.scheduler.fail(event.app, trial.algorithm, finished.error or "")
        return self._assign(state, event.app, ctx)

    def _tick(self, state: AutoMLState, event: Event[Tick], ctx: Context) -> Iterable[Output]:
        del event
        if state.scheduler is None:
            return ()
        app = ctx.app.app
        for name in [name for name, algorithm in ctx.algorithms.items() if name not in state.scheduler.algorithms]:
            state.scheduler.add_algorithm(name, _positive(ctx.algorithms[name].cost_hint))
        for name, trial in list(state.outstanding.items()):
            if ctx.now > trial.until:
                state.expired[name] = state.outstanding.pop(name)
                if trial.round == state.round:
                    state.scheduler.fail(app, trial.algorithm, "The lease ended without a result.")
        return self._assign(state, app, ctx)

    def _assign(self, state: AutoMLState, app: str, ctx: Context) -> Iterable[Output]:
        outputs = []
        while state.scheduler is not None and len(state.outstanding) < self._parallel:
            choice = state.scheduler.next()
            if choice is None:
                break
            algorithm = ctx.algorithms[choice[1]]
            trial = EventId.derive("trial", app, state.round, algorithm.algorithm)
            state.outstanding[trial] = Trial(algorithm.algorithm, state.round, ctx.now + LEASE_SECONDS)
            outputs.append(Output(TRIALS, self._trial(state.versions, app, trial, algorithm)))
        return outputs

    @staticmethod
    def _trial(
        versions: Mapping[str, tuple[str, int]], app: str, trial: EventId, algorithm: AlgorithmAnnounced
    ) -> TrialAssigned:
        version, rows = versions[Pillar.TRAIN]
        return TrialAssigned(
            app=app,
            trial=trial,
            algorithm=algorithm.algorithm,
            family=algorithm.family,
            parameters=algorithm.parameters,
            device="",
            lease_seconds=LEASE_SECONDS,
            data_version=version,
            train_rows=rows,
            validation_rows=versions[Pillar.VALIDATION][1],
        )


def _positive(value: float) -> float:
    """Return an announced cost or priority; one that is no positive number counts as not given."""
    return value if 0 < value < math.inf else 1.0


def _check_result(finished: TrialFinished) -> None:
    # NaN fails the comparisons too.
    if not (0 <= finished.quality <= 1 and 0 <= finished.cost_seconds < math.inf):
        raise Poison(
            f"Trial {finished.trial} of {finished.app} has quality {finished.quality} and cost "
            f"{finished.cost_seconds} seconds.",
            mend="Quality is a validation accuracy in [0, 1], cost is finite and not negative.",
            reason="invalid_data",
        )
