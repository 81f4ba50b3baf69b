"""The content of the files that operators read, as SHA-256: a file, a folder, or a URI."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from easeml.errors import InvalidDataError, NotFoundError
from easeml.lineage.values import Json

_CHUNK = 1 << 20
_URI = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def paths_in(value: Json) -> list[str]:
    """Return the paths that a parameter names: one, several, or none."""
    if value is None:
        return []
    paths = value if isinstance(value, list) else [value]
    odd = [path for path in paths if not isinstance(path, str)]
    if odd:
        raise InvalidDataError(f"{odd[0]!r} names no file.", mend="Give a path or a list of paths.")
    return paths


def fingerprint(path: str) -> str:
    """Return the SHA-256 of what a path or URI holds; a folder's covers names and contents of all its files.

    Memory is bounded, whatever the size.

    Raises
    ------
    NotFoundError
        When nothing is there.
    InvalidDataError
        When it cannot be read.
    """
    if _URI.match(path):
        return _remote(path)
    place = Path(path).expanduser()
    if not place.exists():
        raise NotFoundError(
            f"There is no file {path!r}.", mend=f"Give a path that is seen from {Path.cwd()}, or an absolute one."
        )
    try:
        if not place.is_dir():
            return _file(place)
        digest = hashlib.sha256()
        for member in sorted(one for one in place.rglob("*") if one.is_file()):
            digest.update(
                f"{member.relative_to(place).as_posix()}\0{_file(member)}\0".encode("utf-8", "surrogateescape")
            )
        return digest.hexdigest()
    except OSError as error:
        raise InvalidDataError(f"{path!r} cannot be read: {error.strerror}.", mend="Check its permissions.") from error


def state_of(path: str) -> tuple[int, int] | None:
    """Return size and time of change of a local file, to notice that it changed while it was read."""
    place = Path(path).expanduser()
    if _URI.match(path) or not place.is_file():
        return None
    status = place.stat()
    return status.st_size, status.st_mtime_ns


def _file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remote(uri: str) -> str:
    import fsspec  # noqa: PLC0415 - most workflows read local files

    digest = hashlib.sha256()
    try:
        with fsspec.open(uri, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {uri}.", mend="Check the address.") from error
    except (OSError, ValueError, ImportError) as error:
        raise InvalidDataError(
            f"{uri} cannot be read: {error}.", mend="Check the address, the credentials and the protocol's package."
        ) from error
    return digest.hexdigest()
