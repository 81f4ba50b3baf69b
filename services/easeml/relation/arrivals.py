"""What came for one pillar of one app, and the rows of it that fit the app as it is defined now."""

from __future__ import annotations

from easeml.errors import EaseMLError, InvalidDataError
from easeml.ids import EventId
from easeml.relation.relation import Relation
from easeml.relation.validation import validate_batch
from easeml.relation.view import RelationView
from easeml.stream.payloads import Answer, AppDefined, CandidateBatch, RelationBatch


class Arrivals:
    """Batches, candidates and answers of one pillar in the order of arrival, and the view of those that fit the app.

    A fold does not know the app's definition, and the definition may change after the rows came; so batches are kept
    as they are and judged when somebody asks. Taking the same event twice changes nothing.

    Parameters
    ----------
    keep_last : int, optional
        Rows to keep at least; whole batches before them are dropped, and what was said of their rows.
    """

    def __init__(self, keep_last: int | None = None) -> None:
        self._keep_last = keep_last
        self._rows = 0
        self._told: dict[EventId, RelationBatch | CandidateBatch | Answer] = {}
        self._view: RelationView | None = None
        self._app: AppDefined | None = None
        self._judged = self._fit = 0

    def add(self, event_id: EventId, data: RelationBatch | CandidateBatch | Answer) -> None:
        """Take in a batch, candidates or an answer; what is known of a row that is not here yet waits for it."""
        if event_id in self._told:
            return
        self._told[event_id] = data
        if isinstance(data, RelationBatch):
            self._rows += len(data.row_ids)
            self._drop()

    def _drop(self) -> None:
        gone: set[str] = set()
        for event_id, batch in list(self._told.items()):
            if self._keep_last is None or not isinstance(batch, RelationBatch):
                continue
            if self._rows - len(batch.row_ids) < self._keep_last:
                break
            del self._told[event_id]
            self._rows -= len(batch.row_ids)
            gone.update(batch.row_ids)
        if gone:
            self._told = {event_id: data for event_id, data in self._told.items() if not _about_only(data, gone)}
            self._view = None

    def revision(self, app: AppDefined) -> int:
        """Return the number of events that fit ``app``: another one says something new."""
        self._fitting(app)
        return self._fit

    def count(self, app: AppDefined) -> int:
        """Return the number of rows that fit ``app``."""
        return len(self._fitting(app))

    def relation(self, app: AppDefined) -> Relation | None:
        """Return all rows that fit ``app``, in the order of arrival, with all that is known of them; None: no rows."""
        view = self._fitting(app)
        return view.relation(view.row_ids) if len(view) else None

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
            self._judged = self._fit = 0
        self._app = app
        for data in list(self._told.values())[self._judged :]:
            try:
                if isinstance(data, RelationBatch):
                    validate_batch(data, app)
                self._view.fold(data)
                self._fit += 1
            except EaseMLError:
                continue  # it was dead-lettered: rows by their handler here, candidates by DataMagic
        self._judged = len(self._told)
        return self._view


def _same_rows(one: AppDefined, other: AppDefined) -> bool:
    return (one.label, one.classes, one.columns) == (other.label, other.classes, other.columns)


def _about_only(data: RelationBatch | CandidateBatch | Answer, rows: set[str]) -> bool:
    """Whether candidates or an answer speak of these rows alone."""
    if isinstance(data, RelationBatch):
        return False
    return data.row_id in rows if isinstance(data, Answer) else rows.issuperset(data.row_ids)
