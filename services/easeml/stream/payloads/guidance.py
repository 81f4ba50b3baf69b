"""What is believed about an app's data, and what the Advisor says to do next."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from easeml.stream.payloads.arrays import F64, I32, floats, ints


class FeasibilitySignal(StrEnum):
    """Three-valued belief about a target accuracy."""

    REALISTIC = "realistic"
    UNDECIDED = "undecided"
    UNREALISTIC = "unrealistic"


class ArmState(StrEnum):
    """How far a transformation has come."""

    WAITING = "waiting"
    RUNNING = "running"
    DROPPED = "dropped"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class ArmProgress:
    """One transformation of the features and how far it has come."""

    transformation: str  #: name of the transformation
    state: ArmState  #: waiting, running, dropped or done
    share: float  #: share of the rows read, in [0, 1]
    error: float  #: its nearest-neighbour error so far; NaN before the first row


@dataclass(frozen=True, slots=True)
class FeasibilityReport:
    """Whether the target accuracy is realistic on the data as they are: a belief, not a guarantee."""

    app: str  #: name of the app
    version: str  #: version of the train pillar studied
    rows: int  #: labelled rows studied; rows there are, while none is read
    final: bool  #: true: every transformation is done or dropped
    target_accuracy: float  #: accuracy asked for, in (0, 1)
    signal: FeasibilitySignal  #: realistic, undecided or unrealistic
    bayes_error: float  #: estimated Bayes error
    bayes_error_upper: float  #: nearest-neighbour error of the best transformation, an upper bound
    interval_low: float  #: low end of the 90 % interval of the estimate
    interval_high: float  #: high end of it
    best_transformation: str  #: transformation of the estimate
    distinct_row_ratio: float  #: share of rows that are no duplicates
    begun_at: float  #: when the study began, seconds since 1970 UTC; its reports have it in common
    floor: float | None = None  #: error that more rows of this kind approach; null: not known
    samples_needed: int | None = None  #: rows that reach the target; null: never, or not known
    clean_bayes_error: float | None = None  #: Bayes error without label noise; null: no noise rate is known
    labels_to_clean: int | None = None  #: labels whose mending reaches the target; null: not known
    model_error: float | None = None  #: validation error of the best model so far
    arms: tuple[ArmProgress, ...] = ()  #: every transformation
    curve_arm: I32 = ints()  #: place in arms of each point of the convergence curves
    curve_rows: F64 = floats()  #: rows read at each point
    curve_error: F64 = floats()  #: error at each point


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """How far validation predictions depend on uncertain training rows, and what cleaning can reach: a belief."""

    app: str  #: name of the app
    version: str  #: version of the train pillar studied
    final: bool  #: false: a study is under way; what it has not found yet is 0 or null
    begun_at: float  #: when the study began, seconds since 1970 UTC; its reports have it in common
    rows: int  #: training rows studied
    uncertain_rows: int  #: those of them with several candidates
    answers: int  #: answers about training rows so far
    outside: int  #: those of them that named a value which was no candidate
    validation_rows: int = 0  #: labelled validation rows predicted
    certain: int = 0  #: those of them whose prediction no cleaning can change
    entropy: float = 0.0  #: mean entropy of a prediction, bits
    expected: float | None = None  #: expected validation accuracy over the possible worlds; null: not known
    potential: float | None = None  #: validation accuracy that cleaning can reach, a belief; null: not known


@dataclass(frozen=True, slots=True)
class ValuesReport:
    """What the pool is worth, how accuracy grows with rows, and which training rows do harm."""

    app: str  #: name of the app
    version: str  #: version of the train pillar studied
    final: bool  #: false: a study begins, its figures are not there yet
    begun_at: float  #: when the study began, seconds since 1970 UTC; its reports have it in common
    rows: int  #: labelled training rows studied
    pool_rows: int  #: pool rows without a label
    validation_rows: int = 0  #: labelled validation rows
    spent: float = 0.0  #: price of answered and open questions, in labels
    value_trust: float = 0.0  #: how far predicted values could be trusted, in [0, 1]; near 0: all rows are alike
    resemblance_trust: float = 0.0  #: how far the pool's likeness to validation rows could be trusted, in [0, 1]
    harm: float = 0.0  #: value of all harmful rows together, in accuracy; not above 0
    harmful_rows: tuple[str, ...] = ()  #: training rows of negative value, the most harmful first; at most 100
    suggested: tuple[str, ...] = ()  #: class with which each of them would be worth most
    valuable_rows: tuple[str, ...] = ()  #: pool rows of the highest predicted value, best first; at most 100
    harmful_values: F64 = floats()  #: Shapley value of each harmful row, in accuracy
    valuable_values: F64 = floats()  #: predicted Shapley value of each valuable row
    curve_rows: F64 = floats()  #: numbers of labelled rows; beyond `rows` the pool is counted in
    curve_accuracy: F64 = floats()  #: nearest-neighbour accuracy expected at each


class AdvicePhase(StrEnum):
    """What the advice follows from."""

    DATA = "data"
    PRODUCTION = "production"


class AdviceAction(StrEnum):
    """What to do next."""

    CLEAN = "clean"
    RELABEL = "relabel"
    LABEL = "label"
    COLLECT = "collect"
    TRAIN = "train"
    ADAPT = "adapt"
    RELAX_TARGET = "relax_target"
    NEW_TEST_SET = "new_test_set"
    WAIT = "wait"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class AdviceStep:
    """One thing to do, what it is expected to bring and what it costs."""

    action: AdviceAction  #: what to do
    title: str  #: the step in one line
    reason: str  #: why, for people
    gain: float  #: expected gain in accuracy
    gain_low: float  #: low end of its 90 % interval
    gain_high: float  #: high end of it
    cost_labels: float  #: answers of people it takes
    cost_minutes: float  #: minutes of machines or people it takes
    count: int | None = None  #: how many rows to clean, label or collect
    target: float | None = None  #: accuracy to relax the target to
    condition: str = ""  #: rows concerned, as a condition on columns; empty: all
    columns: tuple[str, ...] = ()  #: columns concerned
    rows: tuple[str, ...] = ()  #: rows concerned, the most urgent first
    evidence: dict[str, float] = field(default_factory=dict)  #: figures it rests on, by name


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do next, the best step first."""

    app: str  #: name of the app
    phase: AdvicePhase  #: after the feasibility study, or after production mistakes
    version: str  #: newest version of the train pillar it rests on
    model: str | None = None  #: served model it speaks about
    events: tuple[str, ...] = ()  #: ids of the events it rests on
    steps: tuple[AdviceStep, ...] = ()  #: ranked steps
