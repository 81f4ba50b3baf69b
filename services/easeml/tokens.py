"""Tokens for people: who may see which apps, and what else they may do.

They lie in ``<home>/tokens.json``, as digests only: a token is shown once, when it is made. Without that file, and
without ``EASEML_TOKEN``, whoever reaches this machine's own address may do everything. The first token shuts the door,
and makes the house key, ``<home>/house.key``: the house's own tools show it, so that whoever can read the home still
gets in without a word.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError
from easeml.stream.settings import Settings

_FILE = "tokens.json"
_KEY = "house.key"
_BYTES = 32
_LONGEST_NAME = 100


class Right(StrEnum):
    """What a token allows besides seeing."""

    ANSWER = "answer"
    REDRIVE = "redrive"
    MESSAGES = "messages"
    DETAILS = "details"
    MANAGE = "manage"
    RECORD = "record"


MEANING = {
    Right.ANSWER: "answer questions",
    Right.REDRIVE: "send dead letters on their way again, or put them away",
    Right.MESSAGES: "see the content of messages and rows",
    Right.DETAILS: "see verdict details and answer questions about test rows, as the owner of the test set",
    Right.MANAGE: "pause, resume and erase apps",
    Right.RECORD: "make rows production rows by asking the predict service about them",
}


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever holds a token.

    Parameters
    ----------
    name : str
        Under which answers are recorded; empty: nobody in particular.
    apps : frozenset of str or None
        Apps that may be seen; None: all.
    rights : frozenset of Right
        What else may be done.

    Examples
    --------
    >>> Holder("ada", frozenset({"churn"})).sees("fraud")
    False
    """

    name: str = ""
    apps: frozenset[str] | None = None
    rights: frozenset[Right] = frozenset()

    def sees(self, app: str) -> bool:
        """Whether the holder may see an app."""
        return self.apps is None or app in self.apps


EVERYTHING = Holder(rights=frozenset(Right))


class TokenFile:
    """The tokens of a house.

    Parameters
    ----------
    home : Path
        Folder of the house.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / _FILE
        self._read_at: tuple[int, int] | None = None
        self._holders: dict[str, Holder] = {}

    @property
    def in_use(self) -> bool:
        """Whether tokens were ever made here: who takes the last one away does not open the door to everybody."""
        return self._path.exists()

    def holders(self) -> dict[str, Holder]:
        """Return the holders by digest of their token, as the file says now.

        Raises
        ------
        ConfigurationError
            When the file cannot be read: nobody is let in by mistake.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return {}
        if self._read_at != (status.st_mtime_ns, status.st_size):
            self._holders = {digest: _holder(entry) for digest, entry in self._entries().items()}
            self._read_at = (status.st_mtime_ns, status.st_size)
        return self._holders

    def holder(self, token: str) -> Holder | None:
        """Return who holds a token; None: nobody."""
        return self.holders().get(digest_of(token))

    def create(self, name: str, apps: Iterable[str] | None = None, rights: Iterable[Right] = ()) -> str:
        """Make a token and return it; only its digest is kept. A house without a key gets one.

        Raises
        ------
        InvalidDataError
            When the name is empty or too long.
        ConflictError
            When the name has a token already.
        """
        if not name.strip() or len(name) > _LONGEST_NAME:
            raise InvalidDataError("A token needs a name of 1 to 100 characters.", mend="Name the person it is for.")
        if any(holder.name == name for holder in self.holders().values()):
            raise ConflictError(f"{name!r} has a token already.", mend=f"'easeml tokens revoke {name}' takes it away.")
        token = secrets.token_urlsafe(_BYTES)
        entry = {
            "name": name,
            "apps": None if apps is None else sorted(apps),
            "rights": [right.value for right in Right if right in frozenset(rights)],
        }
        if not _key(self._path.parent):  # before the door is shut: nobody of the house is ever outside
            _write(self._path.with_name(_KEY), secrets.token_urlsafe(_BYTES))
        _write(self._path, json.dumps(self._entries() | {digest_of(token): entry}, indent=1))
        return token

    def revoke(self, name: str) -> None:
        """Take the token of a name away.

        Raises
        ------
        NotFoundError
            When there is none.
        """
        entries = self._entries()
        left = {digest: entry for digest, entry in entries.items() if entry.get("name") != name}
        if len(left) == len(entries):
            raise NotFoundError(f"{name!r} has no token.", mend="'easeml tokens list' shows whose there are.")
        _write(self._path, json.dumps(left, indent=1))

    def _entries(self) -> dict[str, dict[str, Any]]:
        try:
            found: dict[str, dict[str, Any]] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"The tokens in {self._path} cannot be read: {error}.", mend="Mend or remove the file."
            ) from error
        return found


def house_token(settings: Settings) -> str:
    """Return the token that opens everything, which services know and the house's own tools show.

    It is that of the settings, else the key of the house in their home; empty where neither is, or where somebody else
    keeps the home to themselves. Ask anew for every call: services run on when the first token is made.
    """
    return settings.token.get_secret_value() or _key(settings.home)


def digest_of(token: str) -> str:
    """Return the digest under which a token is kept.

    A fast hash will do: tokens are 256 random bits, which no dictionary holds.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _holder(entry: dict[str, Any]) -> Holder:
    try:
        apps = entry["apps"]
        rights = frozenset(map(Right, entry["rights"]))
        return Holder(str(entry["name"]), None if apps is None else frozenset(apps), rights)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"A token in {_FILE} is damaged: {error!r}.", mend="Revoke and make it anew."
        ) from error


def _key(home: Path) -> str:
    try:
        return (home / _KEY).read_text("ascii", "ignore").strip()
    except (FileNotFoundError, PermissionError):  # whoever may not read it is not of the house
        return ""


def _write(path: Path, text: str) -> None:
    """Write a file for its owner alone, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
