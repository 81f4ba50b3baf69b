"""What a worker process does with an upload: bytes to rows of an app, with candidates, in their pillars.

A small file is read as a whole; a large one in slices (``slices``), one per call, of which ``Made.next`` tells where
the following one begins. The result follows from the bytes, the wish and what was known; repeating a call repeats it.
Source of the split: ``assignment``; of the candidates: ``repairs``. Fails with ``Poison`` that names the upload, or
``Busy`` while the store that holds the file cannot be read.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.datamagic import reading
from easeml.datamagic.cleaning.repairs import RepairModel
from easeml.datamagic.ingestion import assignment, leads, slices
from easeml.datamagic.ingestion.assignment import JUDGING, Wish
from easeml.datamagic.ingestion.fitting import Fitted, Reject, Rules, fit
from easeml.datamagic.ingestion.leads import Lead, Learnt
from easeml.datamagic.ingestion.shelf import Digests
from easeml.datamagic.ingestion.slices import Place, Slice
from easeml.datamagic.ingestion.sources import Sources, sha256_of
from easeml.datamagic.ingestion.tasks import TOLD, Made, Task
from easeml.datamagic.readers.account import Dialect
from easeml.datamagic.versions import contents
from easeml.errors import Busy, EaseMLError, InvalidDataError, Poison, UnavailableError
from easeml.ids import EventId
from easeml.relation import Relation, row_digests
from easeml.relation.splitting import chance_overlap
from easeml.stream.payloads import AppDefined, ColumnKind, Pillar, Upload

WHOLE_BYTES = 32 * 2**20
"""Larger files are read in slices."""
MOST_WHOLE_BYTES = 256 * 2**20
"""Larger files of a format that cannot be sliced are refused."""
ROWS_PER_BATCH = 500
_TOLERATED = 0.01
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"PK\x03\x04")


# -- names -----------------------------------------------------------------------------------------------------------


def content_key(upload: Upload, app: AppDefined) -> str:
    """Return what names the rows of an upload: the same file in the same life of an app has the same rows."""
    return _key(app.app, app.life, upload.sha256, upload.id_column, upload.upload if upload.again else "")


def work_key(upload: Upload, app: AppDefined) -> str:
    """Return what names the work on an upload: the same again changes nothing."""
    wish = (upload.format, upload.pillar, upload.group_column, upload.seed, upload.test_rows, upload.test_share)
    return _key(content_key(upload, app), *map(repr, wish), str(upload.repairs))


def _key(*parts: str) -> str:
    """Return a name that follows from parts."""
    return contents.hexadecimal(contents.digest_of(*parts))


def version_of(upload: Upload, app: AppDefined) -> str:
    """Return the name of the data version that an upload makes."""
    return f"v{app.life}-{work_key(upload, app)[:12]}"


def run_of(app: str, upload: str) -> EventId:
    """Return the identity of an upload's run in lineage events."""
    return EventId.derive("upload", app, upload)


def owner_of(upload: Upload) -> str:
    """Return what a copy of an upload's file is for."""
    return f"{upload.app}/{upload.upload}"


def named(upload: Upload) -> str:
    """Return how errors call an upload."""
    return f"Upload {upload.upload!r} ({upload.name})"


# -- jobs ------------------------------------------------------------------------------------------------------------


def begin(task: Task, content: bytes | None) -> Made:
    """Do an upload, or its first slice: the job of the message that completes it.

    Parameters
    ----------
    task : Task
        What is to be done.
    content : bytes or None
        The file; None: it lies at its URI.

    Raises
    ------
    Poison
        When the file is not what was announced or does not fit the app; names the upload, row and column.
    Busy
        When the store cannot be read.
    """
    return _named_failures(task, lambda: _begin(task.informed(), content))


def go_on(task: Task) -> Made:
    """Do the slice of an upload that begins at ``task.place``; a file that breaks here is told by ``Made.failure``.

    Raises
    ------
    Busy
        When the store cannot be read.
    """
    try:
        return _named_failures(task, lambda: _sliced(task.informed()))
    except Poison as error:
        return Made(failure=str(error))


def discard(upload: Upload, roots: tuple[str, ...]) -> None:
    """Remove the copy of an upload that is done.

    Raises
    ------
    Busy
        When the store cannot be written.
    """
    try:
        Sources(roots).remove(upload.uri)
    except UnavailableError as error:
        raise Busy(error.message, mend=error.mend) from error


def _named_failures(task: Task, work: Callable[[], Made]) -> Made:
    try:
        return work()
    except UnavailableError as error:
        raise Busy(error.message, mend=error.mend) from error
    except EaseMLError as error:
        reason = error.reason if error.reason not in ("invalid_data", "poison") else "bad_upload"
        raise Poison(f"{named(task.upload)}: {error.message}", mend=error.mend, reason=reason) from error
    except (ArithmeticError, LookupError, MemoryError, OSError, RecursionError, TypeError, ValueError) as error:
        # Parsers raise anything on files that were not made for them; that condemns the file, not the service.
        raise Poison(
            f"{named(task.upload)}: reading it failed with {type(error).__name__}: {str(error)[:500]}.",
            mend="Look whether the file is whole, and of the format it says.",
            reason="unreadable",
        ) from error


def _begin(task: Task, content: bytes | None) -> Made:
    upload = task.upload
    if content is not None:
        _check_digest(upload, hashlib.sha256(content).hexdigest())
        form = _format(upload, content[:65536])
        if len(content) <= WHOLE_BYTES or not _sliceable(form):
            return _whole(task, content)
        sources = Sources(task.roots)
        uri = sources.put(io.BytesIO(content), upload.sha256, upload.name, owner_of(upload))
        try:
            return _sliced(replace(task, upload=replace(upload, uri=uri)))
        except Exception:
            sources.remove(uri)  # its chunks are still on their topic
            raise
    sources = Sources(task.roots)
    size, stamp = sources.size(upload.uri), sources.stamp(upload.uri)
    with sources.open(upload.uri) as file:
        _check_digest(upload, sha256_of(file))
        file.seek(0)
        form = _format(upload, file.read(65536))
        if size > WHOLE_BYTES and _sliceable(form):
            return _sliced(replace(task, place=Place(stamp=stamp)))
        if size > MOST_WHOLE_BYTES:
            raise InvalidDataError(
                f"A {form} file of {size:,} bytes would have to be read as a whole.",
                mend="Save it as CSV, JSON lines or Parquet, which are read in slices.",
                reason="too_large",
            )
        file.seek(0)
        content = file.read()
    _check_digest(upload, hashlib.sha256(content).hexdigest())
    return _whole(task, content)


def _check_digest(upload: Upload, found: str) -> None:
    if found != upload.sha256:
        raise Poison(
            f"Its bytes have the SHA-256 {found}, announced was {upload.sha256}.",
            mend="It was changed or cut on its way: upload it again.",
            reason="wrong_digest",
        )


def _format(upload: Upload, head: bytes) -> str:
    """Return the format by which a file may be sliced; a compressed one is read as a whole, whatever it holds."""
    if head.startswith(_COMPRESSED):
        return "compressed"
    return upload.format or reading.sniff(upload.name, head)


def _sliceable(form: str) -> bool:
    return form in slices.TEXTS or form in slices.COLUMNAR


def _frame(
    task: Task, content: bytes, words: frozenset[str] = frozenset(), **written: Any
) -> tuple[pd.DataFrame, reading.Account]:
    """Return the cells of a file or a part of it, and what its reader says of it."""
    upload = task.upload
    # What is no number stays as the file writes it: codes keep their zeros, in every slice.
    named = {column.name for column in task.app.columns if column.kind is not ColumnKind.NUMERIC}
    table = reading.read_table(
        content,
        name=upload.name,
        format=upload.format or None,
        label=task.app.label,
        text=frozenset({*named, *words, upload.id_column, upload.group_column} - {""}),
        on_error="collect",
        **written,
    )
    return table.frame, table.account


def _unread(account: reading.Account, skipped: int = 0) -> list[Reject]:
    """Return the records that could not be read, by their place in the whole file."""
    return [Reject(_moved(one.place, skipped), "", one.why) for one in account.rejects]


def _moved(text: str, by: int) -> str:
    """Return a text whose first number is larger by some.

    >>> _moved("line 26", 100)
    'line 126'
    """
    return re.sub(r"\d+", lambda found: str(int(found[0]) + by), text, count=1)


def _whole(task: Task, content: bytes) -> Made:
    frame, account = _frame(task, content)
    made = _made(task, fit(frame, replace(_rules(task), known=task.known)), _unread(account), total=0)
    made.rejected += account.rejected - len(account.rejects)
    made.rows = len(frame) + account.rejected
    return made


def _sliced(task: Task) -> Made:
    upload, sources = task.upload, Sources(task.roots)
    size = sources.size(upload.uri)
    place, dialect = task.place, None
    with sources.unchanged(upload.uri, place.stamp) as stamp, sources.open(upload.uri) as file:
        form = _format(upload, file.read(65536))
        place = replace(place, stamp=stamp)
        if form in slices.TEXTS:
            place = replace(place, encoding=place.encoding or slices.encoding_of(file, upload.name))
            dialect = slices.dialect_of(file, form, upload.name, place.encoding)
        piece = slices.cut(file, size, form, place, dialect=dialect)
        start = Place(encoding=place.encoding)
        known = leads.learnt(
            _key(work_key(upload, task.app), repr(task.app), upload.uri, stamp),
            lambda: _learn(task, slices.cut(file, size, form, start, dialect=dialect), start, dialect),
        )
    frame, account = _slice(task, piece, place, dialect, known.lead)
    fitted = fit(frame, replace(_rules(task), schema=known.lead.schema, known=task.known), place.rows)
    made = _made(task, fitted, _unread(account, piece.skipped), total=task.total or known.total, learnt=known)
    made.rejected += account.rejected - len(account.rejects)
    made.rows, made.uri, made.total = account.rows + account.rejected, upload.uri, task.total or known.total
    if not piece.last:
        made.next = slices.counted(piece.end, made.rows)
    return made


def _learn(task: Task, first: Slice, start: Place, dialect: Dialect | None) -> Learnt:
    """Return what the first slice of a file decides for all of them."""
    frame, account = _slice(task, first, start, dialect, None)
    rules = _rules(task)
    lead = leads.lead_of(frame, rules)
    total = task.total or max(1, round((account.rows + account.rejected) / first.share))
    if not task.upload.repairs:
        return Learnt(lead, None, total)
    fitted = fit(frame, replace(rules, schema=lead.schema))
    train = None
    if not task.upload.pillar:
        train = np.flatnonzero(_assigned(task, fitted, total) == Pillar.TRAIN)
        if not len(train):
            return Learnt(lead, None, total)
    return Learnt(lead, _model(task.upload, fitted.relation, train, task.app), total)


def _slice(
    task: Task, piece: Slice, place: Place, dialect: Dialect | None, lead: Lead | None
) -> tuple[pd.DataFrame, reading.Account]:
    """Return the cells of a slice; those of a later one are read as the first slice has decided."""
    if dialect is not None and place.offset:
        dialect = replace(dialect, skip=0, before=0)
    words = lead.texts if lead is not None and dialect is not None else frozenset()
    try:
        frame, account = _frame(task, piece.content, words, dialect=dialect, encoding=place.encoding or None)
    except InvalidDataError as error:
        if not piece.skipped:
            raise
        where = f"{error.message} (Lines count from line {piece.skipped:,} of the file.)"
        raise InvalidDataError(where, mend=error.mend, reason=error.reason) from error
    if lead is not None and place.offset:
        frame = leads.aligned(frame, lead, decimal=dialect.decimal if dialect else ".", strict=dialect is None)
    return slices.shifted(frame, piece, place), account


def _rules(task: Task) -> Rules:
    upload = task.upload
    pillar = Pillar(upload.pillar) if upload.pillar else None
    prefix = content_key(upload, task.app)[:12]
    return Rules(task.app, pillar, upload.id_column, upload.group_column, prefix)


# -- rows to pillars -------------------------------------------------------------------------------------------------


def _made(task: Task, fitted: Fitted, bad: list[Reject], *, total: int, learnt: Learnt | None = None) -> Made:
    upload = task.upload
    strange: list[Reject] = []
    if upload.pillar:
        assigned = np.full(len(fitted.relation), Pillar(upload.pillar), object)
        keep, strange = _checked(task, fitted)
        assigned[~keep] = None
    else:
        assigned = _assigned(task, fitted, total)
    crowded = fitted.groups is not None and task.known.is_crowded(fitted.groups)
    if fitted.groups is not None and crowded:
        forgotten = assignment.strays(fitted.groups, assigned, task.known)
        strange += [_forgotten(fitted.relation.row_ids[place], upload) for place in np.flatnonzero(forgotten)]
        assigned[forgotten] = None
    parts = {pillar: np.flatnonzero(assigned == pillar) for pillar in Pillar if (assigned == pillar).any()}
    if not upload.pillar and not total:
        _check_split(task, fitted.relation, parts)
    model = learnt.model if learnt else _model(upload, fitted.relation, parts.get(Pillar.TRAIN), task.app)
    rejects = [*bad, *strange, *fitted.rejects]
    made = Made(
        crowded=crowded,
        rejected=len(rejects),
        clashes=len(fitted.clashes),
        told=tuple(map(str, [*rejects[:TOLD], *fitted.clashes[: max(0, TOLD - len(rejects))]])),
    )
    for pillar, places in parts.items():
        if len(places):
            _add(made, task, pillar, fitted.relation.take(places), model)
        if fitted.groups is not None and pillar in JUDGING:
            groups = np.unique(fitted.groups[places])
            made.groups[pillar] = groups[groups != 0]
    return made


def _forgotten(row_id: str, upload: Upload) -> Reject:
    text = "there are more groups than are remembered, and the hash of this one belongs to another pillar"
    return Reject(f"row {row_id!r}", upload.group_column, text)


def _model(upload: Upload, relation: Relation, train: NDArray[np.int64] | None, app: AppDefined) -> RepairModel | None:
    """Return what proposes candidates: learnt from training rows where there are some, labels apart."""
    if not upload.repairs:
        return None
    if train is not None and len(train):
        relation = relation.take(train)
    rng = np.random.default_rng(int(work_key(upload, app)[:16], 16))
    return RepairModel(max_candidates=upload.repairs).fit(relation, rng=rng)


def _add(made: Made, task: Task, pillar: Pillar, part: Relation, model: RepairModel | None) -> None:
    app, version = task.app, version_of(task.upload, task.app)
    if pillar is Pillar.POOL:
        part = part.without_labels()
    if model is not None:
        part = model.propose(part)
        made.candidates += len(part.block.candidates.distributions().row)
    if pillar is Pillar.TEST:
        made.labels += part.test_labels(app.app, version, max_bytes=task.max_bytes)
    made.batches[pillar] = part.to_batches(
        app.app, pillar, version, rows_per_batch=ROWS_PER_BATCH, max_bytes=task.max_bytes
    )


def _digests(relation: Relation) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return digests of the features and of the id of each row."""
    return row_digests(relation.block), contents.hashed(relation.row_ids)


def _assigned(task: Task, fitted: Fitted, total: int) -> NDArray[np.object_]:
    upload, relation = task.upload, fitted.relation
    wish = Wish(upload.seed, upload.test_share, upload.test_rows, total)
    return assignment.assign(*_digests(relation), fitted.groups, relation.labels, task.known, wish)


def _checked(task: Task, fitted: Fitted) -> tuple[NDArray[np.bool_], list[Reject]]:
    """Return which rows may go to the pillar that was named, and why others may not.

    Raises
    ------
    Poison
        When more rows equal those of another pillar than chance explains, or a file begins with nothing but such ids.
    """
    pillar = Pillar(task.upload.pillar)
    digests, ids = _digests(fitted.relation)
    keep, strange = np.ones(len(digests), bool), []
    for other in JUDGING:
        theirs = task.known.rows.get(other, Digests())
        if other is pillar:
            continue
        moved = task.known.ids.get(other, Digests()).has(ids)
        strange += [
            Reject(f"row {fitted.relation.row_ids[place]!r}", "", f"already in {other}")
            for place in np.flatnonzero(keep & moved)
        ]
        keep &= ~moved
        if pillar not in JUDGING or not len(theirs) or not keep.any():
            continue
        shared = theirs.has(digests) & keep
        # What chance allows is reckoned only where some are shared: it looks at all of theirs.
        if shared.mean() > _TOLERATED and shared.mean() > _TOLERATED + chance_overlap(
            [digests, theirs.every()], len(digests), len(theirs)
        ):
            raise Poison(
                f"{int(shared.sum()):,} of {len(digests):,} rows for {pillar} are already in {other}; the first is "
                f"{fitted.relation.row_ids[int(np.argmax(shared))]!r}.",
                mend="Models must be judged by rows that they have not learned from: let the upload be split.",
                reason="shared_rows",
            )
    if not keep.any() and not task.place.rows:
        raise Poison(
            f"Every row is in another pillar than {pillar}; {strange[0]}.",
            mend="Row ids are unique in an app: publish each row to one pillar.",
            reason="shared_rows",
        )
    return keep, strange


def _check_split(task: Task, relation: Relation, parts: dict[Pillar, NDArray[np.int64]]) -> None:
    """Refuse a split whose test set cannot pay the condition, or whose training rows have one class.

    Raises
    ------
    Poison
    """
    known = {pillar: len(task.known.rows.get(pillar, ())) for pillar in JUDGING}
    test = len(parts.get(Pillar.TEST, ())) + known[Pillar.TEST]
    if test < task.upload.test_rows:
        raise Poison(
            f"The condition needs {task.upload.test_rows:,} test rows; {len(relation):,} rows give {test:,}.",
            mend="Upload more rows at once, or give the condition a larger tolerance or fewer steps.",
            reason="too_few_test_rows",
        )
    train = parts.get(Pillar.TRAIN, np.empty(0, np.int64))
    if not known[Pillar.TRAIN] and len(np.unique(relation.labels[train])) < 2:
        raise Poison(
            "The training rows are of a single class; there is nothing to learn.",
            mend="Upload rows of at least two classes.",
            reason="single_class",
        )
