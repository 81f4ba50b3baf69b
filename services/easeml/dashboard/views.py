"""What the dashboard remembers of one app: folded state, never the messages themselves.

Topics are read in no particular order among each other, and every event may come twice. So whatever is kept is kept
by its identity or by when it was recorded, and a fold never asks what came before.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from easeml.labels.queue import MAX_OPEN
from easeml.stream.events import Event
from easeml.stream.payloads import (
    Advice,
    Answer,
    AppDefined,
    Budget,
    CandidateBatch,
    CleaningReport,
    DataVersion,
    FeasibilityReport,
    MeterReading,
    ModelPicked,
    ModelPublished,
    ModelRetired,
    Pillar,
    Question,
    TestSetExhausted,
    TestSetNeeded,
    TestSetOpened,
    TrialAssigned,
    TrialFinished,
    TrialOutcome,
    ValuesReport,
    Verdict,
    VerdictDetail,
)

DATA, FEASIBILITY, CLEANING, VALUES = "data", "feasibility", "cleaning", "values"
QUESTIONS, MODELS, CI, PICKER, ADVICE, APP = "questions", "models", "ci", "picker", "advice", "app"
_HISTORY = 500
"""Points of a history that are kept: more than a chart of a few hundred pixels shows."""
_NAMES = 20_000
"""Answers or trials that are known by name; of older ones only the counts are left."""
_MODELS = 5_000
_EPOCHS = 100
_LONGEST = 1000


@dataclass(slots=True)
class Model:
    """One model of the stream.

    Parameters
    ----------
    published : ModelPublished or None
        None: only others spoke of it so far.
    recorded : float
        When it was published, seconds since 1970 UTC.
    """

    published: ModelPublished | None = None
    recorded: float = 0.0
    retired: str | None = None
    verdict: Verdict | None = None
    judged: float = 0.0
    detail: VerdictDetail | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """An open question.

    Parameters
    ----------
    bits : float
        Information of its answer.
    rate : float
        The same per label that it costs: what the label service ranks by.
    expires : float
        Seconds since 1970 UTC; infinity: never.
    row_id, column : str
        The cell it is about; no column: the label.
    """

    bits: float
    rate: float
    expires: float
    row_id: str
    column: str | None


@dataclass(slots=True)
class Asked:
    """What an asker has asked.

    Parameters
    ----------
    open : dict of str to Open
        By the name of the question; of very many those that tell most, as the label service withdraws the others.
    answered : dict of str to float or None
        Bits of each answered question; None: its question did not come yet.
    older, older_bits : int, float
        Count and bits of answers that are not known by name any more.
    """

    open: dict[str, Open] = field(default_factory=dict)
    answered: dict[str, float | None] = field(default_factory=dict)
    older: int = 0
    older_bits: float = 0.0

    def ask(self, data: Question, now: float) -> None:
        """Take a question in."""
        if data.question in self.answered:
            self.answered[data.question] = data.information_gain
            return
        bits, expires = data.information_gain, math.inf if data.expires_at is None else data.expires_at
        self.open[data.question] = Open(bits, bits / data.cost, expires, data.row_id, data.column)
        if len(self.open) > 2 * MAX_OPEN:
            lasting = ((name, one) for name, one in self.open.items() if one.expires > now)
            self.open = dict(sorted(lasting, key=lambda known: (-known[1].rate, known[0]))[:MAX_OPEN])

    def answer(self, data: Answer) -> None:
        """Take an answer in."""
        asked = self.open.pop(data.question, None)
        self.answered[data.question] = self.answered.get(data.question) if asked is None else asked.bits
        while len(self.answered) > _NAMES:
            gone = self.answered.pop(next(iter(self.answered)))
            self.older, self.older_bits = self.older + 1, self.older_bits + (gone or 0.0)

    def waiting(self, now: float) -> int:
        """Return the number of open questions that have not expired."""
        return min(MAX_OPEN, sum(question.expires > now for question in self.open.values()))

    @property
    def answers(self) -> int:
        """Answers so far."""
        return self.older + len(self.answered)

    @property
    def bits(self) -> float:
        """Information of the answers so far, in bits."""
        return self.older_bits + sum(bits or 0.0 for bits in self.answered.values())


@dataclass(slots=True)
class TestSet:
    """One epoch of the test set."""

    __test__ = False  # pytest collects classes by this prefix

    opened: TestSetOpened | None = None
    exhausted: TestSetExhausted | None = None
    readings: dict[int, MeterReading] = field(default_factory=dict)
    since: float = 0.0


@dataclass(slots=True)
class Trials:
    """Training runs of an app."""

    running: dict[str, str] = field(default_factory=dict)
    ended: dict[str, None] = field(default_factory=dict)
    failures: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=20))


@dataclass(slots=True)
class Older:
    """Counts of what is not known by name any more."""

    models: int = 0
    judged: int = 0
    passed: int = 0

    def judge(self, model: Model) -> None:
        """Count the verdict on a model that is forgotten."""
        if model.verdict is not None:
            self.judged += 1
            self.passed += model.verdict.signal


@dataclass
class AppView:
    """State of one app.

    Parameters
    ----------
    app : AppDefined
        Its definition now.
    models : dict of str to Model
        Those that were published, the newest thousands.
    rumours : dict of str to Model
        Those of which only others spoke: their topic is read later, or they were forgotten.
    """

    app: AppDefined
    versions: dict[Pillar, tuple[float, DataVersion]] = field(default_factory=dict)
    feasibility: tuple[float, FeasibilityReport] | None = None
    cleaning: tuple[float, CleaningReport] | None = None
    values: tuple[float, ValuesReport] | None = None
    models: dict[str, Model] = field(default_factory=dict)
    rumours: dict[str, Model] = field(default_factory=dict)
    older: Older = field(default_factory=Older)
    trials: Trials = field(default_factory=Trials)
    testsets: dict[int, TestSet] = field(default_factory=dict)
    needed: tuple[float, TestSetNeeded] | None = None
    picks: dict[int, tuple[float, ModelPicked]] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    budgets: dict[str, Budget] = field(default_factory=dict)
    advice: tuple[float, Advice] | None = None
    editions: Counter[Pillar] = field(default_factory=Counter)  #: changes of the rows: new ones, candidates, answers

    def fold(self, event: Event[Any]) -> str | None:
        """Take an event in; return the part that may have changed, or None."""
        data, at = event.data, event.recorded
        match data:
            case AppDefined():
                self.app = data
                return APP
            case DataVersion():
                self._version(at, data)
                self.editions[data.pillar] += 1
                return DATA
            case CandidateBatch():
                self.editions[data.pillar] += 1
                return DATA
            case FeasibilityReport():
                self.feasibility = _newer(self.feasibility, at, data)
                return FEASIBILITY
            case CleaningReport():
                self.cleaning = _newer(self.cleaning, at, data)
                return CLEANING
            case ValuesReport():
                if data.final or self.values is None:
                    self.values = _newer(self.values, at, data)
                return VALUES
            case Advice():
                self.advice = _newer(self.advice, at, data)
                return ADVICE
            case ModelPicked():
                self.picks[data.period] = (at, data)
                _shorten(self.picks, _HISTORY)
                return PICKER
            case Question() | Answer() | Budget():
                return self._human(at, data)
        return self._learning(at, data)

    def _version(self, at: float, data: DataVersion) -> None:
        known = self.versions.get(data.pillar)
        if known is None or at >= known[0]:
            self.versions[data.pillar] = (at, data)

    def _human(self, at: float, data: Question | Answer | Budget) -> str:
        if isinstance(data, Budget):
            self.budgets[data.asker] = data
            return QUESTIONS
        asked = self.asked.setdefault(data.asked_by, Asked())
        if isinstance(data, Question):
            asked.ask(data, at)
        else:
            asked.answer(data)
            self.editions[data.pillar] += 1
        return QUESTIONS

    def _learning(self, at: float, data: Any) -> str | None:
        match data:
            case ModelPublished():
                self._published(at, data)
            case ModelRetired():
                self._model(data.model).retired = data.reason
            case TrialAssigned():
                if data.trial not in self.trials.ended:
                    self.trials.running[data.trial] = data.algorithm
                    _shorten(self.trials.running, _NAMES)
            case TrialFinished():
                self._ended(at, data)
            case Verdict():
                model = self._model(data.model)
                model.verdict, model.judged = data, at
                return CI
            case VerdictDetail():
                self._model(data.model).detail = data
                return CI
            case TestSetNeeded():
                self.needed = _newer(self.needed, at, data)
                return CI
            case TestSetOpened() | TestSetExhausted() | MeterReading():
                self._testset(at, data)
                return CI
            case _:
                return None
        return MODELS

    def _published(self, at: float, data: ModelPublished) -> None:
        model = self.models.setdefault(data.model, self.rumours.pop(data.model, Model()))
        model.published, model.recorded = data, at
        for gone in _shorten(self.models, _MODELS):
            self.older.models += 1
            self.older.judge(gone)

    def _model(self, name: str) -> Model:
        if name in self.models:
            return self.models[name]
        model = self.rumours.setdefault(name, Model())
        for gone in _shorten(self.rumours, _MODELS):
            self.older.judge(gone)
        return model

    def _ended(self, at: float, data: TrialFinished) -> None:
        new = data.trial not in self.trials.ended
        self.trials.ended[data.trial] = None
        _shorten(self.trials.ended, _NAMES)
        self.trials.running.pop(data.trial, None)
        if new and data.outcome is TrialOutcome.FAILED:
            self.trials.failures.append((at, data.algorithm, (data.error or "")[:_LONGEST]))

    def _testset(self, at: float, data: TestSetOpened | TestSetExhausted | MeterReading) -> None:
        epoch = self.testsets.setdefault(data.epoch, TestSet())
        while len(self.testsets) > _EPOCHS:
            del self.testsets[min(self.testsets)]
        if isinstance(data, TestSetOpened):
            epoch.opened, epoch.since = data, at
        elif isinstance(data, MeterReading):
            epoch.readings[data.step] = data
            _shorten(epoch.readings, _HISTORY)
        else:
            epoch.exhausted = data

    # -- what several pages ask ------------------------------------------------------------------------------------

    @property
    def rows(self) -> dict[Pillar, int]:
        """Rows per pillar, in the order of the pillars."""
        return {pillar: self.versions[pillar][1].rows for pillar in Pillar if pillar in self.versions}

    @property
    def published(self) -> list[tuple[str, Model, ModelPublished]]:
        """Models that were published, in the order in which they were."""
        known = [(name, model, model.published) for name, model in self.models.items() if model.published is not None]
        return sorted(known, key=lambda one: (one[1].recorded, one[0]))

    @property
    def model_count(self) -> int:
        """Models published so far."""
        return self.older.models + len(self.models)

    @property
    def spoken_of(self) -> list[Model]:
        """All models that are known by name, published or not."""
        return [*self.models.values(), *self.rumours.values()]

    @property
    def judged(self) -> tuple[int, int]:
        """How many models have a verdict, and how many of them passed."""
        found = [model.verdict for model in self.spoken_of if model.verdict is not None]
        return self.older.judged + len(found), self.older.passed + sum(verdict.signal for verdict in found)

    @property
    def pick(self) -> tuple[float, ModelPicked] | None:
        """The newest pick and when it was made."""
        return self.picks[max(self.picks)] if self.picks else None

    @property
    def testset(self) -> tuple[int, TestSet] | None:
        """The newest epoch of the test set."""
        return max(self.testsets.items()) if self.testsets else None

    def asks(self, question: str) -> bool:
        """Whether a question, open or answered, is known here: those about test rows are not."""
        return any(question in asked.open or question in asked.answered for asked in self.asked.values())

    def open_about(self, row_ids: AbstractSet[str], now: float) -> dict[tuple[str, str | None], str]:
        """Return the open question about each cell of some rows, by row and column; None stands for the label."""
        return {
            (question.row_id, question.column): name
            for asked in self.asked.values()
            for name, question in asked.open.items()
            if question.row_id in row_ids and question.expires > now
        }

    def waits_for_test_rows(self) -> TestSetNeeded | None:
        """Return what CI said it needs, when nothing has come since."""
        if self.needed is None:
            return None
        at, needed = self.needed
        newest = self.versions.get(Pillar.TEST)
        opened = self.testset
        answered = (newest is not None and newest[0] > at) or (opened is not None and opened[1].since > at)
        return None if answered else needed


def accuracy(model: ModelPublished) -> float | None:
    """Return the validation accuracy of a model; None: it is not known."""
    found = model.metrics.get("accuracy", math.nan)
    return found if math.isfinite(found) else None


def _newer(known: tuple[float, Any] | None, at: float, data: Any) -> tuple[float, Any]:
    return (at, data) if known is None or at >= known[0] else known


def _shorten(history: dict[Any, Any], most: int) -> list[Any]:
    """Forget what came first, and return it."""
    return [history.pop(next(iter(history))) for _ in range(len(history) - most)]
