"""From a submitted answer to an annotation that the broker has: checked, once, under one identity."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from easeml.errors import (
    BudgetExhaustedError,
    ConflictError,
    EaseMLError,
    InvalidDataError,
    NotFoundError,
    UnavailableError,
)
from easeml.ids import EventId, RowId
from easeml.labels.budgets import budget_of, raising
from easeml.labels.queue import Closed, OpenQuestion, Queue, Recorded, digest
from easeml.labels.votes import OTHER, SKIPPED, no_candidate
from easeml.stream.payloads import Annotation
from easeml.stream.topics import ANNOTATIONS, CI_ANSWERS, Topic

Publish: TypeAlias = Callable[[Topic, Annotation, EventId], Awaitable[None]]
"""Puts an annotation on a topic under this event id; returns when the broker has it, raises UnavailableError."""
CONFIRMATION_SECONDS = 30.0
REMEMBERED = 10_000
"""Submissions whose outcome is kept in memory; older ones are recognised by the queue."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a caller sent.

    Parameters
    ----------
    app, question, annotator, request_id : str
        As in the contract.
    value : int or None
        Index of the candidate, -1: skip; None when the answer is given otherwise.
    label : str or None
        Text of the candidate; None when the answer is given otherwise.
    other : str or None
        Another value than the candidates; None when the answer is one of them.
    """

    app: str
    question: str
    annotator: str
    request_id: str
    value: int | None = None
    label: str | None = None
    other: str | None = None

    def check(self) -> None:
        """Check the form.

        Raises
        ------
        InvalidDataError
            When a name is empty, too long or unprintable, or there is no answer.
        """
        for field in ("question", "annotator", "request_id"):
            value = getattr(self, field)
            try:
                RowId(value)
            except InvalidDataError as error:
                raise InvalidDataError(f"{field} is {value[:40]!r}.", mend=error.mend, reason="invalid_name") from error
        if self.value is None and self.label is None and self.other is None:
            raise InvalidDataError(
                f"The submission {self.request_id} has no answer.",
                mend="Set value, label or other.",
                reason="invalid_value",
            )

    def repeats(self, known: Recorded) -> bool:
        """Whether this is the submission that ``known`` records."""
        if known.content != digest(self.question, self.annotator):
            return False
        if self.other is not None:
            return (known.value, known.text) == (OTHER, digest(self.other))
        if self.label is not None:
            return known.text in {0, digest(self.label)} and known.value >= 0
        return known.value == self.value


class Submissions:
    """Every submission becomes one annotation, however often it is sent.

    Parameters
    ----------
    publish : callable
        See ``Publish``.
    """

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self._recent: OrderedDict[tuple[str, bool, str], tuple[Recorded, asyncio.Task[None]]] = OrderedDict()

    async def submit(self, queue: Queue | None, sent: Submission, *, now: float, seconds: float | None) -> EventId:
        """Return the identity of the annotation once the broker has it.

        Parameters
        ----------
        queue : Queue or None
            Questions of the app; None: there is none that the caller may see.
        sent : Submission
            What the caller sent.
        now : float
            Seconds since 1970 UTC.
        seconds : float or None
            Time that the caller gives; None: no limit of its own.

        Raises
        ------
        InvalidDataError, NotFoundError, ConflictError, BudgetExhaustedError
            When the answer cannot be taken.
        UnavailableError
            When the broker has not confirmed in time; the same submission may be sent again.
        """
        sent.check()
        if queue is None:
            raise _unknown(sent)
        # Of an id that was used for both kinds the service would take the second one for a repetition.
        kind = ("test",) if queue.restricted else ()
        identity = EventId.derive("annotation", sent.app, sent.request_id, *kind)
        key = (sent.app, queue.restricted, sent.request_id)
        known, task = self._recent.get(key, (None, None))
        known = known or queue.recorded(sent.request_id)
        if known is not None and not sent.repeats(known):
            raise ConflictError(
                f"request_id {sent.request_id!r} was used for another answer.",
                mend="Choose a fresh request_id for every answer and keep it over retries of that answer.",
                reason="request_id_reused",
            )
        if known is None:
            task = self._send(key, _annotation(queue, sent, now), queue, identity)
        if task is not None:
            await _confirmed(task, seconds)
        return identity

    def _send(
        self, key: tuple[str, bool, str], annotation: Annotation, queue: Queue, identity: EventId
    ) -> asyncio.Task[None]:
        # A task of its own: a caller who goes away does not leave the outcome open.
        topic = CI_ANSWERS if queue.restricted else ANNOTATIONS
        task = asyncio.ensure_future(self._publish(topic, annotation, identity))
        assert isinstance(task, asyncio.Task)
        candidates = queue.open[annotation.question].question.candidates
        self._recent[key] = (Recorded.of(annotation, candidates), task)

        def forget_failure(done: asyncio.Task[None]) -> None:
            if done.cancelled() or done.exception() is not None:
                self._recent.pop(key, None)

        task.add_done_callback(forget_failure)
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        return task


async def _confirmed(task: asyncio.Task[None], seconds: float | None) -> None:
    limit = min(CONFIRMATION_SECONDS, CONFIRMATION_SECONDS if seconds is None else max(seconds, 0.0))
    done, _ = await asyncio.wait({task}, timeout=limit)
    if not done:
        raise UnavailableError(
            f"The broker has not confirmed the answer within {limit:.1f} s.",
            mend="Send it again with the same request_id.",
        )
    if task.cancelled():
        raise UnavailableError("The label service is stopping.", mend="Send it again with the same request_id.")
    error = task.exception()
    if isinstance(error, EaseMLError):
        # The error object is shared by all who wait for it; each caller raises its own.
        raise type(error)(error.message, mend=error.mend, reason=error.reason)
    if error is not None:
        raise error


def _annotation(queue: Queue, sent: Submission, now: float) -> Annotation:
    entry = queue.open.get(sent.question)
    why = queue.why_closed(sent.question)
    if entry is None and why is Closed.ANSWERED:
        raise ConflictError(
            f"Question {sent.question!r} of app {sent.app!r} is answered.",
            mend="Go on with the next question.",
            reason="question_answered",
        )
    if entry is None and why is None:
        raise _unknown(sent)
    if entry is None or entry.expired(now):
        raise NotFoundError(
            f"Question {sent.question!r} of app {sent.app!r} is closed without an answer.",
            mend="Go on with the next question.",
            reason=f"question_{(why or Closed.EXPIRED).name.lower()}",
        )
    annotation = _said(sent, entry)
    if annotation.value == SKIPPED:
        if queue.restricted:
            raise ConflictError(
                f"Question {sent.question!r} is about a test row: these are asked in a fixed order, and none is passed "
                "over, or the test would not be valid.",
                mend="Answer it, or leave it to another owner of the test set.",
                reason="question_required",
            )
        return annotation
    if annotation.value == OTHER and queue.columns is None:
        raise UnavailableError(
            f"The label service does not know the columns of app {sent.app!r} yet.",
            mend="Send it again with the same request_id.",
        )
    queue.vote(annotation, entry)
    asker = entry.question.asked_by
    if sent.annotator in entry.votes:
        raise ConflictError(
            f"{sent.annotator!r} has annotated question {sent.question!r} already.",
            mend="Leave it to other annotators.",
            reason="annotated_already",
        )
    if not queue.affords(entry.question):
        raise BudgetExhaustedError(
            f"{asker} has {queue.left(asker):g} labels left of the {budget_of(asker)} of app {sent.app!r}; question "
            f"{sent.question!r} costs {entry.question.cost:g}.",
            mend=f"Raise it: {raising(sent.app, asker)}",
        )
    return annotation


def _said(sent: Submission, entry: OpenQuestion) -> Annotation:
    """Return the annotation that a submission makes; another value is looked at later."""
    names = (sent.app, sent.question, sent.annotator, sent.request_id)
    if sent.other is not None:
        return Annotation(*names, value=OTHER, text=sent.other)
    candidates = entry.question.candidates
    if sent.label is not None and sent.label not in candidates:
        raise no_candidate(entry.question, sent.label)
    value = sent.value if sent.label is None else candidates.index(sent.label)
    if value is None or value < SKIPPED:
        raise no_candidate(entry.question, sent.value)
    return Annotation(*names, value=value)


def _unknown(sent: Submission) -> NotFoundError:
    return NotFoundError(
        f"App {sent.app!r} has no question {sent.question!r}.",
        mend="Answer questions that ListQuestions returns.",
        reason="question_not_found",
    )
