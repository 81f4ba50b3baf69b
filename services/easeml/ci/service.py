"""CI on the stream: which message does what.

Models are judged in the order in which they are published, each on predictions alone, by the gate of their app; of
the test rows themselves the cells are kept that slices are made of, and nothing else.
The verdict topic carries one bit per model; everything else goes to the restricted detail topic. Labels that did not
come with the data are asked for on a restricted topic, and the answers come back on another.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from easeml.ci.gate import Gate
from easeml.ci.questions import ASKER
from easeml.ci.register import Register
from easeml.errors import Poison
from easeml.relation.predictions import check_classes
from easeml.relation.validation import check_pillar, validate_batch
from easeml.stream.events import Event, Output
from easeml.stream.needs import Needs, Offsets
from easeml.stream.payloads import (
    Answer,
    MeterReading,
    ModelPublished,
    ModelRetired,
    Pillar,
    PredictionBatch,
    Question,
    QuestionKind,
    RelationBatch,
    TestLabels,
    TestSetExhausted,
    TestSetNeeded,
    TestSetOpened,
    Tick,
    Verdict,
    VerdictDetail,
)
from easeml.stream.service import Context, On, Packed, Service
from easeml.stream.topics import (
    CI_ANSWERS,
    CI_QUESTIONS,
    DATA_TEST,
    DATA_TEST_LABELS,
    MODELS,
    PREDICTIONS,
    TESTSETS,
    TICKS,
    VERDICTS,
    VERDICTS_DETAIL,
    Topic,
)

_TOPICS: dict[type, Topic] = {
    Verdict: VERDICTS,
    VerdictDetail: VERDICTS_DETAIL,
    TestSetNeeded: TESTSETS,
    TestSetOpened: TESTSETS,
    TestSetExhausted: TESTSETS,
    MeterReading: TESTSETS,
    Question: CI_QUESTIONS,
}


class CIService(Service[Gate]):
    """Test rows, their labels, models and predictions in; verdicts, the state of test sets and questions out."""

    name = "ci"

    def __init__(self) -> None:
        self._registers: dict[str, Register] = {}
        self._heard: dict[str, Offsets] = {}

    def table(self) -> tuple[On[Gate], ...]:
        return (
            On(DATA_TEST_LABELS, TestLabels, fold=self._labels_arrived, handle=self._labelled),
            On(DATA_TEST, RelationBatch, fold=self._rows_arrived, handle=self._described),
            On(PREDICTIONS, PredictionBatch, fold=self._predictions_arrived, handle=self._predicted),
            On(CI_ANSWERS, Answer, handle=self._answered),
            On(MODELS, ModelPublished, handle=self._published),
            On(MODELS, ModelRetired, handle=self._retired),
            On(TICKS, Tick, handle=self._ticked),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (VERDICTS, VERDICTS_DETAIL, TESTSETS, CI_QUESTIONS)

    def new_state(self, app: str) -> Gate:
        return Gate(app)

    def pack(self, state: Gate) -> Packed:
        return state.pack()

    def unpack(self, app: str, packed: Packed) -> Gate:  # noqa: ARG002 - the gate knows its app
        return Gate.unpack(packed)

    def forget(self, app: str) -> None:
        self._registers.pop(app, None)
        self._heard.pop(app, None)

    def needed(self, app: str, state: Gate | None) -> Needs:
        """Return the predictions of test rows: among those of production, which never end, there are few."""
        del state
        heard = self._heard.get(app)
        return {PREDICTIONS.name: [] if heard is None else heard.since()}

    def _register(self, app: str) -> Register:
        return self._registers.setdefault(app, Register())

    def _labels_arrived(self, event: Event[TestLabels]) -> None:
        self._register(event.data.app).add_labels(event.data)

    def _rows_arrived(self, event: Event[RelationBatch]) -> None:
        check_pillar(event.data, Pillar.TEST)
        self._register(event.data.app).cells.add(event.id, event.data)

    def _predictions_arrived(self, event: Event[PredictionBatch]) -> None:
        if event.data.pillar is Pillar.TEST:
            self._register(event.data.app).add_predictions(event.data)
            self._heard.setdefault(event.data.app, Offsets()).add(event.offset)

    def _labelled(self, state: Gate, event: Event[TestLabels], ctx: Context) -> Iterable[Output]:
        unknown = sorted(set(event.data.classes) - set(ctx.app.classes))
        if unknown:
            raise Poison(
                f"Class {unknown[0]!r} is not in the label domain of {ctx.app.app!r}.",
                mend=f"Its classes are {', '.join(ctx.app.classes)}.",
                reason="unknown_class",
            )
        return self._proceed(state, ctx)

    def _described(self, state: Gate, event: Event[RelationBatch], ctx: Context) -> Iterable[Output]:
        validate_batch(event.data, ctx.app)
        return self._proceed(state, ctx)

    def _predicted(self, state: Gate, event: Event[PredictionBatch], ctx: Context) -> Iterable[Output]:
        if event.data.pillar is not Pillar.TEST:
            return ()
        check_classes(event.data, ctx.app)
        return self._proceed(state, ctx)

    def _answered(self, state: Gate, event: Event[Answer], ctx: Context) -> Iterable[Output]:
        said = event.data
        if said.asked_by != ASKER or said.kind is not QuestionKind.LABEL:
            return ()
        classes = tuple(state.protocol.get("classes", ctx.app.classes))
        if not 0 <= said.value < len(classes) or classes[said.value] != said.text:
            raise Poison(
                f"The answer to {said.question!r} is {said.text!r}, number {said.value}; that is no class.",
                mend=f"The classes are {', '.join(classes)}.",
                reason="unknown_class",
            )
        state.answered(self._register(state.app), said)
        return self._proceed(state, ctx)

    def _published(self, state: Gate, event: Event[ModelPublished], ctx: Context) -> Iterable[Output]:
        accuracy = event.data.metrics.get("accuracy", math.nan)
        state.enqueue(event.data.model, None if math.isnan(accuracy) else accuracy)
        return self._proceed(state, ctx)

    def _retired(self, state: Gate, event: Event[ModelRetired], ctx: Context) -> Iterable[Output]:
        state.withdraw(event.data.model)
        return self._proceed(state, ctx)

    def _ticked(self, state: Gate, event: Event[Tick], ctx: Context) -> Iterable[Output]:
        return self._proceed(state, ctx, tick=event.data.time)

    def _proceed(self, state: Gate, ctx: Context, *, tick: float | None = None) -> list[Output]:
        said = state.proceed(self._register(state.app), ctx.app, ctx.now, ctx.rng, tick=tick)
        return [Output(_TOPICS[type(payload)], payload) for payload in said]
