"""The chunks of uploads on their way: a view of the topic ``uploads``, bounded.

Chunks may come in any order and more than once. An upload is kept until the message after the one that completed it:
the messages of a partition are handled one after the other, so it is done by then. One that is never completed is
dropped a day after its last chunk, measured by the times of the messages, so that a rebuild keeps the same ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields

from easeml.errors import Poison
from easeml.stream.payloads import Upload

MOST_BYTES = 128 * 2**20
"""Bytes of one upload in chunks; larger files are sent by URI."""
MOST_OPEN_BYTES = 256 * 2**20
"""Bytes of all uploads of one app that are not complete."""
STALE_SECONDS = 86_400.0

_OF_CHUNK = {"chunk", "content"}
_SHARED = tuple(f.name for f in fields(Upload) if f.name not in _OF_CHUNK)


@dataclass(slots=True)
class _Open:
    first: Upload
    time: float
    size: int = 0
    contents: dict[int, bytes] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.contents) == self.first.chunks


class Chunks:
    """The uploads of one app whose bytes are here."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def fold(self, upload: Upload, time: float) -> None:
        """Take in a chunk.

        Raises
        ------
        Poison
            When it makes no sense, contradicts the chunks before it or is too much; nothing is changed then.
        """
        check(upload)
        former = self._open.get(upload.upload)
        if former is not None and not former.complete:
            _check_same(former, upload)
        self._open = {
            name: one for name, one in self._open.items() if not one.complete and time - one.time <= STALE_SECONDS
        }
        if upload.uri:
            return
        entry = self._open.get(upload.upload) or _Open(upload, time)
        new = 0 if upload.chunk in entry.contents else len(upload.content)
        others = sum(one.size for name, one in self._open.items() if name != upload.upload)
        if entry.size + new > MOST_BYTES or others + entry.size + new > MOST_OPEN_BYTES:
            raise Poison(
                f"{_named(upload)} has more than {MOST_BYTES:,} bytes in chunks, or open uploads of {upload.app} more "
                f"than {MOST_OPEN_BYTES:,}.",
                mend="Store the file and send its URI, as 'easeml upload' and the SDK do with large files.",
                reason="too_large",
            )
        entry.contents.setdefault(upload.chunk, upload.content)
        entry.size += new
        entry.time = max(entry.time, time)
        self._open[upload.upload] = entry

    def whole(self, upload: Upload) -> bytes | None:
        """Return the bytes of an upload, None while a chunk is missing."""
        entry = self._open.get(upload.upload)
        if entry is None or not entry.complete:
            return None
        return b"".join(entry.contents[place] for place in range(entry.first.chunks))


def _named(upload: Upload) -> str:
    return f"Upload {upload.upload!r} ({upload.name})"


def check(upload: Upload) -> None:
    """Check one chunk by itself.

    Raises
    ------
    Poison
        With the reason ``bad_upload``, naming the upload.
    """
    digest = upload.sha256
    problems = (
        (not upload.upload or len(upload.upload) > 200, "it has no name of at most 200 characters"),
        (len(digest) != 64 or not set(digest) <= set("0123456789abcdef"), f"{digest[:80]!r} is no SHA-256 digest"),
        (not 1 <= upload.chunks <= 100_000, f"it has {upload.chunks} chunks"),
        (not 0 <= upload.chunk < upload.chunks, f"chunk {upload.chunk} is not one of {upload.chunks}"),
        (bool(upload.uri) and bool(upload.content), "it has a URI and content"),
        (not 0 <= upload.test_share < 1, f"a test share of {upload.test_share:g} is not in [0, 1)"),
        (upload.test_rows < 0 or upload.repairs < 0, "numbers of rows and candidates are not negative"),
        (upload.repairs > 100, f"{upload.repairs} candidates per cell are too many"),
    )
    for wrong, text in problems:
        if wrong:
            raise Poison(f"{_named(upload)}: {text}.", mend="See the field comments of Upload.", reason="bad_upload")


def _check_same(former: _Open, upload: Upload) -> None:
    for name in _SHARED:
        if getattr(former.first, name) != getattr(upload, name):
            raise Poison(
                f"{_named(upload)}: chunk {upload.chunk} says {name}={getattr(upload, name)!r}, the ones before it "
                f"{getattr(former.first, name)!r}.",
                mend="Give every upload its own name, and all its chunks the same fields.",
                reason="conflict",
            )
    known = former.contents.get(upload.chunk)
    if known is not None and hashlib.sha256(known).digest() != hashlib.sha256(upload.content).digest():
        raise Poison(
            f"{_named(upload)}: chunk {upload.chunk} came twice with different bytes.",
            mend="Give every upload its own name.",
            reason="conflict",
        )
