"""Votes of all models per production row, joined from their prediction batches.

A view: rebuilt by folding the topic again. Rows are numbered in the order in which any model first predicted
them; the last rows are kept, also for models that join later.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from easeml.modelpicker.voting import MISSING, Votes
from easeml.relation.predictions import check_width
from easeml.stream.payloads import PredictionBatch

CAPACITY = 4000
"""Rows remembered; a hundred times what waits for a slow model at 20 rows per second."""


@dataclass(slots=True)
class _Row:
    number: int
    votes: dict[str, int] = field(default_factory=dict)


class Joining:
    """Production rows of one app and the votes they have got."""

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._ids: dict[int, str] = {}
        self.end = 0
        """Number of the next new row."""

    def add(self, batch: PredictionBatch) -> None:
        """Add a model's votes; the last one per row counts.

        Raises
        ------
        Poison
            When there is not one prediction per row.
        """
        check_width(batch)
        for row_id, label in zip(batch.row_ids, batch.labels.tolist(), strict=True):
            row = self._rows.get(row_id)
            if row is None:
                row = self._rows[row_id] = _Row(self.end)
                self._ids[self.end] = row_id
                self.end += 1
            row.votes[batch.model] = max(label, MISSING)
        for number in range(self.end - len(self._rows), self.end - CAPACITY):
            del self._rows[self._ids.pop(number)]

    @property
    def start(self) -> int:
        """Number of the oldest row remembered."""
        return self.end - len(self._rows)

    def ready(self, first: int, models: tuple[str, ...], forced: int) -> list[str]:
        """Return the rows from ``first`` on, up to the first that still waits for a vote.

        Rows before number ``forced`` do not wait any more.
        """
        found = []
        for number in range(max(first, self.start), self.end):
            votes = self._rows[self._ids[number]].votes
            if number >= forced and any(model not in votes for model in models):
                break
            found.append(self._ids[number])
        return found

    def votes(self, row_ids: list[str], models: tuple[str, ...], classes: int) -> Votes:
        """Return votes, shape (len(row_ids), len(models)); -1 where there is none in the label domain."""
        table = np.full((len(row_ids), len(models)), MISSING, dtype=np.int32)
        for i, row_id in enumerate(row_ids):
            row = self._rows.get(row_id)
            if row is not None:
                table[i] = [row.votes.get(model, MISSING) for model in models]
        table[table >= classes] = MISSING
        return table
