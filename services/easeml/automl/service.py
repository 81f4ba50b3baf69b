"""AutoML: decides which app trains which algorithm next.

Event in: DataVersion (train, validation), CandidateBatch and Answer (train), the trials of all apps, Tick. Event out:
TrialRequested, TrialAssigned; TrialFinished for a trial that is lost.
An app requests trials as soon as it has both pillars; a train pillar that grew by a fifth, or of which a fifth as many
cells were proposed or settled as it has rows, begins a new round at its next version, and a new algorithm joins the
running one at the next tick. One scheduler (Li et al., PVLDB 2018) gives each free device to the app that gains most
(``house``); what was decided counts once it is read back from the topic, whoever wrote it.
A trial without a sign of life of its trainer for the length of its lease is lost, which counts as failed; its late
result counts all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from easeml.automl.house import House, Proposal
from easeml.automl.ledger import positive
from easeml.automl.limits import CPU_SECONDS, MEMORY
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
    TrialProgress,
    TrialRequested,
)
from easeml.stream.service import Context, On, Packed, Service
from easeml.stream.topics import ANSWERS, CANDIDATES, DATA_VERSIONS, TICKS, TRIALS, Topic

LEASE_SECONDS = 120.0
GROWTH = 1.2
SETTLED = 0.2
"""Cells of the train pillar, per row, that candidates or answers must speak about for a new round."""


@dataclass
class Lease:
    """A trial that has not ended: its algorithm, and the first tick that saw it, in seconds since 1970 UTC."""

    algorithm: str
    since: float | None = None


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
    requested : list of str
        Algorithms of the newest request.
    leases : dict of str to Lease
        Trials not ended, by id; also those of earlier rounds.
    proposal : Proposal or None
        What a handler of this app decided last, for whichever app.
    """

    versions: dict[str, tuple[str, int]] = field(default_factory=dict)
    round: int = 0
    round_rows: int = 0
    round_cells: int = 0
    requested: list[str] = field(default_factory=list)
    leases: dict[str, Lease] = field(default_factory=dict)
    proposal: Proposal | None = None


class AutoMLService(Service[AutoMLState]):
    """Requests and assigns trials.

    Parameters
    ----------
    policy : str
        Policy of the scheduler.
    """

    name = "automl"

    def __init__(self, policy: str = "hybrid") -> None:
        self._house = House(policy)

    def table(self) -> tuple[On[AutoMLState], ...]:
        return (
            On(DATA_VERSIONS, DataVersion, handle=self._version),
            On(CANDIDATES, CandidateBatch, handle=self._proposed),
            On(ANSWERS, Answer, handle=self._answered),
            On(TRIALS, TrialRequested, fold=self._house.fold, handle=self._requested),
            On(TRIALS, TrialAssigned, fold=self._house.fold, handle=self._assigned),
            On(TRIALS, TrialProgress, fold=self._house.fold),
            On(TRIALS, TrialFinished, fold=self._house.fold, handle=self._finished),
            On(TICKS, Tick, handle=self._tick),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (TRIALS,)

    def new_state(self, app: str) -> AutoMLState:
        self._house.remember(app, None)
        return AutoMLState()

    def pack(self, state: AutoMLState) -> Packed:
        return Packed(asdict(state) | {"proposal": state.proposal and list(state.proposal)}, {})

    def unpack(self, app: str, packed: Packed) -> AutoMLState:
        document = dict(packed.document)
        document["versions"] = {pillar: (name, rows) for pillar, (name, rows) in document["versions"].items()}
        document["leases"] = {trial: Lease(**lease) for trial, lease in document["leases"].items()}
        document["proposal"] = document["proposal"] and Proposal(*document["proposal"])
        self._house.remember(app, document["proposal"])
        return AutoMLState(**document)

    def forget(self, app: str) -> None:
        self._house.forget(app)

    # -- what begins a round -------------------------------------------------------------------------------------

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
        if state.versions.get(version.pillar) == (version.version, version.rows):
            return ()
        state.versions[version.pillar] = (version.version, version.rows)
        if Pillar.TRAIN not in state.versions or Pillar.VALIDATION not in state.versions:
            return ()
        rows = state.versions[Pillar.TRAIN][1]
        known = state.round_cells > SETTLED * state.round_rows
        if not state.round or known or supersedes(rows, state.round_rows):
            state.round += 1
            state.round_rows = rows
            state.round_cells = 0
        return self._request(state, ctx)

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

    @staticmethod
    def _request(state: AutoMLState, ctx: Context) -> tuple[Output, ...]:
        state.requested = list(ctx.algorithms)
        version, rows = state.versions[Pillar.TRAIN]
        asked = TrialRequested(
            app=ctx.app.app,
            round=state.round,
            data_version=version,
            train_rows=rows,
            validation_rows=state.versions[Pillar.VALIDATION][1],
            priority=positive(ctx.app.priority),
            costs={name: positive(algorithm.cost_hint) for name, algorithm in ctx.algorithms.items()},
        )
        return (Output(TRIALS, asked),)

    # -- what happens to trials ----------------------------------------------------------------------------------

    def _requested(self, state: AutoMLState, event: Event[TrialRequested], ctx: Context) -> Iterable[Output]:
        return self._decide(state, event.app, ctx)

    def _assigned(self, state: AutoMLState, event: Event[TrialAssigned], ctx: Context) -> Iterable[Output]:
        if not self._house.over(event.app, event.data.trial):
            state.leases.setdefault(event.data.trial, Lease(event.data.algorithm))
        return self._decide(state, event.app, ctx)

    def _finished(self, state: AutoMLState, event: Event[TrialFinished], ctx: Context) -> Iterable[Output]:
        state.leases.pop(event.data.trial, None)
        return self._decide(state, event.app, ctx)

    def _tick(self, state: AutoMLState, event: Event[Tick], ctx: Context) -> Iterable[Output]:
        if state.round and list(ctx.algorithms) != state.requested:
            yield from self._request(state, ctx)
        heard = self._house.heard(event.partition)
        for trial, lease in list(state.leases.items()):
            if lease.since is None:
                lease.since = ctx.now
            elif ctx.now > max(lease.since, heard) + LEASE_SECONDS:
                del state.leases[trial]
                yield Output(TRIALS, _lost(event.app, trial, lease.algorithm))
        yield from self._decide(state, event.app, ctx)

    def _decide(self, state: AutoMLState, app: str, ctx: Context) -> Iterable[Output]:
        decision = self._house.decide()
        if decision is None:
            return
        choice, asked = decision.choice, decision.request
        # One that nobody announced fails in the trainer, which says so.
        algorithm = ctx.algorithms.get(choice.algorithm) or AlgorithmAnnounced(choice.algorithm, choice.algorithm)
        state.proposal = decision.proposal
        self._house.remember(app, decision.proposal)
        yield Output(
            TRIALS,
            TrialAssigned(
                app=choice.app,
                trial=EventId.derive("trial", choice.app, asked.round, choice.algorithm),
                algorithm=choice.algorithm,
                family=algorithm.family,
                parameters=algorithm.parameters,
                device=choice.device,
                lease_seconds=LEASE_SECONDS,
                data_version=asked.data_version,
                train_rows=asked.train_rows,
                validation_rows=asked.validation_rows,
                round=asked.round,
                turn=decision.turn,
                seen=decision.seen,
                cpu_seconds=CPU_SECONDS,
                memory_bytes=MEMORY,
            ),
        )


def supersedes(rows: int, trained_on: int) -> bool:
    """Return whether a version with so many rows makes what was trained on an earlier one worthless.

    >>> supersedes(120, 100), supersedes(119, 100)
    (True, False)
    """
    return rows >= GROWTH * trained_on


def _lost(app: str, trial: str, algorithm: str) -> TrialFinished:
    return TrialFinished(
        app=app,
        trial=trial,
        algorithm=algorithm,
        outcome=TrialOutcome.FAILED,
        quality=float("nan"),
        cost_seconds=0.0,
        error=f"{algorithm}: the lease ended without a sign of life. Is a trainer running ('easeml status')?",
    )
