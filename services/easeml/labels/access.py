"""Who may see which app, and the interceptors that hold callers to it."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import grpc.aio

from easeml.errors import EaseMLError
from easeml.labels.status import UnauthenticatedError, abort
from easeml.stream.settings import Settings
from easeml.tokens import Right, TokenFile

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
    name : str
        Under which everything it says is recorded; empty: under the name it gives.
    """

    apps: frozenset[str] | None = None
    answers: bool = True
    owns: bool = True
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


@dataclass(frozen=True, slots=True)
class Access:
    """Tokens and what they open.

    Parameters
    ----------
    grants : mapping of str to Caller
        Caller by token; empty: no token is needed and everything is visible.
    tokens : TokenFile or None
        Tokens of people; once there are some, only those that say so open the questions about test rows.
    """

    grants: Mapping[str, Caller] = field(default_factory=dict)
    tokens: TokenFile | None = None

    @classmethod
    def of(cls, settings: Settings) -> Access:
        """Return the access that the settings describe: one token for everything, or none, and those of people."""
        token = settings.token.get_secret_value()
        return cls({token: Caller()} if token else {}, TokenFile(settings.home))

    def caller(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> Caller | None:
        """Return who shows this metadata, an owner only where it asks as one; None: nobody we know."""
        shown = dict(metadata or ())
        authorization = shown.get("authorization", "")
        found = self._known(
            authorization if isinstance(authorization, str) else authorization.decode("utf-8", "replace")
        )
        asks = shown.get(SCOPE[0]) == SCOPE[1]
        return found if found is None or asks else replace(found, owns=False)

    def _known(self, shown: str) -> Caller | None:
        kind, _, token = shown.partition(" ")
        bearer = kind.lower() == "bearer"
        found = None
        for known, caller in self.grants.items():  # all of them, so that time tells nothing about any
            if hmac.compare_digest(known.encode(), token.encode()) and bearer:
                found = caller
        holder = self.tokens.holder(token) if self.tokens is not None and bearer else None
        if found is None and holder is not None:
            may = holder.rights
            found = Caller(holder.apps, Right.ANSWER in may, Right.DETAILS in may, holder.name)
        if found is None and not self.grants:
            return Caller(owns=self.tokens is None or not self.tokens.holders())
        return found


class TokenInterceptor(Interceptor):
    """Refuses calls without a token we know."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        handler = await continuation(details)
        known = details.method.startswith(_OPEN) or self._access.caller(details.invocation_metadata) is not None
        if handler is None or known:
            return handler

        async def refuse(_request: Any, context: Any) -> None:
            await abort(
                context,
                UnauthenticatedError(
                    "The call carries no token of this server.", mend="Send the metadata 'authorization: Bearer TOKEN'."
                ),
                details.method,
            )

        return _like(handler, refuse)


class ErrorInterceptor(Interceptor):
    """Turns errors into their status; one we did not expect is logged and reported without its inside."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        handler = await continuation(details)
        if handler is None or handler.request_streaming:
            return handler
        where = details.method
        if not handler.response_streaming:

            async def answer(request: Any, context: Any) -> Any:
                try:
                    return await handler.unary_unary(request, context)
                except Exception as error:
                    await _report(context, error, where)

            return _like(handler, answer)

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async for message in handler.unary_stream(request, context):
                    yield message
            except Exception as error:
                await _report(context, error, where)

        return _like(handler, stream)


async def _report(context: Any, error: Exception, where: str) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, EaseMLError):
        log.error("%s failed", where, exc_info=error)
        error = EaseMLError("The label service failed on this call.", mend="Its log says why.")
    await abort(context, error, where)


def _like(handler: Any, behavior: Callable[[Any, Any], Any]) -> Any:
    """Return a handler of the same shape with another behaviour."""
    shapes = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make: Any = shapes[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(behavior, handler.request_deserializer, handler.response_serializer)
