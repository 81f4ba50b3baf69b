"""Who is let in: whoever shows a token of the house, and over HTTP no page of another site."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from easeml.errors import PermissionDeniedError
from easeml.stream.settings import Settings
from easeml.tokens import EVERYTHING, Holder, TokenFile, digest_of, house_token

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE = frozenset({"GET", "HEAD"})
_LONGEST = 1000


class Gate:
    """Knows the tokens and what a request must look like.

    Parameters
    ----------
    settings : Settings
        Their token, or the key of the house in their home, opens everything; the tokens there open what they say.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file = TokenFile(settings.home)

    @property
    def open(self) -> bool:
        """Whether nobody needs a token."""
        return not self._settings.token.get_secret_value() and not self._file.in_use

    def holder(self, token: str) -> Holder | None:
        """Return who holds a token; None: nobody."""
        if not token or len(token) > _LONGEST:
            return None
        house = house_token(self._settings)
        if house and hmac.compare_digest(digest_of(house), digest_of(token)):
            return EVERYTHING
        return self._file.holder(token)

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
                "Without tokens only this machine's own names are answered to.",
                mend="Call 127.0.0.1, or set EASEML_TOKEN.",
            )
        if method in _SAFE:
            return
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "same-origin")
        if (origin is not None and origin.partition("://")[2] != host) or site not in {"same-origin", "none"}:
            raise PermissionDeniedError(
                "The request comes from another site.", mend="Use our own pages, or no browser."
            )


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # no address at all
        return None
