"""Where the bytes of an upload lie: in a store that the house allows, never anywhere else on the server.

An app names URIs; only those below the house's own roots are opened, links that lead out of them are refused.
What is put here is a copy for one upload, which nobody else reads: it is removed when its upload is done. Files that
others have stored stay. Copies whose upload never came to an end are removed after a month, by ``collect``.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, BinaryIO
from urllib.parse import unquote

import fsspec

from easeml.errors import ConfigurationError, Poison, UnavailableError

_SCHEMES = frozenset({"file", "memory", "s3"})
_BLOCK = 2**20
_COPY = re.compile(
    r"/uploads/[0-9a-f]{2}/[0-9a-f]{64}-[0-9a-f]{12}(\.[a-z0-9]{1,10})?(?P<part>\.[0-9a-f]{12}\.part)?\Z"
)
PART_SECONDS = 86_400.0
"""Seconds after which a copy that was never finished is removed."""
COPY_SECONDS = 30 * 86_400.0
"""Seconds after which a copy is removed whatever became of its upload, such as a dead letter that nobody redrives."""


class Sources:
    """Files below some roots.

    Parameters
    ----------
    roots : sequence of str
        URIs of folders; what is put goes below the first.

    Raises
    ------
    ConfigurationError
        When a scheme is not served.

    Examples
    --------
    >>> sources = Sources(["memory://uploads"])
    >>> uri = sources.put(io.BytesIO(b"a,b"), "0" * 64, "x.csv") if (io := __import__("io")) else ""
    >>> sources.size(uri)
    3
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = [_parsed(root) for root in roots]

    def put(self, file: BinaryIO, sha256: str, name: str, owner: str = "") -> str:
        """Store a copy of a file, block by block, and return its URI.

        Parameters
        ----------
        file : binary file
            What is stored.
        sha256 : str
            Its digest.
        name : str
            Its name, for the ending.
        owner : str
            What the copy is for: repeating it with the same owner changes nothing. Empty: every copy is another.

        Raises
        ------
        UnavailableError
            When the store cannot be written.
        """
        scheme, root = self._roots[0]
        ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a name, not a path
        ending = ending if re.fullmatch(r"\.[a-z0-9]{1,10}", ending) else ""
        mark = hashlib.sha256(owner.encode()).hexdigest()[:12] if owner else secrets.token_hex(6)
        path = f"{root}/uploads/{sha256[:2]}/{sha256}-{mark}{ending}"
        system = _system(scheme)
        try:
            if not system.exists(path):
                part = f"{path}.{secrets.token_hex(6)}.part"
                system.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH120 - a URI's path
                with system.open(part, "wb") as target:
                    while block := file.read(_BLOCK):
                        target.write(block)
                system.mv(part, path)  # a reader sees the whole file or none
        except OSError as error:
            raise UnavailableError(
                f"The upload {name!r} cannot be stored below {scheme}://{root}: {error}.",
                mend="Check that the store exists, has room and may be written.",
            ) from error
        return f"{scheme}://{path}"

    def is_copy(self, uri: str) -> bool:
        """Whether a URI names a copy that ``put`` has made."""
        scheme, root = self._roots[0]
        start = f"{scheme}://{root}"
        copy = _COPY.match(uri, len(start)) if uri.startswith(start) else None
        return copy is not None and not copy["part"]

    def remove(self, uri: str) -> None:
        """Remove a copy; removing it again changes nothing.

        Raises
        ------
        Poison
            When it is no copy (``forbidden_uri``).
        UnavailableError
            When the store cannot be written.
        """
        system, path = self._allowed(uri)
        if not self.is_copy(uri):
            raise Poison(f"{uri[:200]} is no copy of an upload.", mend="Remove it yourself.", reason="forbidden_uri")
        with _failures(uri):
            _remove(system, path)

    def collect(self, now: float) -> int:
        """Remove what crashes have left, and return how many files that were.

        Parameters
        ----------
        now : float
            Seconds since 1970 UTC.

        Raises
        ------
        UnavailableError
            When the store cannot be read or written.
        """
        scheme, root = self._roots[0]
        system, removed = _system(scheme), 0
        with _failures(f"{scheme}://{root}/uploads"):
            for path in system.find(f"{root}/uploads"):
                copy = _COPY.search(path)
                age = now - system.modified(path).timestamp() if copy else 0.0
                if copy and age > (PART_SECONDS if copy["part"] else COPY_SECONDS):
                    _remove(system, path)
                    removed += 1
        return removed

    def size(self, uri: str) -> int:
        """Return the bytes of a file; errors as ``open``."""
        system, path = self._allowed(uri)
        with _failures(uri):
            info: dict[str, Any] = system.info(path)
            if info["type"] != "file":
                raise FileNotFoundError(path)
            return int(info["size"])

    def stamp(self, uri: str) -> str:
        """Return what changes when a file is written or replaced: size, time, identity; errors as ``open``."""
        system, path = self._allowed(uri)
        with _failures(uri):
            info: dict[str, Any] = system.info(path)
        marks = ("size", "ETag", "VersionId", "mtime", "ino", *(() if "mtime" in info else ("LastModified", "created")))
        return hashlib.sha256(repr([(mark, str(info[mark])) for mark in marks if mark in info]).encode()).hexdigest()

    @contextmanager
    def unchanged(self, uri: str, stamp: str) -> Iterator[str]:
        """Yield the stamp of a file that must stay what it was before (empty: what it is), and while it is read.

        Raises
        ------
        Poison
            When it has changed (``changed``); otherwise as ``open``.
        """
        stamp = stamp or self.stamp(uri)
        yield stamp
        if self.stamp(uri) != stamp:
            raise Poison(
                f"The file at {uri[:200]} has changed while it was read slice by slice.",
                mend="Leave a file alone until its upload is done; upload it again.",
                reason="changed",
            )

    @contextmanager
    def open(self, uri: str) -> Iterator[IO[bytes]]:
        """Open a file for reading.

        Raises
        ------
        Poison
            When the URI lies outside the roots (``forbidden_uri``) or there is no file (``not_found``).
        UnavailableError
            When the store cannot be read.
        """
        system, path = self._allowed(uri)
        with _failures(uri), system.open(path, "rb") as file:
            yield file

    def _allowed(self, uri: str) -> tuple[Any, str]:
        scheme, separator, rest = uri.partition("://")
        path = unquote(rest) if scheme == "file" else rest
        steps = path.split("/")
        sound = bool(separator) and "::" not in uri and "\0" not in uri and ".." not in steps and "." not in steps
        for allowed, root in self._roots:
            if not sound or scheme != allowed or not path.startswith(f"{root}/"):
                continue
            if scheme == "file":
                # What is checked is opened: a link that is turned afterwards leads nowhere else.
                path = os.path.realpath(path)
                if not path.startswith(os.path.realpath(root).rstrip(os.sep) + os.sep):
                    continue  # a link in the store that leads out of it
            return _system(scheme), path
        raise Poison(
            f"The URI {uri[:200]!r} lies outside the stores that this house reads uploads from.",
            mend="Put the file below "
            + " or ".join(f"{scheme}://{root}" for scheme, root in self._roots)
            + " (EASEML_ARTIFACTS_URI), or let 'easeml upload' or the SDK do it.",
            reason="forbidden_uri",
        )


def sha256_of(file: IO[bytes]) -> str:
    """Return the SHA-256 of a file from its present place on, read block by block."""
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def _parsed(uri: str) -> tuple[str, str]:
    scheme, separator, rest = uri.partition("://")
    if not separator:
        scheme, rest = "file", os.path.abspath(uri)  # noqa: PTH100 - a URI, not a Path
    if scheme not in _SCHEMES or "::" in uri:
        raise ConfigurationError(
            f"{uri!r} has a scheme that uploads are not read from.", mend=f"Use one of {', '.join(sorted(_SCHEMES))}."
        )
    return scheme, (unquote(rest) if scheme == "file" else rest).rstrip("/")


def _system(scheme: str) -> Any:
    try:
        return fsspec.filesystem(scheme)
    except ImportError as error:
        raise ConfigurationError(
            f"Uploads from {scheme}:// need a package that is not installed: {error}.", mend="Install s3fs."
        ) from error


def _remove(system: Any, path: str) -> None:
    with suppress(FileNotFoundError):  # somebody was faster
        system.rm_file(path)


@contextmanager
def _failures(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise Poison(
            f"There is no file at {uri[:200]}.", mend="Store it there before announcing it.", reason="not_found"
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"{uri[:200]} cannot be read: {error}.", mend="Check that the store is up and readable."
        ) from error
