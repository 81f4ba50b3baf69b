"""The labelled rows of one pillar of one app, as a trial sees them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError, Poison
from easeml.ids import EventId
from easeml.relation import RelationView, features, validate_batch
from easeml.stream.payloads import AppDefined, RelationBatch


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
    """Batches of one pillar in the order of arrival, and the view of those that fit the app's definition.

    A fold does not know the app's definition, and the definition may change after the rows came; so batches are kept
    as they are and judged when a trial asks. Taking the same event twice changes nothing.
    """

    def __init__(self) -> None:
        self._batches: dict[EventId, RelationBatch] = {}
        self._view: RelationView | None = None
        self._app: AppDefined | None = None
        self._judged = 0

    def add(self, event_id: EventId, batch: RelationBatch) -> None:
        """Take in a batch."""
        self._batches.setdefault(event_id, batch)

    def count(self, app: AppDefined) -> int:
        """Return the number of rows that fit ``app``."""
        return len(self._fitting(app))

    def first(self, app: AppDefined, count: int) -> Labelled:
        """Return the ``count`` rows that came first: the same ones whatever came later.

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
        block = view.relation(view.row_ids[:count]).block
        return Labelled(features(block), block.labels)

    def _fitting(self, app: AppDefined) -> RelationView:
        if self._view is None or self._app is None or not _same_rows(self._app, app):
            self._view, self._judged = RelationView(app.label, app.classes), 0
        self._app = app
        for batch in list(self._batches.values())[self._judged :]:
            try:
                validate_batch(batch, app)
            except Poison:
                continue  # its own handler has dead-lettered it
            self._view.fold(batch)
        self._judged = len(self._batches)
        return self._view


def _same_rows(one: AppDefined, other: AppDefined) -> bool:
    return (one.label, one.classes, one.columns) == (other.label, other.classes, other.columns)
