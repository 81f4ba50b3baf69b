"""What the demo saw on the stream: a consumer like any other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.stream.events import Event
from easeml.stream.payloads import (
    Answer,
    CleaningReport,
    ModelPicked,
    ModelPublished,
    Pillar,
    PredictionBatch,
    Question,
    TestSetExhausted,
    TrialAssigned,
    TrialFinished,
    ValuesReport,
    Verdict,
    VerdictDetail,
)
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import BY_NAME


@dataclass
class Record:
    """Everything that happened to one app, each event once."""

    app: str
    models: dict[str, ModelPublished] = field(default_factory=dict)
    trials: dict[str, TrialFinished] = field(default_factory=dict)
    assigned: set[str] = field(default_factory=set)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    details: dict[str, VerdictDetail] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    answer_events: int = 0
    cleaning_reports: list[CleaningReport] = field(default_factory=list)
    value_reports: list[ValuesReport] = field(default_factory=list)
    picks: list[ModelPicked] = field(default_factory=list)
    exhausted: bool = False
    predictions: dict[str, dict[str, int]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def add(self, event: Event[Any]) -> bool:
        """Take an event in; False when it was seen before or belongs to another app."""
        if event.app != self.app or event.id in self.seen:
            return False
        self.seen.add(event.id)
        data = event.data
        match data:
            case ModelPublished():
                self.models[data.model] = data
            case TrialAssigned():
                self.assigned.add(data.trial)
            case TrialFinished():
                self.trials[data.trial] = data
            case Verdict():
                self.verdicts[data.model] = data
            case VerdictDetail():
                self.details[data.model] = data
            case Question():
                self.questions[data.question] = data
            case Answer():
                self.answers[data.question] = data
                self.answer_events += 1
            case ModelPicked():
                self.picks.append(data)
            case CleaningReport(final=True):
                self.cleaning_reports.append(data)
            case ValuesReport(final=True):
                self.value_reports.append(data)
            case TestSetExhausted():
                self.exhausted = True
            case PredictionBatch(pillar=Pillar.PRODUCTION):
                self.predictions.setdefault(data.model, {}).update(zip(data.row_ids, data.labels.tolist(), strict=True))
        return True

    def asked(self, pillar: Pillar) -> set[str]:
        """Return the questions asked about rows of a pillar."""
        return {name for name, question in self.questions.items() if question.pillar is pillar}

    def answered(self, pillar: Pillar) -> set[str]:
        """Return the questions answered about rows of a pillar."""
        return {name for name, answer in self.answers.items() if answer.pillar is pillar}

    @property
    def passed(self) -> list[str]:
        """Models that passed, in the order of their verdicts."""
        return [model for model, verdict in self.verdicts.items() if verdict.signal]

    def votes(self, model: str, row_ids: tuple[str, ...]) -> NDArray[np.int64]:
        """Return the predicted label code per row, -1 where there is none."""
        predicted = self.predictions.get(model, {})
        return np.array([predicted.get(row, -1) for row in row_ids])


class Observer:
    """Reads every topic in a thread and keeps the record.

    Parameters
    ----------
    settings : Settings
        Cluster to read.
    record : Record
        Filled in as events come.
    tell : callable
        Receives each new event.
    """

    def __init__(self, settings: Settings, record: Record, tell: Callable[[Event[Any]], None]) -> None:
        self._record = record
        self._tell = tell
        self._reader = TopicReader(settings, [t.name for t in BY_NAME.values() if t.noun != "ticks"])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="observer", daemon=True)
        self.lock = threading.Lock()
        self.failure: Exception | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following and leave the broker."""
        self._stop.set()
        self._thread.join()
        self._reader.close()

    def _follow(self) -> None:
        try:
            while not self._stop.is_set():
                for event in self._reader.events(timeout=0.1):
                    with self.lock:
                        new = self._record.add(event)
                    if new:
                        self._tell(event)
        except Exception as error:  # the main thread raises it: a thread cannot
            self.failure = error
