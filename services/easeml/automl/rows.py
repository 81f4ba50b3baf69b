"""The labelled rows of one pillar of one app, as a trial sees them: the most probable world of what is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import EaseMLError, InvalidDataError
from easeml.ids import EventId
from easeml.relation import RelationView, features, validate_batch
from easeml.stream.payloads import Answer, AppDefined, CandidateBatch, RelationBatch


class Labelled(NamedTuple):
    """Rows and their labels.

    Parameters
    ----------
    frame : DataFrame, n rows
        Features.
    labels : int32[n]
        Codes of the app's classes, -1: unknown.
    """

    frame: pd.DataFrame
    labels: NDArray[np.int32]


class Rows:
    """Batches, candidates and answers of one pillar in the order of arrival, and the view of those that fit the app.

    A fold does not know the app's definition, and the definition may change after the rows came; so batches are kept
    as they are and judged when a trial asks. Taking the same event twice changes nothing.
    """

    def __init__(self) -> None:
        self._told: dict[EventId, RelationBatch | CandidateBatch | Answer] = {}
        self._view: RelationView | None = None
        self._app: AppDefined | None = None
        self._judged = 0

    def add(self, event_id: EventId, data: RelationBatch | CandidateBatch | Answer) -> None:
        """Take in a batch, candidates or an answer; what is known of a row that is not here yet waits for it."""
        self._told.setdefault(event_id, data)

    def count(self, app: AppDefined) -> int:
        """Return the number of rows that fit ``app``."""
        return len(self._fitting(app))

    def first(self, app: AppDefined, count: int) -> Labelled:
        """Return the ``count`` rows that came first: the same ones whatever came later, each at its most probable.

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
        block = view.relation(view.row_ids[:count]).most_probable_world().block
        return Labelled(features(block), block.labels)

    def _fitting(self, app: AppDefined) -> RelationView:
        if self._view is None or self._app is None or not _same_rows(self._app, app):
            self._view, self._judged = RelationView(app.label, app.classes, app.columns), 0
        self._app = app
        for data in list(self._told.values())[self._judged :]:
            try:
                if isinstance(data, RelationBatch):
                    validate_batch(data, app)
                self._view.fold(data)
            except EaseMLError:
                continue  # it was dead-lettered: rows by their handler here, candidates by DataMagic
        self._judged = len(self._told)
        return self._view


def _same_rows(one: AppDefined, other: AppDefined) -> bool:
    return (one.label, one.classes, one.columns) == (other.label, other.classes, other.columns)
