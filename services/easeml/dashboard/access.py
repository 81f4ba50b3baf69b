"""Who is let in: a token in a header or a cookie, and requests that come from our own pages only."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from easeml.errors import EaseMLError, NotFoundError, PermissionDeniedError
from easeml.stream.settings import Settings
from easeml.tokens import EVERYTHING, Holder, Right, TokenFile

COOKIE = "easeml_session"
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE = frozenset({"GET", "HEAD"})
_LONGEST = 1000


class UnknownCallerError(EaseMLError):
    """The request shows no token that is known here."""

    reason = "unauthenticated"
    grpc_code = "UNAUTHENTICATED"


class Gate:
    """Finds out who calls.

    Parameters
    ----------
    settings : Settings
        Their token opens everything; the tokens in their home open what they say.
    """

    def __init__(self, settings: Settings) -> None:
        self._token = settings.token.get_secret_value()
        self._file = TokenFile(settings.home)

    @property
    def open(self) -> bool:
        """Whether nobody needs a token."""
        return not self._token and not self._file.in_use

    def holder(self, token: str) -> Holder | None:
        """Return who holds a token; None: nobody."""
        if not token or len(token) > _LONGEST:
            return None
        if self._token and hmac.compare_digest(self._token.encode(), token.encode()):
            return EVERYTHING
        return self._file.holder(token)

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

    def check_origin(self, method: str, headers: Mapping[str, str]) -> None:
        """Refuse what another site's page makes a browser send.

        A browser tells the truth in ``Origin`` and ``Host``. Without tokens a page elsewhere could reach this machine
        under a name of its own that points here, so only the machine's own names are answered then.

        Raises
        ------
        PermissionDeniedError
            When the request does not come from our own pages.
        """
        host = headers.get("host", "")
        if self.open and _hostname(host) not in _LOCAL:
            raise PermissionDeniedError(
                "Without tokens the dashboard answers to this machine's own names only.", mend="Call 127.0.0.1."
            )
        if method in _SAFE:
            return
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "same-origin")
        if (origin is not None and origin.partition("://")[2] != host) or site not in {"same-origin", "none"}:
            raise PermissionDeniedError("The request comes from another site.", mend="Use the dashboard's own pages.")


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


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # no address at all
        return None


def _shown(headers: Mapping[str, str], cookies: Mapping[str, str]) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else cookies.get(COOKIE, "")
