"""Votes of all models per production row, joined from their prediction batches.

A view: rebuilt by folding the topic again, from wherever the rows that it keeps came first. Rows are numbered by the
message in which any model first predicted them; the last rows are kept, also for models that join later.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from easeml.modelpicker.voting import MISSING, Votes
from easeml.relation.predictions import check_width
from easeml.stream.needs import Offsets, Run
from easeml.stream.payloads import PredictionBatch

CAPACITY = 4000
"""Rows remembered; a hundred times what waits for a slow model at 20 rows per second."""
_MESSAGE = 2**32
"""Distance between the numbers of two messages: more than any has rows."""


@dataclass(slots=True)
class _Row:
    number: int
    votes: dict[str, int] = field(default_factory=dict)


class Joining:
    """Production rows of one app and the votes they have got."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._ids: deque[str] = deque()
        # A late vote for a row makes it no new one as long as it is here. So that a fold from the middle knows it too,
        # it begins as many rows before the first that is kept.
        self._numbers: deque[int] = deque(maxlen=2 * CAPACITY)
        self._offsets = Offsets()
        self.end = 0
        """Number that no row has yet."""

    def add(self, batch: PredictionBatch, offset: int) -> None:
        """Add a model's votes; the last one per row counts.

        Parameters
        ----------
        batch : PredictionBatch
        offset : int
            Of the message; they ascend.

        Raises
        ------
        Poison
            When there is not one prediction per row.
        """
        check_width(batch)
        self._offsets.add(offset)
        for place, (row_id, label) in enumerate(zip(batch.row_ids, batch.labels.tolist(), strict=True)):
            row = self._rows.get(row_id)
            if row is None:
                row = self._rows[row_id] = _Row(offset * _MESSAGE + place)
                self._ids.append(row_id)
                self._numbers.append(row.number)
                self.end = row.number + 1
            row.votes[batch.model] = max(label, MISSING)
        while len(self._ids) > CAPACITY:
            del self._rows[self._ids.popleft()]

    @property
    def needed(self) -> list[Run]:
        """Messages that a fold must begin with to come to the same rows."""
        return self._offsets.since(self._numbers[0] // _MESSAGE) if self._numbers else []

    def ready(self, first: int, models: tuple[str, ...], forced: int) -> tuple[list[str], int]:
        """Return the rows from number ``first`` on, up to the first that still waits for a vote, and where to go on.

        Rows before number ``forced`` do not wait any more.
        """
        found: list[str] = []
        start = bisect_left(self._ids, first, key=lambda row_id: self._rows[row_id].number)
        for place in range(start, len(self._ids)):
            row_id = self._ids[place]
            row = self._rows[row_id]
            if row.number >= forced and any(model not in row.votes for model in models):
                break
            found.append(row_id)
            first = row.number + 1
        return found, first

    def votes(self, row_ids: list[str], models: tuple[str, ...], classes: int) -> Votes:
        """Return votes, shape (len(row_ids), len(models)); -1 where there is none in the label domain."""
        table = np.full((len(row_ids), len(models)), MISSING, dtype=np.int32)
        for i, row_id in enumerate(row_ids):
            row = self._rows.get(row_id)
            if row is not None:
                table[i] = [row.votes.get(model, MISSING) for model in models]
        table[table >= classes] = MISSING
        return table
