"""What every reply has in common: headers that bind the browser, JSON for every reader, errors in plain words."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from easeml.dashboard.access import Gate
from easeml.errors import EaseMLError, InvalidDataError

MAX_BODY = 64 * 2**10
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_STATUS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "RESOURCE_EXHAUSTED": 409,
    "UNAVAILABLE": 503,
}


class Doorkeeper:
    """Checks where a request comes from, and puts the headers on every reply.

    Parameters
    ----------
    app : ASGIApp
        What is behind it.
    gate : Gate
        Knows which origins are ours.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        cached = scope["path"].startswith("/static/")

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = _HEADERS | {"cache-control": "no-cache" if cached else "no-store"}
                message["headers"] += [(name.encode(), value.encode()) for name, value in named.items()]
            await send(message)

        try:
            self._gate.check_origin(scope["method"], Request(scope).headers)
        except EaseMLError as error:
            await refusal(error)(scope, receive, sealed)
            return
        await self._app(scope, receive, sealed)


def reply(content: Any, status: int = 200) -> Response:
    """Return a JSON reply; numbers that are none become null, which JSON can say."""
    body = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(body.encode("utf-8", "replace"), status, media_type="application/json")


def refusal(error: EaseMLError) -> Response:
    """Return an error as people read it."""
    told = {"error": {"reason": error.reason, "message": error.message, "mend": error.mend}}
    return reply(told, _STATUS.get(error.grpc_code, 500))


async def on_error(_request: Request, error: Exception) -> Response:
    """Return the reply for an error of our own; one we did not expect, which the server logs, keeps its inside."""
    if not isinstance(error, EaseMLError):
        error = EaseMLError("The dashboard failed on this request.", mend="Its log says why.")
    return refusal(error)


async def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON object that a request brings.

    Raises
    ------
    InvalidDataError
        When it is none, or too large.
    """
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY:
            raise InvalidDataError("The request is too large.", mend=f"Send at most {MAX_BODY:,} bytes.", reason="size")
    try:
        found = json.loads(content or b"{}")
        json.dumps(found, ensure_ascii=False).encode()  # JSON may spell halves of characters, which are no text
    except (ValueError, RecursionError) as error:
        raise InvalidDataError("The request is no JSON.", mend="Send a JSON object.", reason="json") from error
    if not isinstance(found, dict):
        raise InvalidDataError("The request is no JSON object.", mend="Send a JSON object.", reason="json")
    return found


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    return [_finite(value) for value in content] if isinstance(content, list | tuple) else content
