"""CI verdicts, test sets and ModelPicker's picks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from easeml.stream.payloads.arrays import F64, floats


class VerdictOutcome(StrEnum):
    """Three-valued verdict on a condition."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The one bit that developers see."""

    app: str  #: name of the app
    model: str  #: model judged
    signal: bool  #: true: the model may be deployed
    guaranteed: bool  #: false: the first model, which became the baseline without a test
    baseline: str | None = None  #: model it was compared with


@dataclass(frozen=True, slots=True)
class ClauseFound:
    """What a verdict found out about one clause of the condition."""

    clause: str  #: the clause
    truth: str  #: true, false or unknown
    low: float  #: low end of the interval of its expression; NaN: no label was looked at for it
    high: float  #: high end


@dataclass(frozen=True, slots=True)
class VerdictDetail:
    """Everything about a verdict; restricted, for the owner of the test set."""

    app: str  #: name of the app
    model: str  #: model judged
    baseline: str | None  #: model it was compared with
    outcome: VerdictOutcome  #: passed, failed or undecided
    signal: bool  #: the bit released
    condition: str  #: condition tested
    epoch: int  #: test set epoch
    labels_used: int  #: labels newly bought for this verdict
    labels_reused: int  #: labels reused from earlier verdicts
    histories_left: float  #: steps left on this test set
    alarm: str | None = None  #: steps_exhausted, first_change, passes_exhausted or labels_exhausted
    clauses: tuple[ClauseFound, ...] = ()  #: each clause of the condition, in its order
    intervals: F64 = floats()  #: low and high of n, o, d


@dataclass(frozen=True, slots=True)
class TestSetNeeded:
    """A (new) test set of this size is needed."""

    __test__ = False  # pytest collects classes by this prefix

    app: str  #: name of the app
    epoch: int  #: test set epoch it would open
    examples: int  #: examples the plan asks for
    reason: str  #: why, for people


@dataclass(frozen=True, slots=True)
class TestSetOpened:
    """A test set epoch begins with these rows."""

    __test__ = False

    app: str  #: name of the app
    epoch: int  #: test set epoch
    examples: int  #: examples registered
    planned: int  #: labels the plan asks for at worst
    steps: int  #: models it may judge


@dataclass(frozen=True, slots=True)
class TestSetExhausted:
    """The test set is worn out; its rows may be released as development data."""

    __test__ = False

    app: str  #: name of the app
    epoch: int  #: test set epoch
    reason: str  #: steps_exhausted, first_change, passes_exhausted or condition_changed


@dataclass(frozen=True, slots=True)
class MeterReading:
    """The overfitting meter after one step: how far validation and test accuracy of a model lie apart."""

    app: str  #: name of the app
    epoch: int  #: test set epoch
    model: str  #: model of this step
    step: int  #: steps of the meter so far, this one included
    level: int  #: range shown, from 0; it never falls
    low: float  #: lower end of the range
    high: float  #: upper end of the range
    at_most: float  #: what the true distance does not exceed, with the app's reliability over all steps


@dataclass(frozen=True, slots=True)
class ModelPicked:
    """The best model now."""

    app: str  #: name of the app
    model: str  #: model served from here on
    labels_used: int  #: answers used so far
    rows_seen: int  #: production rows seen so far
    drift: bool  #: true: the pick follows a drift alarm
    period: int  #: picks so far, this one included
    posterior: dict[str, float] = field(default_factory=dict)  #: belief per candidate model, sums to 1
