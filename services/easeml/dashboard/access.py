"""Who is let in: a token in a header or a cookie, and requests that come from our own pages only."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import HTTPConnection

from easeml import gate
from easeml.errors import EaseMLError, NotFoundError
from easeml.tokens import EVERYTHING, Holder, Right

COOKIE = "easeml_session"


class UnknownCallerError(EaseMLError):
    """The request shows no token that is known here."""

    reason = "unauthenticated"
    grpc_code = "UNAUTHENTICATED"


class Gate(gate.Gate):
    """Finds out who calls: browsers show their token in a cookie."""

    def caller(self, request: HTTPConnection) -> Holder:
        """Return who calls.

        Raises
        ------
        UnknownCallerError
            When the request shows no token that is known.
        """
        if self.open:
            return EVERYTHING
        holder = self.holder(_shown(request.headers, request.cookies))
        if holder is None:
            raise UnknownCallerError(
                "This needs a token.", mend="Enter yours; 'easeml tokens create NAME' makes one on the server."
            )
        return holder

    def token(self, request: HTTPConnection) -> str:
        """Return the token that a caller shows; empty where nobody needs one."""
        return "" if self.open else _shown(request.headers, request.cookies)


def require_app(holder: Holder, app: str, known: Mapping[str, object]) -> None:
    """Refuse an app that is not there, or not for this caller: both look the same.

    Raises
    ------
    NotFoundError
        In both cases.
    """
    if app not in known or not holder.sees(app):
        raise NotFoundError(f"There is no app {app!r}.", mend="Choose one of the list.", reason="app_not_found")


def require(holder: Holder, right: Right) -> None:
    """Refuse a caller without a right; that is as if the thing were not there.

    Raises
    ------
    NotFoundError
        When the right is missing.
    """
    if right not in holder.rights:
        raise NotFoundError("There is nothing here.", mend="Ask for a token that may do more.")


def _shown(headers: Mapping[str, str], cookies: Mapping[str, str]) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else cookies.get(COOKIE, "")
