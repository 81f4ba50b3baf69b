"""An upload, planned on the user's side: the file's digest, the app's columns from its head, the chunks to send."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import pandas as pd

from easeml import rewriting, upload_states
from easeml.datamagic import reading
from easeml.datamagic.cleaning.schema import infer_schema
from easeml.datamagic.ingestion.sources import Sources, sha256_of
from easeml.datamagic.ingestion.uploads import work_key
from easeml.datamagic.readers.sources import fetched
from easeml.definition import check_kinds, plan_of
from easeml.errors import InvalidDataError, PermissionDeniedError
from easeml.ids import EventId
from easeml.progress import Progress, silent
from easeml.relation import Relation
from easeml.stream.admin import existing
from easeml.stream.payloads import AppDefined, Pillar, Upload
from easeml.stream.publisher import EventPublisher
from easeml.stream.settings import Settings
from easeml.stream.topics import APPS, Topic, uploads_topic

if TYPE_CHECKING:
    from easeml.client import Client

LARGE_BYTES = 64 * 2**20
"""Larger files are stored and sent by their URI."""
HEAD_ROWS = 20_000
"""Rows that fix the columns of an app that has none."""
_ENVELOPE = 20_000  # bytes of a chunk's message beside its content
_BLOCK = 2**20
_FLUSHED = 32
"""Chunks that are sent before the broker has to have them."""


@dataclass(frozen=True, slots=True)
class File:
    """What is to be uploaded.

    Parameters
    ----------
    name : str
        Name for people, whose ending hints at the format.
    size : int
        Bytes.
    sha256 : str
        Digest.
    open : callable
        Opens it for reading, from its start.
    uri : str
        Where the service can read it by itself; empty: it has to be sent.
    """

    name: str
    size: int
    sha256: str
    open: Callable[[], IO[bytes]]
    uri: str = ""


def file_of(
    source: str | Path | bytes | pd.DataFrame, name: str = "", *, store: str = "", progress: Progress = silent
) -> File:
    """Return a path, a URL, bytes or a frame as the file to upload.

    Parameters
    ----------
    source : path, URL, bytes or DataFrame
        The file.
    name : str
        What it is called; by default as the file is.
    store : str
        URI of the folder from which the service reads files by itself.
    progress : callable
        Told of the bytes of which the digest is known.

    Raises
    ------
    InvalidDataError
        When there is no such file.
    """
    if isinstance(source, pd.DataFrame):
        source, name = source.to_csv(index=source.index.name is not None).encode(), name or "frame.csv"
    if isinstance(source, bytes):
        content = source
        return _measured(name or "upload", lambda: io.BytesIO(content), len(content), progress)
    if isinstance(source, str) and "://" in source:
        url = source
        name = name or PurePosixPath(urlsplit(url).path).name or "upload"
        if not _within(url, store):
            return _measured(name, lambda: fetched(url), 0, progress)
        sources = Sources([store])
        with sources.open(url) as stored:
            digest = sha256_of(stored)
        return File(name, sources.size(url), digest, lambda: fetched(url), url)
    path = Path(source)
    if path.is_dir():
        raise InvalidDataError(
            f"{path} is a folder, and an upload is one file.",
            mend="'easeml publish' takes folders of texts and images.",
        )
    if not path.is_file():
        raise InvalidDataError(f"There is no file {path}.", mend="Check the path.")
    return _measured(name or path.name, lambda: path.open("rb"), path.stat().st_size, progress)


def _within(url: str, store: str) -> bool:
    """Return whether the service reads a URL by itself: files below its own store, no others."""
    return bool(store) and url.startswith(f"{store.rstrip('/')}/") and ".." not in url.split("/")


def _measured(name: str, opened: Callable[[], IO[bytes]], total: int, progress: Progress) -> File:
    """Return a file with its size and digest."""
    digest, size = hashlib.sha256(), 0
    with opened() as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
            progress(size, total, "bytes read")
    return File(name, size, digest.hexdigest(), opened)


def with_columns(
    app: AppDefined, file: File, wish: Mapping[str, Any], kinds: Mapping[str, str] = MappingProxyType({})
) -> AppDefined:
    """Return the app with the columns and classes of the file's head; as it is when it has some.

    Parameters
    ----------
    app : AppDefined
        The app.
    file : File
        The file.
    wish : mapping
        ``format``, ``id_column`` and ``group_column`` as in ``Upload``.
    kinds : mapping of str to str
        Kinds of columns that the user declares.

    Raises
    ------
    InvalidDataError
        When the head cannot be read, lacks the label or has fewer than two classes, or a kind is not the app's.
    """
    if app.columns:
        check_kinds(app, kinds)
        return app
    special = frozenset({wish["id_column"], wish["group_column"]} - {""})
    with file.open() as stream:
        parts = reading.chunks(
            stream,
            rows=HEAD_ROWS,
            name=file.name,
            format=wish["format"] or None,
            label=app.label,
            text=special,
            on_error="collect",
        )
        frame = next(islice(parts, 1), None)
    if frame is None:
        raise InvalidDataError(f"{file.name} has no rows.", mend="Check the file.")
    for name in special:
        if name not in frame.columns:
            known = ", ".join(map(str, frame.columns))
            raise InvalidDataError(f"{file.name} has no column {name!r}.", mend=f"Columns are {known}.")
    schema = infer_schema(frame.drop(columns=list(special)), label=app.label, kinds=kinds)
    relation = Relation.from_frame(
        schema.apply(frame.drop(columns=list(special))),
        label=app.label,
        classes=app.classes or None,
        columns=schema.features,
        row_ids=tuple(map(str, range(len(frame)))),
        ids_generated=True,
    )
    if len(relation.classes) < 2:
        found = f"one class only ({relation.classes[0]!r})" if relation.classes else "no value"
        raise InvalidDataError(
            f"Label {app.label!r} has {found}; there is nothing to learn.", mend="Upload rows of at least two classes."
        )
    return replace(app, columns=relation.columns, classes=relation.classes)


def plan(app: AppDefined, file: File, pillar: Pillar | str | None, wish: dict[str, Any]) -> Upload:
    """Return the upload without content.

    Its name follows from the file's bytes, the life of the app and what is asked for: sent again it is the same
    upload, unless ``again`` asks for the same rows once more.

    Raises
    ------
    InvalidDataError
        When the pillar is none, or a split is asked for again.
    """
    known = set(map(str, Pillar))
    named = "" if pillar is None else str(pillar)
    if named and named not in known:
        raise InvalidDataError(f"{named!r} is not a pillar.", mend=f"Choose one of {', '.join(Pillar)}.")
    if wish["again"] and not named:
        raise InvalidDataError(
            "Rows that are split again would move from training to test.",
            mend="Name the pillar to have them once more.",
        )
    needed = plan_of(app).unlabelled if not named or named == Pillar.TEST else 0
    fresh = str(EventId.random()) if wish["again"] else ""
    upload = Upload(app.app, fresh, file.name, file.sha256, pillar=named, test_rows=needed, **wish)
    # The service answers to the same work once, so the same work has one name, whatever the file is called.
    return replace(upload, upload=EventId.derive("upload", app.app, work_key(upload, app)))


def messages(
    upload: Upload, file: File, store: str, max_message_bytes: int, progress: Progress = silent
) -> Iterator[Upload]:
    """Yield the messages of an upload: chunks that fit, or the URI of a large file, which is stored first.

    Raises
    ------
    UnavailableError
        When the store cannot be written.
    """
    if file.uri:
        yield replace(upload, uri=file.uri)
        return
    with file.open() as stream:
        if file.size > LARGE_BYTES:
            progress(0, 0, "storing the file")
            yield replace(upload, uri=Sources([store]).put(cast("Any", stream), file.sha256, file.name))
            return
        room = max(max_message_bytes - _ENVELOPE, max_message_bytes // 2)
        chunks = max(1, -(-file.size // room))
        for chunk in range(chunks):
            yield replace(upload, chunk=chunk, chunks=chunks, content=stream.read(room))
            progress(chunk + 1, chunks, "chunks sent")


_WISHES: dict[str, Any] = {
    "id_column": "",
    "group_column": "",
    "seed": 0,
    "test_share": 0.0,
    "repairs": 5,
    "again": False,
    "format": "",
}


def upload(
    client: Client,
    publisher: EventPublisher,
    name: str,
    source: str | Path | bytes | pd.DataFrame,
    pillar: Pillar | str | None,
    wait: float,
    wish: Mapping[str, Any],
) -> str:
    """Send an upload; arguments and errors as in ``Client.upload``."""
    known = {*_WISHES, *rewriting.OPTIONS, "file_name", "progress"}
    unknown = sorted(set(wish) - known)
    if unknown:
        raise InvalidDataError(f"Unknown option {unknown[0]!r}.", mend=f"Options are {', '.join(sorted(known))}.")
    given = {key: value for key, value in wish.items() if value is not None}
    wanted = {key: given.get(key, default) for key, default in _WISHES.items()}
    written = {key: given[key] for key in rewriting.OPTIONS if key in given}
    progress: Progress = given.get("progress", silent)
    app, settings = client.app(name), client.settings
    file = file_of(source, given.get("file_name", ""), store=settings.store_uri, progress=progress)
    with ExitStack() as stack:
        if rewriting.needed(written):
            plain = stack.enter_context(rewriting.rewritten(file.open, file.name, app, wanted["format"], written))
            file, wanted["format"] = file_of(plain, file.name, progress=progress), "csv"
        full = with_columns(app, file, wanted, rewriting.kinds_left(written))
        sent = plan(full, file, pillar, wanted)
        _check_seen(uploads_topic(sent.pillar), settings)
        before = upload_states.given_up(app, sent, settings) if wait > 0 else 0
        if full != app:
            publisher.publish(APPS, full)
        _send(publisher, sent, file, settings, progress)
        if wait > 0:
            upload_states.wait_for(app, sent, settings, wait, progress, before=before)
    return sent.upload


def _send(publisher: EventPublisher, sent: Upload, file: File, settings: Settings, progress: Progress) -> None:
    topic = uploads_topic(sent.pillar)
    for message in messages(sent, file, settings.store_uri, settings.max_message_bytes, progress):
        identity = EventId.derive("upload", sent.app, sent.upload, message.chunk)
        publisher.send(topic, message, event_id=identity)
        if message.chunk % _FLUSHED == _FLUSHED - 1:
            publisher.flush()  # not all of a large file in memory
    publisher.flush()


def _check_seen(topic: Topic, settings: Settings) -> None:
    if topic.restricted and topic.name not in existing(settings):
        raise PermissionDeniedError(
            f"Files that may hold test rows travel on {topic.name}, which this account does not see "
            "or an older house has not made.",
            mend="Name another pillar, as in --pillar train, or ask the owner of the test set to send it; "
            "a house makes its topics when it is started.",
        )
