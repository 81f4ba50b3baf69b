"""What came for one pillar of one app, and the rows of it that fit the app as it is defined now."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile

from easeml.errors import EaseMLError, InvalidDataError
from easeml.ids import EventId
from easeml.relation.relation import Relation
from easeml.relation.validation import validate_batch
from easeml.relation.view import RelationView
from easeml.stream.needs import Offsets, Run
from easeml.stream.payloads import Answer, AppDefined, CandidateBatch, RelationBatch

REMEMBERED = 1000
"""Dropped batches that are known when they come again."""


class Arrivals:
    """Batches, candidates and answers of one pillar in the order of arrival, and the view of those that fit the app.

    A fold does not know the app's definition, and the definition may change after the rows came; so batches are kept
    as they are and judged when somebody asks. Taking the same event twice changes nothing.

    Parameters
    ----------
    keep_last : int, optional
        Rows to keep at least; whole batches before them are dropped, and in time what was said of their rows.
    """

    def __init__(self, keep_last: int | None = None) -> None:
        self._keep_last = keep_last
        self._told: dict[EventId, RelationBatch | CandidateBatch | Answer] = {}
        self._batches: deque[tuple[EventId, int]] = deque()
        self._offsets = Offsets()
        self._dropped: dict[EventId, int] = {}
        self._rows = self._gone = 0
        self._view: RelationView | None = None
        self._app: AppDefined | None = None
        self._new: list[RelationBatch | CandidateBatch | Answer] = []
        self._fit = self._fit_answers = 0

    def add(self, event_id: EventId, data: RelationBatch | CandidateBatch | Answer, offset: int = 0) -> None:
        """Take in a batch, candidates or an answer; what is known of a row that is not here yet waits for it.

        The offset of a batch's message counts where only the last rows are kept.
        """
        if event_id in self._told or event_id in self._dropped:
            return
        self._told[event_id] = data
        if self._view is not None:
            self._new.append(data)
        if isinstance(data, RelationBatch) and self._keep_last is not None:
            self._batches.append((event_id, offset))
            self._offsets.add(offset)
            self._rows += len(data.row_ids)
            self._drop(self._keep_last)

    def _drop(self, least: int) -> None:
        while self._rows - (size := self._size(self._batches[0][0])) >= least and len(self._batches) > 1:
            oldest, offset = self._batches.popleft()
            self._dropped[oldest] = offset
            if len(self._dropped) > REMEMBERED:
                del self._dropped[next(iter(self._dropped))]
            del self._told[oldest]
            self._rows -= size
            self._gone += size
            self._view, self._new = None, []
        if self._gone >= least:
            self._forget()
            self._gone = 0

    def _size(self, event_id: EventId) -> int:
        batch = self._told[event_id]
        return len(batch.row_ids) if isinstance(batch, RelationBatch) else 0

    def _forget(self) -> None:
        """Drop what was said before the first batch that is left, save for what its rows and later ones need."""
        batches = (self._told[event_id] for event_id, _ in self._batches)
        kept = {row_id for batch in batches if isinstance(batch, RelationBatch) for row_id in batch.row_ids}
        for event_id in list(takewhile(lambda told: told != self._batches[0][0], self._told)):
            data = self._told[event_id]
            if kept.isdisjoint((data.row_id,) if isinstance(data, Answer) else data.row_ids):
                del self._told[event_id]

    @property
    def needed(self) -> list[Run]:
        """Messages that the batches here, and those that are known when they come again, came in.

        Of a pillar of which only the last rows are kept.
        """
        if not self._batches:
            return []
        return self._offsets.since(next(iter(self._dropped.values()), self._batches[0][1]))

    def revision(self, app: AppDefined, *, answers: bool = True) -> int:
        """Return the number of events that fit ``app``, answers among them or not: another one says something new."""
        self._fitting(app)
        return self._fit if answers else self._fit - self._fit_answers

    def count(self, app: AppDefined) -> int:
        """Return the number of rows that fit ``app``."""
        return len(self._fitting(app))

    def relation(self, app: AppDefined) -> Relation | None:
        """Return all rows that fit ``app``, in the order of arrival, with all that is known of them; None: no rows."""
        view = self._fitting(app)
        return view.relation(view.row_ids) if len(view) else None

    def some(self, app: AppDefined, row_ids: Sequence[str]) -> Relation | None:
        """Return those of these rows that are here and fit ``app``, in the order given; None: not one of them."""
        view = self._fitting(app)
        here = [row_id for row_id in row_ids if row_id in view]
        return view.relation(here) if here else None

    def holds(self, app: AppDefined, row_id: str) -> bool:
        """Return whether a row is here that fits ``app``."""
        return row_id in self._fitting(app)

    def proposed(self, app: AppDefined) -> Relation | None:
        """Return all rows that fit ``app`` as tools propose them, as if nobody had answered; None: no rows."""
        view = self._fitting(app)
        return view.proposed() if len(view) else None

    def row(self, app: AppDefined, row_id: str, *, answers: bool = True) -> Relation | None:
        """Return one row, with answers or as tools propose it, fast; None: it is not here or does not fit ``app``."""
        view = self._fitting(app)
        return view.row(row_id, answers=answers) if row_id in view else None

    def answered(self, app: AppDefined) -> tuple[str, ...]:
        """Return the rows that somebody answered about, in the order of the answers."""
        return self._fitting(app).answered

    def is_answered(self, app: AppDefined, row_id: str, column: str | None) -> bool:
        """Return whether somebody answered about a cell, or about the label (None) of a row."""
        return self._fitting(app).is_answered(row_id, column)

    def first(self, app: AppDefined, count: int) -> Relation:
        """Return the ``count`` rows that came first, the same ones whatever came later, and all that is known of them.

        Raises
        ------
        InvalidDataError
            When fewer are there.
        """
        view = self._fitting(app)
        if not 0 < count <= len(view):
            raise InvalidDataError(
                f"{len(view)} rows of {app.app} are here, {count} were announced.",
                mend="Publish the rows before their data version, and at least one.",
            )
        return view.relation(view.row_ids[:count])

    def _fitting(self, app: AppDefined) -> RelationView:
        if self._view is None or self._app is None or not _same_rows(self._app, app):
            self._view = RelationView(app.label, app.classes, app.columns)
            self._new, self._fit, self._fit_answers = list(self._told.values()), 0, 0
        self._app = app
        for data in self._new:
            try:
                if isinstance(data, RelationBatch):
                    validate_batch(data, app)
                self._view.fold(data)
                self._fit += 1
                self._fit_answers += isinstance(data, Answer)
            except EaseMLError:
                continue  # it was dead-lettered: rows by their handler here, candidates by DataMagic
        self._new = []
        return self._view


def _same_rows(one: AppDefined, other: AppDefined) -> bool:
    return (one.label, one.classes, one.columns) == (other.label, other.classes, other.columns)
