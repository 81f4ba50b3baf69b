"""What a pillar of an app holds: rows, candidates and answers, as a set digest.

In: rows, candidates, answers and announced versions of one pillar, in any order. What is known of a row that is not
there yet waits for the row. Nothing here fails on what the folds let through; it is judged against the app when read.
Of a pillar without end only the newest rows are kept one by one, of those before them their sums.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from easeml.datamagic.versions import candidate_checks, contents
from easeml.datamagic.versions.naming import is_own, life_of
from easeml.datamagic.versions.past import MARK_BYTES, Kind, Past, Sum
from easeml.datamagic.versions.places import Places
from easeml.errors import EaseMLError
from easeml.relation import Block, row_digests
from easeml.relation.answers import canonical
from easeml.relation.validation import check_columns
from easeml.stream.needs import Offsets, Run
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    CandidateBatch,
    CandidateKind,
    Column,
    DataVersion,
    QuestionKind,
    RelationBatch,
)

Words = NDArray[np.uint64]
STRANGE_SECONDS = 300.0
"""Seconds after which candidates of rows that their pillar does not have are told; they go on waiting."""
KEPT_ROWS = 2000
"""Rows of production that are kept one by one, at least: one of them that comes again replaces itself."""
_SEEN_PER_ROW = 2
"""Things said that are recognised when they come again, for each row to keep."""
SEEN_BATCHES = 1024
"""Batches that are recognised although their rows are not kept: more than any crash of a producer repeats."""
_ANSWER = "answer\x1f"
_PROMISED = re.compile(r"v[0-9a-f]*-[0-9a-f]{12}")
_SETTLED = "v-000000000000"
"""Stands for all versions that were announced or promised."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a pillar holds.

    Parameters
    ----------
    digest : int
        Of rows, candidates and answers together.
    known : int
        Of the candidates and answers alone, 0: none.
    rows, cells, answers : int
        Rows; cells and rows that a candidate message speaks about; answers.
    unannounced : bool
        Whether it holds rows of no announced or promised version.
    newest : DataVersion or None
        The last version that others announced.
    after : str
        Identity of that announcement; empty: there is none.
    parent : str
        Name of the last version of all; empty: there is none.
    """

    digest: int
    known: int
    rows: int
    cells: int
    answers: int
    unannounced: bool
    newest: DataVersion | None
    after: str
    parent: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What is kept of a batch of rows.

    Parameters
    ----------
    columns, classes, version
        As in the batch.
    ids, features : uint64[n]
        Digests of each row's id and features; of features only where they are asked for.
    offset : int
        Of the message.
    digests : bytes
        As ``contents.row_contents``.
    mark : bytes
        Of the event's id.
    """

    columns: tuple[Column, ...]
    classes: tuple[str, ...]
    version: str
    ids: Words
    digests: bytes
    features: Words
    offset: int = 0
    mark: bytes = b""

    def total(self, places: NDArray[np.int64] | None = None) -> int:
        """Return the digest of all rows, or of some."""
        if places is None:
            return contents.total(self.digests)
        every = np.frombuffer(self.digests, np.uint8).reshape(-1, 32)
        return contents.total(every[places].tobytes())


_NOTHING = Past()
_UNKNOWN = Rows((), (), "", np.empty(0, np.uint64), b"", np.empty(0, np.uint64), -1)
"""Stands for a batch of which nothing is known but that it came."""


@dataclass(slots=True)
class _Judged:
    """What of the told things fits an app."""

    label: str
    classes: tuple[str, ...]
    columns: tuple[Column, ...]
    endless: bool
    told: int = 0
    places: Places = field(default_factory=Places)
    stored: list[Rows] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    versions: dict[str, Sum] = field(default_factory=dict)
    things: dict[int, dict[str, int]] = field(default_factory=dict)
    known: int = 0
    cells: int = 0
    answers: int = 0

    def fits(self, app: AppDefined) -> bool:
        return (self.label, self.classes, self.columns) == (app.label, app.classes, app.columns)

    def add(self, rows: Rows) -> None:
        """Put rows in place of those with their ids."""
        before = self.places.find(rows.ids)
        self.places.put(rows.ids, np.arange(len(rows.ids)) + self.starts[-1])
        self._drop(before[before >= 0])
        if self.things and not self.endless:
            for row in rows.ids[before < 0].tolist():
                for key, digest in self.things.get(row, {}).items():
                    self.count(key, digest)
        self.sum_of(rows.version).add(len(rows.ids), rows.total())
        self.stored.append(rows)
        self.starts.append(self.starts[-1] + len(rows.ids))

    def sum_of(self, version: str) -> Sum:
        return self.versions.setdefault(version, Sum())

    def _drop(self, numbers: NDArray[np.int64]) -> None:
        owners = np.searchsorted(self.starts, numbers, side="right") - 1
        for owner in np.unique(owners).tolist():
            old = self.stored[owner]
            places = numbers[owners == owner] - self.starts[owner]
            self.sum_of(old.version).add(-len(places), -old.total(places))

    def put(self, row: int, key: str, digest: int, *, there: bool) -> None:
        """Put a thing beside its row in place of what was there; it counts when the row does.

        Of a pillar without end it counts at once: whether an older row was there is not known any more.
        """
        things = self.things.setdefault(row, {})
        before = things.get(key)
        things[key] = digest
        there = there or self.endless
        if there and before is None:
            self.count(key, digest)
        elif there:
            self.known = (self.known - (before or 0) + digest) % contents.MODULUS

    def count(self, key: str, digest: int) -> None:
        """Count a thing whose row is there."""
        self.known = (self.known + digest) % contents.MODULUS
        if key.startswith(_ANSWER):
            self.answers += 1
        else:
            self.cells += 1


class Ledger:
    """What one pillar of one app holds. Telling the same event twice changes nothing.

    Parameters
    ----------
    features : bool
        Whether the digests of features will be asked for: 8 bytes a row are kept for it.
    keep_last : int, optional
        Rows to keep one by one at least, of a pillar that has no end. A row before them that comes again is another
        row, and what is said of rows counts whether they came or not. All rows are kept otherwise.
    past : Past
        What another ledger of the pillar had let go: messages before it change nothing.
    """

    def __init__(self, *, features: bool = True, keep_last: int | None = None, past: Past = _NOTHING) -> None:
        self._features = features
        self._keep_last = keep_last
        self._kept = 0
        self.past = past
        self._offsets = Offsets()
        self._seen: dict[bytes, None] = {}
        self._batches: dict[bytes, int] = dict.fromkeys(past.marks, -1)
        self._own: dict[str, list[Rows]] = {life: [_UNKNOWN] * count for life, count in past.own.items()}
        self._told: list[Rows | CandidateBatch | Answer] = []
        self._proposed: list[tuple[float, CandidateBatch]] = []
        self._announced: set[str] = set()
        self._newest: DataVersion | None = None
        self._after = ""
        self._parent = ""
        self._judged: _Judged | None = None

    def rows(self, event_id: str, batch: RelationBatch, offset: int = 0, *, own: bool = False) -> None:
        """Take in the rows of a sound batch, perhaps one of DataMagic's own; a row that comes again replaces itself.

        The offset of the message counts where only the last rows are kept.
        """
        if offset < self.past.since:
            return
        # A stranger's copy under the same id hides no batch of our own, for which its upload would wait for ever.
        mark = _mark(f"own {event_id}" if own else event_id)
        new = mark not in self._batches
        self._batches[mark] = offset
        if not new:
            return
        features = row_digests(Block.from_batch(batch)) if self._features else np.empty(0, np.uint64)
        ids, digests = contents.hashed(batch.row_ids), contents.row_contents(batch)
        rows = Rows(batch.columns, batch.classes, batch.version, ids, digests, features, offset, mark)
        self._told.append(rows)
        self._kept += len(ids)
        if own:
            self._own.setdefault(life_of(batch.version), []).append(rows)
        if self._keep_last is not None:
            self._offsets.add(offset)
            if self._kept > 2 * self._keep_last:
                self._let_go(self._keep_last)

    def _let_go(self, least: int) -> None:
        """Keep of the rows before the last ones their sums alone, each row as it came last."""
        batches = [told for told in self._told if isinstance(told, Rows)]
        until = 0
        while self._kept - len(batches[until].ids) >= least:
            self._kept -= len(batches[until].ids)
            until += 1
        if not until:
            return  # the oldest batch is so large that those after it are too few
        old, left = batches[:until], batches[until:]
        ids = np.concatenate([rows.ids for rows in old])
        last = np.zeros(len(ids), bool)
        last[len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1]] = True
        last &= ~np.isin(ids, np.concatenate([rows.ids for rows in left]))
        start, sums = 0, dict[Kind, Sum]()
        for (columns, classes, version), part in self.past.sums.items():
            sums.setdefault((columns, classes, self._settled(version)), Sum()).add(part.count, part.digest)
        for rows in old:
            there = np.flatnonzero(last[start : start + len(rows.ids)])
            start += len(rows.ids)
            kind = (rows.columns, rows.classes, self._settled(rows.version))
            sums.setdefault(kind, Sum()).add(len(there), rows.total(there))
        since = left[0].offset
        own = {life: sum(rows.offset < since for rows in batches) for life, batches in self._own.items()}
        self.past = Past(since, sums, own, self._recognised({rows.mark for rows in left}, since))
        self._told = [*(told for told in self._told if not isinstance(told, Rows)), *left]
        self._judged = None

    def _recognised(self, kept: Collection[bytes], since: int) -> tuple[bytes, ...]:
        """Return the marks of batches that are not kept, without the oldest ones that nobody asks for any more."""
        gone = [mark for mark in self._batches if mark not in kept]
        for mark in gone[:-SEEN_BATCHES]:
            if self._batches[mark] < since:
                del self._batches[mark]
        return tuple(mark for mark in gone if mark in self._batches)

    def _settled(self, version: str) -> str:
        """Return the name under which the sums of a version are kept: of announced ones there are ever more."""
        return _SETTLED if version in self._announced or _PROMISED.fullmatch(version) else version

    def needed(self, past: Past) -> list[Run]:
        """Return the messages that a ledger with this past must be told to come to what this one is."""
        return self._offsets.since(past.since)

    def own(self, app: AppDefined) -> list[Rows]:
        """Return DataMagic's own batches for this life of the app that have come back; the list only grows."""
        return self._own.setdefault(app.life, [])

    def tell(self, event_id: str, thing: CandidateBatch | Answer, time: float) -> None:
        """Take in sound candidates or an answer, and when they were said."""
        if self._is_new(event_id):
            self._told.append(thing)
            if isinstance(thing, CandidateBatch):
                self._proposed.append((time, thing))

    def strangers(self, app: AppDefined, looked: int, now: float) -> tuple[int, list[str]]:
        """Return how many messages of candidates have been looked at, and what the due ones say of unknown rows.

        Parameters
        ----------
        app : AppDefined
            The app.
        looked : int
            Messages looked at before.
        now : float
            Seconds since 1970 UTC.
        """
        found: list[str] = []
        if self._keep_last is not None:
            return len(self._proposed), found
        places = self._judge(app).places if looked < len(self._proposed) else Places()
        for time, batch in self._proposed[looked:]:
            if abs(now - time) < STRANGE_SECONDS or not len(places):
                break
            looked += 1
            if fits(batch, app):
                there = places.find(contents.hashed(batch.row_ids)) >= 0
                lines = dict.fromkeys(line for line in _spoken(batch) if not there[line[0]])
                found += [
                    f"candidates of {batch.source!r} for {batch.pillar} row {batch.row_ids[row]!r}, {cell}: "
                    f"there is no such row {STRANGE_SECONDS:.0f} s after"
                    for row, cell in lines
                ]
        return looked, found

    def announce(self, event_id: str, version: DataVersion) -> None:
        """Take in an announced version, the keeper's own ones too."""
        if self._is_new(event_id):
            self._parent = version.version
            if not is_own(version):
                self._announced.add(version.version)
                self._newest, self._after = version, event_id

    def _is_new(self, event_id: str) -> bool:
        mark = _mark(event_id)
        new = mark not in self._seen
        self._seen[mark] = None
        if self._keep_last is not None and len(self._seen) > _SEEN_PER_ROW * self._keep_last:
            del self._seen[next(iter(self._seen))]
        return new

    def content(self, app: AppDefined) -> Content:
        """Return what the pillar holds of what fits the app."""
        judged = self._judge(app)
        rows = [(name, part) for name, part in judged.versions.items() if part.count]
        return Content(
            digest=(sum(part.digest for _, part in rows) + judged.known) % contents.MODULUS,
            known=judged.known,
            rows=sum(part.count for _, part in rows),
            cells=judged.cells,
            answers=judged.answers,
            unannounced=any(n not in self._announced and not _PROMISED.fullmatch(n) for n, _ in rows),
            newest=self._newest,
            after=self._after,
            parent=self._parent,
        )

    def batches(self, app: AppDefined) -> list[Rows]:
        """Return the batches of every row that is, or was, there; the list only grows, while the app is the same."""
        return self._judge(app).stored

    # -- judging -------------------------------------------------------------------------------------------------

    def _judge(self, app: AppDefined) -> _Judged:
        """Return what fits the app; things that came since the last look are judged now, all when the app changed."""
        judged = self._judged
        if judged is None or not judged.fits(app):
            judged = self._judged = _Judged(app.label, app.classes, app.columns, self._keep_last is not None)
            for (columns, classes, version), part in self.past.sums.items():
                if _rows_fit(columns, classes, app):
                    judged.sum_of(version).add(part.count, part.digest)
        for index in range(judged.told, len(self._told)):
            thing = self._told[index]
            if isinstance(thing, Rows):
                if _rows_fit(thing.columns, thing.classes, app):  # else the handler has dead-lettered them
                    judged.add(thing)
            elif isinstance(thing, CandidateBatch):
                _add_candidates(judged, thing, app)
            elif answer_fits(thing, app):
                said = (thing.row_id, f"{_ANSWER}{thing.column or ''}", contents.answer_content(thing))
                _put(judged, [said])
        judged.told = len(self._told)
        return judged


def _mark(event_id: str) -> bytes:
    return hashlib.blake2b(event_id.encode(), digest_size=MARK_BYTES).digest()


def _rows_fit(columns: tuple[Column, ...], classes: tuple[str, ...], app: AppDefined) -> bool:
    try:
        check_columns(columns, app.columns)
    except EaseMLError:
        return False
    return set(classes) <= set(app.classes)


def fits(batch: CandidateBatch, app: AppDefined) -> bool:
    """Whether candidates fit the app; where not, the handler has dead-lettered them."""
    try:
        candidate_checks.check_fit(batch, app)
    except EaseMLError:
        return False
    return True


def _spoken(batch: CandidateBatch) -> Iterator[tuple[int, str]]:
    """Yield the row and cell that each candidate speaks about."""
    if batch.kind is CandidateKind.ROWS:
        yield from ((row, "the row as a whole") for row in batch.row.tolist())
        return
    for row, column in zip(batch.row.tolist(), batch.column.tolist(), strict=True):
        yield row, f"column {batch.columns[column]!r}"


def _add_candidates(judged: _Judged, batch: CandidateBatch, app: AppDefined) -> None:
    if fits(batch, app):
        _put(judged, [(row, f"{batch.source}\x1f{column}", d) for row, column, d in contents.candidate_contents(batch)])


def _put(judged: _Judged, things: Sequence[tuple[str, str, int]]) -> None:
    """Put things beside their rows: row id, what kind of thing, digest."""
    rows = contents.hashed(row_id for row_id, _, _ in things)
    there = judged.places.find(rows) >= 0
    for (row_id, key, digest), row, known in zip(things, rows.tolist(), there.tolist(), strict=True):
        judged.put(row, key, contents.digest_of("of", row_id, hex(digest)), there=known)


def answer_fits(answer: Answer, app: AppDefined) -> bool:
    """Whether an answer settles a label or a cell of the app."""
    if answer.kind is QuestionKind.LABEL:
        return answer.text in app.classes
    column = next((own for own in app.columns if own.name == answer.column), None)
    if answer.kind is not QuestionKind.CELL or column is None:
        return False
    try:
        canonical(column, answer.text)
    except EaseMLError:
        return False
    return True
