"""ModelPicker on the stream: which message does what.

Models join when CI lets them pass, with what validation said of them, and leave when they are retired. Their votes on
production rows are joined; each row is stepped through once, when every model has voted or after two seconds of ticks.
"""

from __future__ import annotations

from collections.abc import Iterable

from easeml.modelpicker.desk import ASKER, Desk
from easeml.modelpicker.joining import Joining
from easeml.relation.predictions import check_classes
from easeml.stream.events import Event, Output
from easeml.stream.needs import Needs
from easeml.stream.payloads import (
    Answer,
    ModelPicked,
    ModelPublished,
    ModelRetired,
    Pillar,
    PredictionBatch,
    QuestionKind,
    Tick,
    Verdict,
)
from easeml.stream.service import Context, On, Packed, Service
from easeml.stream.topics import ANSWERS, MODELS, PICKS, PREDICTIONS, QUESTIONS, TICKS, VERDICTS, Topic


class ModelPickerService(Service[Desk]):
    """Predictions, verdicts and answers in; questions and picks out."""

    name = "modelpicker"

    def __init__(self) -> None:
        self._rows: dict[str, Joining] = {}

    def table(self) -> tuple[On[Desk], ...]:
        return (
            On(PREDICTIONS, PredictionBatch, fold=self._arrived, handle=self._predicted),
            On(VERDICTS, Verdict, handle=self._judged),
            On(MODELS, ModelPublished, handle=self._published),
            On(MODELS, ModelRetired, handle=self._retired),
            On(ANSWERS, Answer, handle=self._answered),
            On(TICKS, Tick, handle=self._ticked),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (QUESTIONS, PICKS)

    def new_state(self, app: str) -> Desk:
        return Desk(app)

    def pack(self, state: Desk) -> Packed:
        return state.pack()

    def unpack(self, app: str, packed: Packed) -> Desk:  # noqa: ARG002 - the desk knows its app
        return Desk.unpack(packed)

    def needed(self, app: str, state: Desk | None) -> Needs:
        del state
        return {PREDICTIONS.name: self._joining(app).needed}

    def forget(self, app: str) -> None:
        self._rows.pop(app, None)

    def _joining(self, app: str) -> Joining:
        return self._rows.setdefault(app, Joining())

    def _arrived(self, event: Event[PredictionBatch]) -> None:
        if event.data.pillar is Pillar.PRODUCTION:
            self._joining(event.data.app).add(event.data, event.offset)

    def _predicted(self, state: Desk, event: Event[PredictionBatch], ctx: Context) -> Iterable[Output]:
        if event.data.pillar is not Pillar.PRODUCTION:
            return ()
        check_classes(event.data, ctx.app)
        return self._proceed(state, ctx)

    def _judged(self, state: Desk, event: Event[Verdict], ctx: Context) -> Iterable[Output]:
        if event.data.signal:
            state.join(event.data.model, self._joining(state.app), ctx.app, ctx.rng)
        return self._proceed(state, ctx)

    def _published(self, state: Desk, event: Event[ModelPublished], ctx: Context) -> Iterable[Output]:
        state.validated(event.data.model, event.data.metrics)
        return self._proceed(state, ctx)

    def _retired(self, state: Desk, event: Event[ModelRetired], ctx: Context) -> Iterable[Output]:
        state.retire(event.data.model)
        return self._proceed(state, ctx)

    def _answered(self, state: Desk, event: Event[Answer], ctx: Context) -> Iterable[Output]:
        answer = event.data
        if answer.asked_by != ASKER or answer.kind is not QuestionKind.LABEL:
            return ()
        state.answer(answer.row_id, answer.value)
        return self._proceed(state, ctx)

    def _ticked(self, state: Desk, event: Event[Tick], ctx: Context) -> Iterable[Output]:
        return self._proceed(state, ctx, tick=event.data.time)

    def _proceed(self, state: Desk, ctx: Context, *, tick: float | None = None) -> list[Output]:
        said = state.proceed(self._joining(state.app), ctx.app, ctx.rng, tick=tick)
        return [Output(PICKS if isinstance(payload, ModelPicked) else QUESTIONS, payload) for payload in said]
