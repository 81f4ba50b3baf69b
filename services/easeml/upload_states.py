"""What became of an upload: read back from what the services say of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from easeml.datamagic.ingestion.uploads import run_of
from easeml.errors import InvalidDataError, SchemaError, UnavailableError
from easeml.progress import Progress
from easeml.stream import codec, deadletters
from easeml.stream.admin import existing
from easeml.stream.events import Event
from easeml.stream.messages import Record
from easeml.stream.payloads import AppDefined, OperatorRun, RunState, Upload
from easeml.stream.reader import TopicReader
from easeml.stream.settings import Settings
from easeml.stream.topics import LINEAGE, UPLOADS, UPLOADS_TEST, Topic, uploads_topic

_COUNTS = ("rejected", "clashes", "candidates")
_POLL_SECONDS = 0.2
_SLOWEST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class UploadState:
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
        Why it failed, or the first rows and cells that did not fit, one a line.
    rejected, clashes, candidates : int
        Rows left out, cells made missing and cells with candidates, once it is done.
    """

    upload: str
    name: str
    state: str
    rows: Mapping[str, int]
    message: str = ""
    rejected: int = 0
    clashes: int = 0
    candidates: int = 0


_STATES = {RunState.START: "running", RunState.COMPLETE: "done", RunState.FAIL: "failed"}


def states(app: AppDefined, settings: Settings) -> dict[str, UploadState]:
    """Return the uploads of an app that the account may see, by name."""
    names: dict[str, str] = {}
    letters: dict[str, list[str]] = {}
    seen = existing(settings)
    for topic in (UPLOADS, UPLOADS_TEST):
        if topic.restricted and topic.name not in seen:
            continue
        sent = (event.data for event in _replayed(settings, topic, app))
        names |= {data.upload: data.name for data in sent if isinstance(data, Upload)}
        letters |= _letters(app, settings, topic)
    runs = _runs(app, settings)
    return {upload: _state(app, upload, name, runs, letters.get(upload, [])) for upload, name in names.items()}


def _replayed(settings: Settings, topic: Topic, app: AppDefined) -> Iterator[Event[Any]]:
    reader = TopicReader(settings, [topic.name])
    try:
        yield from (event for event in reader.replay() if event.app == app.app)
    finally:
        reader.close()


def _runs(app: AppDefined, settings: Settings) -> dict[str, OperatorRun]:
    """Return the last event of each run of an app."""
    return {event.data.run: event.data for event in _replayed(settings, LINEAGE, app)}


def _letters(app: AppDefined, settings: Settings, topic: Topic) -> dict[str, list[str]]:
    """Return why uploads of an app on a topic were given up, in order."""
    found: dict[str, list[str]] = {}
    for letter in deadletters.read(settings, topic.name):
        refused = _named_by(letter.raw)
        if refused is not None and refused.app == app.app:
            found.setdefault(refused.upload, []).append(letter.message)
    return found


def _named_by(record: Record) -> Upload | None:
    try:
        data = codec.decode(record.value or b"")
    except SchemaError:
        return None
    return data if isinstance(data, Upload) else None


def _state(
    app: AppDefined, upload: str, name: str, runs: Mapping[str, OperatorRun], letters: Sequence[str]
) -> UploadState:
    run = runs.get(run_of(app.app, upload))
    if run is None:
        return UploadState(upload, name, "failed" if letters else "sent", {}, letters[-1] if letters else "")
    told = {key: int(value) for key, value in run.parameters.items() if key in _COUNTS or key.startswith("rows.")}
    rows = {key.removeprefix("rows."): count for key, count in told.items() if key not in _COUNTS}
    counts = {key: told.get(key, 0) for key in _COUNTS}
    return UploadState(upload, name, _STATES[run.state], rows, run.message, **counts)


def given_up(app: AppDefined, upload: Upload, settings: Settings) -> int:
    """Return how often an upload was given up so far."""
    return len(_letters(app, settings, uploads_topic(upload.pillar)).get(upload.upload, []))


def wait_for(
    app: AppDefined, sent: Upload, settings: Settings, seconds: float, progress: Progress, *, before: int
) -> None:
    """Wait until an upload is done.

    Parameters
    ----------
    app : AppDefined
        Its app.
    sent : Upload
        The upload.
    settings : Settings
        Cluster.
    seconds : float
        How long at most.
    progress : callable
        Told of the seconds.
    before : int
        How often it was given up before it was sent.

    Raises
    ------
    InvalidDataError
        When DataMagic gave it up.
    UnavailableError
        When the end does not come in time.
    """
    began, pause = time.monotonic(), _POLL_SECONDS
    topic = uploads_topic(sent.pillar)
    while (passed := time.monotonic() - began) < seconds:
        letters = _letters(app, settings, topic).get(sent.upload, [])[before:]
        now = _state(app, sent.upload, sent.name, _runs(app, settings), letters)
        if now.state == "failed":
            raise InvalidDataError(now.message, mend="Mend the file and upload it again.", reason="bad_upload")
        if now.state == "done":
            return
        what = "DataMagic reads it" if now.state == "running" else "waiting for DataMagic"
        progress(0, 0, f"{what} ({passed:.0f} s)")
        time.sleep(pause)
        pause = min(1.2 * pause, _SLOWEST_SECONDS)
    raise UnavailableError(
        f"{sent.name} was sent, but DataMagic did not end in {seconds:g} s.",
        mend="It goes on. 'easeml status' shows whether DataMagic runs, 'easeml watch' what becomes of the rows.",
    )
