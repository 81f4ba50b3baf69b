"""The methods of ``easeml.labels.v1.LabelService``; the contract is ``proto/easeml/labels/v1/labels.proto``."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from easeml.errors import (
    BudgetExhaustedError,
    ConflictError,
    EaseMLError,
    InvalidDataError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from easeml.labels.access import Access, Caller
from easeml.labels.budgets import budget_of, raising
from easeml.labels.leases import Leases
from easeml.labels.messages import kind_of, question_message, timestamp
from easeml.labels.offers import Filter, Selection, paginate, payable, room, select, why_gone
from easeml.labels.queue import OpenQuestion, Queue
from easeml.labels.service import LabelsService
from easeml.labels.status import code_of
from easeml.labels.submissions import Publish, Submission, Submissions
from easeml.labels.v1 import labels_pb2 as pb
from easeml.labels.v1 import labels_pb2_grpc
from easeml.labels.votes import SKIPPED

LEASE_SECONDS = 300.0
MAX_LEASE_SECONDS = 3600.0
MAX_SUBMISSIONS = 1000

Sent = dict[tuple[str, str], tuple[float, int]]
"""What a stream has told: by app and question, its rate and how many people have answered."""


class LabelServicer(labels_pb2_grpc.LabelServiceServicer):  # type: ignore[misc]  # generated without types
    """Reads the state of the service; what callers say goes to the topic.

    Parameters
    ----------
    service : LabelsService
        Questions and rows; only read.
    publish : callable
        Puts an annotation on its topic.
    access : Access
        Who sees what.
    clock : callable, optional
        Seconds since 1970 UTC; for leases and for turning away what has expired.
    """

    def __init__(
        self, service: LabelsService, publish: Publish, access: Access, clock: Callable[[], float] = time.time
    ) -> None:
        self._service = service
        self._submissions = Submissions(publish)
        self._access = access
        self._clock = clock
        self._leases = Leases()
        self._bells: set[asyncio.Event] = set()
        self._stopping = False

    def ring(self) -> None:
        """Tell every stream that something has changed."""
        for bell in self._bells:
            bell.set()

    def stop(self) -> None:
        """End every stream; their callers are told to come again."""
        self._stopping = True
        self.ring()

    # The method names are those of the contract.

    async def ListQuestions(self, request: Any, context: Any) -> Any:  # noqa: N802
        caller = self._reader(context)
        wanted = Filter(request.app, kind_of(request.kind), caller.annotator(request.annotator))
        selection = self._select(caller, wanted)
        page = paginate(selection.offered, wanted, request.page_size, request.page_token)
        return pb.ListQuestionsResponse(
            questions=[self._message(entry) for entry in page.questions],
            next_page_token=page.next_token,
            total_size=len(selection.offered),
            withheld=len(selection.withheld),
        )

    async def StreamQuestions(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        caller = self._reader(context)
        wanted = Filter(request.app, kind_of(request.kind), caller.annotator(request.annotator))
        bell = asyncio.Event()
        self._bells.add(bell)
        sent: Sent = {}
        try:
            selection = self._select(caller, wanted)
            for message in self._changes(caller, selection, sent):
                yield message
            yield pb.StreamQuestionsResponse(caught_up=pb.CaughtUp(withheld=len(selection.withheld)))
            while not self._stopping:
                await bell.wait()
                bell.clear()
                caller = self._reader(context)  # tokens are made and revoked while a stream lasts
                for message in self._changes(caller, self._select(caller, wanted), sent):
                    yield message
        finally:
            self._bells.discard(bell)
        raise UnavailableError("The label service is stopping.", mend="Call StreamQuestions again.")

    async def ClaimQuestion(self, request: Any, context: Any) -> Any:  # noqa: N802
        seconds = request.lease_seconds or LEASE_SECONDS
        if not (math.isfinite(seconds) and seconds > 0):
            raise InvalidDataError(f"lease_seconds is {seconds}.", mend="Send 0 (300 s) to 3600.", reason="lease")
        _require(annotator=request.annotator)
        queue, entry = self._open(context, request.app, request.question)
        key = (request.app, request.question)
        now = self._clock()
        annotator = self._caller(context).annotator(request.annotator)
        holders = self._leases.holders(key, now)
        if not room(queue, entry, annotator, holders):
            raise ConflictError(
                f"Question {request.question!r} is claimed by {', '.join(holders)!r}.",
                mend="Go on with the next question.",
                reason="question_claimed",
            )
        until = self._leases.claim(key, annotator, now=now, seconds=min(seconds, MAX_LEASE_SECONDS))
        self.ring()
        return pb.ClaimQuestionResponse(question=self._message(entry), expire_time=timestamp(until))

    async def ReleaseQuestion(self, request: Any, context: Any) -> Any:  # noqa: N802
        _require(annotator=request.annotator)
        caller = self._caller(context, answers=True)
        if caller.sees(request.app):
            self._leases.release((request.app, request.question), caller.annotator(request.annotator))
            self.ring()
        return pb.ReleaseQuestionResponse()

    async def SubmitAnswer(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._submit(request, context)

    async def SubmitAnswers(self, request: Any, context: Any) -> Any:  # noqa: N802
        if len(request.requests) > MAX_SUBMISSIONS:
            raise InvalidDataError(
                f"{len(request.requests)} answers in one call.", mend=f"Send at most {MAX_SUBMISSIONS}.", reason="size"
            )
        outcomes = await asyncio.gather(
            *(self._submit(one, context) for one in request.requests), return_exceptions=True
        )
        results = []
        for outcome in outcomes:
            if isinstance(outcome, EaseMLError) and not outcome.retriable:
                error = pb.Error(code=code_of(outcome).value[0], reason=outcome.reason, message=str(outcome))
                results.append(pb.SubmitResult(error=error))
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                results.append(pb.SubmitResult(response=outcome))
        return pb.SubmitAnswersResponse(results=results)

    async def SkipQuestion(self, request: Any, context: Any) -> Any:  # noqa: N802
        sent = Submission(request.app, request.question, request.annotator, request.request_id, value=SKIPPED)
        return pb.SkipQuestionResponse(annotation_id=await self._record(sent, context))

    async def GetBudget(self, request: Any, context: Any) -> Any:  # noqa: N802
        queues = self._queues(self._caller(context), request.app)
        if not queues:
            raise NotFoundError(
                f"There is no app {request.app!r} with questions.",
                mend="Name an app that ListQuestions knows.",
                reason="app_not_found",
            )
        withheld = [entry for queue in queues for entry in payable(queue).withheld]
        return pb.GetBudgetResponse(
            budgets=[
                pb.Budget(
                    app=queue.app,
                    asked_by=asker,
                    granted=queue.granted(asker),
                    spent=spent,
                    open_questions=sum(entry.question.asked_by == asker for entry in queue.open.values()),
                    withheld=sum(entry.question.asked_by == asker for entry in withheld),
                )
                for queue in queues
                for asker, spent in sorted(queue.spent.items())
                if request.asked_by in {"", asker}
            ]
        )

    async def _submit(self, request: Any, context: Any) -> Any:
        given = request.WhichOneof("answer")
        sent = Submission(
            request.app,
            request.question,
            request.annotator,
            request.request_id,
            value=request.value if given == "value" else None,
            label=request.label if given == "label" else None,
            other=request.other if given == "other" else None,
        )
        if given == "value" and request.value < 0:
            raise InvalidDataError(
                f"value is {request.value}.", mend="Send the index of a candidate.", reason="invalid_value"
            )
        return pb.SubmitAnswerResponse(annotation_id=await self._record(sent, context))

    async def _record(self, sent: Submission, context: Any) -> str:
        caller = self._caller(context, answers=True)
        sent = replace(sent, annotator=caller.annotator(sent.annotator))
        queue = self._queue(caller, sent.app, sent.question)
        return await self._submissions.submit(queue, sent, now=self._clock(), seconds=context.time_remaining())

    def _caller(self, context: Any, *, answers: bool = False) -> Caller:
        caller = self._access.caller(context.invocation_metadata())
        if answers and not caller.answers:
            raise PermissionDeniedError(
                "This token does not allow answers.", mend="'easeml tokens create NAME --may answer' makes one."
            )
        return caller

    def _reader(self, context: Any) -> Caller:
        caller = self._caller(context)
        if not caller.reads:
            raise PermissionDeniedError(
                "This token does not show questions: they hold rows.",
                mend="'easeml tokens create NAME --may answer' makes one that does, '--may messages' too.",
            )
        return caller

    def _queues(self, caller: Caller, app: str = "") -> list[Queue]:
        """Return what the caller may see of an app, of all apps without one."""
        names = [app] if app else list(self._service.queues)
        seen = [self._service.queues[name] for name in names if name in self._service.queues and caller.sees(name)]
        return [*seen, *(queue.test for queue in seen if queue.test is not None and caller.owns)]

    def _queue(self, caller: Caller, app: str, question: str) -> Queue | None:
        """Return the queue of a question; absent and forbidden look the same."""
        queues = self._queues(caller, app) if app else []
        return next((queue for queue in reversed(queues) if queue.knows(question)), queues[0] if queues else None)

    def _open(self, context: Any, app: str, question: str) -> tuple[Queue, OpenQuestion]:
        queue = self._queue(self._caller(context, answers=True), app, question)
        entry = queue.open.get(question) if queue is not None else None
        if queue is None or entry is None or entry.expired(self._clock()):
            raise NotFoundError(
                f"App {app!r} has no open question {question!r}.",
                mend="Claim questions that ListQuestions returns.",
                reason="question_not_found",
            )
        if not queue.affords(entry.question):
            raise BudgetExhaustedError(
                f"The {budget_of(entry.question.asked_by)} of app {app!r} cannot pay question {question!r}.",
                mend=f"Raise it: {raising(app, entry.question.asked_by)}",
            )
        return queue, entry

    def _select(self, caller: Caller, wanted: Filter) -> Selection:
        now = self._clock()
        return select(self._queues(caller), wanted, lambda app, question: self._leases.holders((app, question), now))

    def _changes(self, caller: Caller, selection: Selection, sent: Sent) -> list[Any]:
        """Return what takes a caller from the questions ``sent`` to the offer; updates ``sent``."""
        offered = {(entry.question.app, entry.question.question): entry for entry in selection.offered}
        messages = []
        for app, question in [key for key in sent if key not in offered]:
            reason = why_gone(self._queue(caller, app, question), question)
            closed = pb.QuestionClosed(app=app, question=question, reason=reason)
            messages.append(pb.StreamQuestionsResponse(closed=closed))
        messages += [
            pb.StreamQuestionsResponse(opened=self._message(entry))
            for key, entry in offered.items()
            if sent.get(key) != (entry.rate, len(entry.votes))
        ]
        sent.clear()
        sent.update({key: (entry.rate, len(entry.votes)) for key, entry in offered.items()})
        return messages

    def _message(self, entry: OpenQuestion) -> Any:
        asked = entry.question
        holders = self._leases.holders((asked.app, asked.question), self._clock())
        row = self._service.row(asked.app, asked.pillar, asked.row_id)
        return question_message(entry, row, holders, self._service.people(asked))


def _require(**names: str) -> None:
    for field, value in names.items():
        if not value:
            raise InvalidDataError(f"{field} is empty.", mend=f"Set {field}.", reason="invalid_name")
