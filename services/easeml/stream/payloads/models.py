"""Algorithms, trials, models and their predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from easeml.stream.payloads.arrays import F32, I32, floats32, ints
from easeml.stream.payloads.data import Pillar


@dataclass(frozen=True, slots=True)
class AlgorithmAnnounced:
    """A new algorithm: every tenant is reconsidered."""

    algorithm: str  #: identity of the algorithm
    family: str  #: pipeline family known to the trainers
    parameters: str = "{}"  #: JSON object of parameters of the family
    cost_hint: float = 1.0  #: expected CPU seconds on a small data set


@dataclass(frozen=True, slots=True)
class TrialRequested:
    """An app asks for trials on a version of its data; the newest request of an app counts."""

    app: str  #: name of the app
    round: int  #: counts the versions that made earlier results worthless, from 1
    data_version: str  #: version of the training data
    train_rows: int  #: training rows of that version
    validation_rows: int  #: validation rows
    priority: float  #: weighs the turns and gains of the app
    costs: dict[str, float]  #: algorithms to try, in the order of preference, and their expected CPU seconds


@dataclass(frozen=True, slots=True)
class TrialAssigned:
    """One algorithm is to be trained on one version of one app's data."""

    app: str  #: name of the app
    trial: str  #: identity of the trial
    algorithm: str  #: algorithm to train
    family: str  #: pipeline family
    parameters: str  #: JSON object of parameters of the family
    device: str  #: device believed to run it: the one that ran the last trial of the partition; empty: none did yet
    lease_seconds: float  #: seconds without a sign of life after which the trial counts as lost
    data_version: str  #: version of the training data
    train_rows: int  #: training rows the trainer must have seen
    validation_rows: int  #: validation rows the trainer must have seen
    round: int = 0  #: of the request that it answers
    turn: int = 0  #: number of the decision, from 1; 0: made by hand
    seen: dict[str, int] = field(default_factory=dict)  #: partition -> end of the trials that the decision knew
    cpu_seconds: float = 900.0  #: CPU seconds the training may take
    memory_bytes: int = 2 * 2**30  #: bytes the training may take beyond what its process holds


@dataclass(frozen=True, slots=True)
class TrialProgress:
    """A running trial lives."""

    app: str  #: name of the app
    trial: str  #: identity of the trial
    device: str  #: device that runs it
    fraction: float  #: share of its time limit that has passed, in [0, 1]


class TrialOutcome(StrEnum):
    """How a trial ended."""

    TRAINED = "trained"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial ended."""

    app: str  #: name of the app
    trial: str  #: identity of the trial
    algorithm: str  #: algorithm trained
    outcome: TrialOutcome  #: how it ended
    quality: float  #: validation accuracy; NaN when failed
    cost_seconds: float  #: CPU seconds spent
    model: str | None = None  #: model published
    error: str | None = None  #: what failed, where, how to mend it
    device: str = ""  #: device that ran it; empty: none did


@dataclass(frozen=True, slots=True)
class ModelPublished:
    """A model joins the stream of models."""

    app: str  #: name of the app
    model: str  #: identity of the model
    algorithm: str  #: algorithm that made it
    uri: str  #: where the artifact is; empty: an external model that publishes predictions
    sha256: str  #: digest of the artifact, hexadecimal
    size: int  #: bytes of the artifact
    format: str  #: skops, onnx or external
    columns: tuple[str, ...]  #: input columns, in order
    classes: tuple[str, ...]  #: output classes, in code order
    data_version: str  #: version of the training data
    origin: str  #: automl, adapted or external
    metrics: dict[str, float] = field(default_factory=dict)  #: validation metrics
    parents: tuple[str, ...] = ()  #: models it was derived from


@dataclass(frozen=True, slots=True)
class ModelRetired:
    """A model leaves the stream of models."""

    app: str  #: name of the app
    model: str  #: identity of the model
    reason: str  #: why


@dataclass(frozen=True, slots=True)
class PredictionBatch:
    """Predictions of one model for some rows."""

    app: str  #: name of the app
    model: str  #: identity of the model
    pillar: Pillar  #: pillar of the rows
    row_ids: tuple[str, ...]  #: rows predicted
    labels: I32 = ints()  #: predicted label code per row, -1: none
    probabilities: F32 = floats32()  #: rows x classes, row-major; empty: not given
