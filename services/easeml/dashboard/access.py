"""Who is let in: who shows a token, or the cookie of a browser that has shown one."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from easeml import gate
from easeml.errors import EaseMLError, NotFoundError
from easeml.stream.settings import Settings
from easeml.tokens import EVERYTHING, Holder, Right, digest_of

SESSION_SECONDS = 7 * 24 * 3600
_BYTES = 32
_MOST_SESSIONS = 10_000


class UnknownCallerError(EaseMLError):
    """The request shows no token that is known here."""

    reason = "unauthenticated"
    grpc_code = "UNAUTHENTICATED"


class Gate(gate.Gate):
    """Finds out who calls.

    A browser's cookie is no token but a name for one that this process alone knows: browsers show the cookies of all
    ports of a machine to each of them, and what another server there learns shall open nothing. After a restart they
    enter their token again.

    Parameters
    ----------
    settings : Settings
        As for every gate.
    clock : callable, optional
        Seconds, for the end of a session.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings)
        self._clock = clock
        self._sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def begin(self, token: str) -> str:
        """Return what a browser shows from now on instead of this token."""
        name = secrets.token_urlsafe(_BYTES)
        self._sessions[digest_of(name)] = (token, self._clock() + SESSION_SECONDS)
        if len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return name

    def end(self, request: HTTPConnection) -> None:
        """Forget a browser's session."""
        self._sessions.pop(digest_of(request.cookies.get(cookie_of(request.headers), "")), None)

    def caller(self, request: HTTPConnection) -> Holder:
        """Return who calls.

        Raises
        ------
        UnknownCallerError
            When the request shows no token that is known.
        """
        if self.open:
            return EVERYTHING
        holder = self.holder(self._shown(request))
        if holder is None:
            raise UnknownCallerError(
                "This needs a token.", mend="Enter yours; 'easeml tokens create NAME' makes one on the server."
            )
        return holder

    def token(self, request: HTTPConnection) -> str:
        """Return the token that a caller shows; empty where nobody needs one."""
        return "" if self.open else self._shown(request)

    def _shown(self, request: HTTPConnection) -> str:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return token.strip()
        name = request.cookies.get(cookie_of(request.headers), "")
        token, until = self._sessions.get(digest_of(name), ("", 0.0))
        return token if self._clock() < until else ""


def cookie_of(headers: Mapping[str, str]) -> str:
    """Return the name of the cookie: houses on other ports of the machine have others."""
    try:
        port = urlsplit(f"//{headers.get('host', '')}").port
    except ValueError:
        port = None
    return f"easeml_session_{port or 0}"


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
