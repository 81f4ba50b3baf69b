"""An oracle that stands in for people: it answers from held-back values, through the same gRPC contract.

For demos and experiments, where the truth is known to whoever runs them and to nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from easeml.errors import BudgetExhaustedError, ConflictError, EaseMLError, NotFoundError, UnavailableError
from easeml.labels.client import CALL_SECONDS, MAX_PAUSE_SECONDS, OPTIONS, Tls, Token, credentials_of, metadata_of
from easeml.labels.status import error_of
from easeml.labels.v1 import labels_pb2 as pb
from easeml.labels.v1 import labels_pb2_grpc

log = logging.getLogger(__name__)


class Oracle:
    """Answers the questions about labels, and where it knows cells about cells, of one app until it is stopped.

    As a context manager it works in a thread of its own; ``run`` works in the caller's event loop. A service that is
    away is waited for. Every question has one request id, so however often the connection breaks, no question is
    answered twice.

    Parameters
    ----------
    target : str or callable
        ``host:port``; a callable is asked anew before every connection, because a restarted service may have moved.
    app : str
        Name of the app.
    labels : mapping of str to str
        Class by row id; what it does not hold is skipped.
    cells : mapping of (str, str) to str, optional
        Value by row id and column; what it does not hold is skipped. Without it, cell questions are left to others.
    token : str or callable, optional
        Bearer token; a callable is asked anew after every broken call, and none is shown where it is empty.
    tls : bool, path or Settings
        As for ``LabelClient``.
    owner : bool
        Also answer the questions about test rows, as the owner of the test set.
    annotator : str
        Name under which it answers.
    """

    def __init__(
        self,
        target: str | Callable[[], str],
        app: str,
        labels: Mapping[str, str],
        *,
        cells: Mapping[tuple[str, str], str] | None = None,
        token: Token = None,
        tls: Tls = False,
        owner: bool = False,
        annotator: str = "oracle",
    ) -> None:
        self._target = target if callable(target) else lambda: target
        self._app = app
        self._labels = labels
        self._cells = cells
        self._token, self._owner = token, owner
        self._metadata = metadata_of(token, owner=owner)
        self._credentials = credentials_of(tls)
        self._annotator = annotator
        self._done: set[str] = set()
        self._unsure: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._failure: EaseMLError | None = None
        self.answered = 0
        """Questions answered by this oracle."""
        self.skipped = 0
        """Questions it could not answer."""

    async def run(self) -> None:
        """Answer until cancelled.

        Raises
        ------
        EaseMLError
            When the service refuses the oracle for good, e.g. for its token.
        """
        pause = 0.05
        while True:
            done = len(self._done)
            try:
                await self._listen()
            except grpc.aio.AioRpcError as call:
                error = error_of(call)
                refused = self._metadata
                self._metadata = metadata_of(self._token, owner=self._owner)
                if not error.retriable and self._metadata == refused:
                    raise error from call
                log.info("a call of the label service failed: %s", error)
            except UnavailableError as error:
                log.info("the label service is not there yet: %s", error)
            pause = 0.05 if len(self._done) > done else min(2 * pause, MAX_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        async with self._connect() as channel:
            stub = labels_pb2_grpc.LabelServiceStub(channel)
            if self._unsure is not None:
                # Its answer may be on the log, and then no stream offers it again; the request id tells which.
                await self._answer(stub, self._unsure)
            kind = pb.QUESTION_KIND_LABEL if self._cells is None else pb.QUESTION_KIND_UNSPECIFIED
            request = pb.StreamQuestionsRequest(app=self._app, kind=kind, annotator=self._annotator)
            async for message in stub.StreamQuestions(request, metadata=self._metadata):
                if message.HasField("opened") and message.opened.question not in self._done:
                    await self._answer(stub, message.opened)

    def _connect(self) -> Any:
        target = self._target()
        if self._credentials is None:
            return grpc.aio.insecure_channel(target, options=OPTIONS)
        return grpc.aio.secure_channel(target, self._credentials, options=OPTIONS)

    async def _answer(self, stub: Any, question: Any) -> None:
        self._unsure = question
        truth = self._truth(question)
        names = {
            "app": question.app,
            "question": question.question,
            "annotator": self._annotator,
            "request_id": f"{self._annotator}/{question.question}",
        }
        try:
            if truth:
                answer = pb.SubmitAnswerRequest(**truth, **names)
                await stub.SubmitAnswer(answer, metadata=self._metadata, timeout=CALL_SECONDS)
                self.answered += 1
            else:
                skip = pb.SkipQuestionRequest(**names)
                await stub.SkipQuestion(skip, metadata=self._metadata, timeout=CALL_SECONDS)
                self.skipped += 1
        except grpc.aio.AioRpcError as call:
            error = error_of(call)
            if not isinstance(error, ConflictError | NotFoundError | BudgetExhaustedError):
                raise
            log.info("no answer to question %s: %s", question.question, error)
            self._unsure = None
            if not isinstance(error, ConflictError):
                return  # should it be offered again, with more budget say, it is answered then
        self._unsure = None
        self._done.add(question.question)

    def _truth(self, question: Any) -> dict[str, Any]:
        """Return what is known as the answer of a request; empty: nothing that the question takes."""
        candidates = {candidate.text for candidate in question.candidates}
        if question.kind == pb.QUESTION_KIND_LABEL:
            label = self._labels.get(question.row_id)
            return {"label": label} if label in candidates else {}
        if question.kind != pb.QUESTION_KIND_CELL or self._cells is None:
            return {}
        cell = self._cells.get((question.row_id, question.column))
        return {} if cell is None else {"label" if cell in candidates else "other": cell}

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(started,), name="oracle", daemon=True)
        self._thread.start()
        started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._task is not None
        assert self._thread is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself already
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def _work(self, started: threading.Event) -> None:
        async def work() -> None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.ensure_future(self.run())
            started.set()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

        try:
            asyncio.run(work())
        except EaseMLError as error:
            self._failure = error
            log.exception("the oracle stopped")
