"""The skops archive as bytes: written so that equal models give equal bytes, and looked at before it is believed."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from easeml.errors import ArtifactError

SCHEMA = "schema.json"
_ARRAY = re.compile(r"[0-9]{1,20}\.npy")
_MOMENT = (1980, 1, 1, 0, 0, 0)
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_MAX_ENTRIES = 100_000
_MAX_SCHEMA = 32 * 2**20
"""Bytes of the schema; once parsed it takes up to 25 times as many."""


def normalised(archive: bytes) -> bytes:
    """Rewrite a skops archive without memory addresses and times, and compress it.

    skops names arrays and marks objects by ``id()``; two dumps of one model would differ. Here arrays are numbered by
    their content in the order of the document, so that the digest names the model and a repeated trial stores nothing
    new.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(buffer, "w") as target:
        document = json.loads(source.read(SCHEMA))
        names: dict[bytes, str] = {}
        for node in _nodes(document):
            node.pop("__id__", None)
            if "file" in node:
                content = _without_padding(source.read(node["file"]))
                if content not in names:
                    names[content] = f"{len(names) + 1}.npy"
                    _write(target, names[content], content)
                node["file"] = names[content]
        _write(target, SCHEMA, json.dumps(document, separators=(",", ":")).encode())
    return buffer.getvalue()


def _without_padding(content: bytes) -> bytes:
    """Return the array file with its padding zeroed: between the fields of tree nodes lies uninitialised memory."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.fields is None:
        return content
    used = np.zeros(array.dtype.itemsize, bool)
    for kind, offset, *_ in array.dtype.fields.values():
        used[offset : offset + kind.itemsize] = True
    items = np.frombuffer(content, np.uint8, offset=len(content) - array.nbytes).reshape(-1, len(used))
    return content[: len(content) - array.nbytes] + (items * used).astype(np.uint8).tobytes()


def _nodes(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a schema that skops has just written, in the order of the document."""
    stack = [document]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(reversed(node))
        elif isinstance(node, dict):
            if "__loader__" in node:
                yield node
            stack.extend(reversed(node.values()))


def _write(target: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _MOMENT)
    entry.compress_type = zipfile.ZIP_DEFLATED
    # Level 1: models are written and read far more often than their size matters.
    target.writestr(entry, data, compresslevel=1)


def document_of(archive: bytes, max_expanded: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the schema of an archive and the unpacked bytes of each entry, checked without believing it.

    Parameters
    ----------
    archive : bytes
        The file.
    max_expanded : int
        Bytes that its entries may have unpacked, together.

    Raises
    ------
    ArtifactError
        When it is no archive of this kind, has unexpected entries, or unpacks to too much.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as source:
            sizes = _sizes(source)
            bounded(sum(sizes.values()), max_expanded)  # zipfile never unpacks more than this
            document = json.loads(source.read(SCHEMA))
    except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, KeyError, RecursionError, EOFError, OSError) as error:
        raise ArtifactError(f"The model file is no skops archive: {error}.", mend=_MEND) from error
    except Exception as error:
        if isinstance(error, ArtifactError):
            raise
        # zlib and zipfile raise many kinds of errors on crafted bytes
        raise ArtifactError(f"The model file cannot be unpacked: {error!r}.", mend=_MEND) from error
    if not isinstance(document, dict):
        raise ArtifactError("The model file's schema is no JSON object.", mend=_MEND)
    return document, sizes


def _sizes(source: zipfile.ZipFile) -> dict[str, int]:
    """Return how many bytes each entry unpacks to."""
    entries = source.infolist()
    names = [entry.filename for entry in entries]
    strange = [name for name in names if name != SCHEMA and not _ARRAY.fullmatch(name)]
    if strange or len(set(names)) != len(names) or SCHEMA not in names or len(names) > _MAX_ENTRIES:
        raise ArtifactError(
            f"The model file is no skops archive: unexpected, double or missing entries {strange[:3]}.", mend=_MEND
        )
    if any(entry.compress_type not in _METHODS for entry in entries):
        raise ArtifactError("The model file is compressed in another way than zip's own.", mend=_MEND)
    sizes = {entry.filename: entry.file_size for entry in entries}
    if sizes[SCHEMA] > _MAX_SCHEMA:
        raise ArtifactError(
            f"The schema of the model file unpacks to {sizes[SCHEMA]} bytes, allowed are {_MAX_SCHEMA}.",
            mend="Train a smaller model: fewer trees, members or words.",
        )
    return sizes


def bounded(expanded: int, most: int) -> None:
    """Raise ArtifactError when a file unpacks to more bytes than it may."""
    if expanded > most:
        raise ArtifactError(
            f"The model file unpacks to {expanded} bytes, allowed are {most}.",
            mend="Train a smaller model or raise EASEML_MAX_ARTIFACT_BYTES.",
        )


_MEND = "Publish a model that easeml.artifacts.dump wrote; pickle and joblib files are never read."
