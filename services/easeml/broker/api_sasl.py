"""Handlers of SASL/PLAIN: the mechanism is agreed on, then user name and password are checked."""

from __future__ import annotations

import hmac
from typing import Any

from kio.schema.errors import ErrorCode

from easeml.broker import wire
from easeml.broker.connection import Connection
from easeml.broker.context import Context, ContextHandler
from easeml.broker.wire import NO_TIME, NONE, build

_PLAIN = "PLAIN"


def handshake(_context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Agree on the mechanism."""
    types = wire.response_types(wire.SASL_HANDSHAKE, version)
    # Version 0 would go on with bare tokens outside the protocol: we only speak SaslAuthenticate.
    knows = body.mechanism == _PLAIN and version >= 1
    connection.mechanism = _PLAIN if knows else None
    error = NONE if knows else ErrorCode.unsupported_sasl_mechanism
    return types.SaslHandshakeResponse(error_code=error, mechanisms=(_PLAIN,))


def authenticate(context: Context, connection: Connection, body: Any, version: int) -> Any:
    """Check a user name and password."""
    types = wire.response_types(wire.SASL_AUTHENTICATE, version)
    error, message = NONE, None
    if connection.mechanism != _PLAIN:
        error, message = ErrorCode.illegal_sasl_state, "SaslHandshake comes first."
    else:
        connection.user = _user_of(body.auth_bytes, context.config.sasl_users)
        if connection.user is None:
            error = ErrorCode.sasl_authentication_failed
            message = "Authentication failed: Invalid username or password"
    if error is not NONE:
        connection.close_after_answer()
    return build(
        types.SaslAuthenticateResponse,
        error_code=error,
        error_message=message,
        auth_bytes=b"",
        session_lifetime=NO_TIME,
    )


def _user_of(token: bytes, users: dict[str, str]) -> str | None:
    # RFC 4616: authorisation id, user name and password, separated by NUL.
    parts = token.split(b"\x00")
    if len(parts) != 3:
        return None
    user = parts[1].decode(errors="replace")
    password = users.get(user)
    # Compare in constant time, also for an unknown user, so that timing tells nothing.
    is_right = hmac.compare_digest(parts[2], (password or "").encode())
    return user if is_right and password is not None else None


HANDLERS: dict[int, ContextHandler] = {wire.SASL_HANDSHAKE: handshake, wire.SASL_AUTHENTICATE: authenticate}
"""Handlers of this module by API key."""
