"""Uploads that wait while a large one of their app is read: their bytes go to the store, only their URI is remembered.

Fails with ``Poison`` that names the upload, or ``Busy`` while the store cannot be written.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace

from easeml.datamagic.ingestion.sources import Sources
from easeml.datamagic.ingestion.uploads import owner_of
from easeml.errors import Busy, Poison, UnavailableError
from easeml.stream.payloads import Upload


@dataclass(frozen=True, slots=True)
class Queued:
    """An upload that waits; its file is at its URI.

    Parameters
    ----------
    upload : Upload
        Without content.
    """

    upload: Upload


def store(upload: Upload, content: bytes | None, roots: tuple[str, ...]) -> Queued:
    """Put the bytes of an upload aside; repeating it changes nothing.

    Parameters
    ----------
    upload : Upload
        Without content.
    content : bytes or None
        The file; None: it lies at its URI already.
    roots : tuple of str
        Stores that files are read from; it goes to the first.

    Raises
    ------
    Poison
        When the file is not what was announced; names the upload.
    Busy
        When the store cannot be written.
    """
    if content is None:
        return Queued(upload)
    found = hashlib.sha256(content).hexdigest()
    if found != upload.sha256:
        raise Poison(
            f"Upload {upload.upload!r} ({upload.name}): Its bytes have the SHA-256 {found}, announced was "
            f"{upload.sha256}.",
            mend="It was changed or cut on its way: upload it again.",
            reason="wrong_digest",
        )
    try:
        uri = Sources(roots).put(io.BytesIO(content), upload.sha256, upload.name, owner_of(upload))
        return Queued(replace(upload, uri=uri))
    except UnavailableError as error:
        raise Busy(error.message, mend=error.mend) from error
