"""The label service on the stream: which message does what.

The gRPC server of the same process reads ``queues`` and ``row``; it never changes them. What it has to say, it says as
an annotation on the topic, and the handler of that annotation decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from easeml.labels.budgets import grants_of
from easeml.labels.checks import check_annotation, check_question
from easeml.labels.packing import pack, unpack
from easeml.labels.queue import Queue
from easeml.labels.rows import Rows, Value
from easeml.relation import check_pillar
from easeml.stream.events import Event, Output
from easeml.stream.needs import Needs
from easeml.stream.payloads import (
    Annotation,
    Answer,
    Budget,
    Payload,
    Pillar,
    Question,
    QuestionKind,
    RelationBatch,
    Tick,
)
from easeml.stream.service import Context, On, Packed, Service
from easeml.stream.topics import (
    ANNOTATIONS,
    ANSWERS,
    AUDIT,
    BUDGETS,
    CI_ANSWERS,
    CI_QUESTIONS,
    PILLAR_TOPICS,
    QUESTIONS,
    TICKS,
    Topic,
)

SHOWN = (Pillar.TRAIN, Pillar.POOL, Pillar.PRODUCTION, Pillar.TEST)
"""Pillars whose rows are shown beside a question."""
_KEPT_ROWS = {Pillar.PRODUCTION: 2000}
"""Of rows that never end so many are kept, beside those with an open question: they are asked about as they come."""


class LabelsService(Service[Queue]):
    """Questions and annotations in; answers, budgets and audit out. Its own answers come back to be shown.

    Questions about test rows have topics and a queue of their own: all that becomes of them is written where only the
    owner of the test set reads, and one owner decides, however many people other questions need.
    """

    name = "labels"

    def __init__(self) -> None:
        self._rows: dict[tuple[str, Pillar], Rows] = {}
        self._listeners: list[Callable[[str], None]] = []
        self.queues: dict[str, Queue] = {}
        """Newest state of each app, for the server to read."""

    def table(self) -> tuple[On[Queue], ...]:
        return (
            On(QUESTIONS, Question, handle=self._asked),
            On(ANNOTATIONS, Annotation, handle=self._annotated),
            On(CI_QUESTIONS, Question, handle=self._asked),
            On(CI_ANSWERS, Annotation, handle=self._annotated),
            *(On(PILLAR_TOPICS[pillar], RelationBatch, fold=self._arrived) for pillar in SHOWN),
            On(ANSWERS, Answer, fold=self._answered),
            On(TICKS, Tick, handle=self._ticked),
        )

    def produces(self) -> tuple[Topic, ...]:
        return (ANSWERS, BUDGETS, AUDIT, ANNOTATIONS, CI_ANSWERS)

    def new_state(self, app: str) -> Queue:
        return self._see(Queue(app, test=Queue(app, restricted=True)))

    def pack(self, state: Queue) -> Packed:
        return pack(state)

    def unpack(self, app: str, packed: Packed) -> Queue:
        return self._see(unpack(app, packed))

    def forget(self, app: str) -> None:
        self.queues.pop(app, None)
        for pillar in SHOWN:
            self._rows.pop((app, pillar), None)
        self._notify(app)

    def needed(self, app: str, state: Queue | None) -> Needs:
        del state
        return {PILLAR_TOPICS[pillar].name: self._pillar(app, pillar).needed for pillar in SHOWN}

    def row(self, app: str, pillar: Pillar, row_id: str) -> dict[str, Value]:
        """Return the values of a row by column; empty when it is not (or no longer) known."""
        rows = self._rows.get((app, pillar))
        return {} if rows is None else rows.show(row_id)

    def people(self, question: Question) -> int:
        """Return how many people are to answer an open question."""
        return next(queue.redundancy for queue in _queues(self.queues[question.app]) if question.question in queue.open)

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call ``listener`` with the app after every change of its state; return what ends that.

        The listener runs inside the handler: it must neither block nor raise.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _asked(self, state: Queue, event: Event[Question], ctx: Context) -> Iterable[Output]:
        queue = _queue(state, event)
        check_question(event.data, ctx.app, restricted=queue.restricted)
        return self._done(state, ctx, lambda: _said(queue, queue.ask(event.data, ctx.now)))

    def _annotated(self, state: Queue, event: Event[Annotation], ctx: Context) -> Iterable[Output]:
        check_annotation(event.data)
        queue = _queue(state, event)
        return self._done(state, ctx, lambda: _said(queue, queue.annotate(event.data, ctx.now)))

    def _ticked(self, state: Queue, event: Event[Tick], ctx: Context) -> Iterable[Output]:
        time, people = event.data.time, max(ctx.app.redundancy, 1)

        def passed() -> list[Output]:
            heard = _said(state, state.hear(people))
            return [*heard, *(output for queue in _queues(state) for output in _said(queue, queue.tick(time)))]

        return self._done(state, ctx, passed)

    def _arrived(self, event: Event[RelationBatch]) -> None:
        pillar = next(pillar for pillar in SHOWN if PILLAR_TOPICS[pillar].name == event.topic)
        check_pillar(event.data, pillar)
        self._pillar(event.data.app, pillar).fold(event.data, event.offset)

    def _answered(self, event: Event[Answer]) -> None:
        said = event.data
        if said.pillar in SHOWN and said.kind is QuestionKind.CELL and said.column:
            self._pillar(said.app, said.pillar).answer(said.row_id, said.column, said.text)

    def _pillar(self, app: str, pillar: Pillar) -> Rows:
        def asked() -> set[str]:
            queues = _queues(self.queues[app]) if app in self.queues else ()
            return {row for queue in queues for row in queue.rows_asked(pillar)}

        return self._rows.setdefault((app, pillar), Rows(asked, keep_rows=_KEPT_ROWS.get(pillar, math.inf)))

    def _done(self, state: Queue, ctx: Context, change: Callable[[], list[Output]]) -> list[Output]:
        for queue in _queues(state):
            queue.grants, queue.columns = grants_of(ctx.app), ctx.app.columns
        # More people count at once, fewer from the next tick on: a change that fails must not take an answer with it.
        state.redundancy = max(state.redundancy, ctx.app.redundancy)
        outputs = change()
        self._see(state)
        self._notify(state.app)
        return outputs

    def _see(self, state: Queue) -> Queue:
        self.queues[state.app] = state
        return state

    def _notify(self, app: str) -> None:
        for listener in tuple(self._listeners):
            listener(app)


def _queues(state: Queue) -> tuple[Queue, ...]:
    return (state,) if state.test is None else (state, state.test)


def _queue(state: Queue, event: Event[Any]) -> Queue:
    """Return the queue that an event is for: the topics keep test rows apart."""
    apart = event.topic in (CI_QUESTIONS.name, CI_ANSWERS.name)
    return state.test if apart and state.test is not None else state


def _said(queue: Queue, payloads: list[Payload]) -> list[Output]:
    return [Output(CI_ANSWERS if queue.restricted else _topic(payload), payload) for payload in payloads]


def _topic(payload: Payload) -> Topic:
    return ANSWERS if isinstance(payload, Answer) else BUDGETS if isinstance(payload, Budget) else AUDIT
