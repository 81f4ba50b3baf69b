"""Answering questions from Python, over the same gRPC contract that every other language uses.

>>> from easeml.labels.client import LabelClient
>>> with LabelClient("127.0.0.1:50151") as labels:                            # doctest: +SKIP
...     for question in labels.questions("churn"):
...         labels.answer(question, question.candidates[0], annotator="ada")
"""

from __future__ import annotations

import getpass
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Self, TypeAlias

import grpc

from easeml.errors import ConfigurationError, EaseMLError, InvalidDataError
from easeml.labels.access import SCOPE
from easeml.labels.status import error_of
from easeml.labels.v1 import labels_pb2 as pb
from easeml.labels.v1 import labels_pb2_grpc
from easeml.stream.settings import Settings

Tls: TypeAlias = bool | str | Path | Settings
"""How a caller connects; see ``LabelClient``."""
Token: TypeAlias = str | Callable[[], str] | None
"""What a caller shows; a callable is asked anew, because the house may get its first tokens meanwhile."""
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_receive_message_length", 64 * 2**20),
]
CALL_SECONDS = 10.0
MAX_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question as the label service offers it.

    Parameters
    ----------
    app, question : str
        Its identity.
    kind : str
        label, cell or row.
    pillar, row_id, column : str
        What it is about; the column only of a cell question.
    candidates : tuple of str
        Possible values.
    probabilities : tuple of float
        Present belief in each candidate, sums to 1.
    information_gain : float
        Expected information of the answer, in bits.
    cost : float
        Price of the answer, in labels.
    asked_by : str
        Service that asks.
    context : dict of str to str
        What to show beside the row.
    row : dict of str to value
        Values of the row as far as the service still has them: float, str, bool, datetime, a nested list (tensor) or
        None (missing).
    created_at : float
        Seconds since 1970 UTC.
    expires_at : float or None
        Seconds since 1970 UTC; None: never.
    claimed_by : str
        Who works on it; empty: nobody.
    answers, answers_wanted : int
        People who have answered it, and who are to answer it in all before their answer counts.
    """

    app: str
    question: str
    kind: str
    pillar: str
    row_id: str
    column: str
    candidates: tuple[str, ...]
    probabilities: tuple[float, ...]
    information_gain: float
    cost: float
    asked_by: str
    context: dict[str, str]
    row: dict[str, Any]
    created_at: float
    expires_at: float | None
    claimed_by: str
    answers: int = 0
    answers_wanted: int = 1

    @property
    def heard(self) -> str:
        """How many of how many people have answered; empty where one is enough."""
        return f"{self.answers} of {self.answers_wanted} people have answered" if self.answers_wanted > 1 else ""

    @classmethod
    def of(cls, message: Any) -> Self:
        """Return the question of a message of the contract."""
        return cls(
            app=message.app,
            question=message.question,
            kind=pb.QuestionKind.Name(message.kind).removeprefix("QUESTION_KIND_").lower(),
            pillar=message.pillar,
            row_id=message.row_id,
            column=message.column,
            candidates=tuple(candidate.text for candidate in message.candidates),
            probabilities=tuple(candidate.probability for candidate in message.candidates),
            information_gain=message.information_gain,
            cost=message.cost,
            asked_by=message.asked_by,
            context=dict(message.context),
            row={cell.column: _value(cell) for cell in message.row},
            created_at=message.create_time.ToMicroseconds() / 1e6,
            expires_at=message.expire_time.ToMicroseconds() / 1e6 if message.HasField("expire_time") else None,
            claimed_by=message.claimed_by,
            answers=message.answers,
            answers_wanted=max(message.answers_wanted, 1),  # a server from before does not say
        )


@dataclass(frozen=True, slots=True)
class Spending:
    """Budget of one asker, in labels.

    Parameters
    ----------
    granted, spent : float
        What it may spend and has spent.
    open_questions, withheld : int
        Its open questions, and those of them that the rest of the budget cannot pay.
    """

    granted: float
    spent: float
    open_questions: int
    withheld: int


class LabelClient(AbstractContextManager["LabelClient"]):
    """Client of the label service.

    Parameters
    ----------
    target : str
        ``host:port``.
    token : str or callable, optional
        Bearer token; a callable is asked for it before every call, and none is shown where it is empty.
    tls : bool, path or Settings
        False: no TLS; True: TLS with the system's authorities; a path: the authority's certificate file; settings: as
        they say, with the certificate that a server with ``tls_ca`` asks for.
    owner : bool
        Also see the questions about test rows, as the owner of the test set.
    patience : float
        Seconds for which a service that is away is tried again; safe, because every submission carries a request id.
    """

    def __init__(
        self,
        target: str,
        token: Token = None,
        *,
        tls: Tls = False,
        owner: bool = False,
        patience: float = 30.0,
    ) -> None:
        self._patience = patience
        self._token, self._owner = token, owner
        credentials = credentials_of(tls)
        self._channel = (
            grpc.insecure_channel(target, options=OPTIONS)
            if credentials is None
            else grpc.secure_channel(target, credentials, options=OPTIONS)
        )
        self._stub = labels_pb2_grpc.LabelServiceStub(self._channel)

    def questions(self, app: str = "", *, kind: str = "", annotator: str = "") -> Iterator[AskedQuestion]:
        """Yield the open questions, those with the most information per cost first.

        Parameters
        ----------
        app : str
            Only of this app; empty: of all.
        kind : str
            Only label, cell or row questions; empty: all.
        annotator : str
            Leave out what this annotator has skipped and what others have claimed.

        Raises
        ------
        EaseMLError
            As the service raised it; UnavailableError when it stays away.
        """
        request = pb.ListQuestionsRequest(app=app, kind=_kind(kind), annotator=annotator)
        while True:
            response = self._call(self._stub.ListQuestions, request)
            yield from map(AskedQuestion.of, response.questions)
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def stream(self, app: str = "", *, kind: str = "", annotator: str = "") -> Iterator[AskedQuestion]:
        """Yield the open questions, then every new one, for as long as the caller listens.

        A service that goes away is waited for; the questions yielded already are not repeated.
        """
        request = pb.StreamQuestionsRequest(app=app, kind=_kind(kind), annotator=annotator)
        yielded: set[tuple[str, str]] = set()
        retry = _Retry(self._patience)
        while True:
            call = self._stub.StreamQuestions(request, metadata=metadata_of(self._token, owner=self._owner))
            try:
                for message in call:
                    retry = _Retry(self._patience)
                    if message.HasField("closed"):
                        yielded.discard((message.closed.app, message.closed.question))
                    key = (message.opened.app, message.opened.question)
                    if message.HasField("opened") and key not in yielded:
                        yielded.add(key)
                        yield AskedQuestion.of(message.opened)
            except grpc.RpcError as error:
                retry.after(error)
            finally:
                call.cancel()

    def answer(
        self,
        question: AskedQuestion | str,
        value: int | str | None = None,
        *,
        other: str | None = None,
        app: str = "",
        annotator: str = "",
        request_id: str | None = None,
    ) -> str:
        """Submit an answer and return the identity of its annotation, once the broker has it.

        Parameters
        ----------
        question : AskedQuestion or str
            The question or, with ``app``, its id.
        value : int or str, optional
            Index or text of the candidate.
        other : str, optional
            Instead of ``value``, for a cell question: a value that is none of the candidates and fits the column.
        app : str
            App of a question given by id.
        annotator : str
            Who answers; empty: the name of the user.
        request_id : str, optional
            Identity of the submission, to repeat one of an earlier process; None: a fresh one.

        Raises
        ------
        ConflictError, NotFoundError, InvalidDataError, BudgetExhaustedError, UnavailableError
            As the service raised it.
        """
        app, name = _identity(question, app)
        if (value is None) == (other is None):
            raise InvalidDataError(
                f"Question {name!r} is answered with {value!r} and another value {other!r}.",
                mend="Give one of the two.",
            )
        request = pb.SubmitAnswerRequest(
            app=app,
            question=name,
            annotator=annotator or getpass.getuser(),
            request_id=request_id or str(uuid.uuid4()),
            value=value if isinstance(value, int) else None,
            label=value if isinstance(value, str) else None,
            other=other,
        )
        return str(self._call(self._stub.SubmitAnswer, request).annotation_id)

    def skip(
        self, question: AskedQuestion | str, *, app: str = "", annotator: str = "", request_id: str | None = None
    ) -> str:
        """Pass a question on to other annotators; arguments as for ``answer``."""
        app, name = _identity(question, app)
        request = pb.SkipQuestionRequest(
            app=app,
            question=name,
            annotator=annotator or getpass.getuser(),
            request_id=request_id or str(uuid.uuid4()),
        )
        return str(self._call(self._stub.SkipQuestion, request).annotation_id)

    def claim(
        self, question: AskedQuestion | str, *, app: str = "", annotator: str = "", seconds: float = 0.0
    ) -> AskedQuestion:
        """Reserve a question for a while (0: the service's default)."""
        app, name = _identity(question, app)
        request = pb.ClaimQuestionRequest(
            app=app, question=name, annotator=annotator or getpass.getuser(), lease_seconds=seconds
        )
        return AskedQuestion.of(self._call(self._stub.ClaimQuestion, request).question)

    def release(self, question: AskedQuestion | str, *, app: str = "", annotator: str = "") -> None:
        """Give a claimed question back."""
        app, name = _identity(question, app)
        request = pb.ReleaseQuestionRequest(app=app, question=name, annotator=annotator or getpass.getuser())
        self._call(self._stub.ReleaseQuestion, request)

    def budget(self, app: str) -> dict[str, Spending]:
        """Return what each asker may spend and has spent."""
        response = self._call(self._stub.GetBudget, pb.GetBudgetRequest(app=app))
        return {
            budget.asked_by: Spending(budget.granted, budget.spent, budget.open_questions, budget.withheld)
            for budget in response.budgets
        }

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        retry = _Retry(self._patience)
        while True:
            try:
                shown = metadata_of(self._token, owner=self._owner)
                return method(request, metadata=shown, timeout=CALL_SECONDS)
            except grpc.RpcError as error:
                retry.after(error)


class _Retry:
    """Pauses between tries, growing, until patience is at its end."""

    def __init__(self, patience: float) -> None:
        self._until = time.monotonic() + patience
        self._pause = 0.05

    def after(self, call: grpc.RpcError) -> None:
        """Wait a little after a failed call.

        Raises
        ------
        EaseMLError
            When another try cannot help or patience is at its end.
        """
        error: EaseMLError = error_of(call)
        if not error.retriable or time.monotonic() + self._pause > self._until:
            raise error from call
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)


def metadata_of(token: Token, *, owner: bool = False) -> tuple[tuple[str, str], ...]:
    """Return the metadata that shows a token, and asks as the owner of the test set."""
    shown = token() if callable(token) else token
    return (*((("authorization", f"Bearer {shown}"),) if shown else ()), *((SCOPE,) if owner else ()))


def credentials_of(tls: Tls) -> grpc.ChannelCredentials | None:
    """Return the credentials of a connection; None: without TLS.

    Raises
    ------
    ConfigurationError
        When a file that the settings name cannot be read.
    """
    if isinstance(tls, bool):
        return grpc.ssl_channel_credentials() if tls else None
    if not isinstance(tls, Settings):
        return grpc.ssl_channel_credentials(Path(tls).read_bytes())
    # The house's own certificate is one to trust, whoever issued it: a caller beside the services knows it.
    trusted = [Path(name) for name in (tls.tls_certificate, tls.tls_ca) if name]
    if not trusted:
        return None
    try:
        roots = b"\n".join(file.read_bytes() for file in trusted)
        if not (tls.tls_ca and tls.tls_certificate):
            return grpc.ssl_channel_credentials(roots)
        key = Path(tls.tls_key_file).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename} cannot be read: {error.strerror}.",
            mend="EASEML_TLS_CERTIFICATE, EASEML_TLS_KEY and EASEML_TLS_CA name the files that you show and trust.",
        ) from error
    return grpc.ssl_channel_credentials(roots, key, trusted[0].read_bytes())


def _identity(question: AskedQuestion | str, app: str) -> tuple[str, str]:
    if isinstance(question, AskedQuestion):
        return question.app, question.question
    if not app:
        raise InvalidDataError(f"Question {question!r} is given by id without its app.", mend="Pass app=...")
    return app, question


def _kind(name: str) -> Any:
    known = {"": pb.QUESTION_KIND_UNSPECIFIED} | {
        kind.removeprefix("QUESTION_KIND_").lower(): number for kind, number in pb.QuestionKind.items()
    }
    if name not in known:
        raise InvalidDataError(f"{name!r} is no kind of question.", mend="Use label, cell or row.")
    return known[name]


def _value(cell: Any) -> Any:
    which = cell.WhichOneof("value")
    if which is None:
        return None
    value = getattr(cell, which)
    if which == "time":
        return value.ToDatetime(UTC)
    if which == "tensor":
        return _nested(list(value.values), list(value.shape))
    return value


def _nested(values: list[float], shape: list[int]) -> Any:
    if len(shape) <= 1:
        return values
    step = len(values) // shape[0] if shape[0] else 0
    return [_nested(values[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


__all__ = ["AskedQuestion", "LabelClient", "Spending"]
