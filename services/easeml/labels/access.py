"""Who may see which app, and the interceptors that hold callers to it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from inspect import isasyncgenfunction
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from easeml.errors import EaseMLError, InvalidDataError
from easeml.gate import Gate
from easeml.labels.status import UnauthenticatedError, abort
from easeml.stream.settings import Settings
from easeml.tokens import EVERYTHING, Right

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    Interceptor: TypeAlias = grpc.aio.ServerInterceptor[Any, Any]
else:  # the class is generic in its stub only
    Interceptor = grpc.aio.ServerInterceptor

SCOPE = ("easeml-scope", "test-owner")
"""Metadata with which a caller asks for the questions about test rows too. Nobody sees them by mistake: a program that
shows what others ask it for, such as the dashboard, has to ask in the name of an owner."""
_OPEN = "/grpc.health.v1.Health/"
"""Methods without token: whoever starts the service asks for its health."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever calls.

    Parameters
    ----------
    apps : frozenset of str or None
        Apps it may see; None: all.
    answers : bool
        Whether it may answer, claim and skip.
    owns : bool
        Whether it may see questions about test rows, as the owner of the test set.
    reads : bool
        Whether it may see questions at all: they show rows.
    name : str
        Under which everything it says is recorded; empty: under the name it gives.
    """

    apps: frozenset[str] | None = None
    answers: bool = True
    owns: bool = True
    reads: bool = True
    name: str = ""

    def sees(self, app: str) -> bool:
        """Whether the caller may see the app."""
        return self.apps is None or app in self.apps

    def annotator(self, given: str) -> str:
        """Return who speaks when the caller gives a name: nobody with a token of their own is somebody else.

        >>> Caller(name="ada").annotator("bob"), Caller().annotator("bob"), Caller(name="ada").annotator("")
        ('ada', 'bob', '')
        """
        return self.name if given and self.name else given


class Access:
    """Who a call comes from.

    Parameters
    ----------
    settings : Settings
        The house and its token.
    """

    def __init__(self, settings: Settings) -> None:
        self._gate = Gate(settings)

    def caller(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> Caller:
        """Return who shows this metadata, an owner only where it asks as one.

        Raises
        ------
        UnauthenticatedError
            When a token is needed and none that we know is shown.
        """
        shown = dict(metadata or ())
        authorization = shown.get("authorization", "")
        text = authorization if isinstance(authorization, str) else authorization.decode("utf-8", "replace")
        kind, _, token = text.partition(" ")
        holder = self._gate.holder(token) if kind.lower() == "bearer" else None
        if holder is None and self._gate.open:
            holder = EVERYTHING
        if holder is None:
            raise UnauthenticatedError(
                "The call carries no token of this server.",
                mend="Run it on the machine of the house, or set EASEML_TOKEN to a token made there by 'easeml tokens "
                "create'; other programs send the metadata 'authorization: Bearer TOKEN'.",
            )
        owns = Right.DETAILS in holder.rights and shown.get(SCOPE[0]) == SCOPE[1]
        answers = Right.ANSWER in holder.rights
        return Caller(holder.apps, answers, owns, answers or owns or Right.MESSAGES in holder.rights, holder.name)


class TokenInterceptor(Interceptor):
    """Refuses calls without a token we know."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        handler = await continuation(details)
        if handler is None or details.method.startswith(_OPEN):
            return handler
        try:
            self._access.caller(details.invocation_metadata)
        except UnauthenticatedError as error:
            refusal = error
        else:
            return handler

        async def refuse(_request: Any, context: Any) -> None:
            await abort(context, refusal, details.method)

        return _like(handler, refuse)


class ErrorInterceptor(Interceptor):
    """Turns errors into their status; one we did not expect is logged and reported without its inside."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        handler = await continuation(details)
        if handler is None:
            return handler
        where = details.method
        if not handler.response_streaming:

            async def answer(request: Any, context: Any) -> Any:
                try:
                    return await handler.unary_unary(_read(request), context)
                except Exception as error:
                    await _report(context, error, where)

            return _like(handler, answer, _reader(handler))

        # Of streaming requests there are those of the reflection alone.
        behavior, read = (handler.stream_stream, _each) if handler.request_streaming else (handler.unary_stream, _read)

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async for message in behavior(read(request), context):
                    yield message
            except Exception as error:
                await _report(context, error, where)

        async def writing(request: Any, context: Any) -> None:
            try:
                await behavior(read(request), context)
            except Exception as error:
                await _report(context, error, where)

        return _like(handler, stream if isasyncgenfunction(behavior) else writing, _reader(handler))


def _reader(handler: Any) -> Callable[[bytes], Any]:
    """Return what reads a request; bytes that are none become the error, since gRPC would call it one of the server."""

    def read(raw: bytes) -> Any:
        try:
            return handler.request_deserializer(raw)
        except DecodeError as error:
            return error

    return read


def _read(request: Any) -> Any:
    if isinstance(request, DecodeError):
        raise InvalidDataError(
            f"The request cannot be read: {request}.",
            mend="Send the message that the contract names for this method.",
            reason="malformed",
        )
    return request


async def _each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _read(request)


async def _report(context: Any, error: Exception, where: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, EaseMLError):
        log.error("%s failed", where, exc_info=error)
        error = EaseMLError("The label service failed on this call.", mend="Its log says why.")
    await abort(context, error, where)


def _like(handler: Any, behavior: Callable[[Any, Any], Any], read: Callable[[bytes], Any] | None = None) -> Any:
    """Return a handler of the same shape with another behaviour, and perhaps another way to read requests."""
    shapes = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make: Any = shapes[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(behavior, read or handler.request_deserializer, handler.response_serializer)
