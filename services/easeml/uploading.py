"""An upload, planned on the user's side: the file's digest, the app's columns from its head, the chunks to send."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pandas as pd

from easeml.datamagic import reading
from easeml.datamagic.cleaning.schema import infer_schema
from easeml.datamagic.ingestion.sources import Sources, sha256_of
from easeml.datamagic.ingestion.uploads import run_of
from easeml.definition import plan_of
from easeml.errors import InvalidDataError, SchemaError, UnavailableError
from easeml.ids import EventId
from easeml.relation import Relation
from easeml.stream import codec, deadletters
from easeml.stream.messages import Record
from easeml.stream.payloads import AppDefined, OperatorRun, Pillar, RunState, Upload
from easeml.stream.publisher import EventPublisher
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import APPS, LINEAGE, UPLOADS

if TYPE_CHECKING:
    from easeml.client import Client

LARGE_BYTES = 64 * 2**20
"""Larger files are stored and sent by their URI."""
HEAD_ROWS = 20_000
"""Rows that fix the columns of an app that has none."""
_POLL_SECONDS = 0.2
_ENVELOPE = 20_000  # bytes of a chunk's message beside its content


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
    path : Path or None
        Where it lies; None: ``content`` has it.
    content : bytes
        The bytes of what is no file.
    """

    name: str
    size: int
    sha256: str
    path: Path | None
    content: bytes

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open it for reading."""
        with self.path.open("rb") if self.path is not None else io.BytesIO(self.content) as file:
            yield cast("IO[bytes]", file)


def file_of(source: str | Path | bytes | pd.DataFrame, name: str = "") -> File:
    """Return a path, bytes or a frame as the file to upload.

    Raises
    ------
    InvalidDataError
        When there is no such file.
    """
    if isinstance(source, pd.DataFrame):
        source, name = source.to_csv(index=source.index.name is not None).encode(), name or "frame.csv"
    if isinstance(source, bytes):
        return File(name or "upload", len(source), sha256_of(io.BytesIO(source)), None, source)
    path = Path(source)
    if not path.is_file():
        raise InvalidDataError(f"There is no file {path}.", mend="Check the path; folders are for 'easeml publish'.")
    with path.open("rb") as file:
        return File(name or path.name, path.stat().st_size, sha256_of(file), path, b"")


def with_columns(app: AppDefined, file: File, form: str, id_column: str, group_column: str) -> AppDefined:
    """Return the app with the columns and classes of the file's head; as it is when it has some.

    Raises
    ------
    InvalidDataError
        When the head cannot be read, lacks the label or has fewer than two classes.
    """
    if app.columns:
        return app
    special = frozenset({id_column, group_column} - {""})
    with file.open() as stream:
        parts = reading.chunks(
            stream,
            rows=HEAD_ROWS,
            name=file.name,
            format=form or None,
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
    schema = infer_schema(frame.drop(columns=list(special)), label=app.label)
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

    Its name follows from the file, the app and what is asked for: sent again it is the same upload, unless the app
    was changed or ``again`` asks for the same rows once more.

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
    upload = Upload(app.app, "", file.name, file.sha256, pillar=named, test_rows=needed, **wish)
    asked = [f"{field.name}={getattr(upload, field.name)!r}" for field in fields(upload)]
    fresh = [EventId.random()] if upload.again else []
    return replace(upload, upload=EventId.derive("upload", repr(app), *asked, *fresh))


def messages(upload: Upload, file: File, store: str, max_message_bytes: int) -> Iterator[Upload]:
    """Yield the messages of an upload: chunks that fit, or the URI of a large file, which is stored first.

    Raises
    ------
    UnavailableError
        When the store cannot be written.
    """
    with file.open() as stream:
        if file.size > LARGE_BYTES:
            yield replace(upload, uri=Sources([store]).put(cast("Any", stream), file.sha256, file.name))
            return
        room = max(max_message_bytes - _ENVELOPE, max_message_bytes // 2)
        chunks = max(1, -(-file.size // room))
        for chunk in range(chunks):
            yield replace(upload, chunk=chunk, chunks=chunks, content=stream.read(room))


# -- sending and following -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload is.

    Parameters
    ----------
    upload, name : str
        Its identity and file name.
    state : str
        ``sent``, ``running``, ``done`` or ``failed``.
    rows : mapping of str to int
        Rows per pillar, once it is done.
    message : str
        Why it failed, or which rows did not fit.
    """

    upload: str
    name: str
    state: str
    rows: Mapping[str, int]
    message: str = ""


_STATES = {RunState.START: "running", RunState.COMPLETE: "done", RunState.FAIL: "failed"}


def progress_of(app: AppDefined, settings: Settings) -> dict[str, Progress]:
    """Return the uploads of an app, by name."""
    found: dict[str, Progress] = {}
    runs: dict[str, OperatorRun] = {}
    reader = TopicReader(settings, [UPLOADS.name, LINEAGE.name])
    try:
        for event in reader.replay():
            if event.app != app.app:
                continue
            if isinstance(event.data, Upload):
                found.setdefault(event.data.upload, Progress(event.data.upload, event.data.name, "sent", {}))
            else:
                runs[event.data.run] = event.data
    finally:
        reader.close()
    for name, one in found.items():
        run = runs.get(run_of(app.app, name))
        if run is not None:
            told = run.parameters.items()
            rows = {key.removeprefix("rows."): int(value) for key, value in told if key.startswith("rows.")}
            found[name] = Progress(name, one.name, _STATES[run.state], rows, run.message)
    for letter in deadletters.read(settings, UPLOADS.name):
        refused = _named_by(letter.raw)
        if refused in found and found[refused].state == "sent":
            found[refused] = replace(found[refused], state="failed", message=letter.message)
    return found


def _named_by(record: Record) -> str:
    try:
        data = codec.decode(record.value or b"")
    except SchemaError:
        return ""
    return data.upload if isinstance(data, Upload) else ""


_WISHES: dict[str, Any] = {
    "id_column": "",
    "group_column": "",
    "seed": 0,
    "test_share": 0.0,
    "repairs": 5,
    "again": False,
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
    wanted: dict[str, Any] = {**_WISHES, "format": "", "file_name": "", **wish}
    unknown = sorted(set(wanted) - {*_WISHES, "format", "file_name"})
    if unknown:
        raise InvalidDataError(f"Unknown option {unknown[0]!r}.", mend=f"Options are {', '.join(_WISHES)}, format.")
    wanted = {key: _WISHES.get(key, "") if value is None else value for key, value in wanted.items()}
    app, file = client.app(name), file_of(source, wanted.pop("file_name"))
    full = with_columns(app, file, wanted["format"], wanted["id_column"], wanted["group_column"])
    sent = plan(full, file, pillar, wanted)
    settings = client.settings
    if full != app:
        publisher.publish(APPS, full)
    for message in messages(sent, file, settings.store_uri, settings.max_message_bytes):
        identity = EventId.derive("upload", name, sent.upload, message.chunk)
        publisher.send(UPLOADS, message, event_id=identity)
        if message.chunk % 32 == 31:
            publisher.flush()  # not all of a large file in memory
    publisher.flush()
    if wait > 0:
        _wait(client, name, sent, wait)
    return sent.upload


def _wait(client: Client, name: str, sent: Upload, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        progress = client.uploads(name).get(sent.upload)
        if progress is not None and progress.state == "failed":
            raise InvalidDataError(progress.message, mend="Mend the file and upload it again.", reason="bad_upload")
        if progress is not None and progress.state == "done":
            return
        time.sleep(_POLL_SECONDS)
    raise UnavailableError(
        f"{sent.name} was sent, but DataMagic did not end in {seconds:g} s.",
        mend="It goes on; look with client.uploads, and at 'easeml doctor'.",
    )
