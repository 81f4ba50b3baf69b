"""Zip archives, alone or inside xlsx and docx, opened only when they can be no bomb."""

from __future__ import annotations

import zipfile
from typing import IO, Any

from easeml.errors import InvalidDataError

MOST_MEMBERS = 10_000
MOST_BYTES = 1 << 30
"""Bytes that the members of a document may have together."""
MOST_EXPANSION = 200
FREE_BYTES = 64 << 20
"""Bytes that a document may always have; the bound on the ratio begins above."""
_STEP = 1 << 20
_DOCUMENTS = ("[Content_Types].xml", "mimetype", "META-INF/manifest.xml")


def check_document(stream: IO[bytes], name: str) -> list[str]:
    """Check that a zipped document is no bomb, by what it declares and by what it really holds.

    Parameters
    ----------
    stream : binary file
        The archive; read from its start and left there.
    name : str
        How errors call it.

    Returns
    -------
    list of str
        Names of its members.

    Raises
    ------
    InvalidDataError
        When it is damaged, encrypted, or would grow out of proportion.
    """
    stream.seek(0, 2)
    stored = stream.tell()
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            _check_declared(members, stored, name)
            _check_real(archive, members, name)
            names = [member.filename for member in members]
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, zipfile.LargeZipFile) as error:
        raise InvalidDataError(f"{name} is a damaged archive: {error}.", mend="Save or copy it again.") from error
    stream.seek(0)
    return names


def _check_declared(members: list[zipfile.ZipInfo], stored: int, name: str) -> None:
    if any(member.flag_bits & 1 for member in members):
        raise InvalidDataError(f"{name} is protected by a password.", mend="Save it without one.", reason="password")
    packed = sum(member.compress_size for member in members)
    if packed > stored or len(members) > MOST_MEMBERS:
        raise _bomb(name, f"it declares {len(members):,} members of {packed:,} packed bytes in a file of {stored:,}")
    size = sum(member.file_size for member in members)
    if size > MOST_BYTES or size > max(FREE_BYTES, MOST_EXPANSION * stored):
        raise _bomb(name, f"its {stored:,} bytes declare {size:,} bytes of content")


def _check_real(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], name: str) -> None:
    """Read every member once: a member that is longer than it declares, or another, is refused."""
    for member in members:
        seen = 0
        with archive.open(member) as content:
            while step := content.read(_STEP):
                seen += len(step)
        if seen != member.file_size:
            raise _bomb(name, f"{member.filename} has {seen:,} bytes and declares {member.file_size:,}")


def _bomb(name: str, what: str) -> InvalidDataError:
    return InvalidDataError(
        f"{name} may be a zip bomb: {what}.", mend="If you trust the file, save it again as CSV.", reason="expansion"
    )


def plain_members(stream: IO[bytes], name: str) -> list[str] | None:
    """Return the files in an archive; None when it is a document of its own (xlsx, docx, ods, npz).

    Raises
    ------
    InvalidDataError
        When it is damaged or encrypted.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InvalidDataError(f"{name} is a damaged archive: {error}.", mend="Save or copy it again.") from error
    names = [member.filename for member in members]
    if any(part in names for part in _DOCUMENTS) or (names and all(part.endswith(".npy") for part in names)):
        return None
    if any(member.flag_bits & 1 for member in members):
        raise InvalidDataError(f"{name} is protected by a password.", mend="Unpack it first.", reason="password")
    return [n for n in names if not n.endswith("/") and not n.startswith("__MACOSX/") and "/." not in f"/{n}"]


def opened_member(stream: IO[bytes], member: str) -> IO[bytes]:
    """Return one file of an archive as a stream; what it grows to is for the reader to bound."""
    archive: Any = zipfile.ZipFile(stream)
    opened: IO[bytes] = archive.open(member)
    return opened
