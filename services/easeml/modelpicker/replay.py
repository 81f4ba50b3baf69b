"""What other policies would have done with a recorded stream: the same rows and models, other questions.

Models, predictions, verdicts and retirements come in the order in which they were recorded. A question is answered at
once when the label of its row is known, and else withdrawn, so that another row is asked about: a policy can only be
tried on labels that somebody gave. What is served for a row is what the pick of that moment predicts, as on the stream.

Source: rows without a recorded label are passed over as in Li, Chu, Langford and Wang, "Unbiased offline evaluation of
contextual-bandit-based news article recommendation algorithms", WSDM 2011, algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from easeml.errors import Poison
from easeml.modelpicker.decision import Decision
from easeml.modelpicker.desk import PATIENCE, Desk
from easeml.modelpicker.joining import Joining
from easeml.modelpicker.voting import MISSING
from easeml.stream.events import Event
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    ModelPicked,
    ModelPublished,
    ModelRetired,
    Payload,
    Pillar,
    PredictionBatch,
    Question,
    QuestionKind,
    Verdict,
)
from easeml.stream.topics import ANSWERS, APPS, MODELS, PREDICTIONS, VERDICTS

TOPICS = (APPS.name, MODELS.name, PREDICTIONS.name, VERDICTS.name, ANSWERS.name)
"""What a replay needs of the stream."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A model picked.

    Attributes
    ----------
    rows, labels : int
        Rows seen and answers used by then.
    model : str
    drift : bool
        Whether an alarm came before it.
    """

    rows: int
    labels: int
    model: str
    drift: bool


@dataclass(slots=True)
class Replayed:
    """What one policy did.

    Attributes
    ----------
    policy : str
    rows, labels : int
        Rows seen and labels spent.
    unanswered : int
        Questions about rows whose label nobody knows.
    refused : int
        Prediction batches and validation figures that the service gave up as well.
    known : int
        Rows whose label is known, over which accuracies are means.
    right, combined : int
        How many of them the pick, and the picker's own prediction (which may combine votes), had right.
    picks : list of Pick
    """

    policy: str
    rows: int = 0
    labels: int = 0
    unanswered: int = 0
    refused: int = 0
    known: int = 0
    right: int = 0
    combined: int = 0
    picks: list[Pick] = field(default_factory=list)

    @property
    def accuracy(self) -> float | None:
        """Share of known rows that the pick had right; None without any."""
        return self.right / self.known if self.known else None

    @property
    def combined_accuracy(self) -> float | None:
        """Share of known rows that the picker's own predictions had right; None without any."""
        return self.combined / self.known if self.known else None


def answers(history: Iterable[Event[Any]]) -> dict[str, int]:
    """Return the labels that people gave to production rows, by row; the first one stands."""
    found: dict[str, int] = {}
    for event in history:
        match event.data:
            case Answer(kind=QuestionKind.LABEL, pillar=Pillar.PRODUCTION, row_id=row, value=label) if label >= 0:
                found.setdefault(row, label)
    return found


class Replay:
    """One policy on the recorded stream of an app.

    Parameters
    ----------
    app : str
    settings : mapping of str to object
        What is changed in the app's definition: ``picker_policy``, and perhaps ``label_budget`` and ``horizon``.
    labels : mapping of str to int
        Known labels by row.
    rng : numpy.random.Generator
    """

    def __init__(
        self, app: str, settings: Mapping[str, Any], labels: Mapping[str, int], rng: np.random.Generator
    ) -> None:
        self._settings, self._labels, self._rng = dict(settings), labels, rng
        self._app: AppDefined | None = None
        self._desk, self._rows = Desk(app), Joining()
        self.done = Replayed(str(settings["picker_policy"]))

    def run(self, history: Iterable[Event[Any]]) -> Replayed:
        """Return what the policy does with events in the order in which they were recorded."""
        now = 0.0
        for event in history:
            now = event.recorded
            self._take(event)
            self._proceed(now)
        # rows still wait for the votes of models that never came
        self._proceed(now)
        self._proceed(now + PATIENCE)
        picker = self._desk.picker
        if picker is not None:
            self.done.rows, self.done.labels = picker.rows_seen, picker.labels_used
        return self.done

    def _take(self, event: Event[Any]) -> None:
        data: Payload = event.data
        match data:
            case AppDefined():
                self._app = replace(data, **self._settings)
            case Verdict(model=model, signal=True) if self._app is not None:
                self._desk.join(model, self._rows, self._app, self._rng)
            case ModelRetired(model=model):
                self._desk.retire(model)
            case ModelPublished(model=model, metrics=metrics):
                self._or_refuse(partial(self._desk.validated, model, metrics))
            case PredictionBatch(pillar=Pillar.PRODUCTION):
                self._or_refuse(partial(self._rows.add, data, event.offset))

    def _or_refuse(self, take: Callable[[], None]) -> None:
        try:
            take()
        except Poison:
            self.done.refused += 1

    def _proceed(self, now: float) -> None:
        """Step through the rows that are ready, and answer until nothing more is asked."""
        if self._app is None:
            return
        tick: float | None = now
        while True:
            said = self._desk.proceed(self._rows, self._app, self._rng, tick=tick, decided=self._judge)
            picks = [payload for payload in said if isinstance(payload, ModelPicked)]
            self.done.picks += [Pick(p.rows_seen, p.labels_used, p.model, p.drift) for p in picks]
            asked = [payload.row_id for payload in said if isinstance(payload, Question)]
            if not asked:
                return
            for row in asked:
                self._answer(row)
            tick = None

    def _answer(self, row: str) -> None:
        label = self._labels.get(row)
        if label is not None:
            self._desk.answer(row, label)
        elif self._desk.picker is not None and self._desk.picker.withdraw(row):
            self.done.unanswered += 1

    def _judge(self, rows: list[str], decision: Decision) -> None:
        """Count what was right of the rows just seen; the pick is still that from before them."""
        known = [(place, self._labels[row]) for place, row in enumerate(rows) if row in self._labels]
        picked = self._desk.picked
        if not known or picked is None or self._app is None:
            return
        places, labels = np.array(known).T
        votes = self._rows.votes([rows[place] for place in places], (picked,), len(self._app.classes))[:, 0]
        served = np.where(votes == MISSING, decision.predictions[places], votes)
        self.done.known += len(known)
        self.done.right += int((served == labels).sum())
        self.done.combined += int((decision.predictions[places] == labels).sum())
