"""Votes of all models per production row, joined from their prediction batches.

A view: rebuilt by folding the topic again, from wherever the rows that it keeps came first. Rows are numbered in the
order in which any model first predicted them, anew after each start; the last rows are kept, also for models that join
later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from easeml.modelpicker.voting import MISSING, Votes
from easeml.relation.predictions import check_width
from easeml.stream.needs import Offsets, Run
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
        self._ids: deque[str] = deque()
        # A late vote for a row makes it no new one as long as it is here. So that a fold from the middle knows it too,
        # it begins as many rows before the first that is kept, which serves models up to half as many rows behind.
        self._firsts: deque[int] = deque(maxlen=2 * CAPACITY)
        self._offsets = Offsets()
        self._end = 0

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
        for row_id, label in zip(batch.row_ids, batch.labels.tolist(), strict=True):
            row = self._rows.get(row_id)
            if row is None:
                row = self._rows[row_id] = _Row(self._end)
                self._ids.append(row_id)
                self._firsts.append(offset)
                self._end += 1
            row.votes[batch.model] = max(label, MISSING)
        while len(self._ids) > CAPACITY:
            del self._rows[self._ids.popleft()]

    @property
    def needed(self) -> list[Run]:
        """Messages that a fold must begin with to come to the same rows."""
        return self._offsets.since(self._firsts[0]) if self._firsts else []

    @property
    def newest(self) -> str | None:
        """The row that came last, None before the first one."""
        return self._ids[-1] if self._ids else None

    def number(self, row_id: str | None) -> int:
        """Return the number of a row, -1 where it is not, or no longer, here."""
        row = None if row_id is None else self._rows.get(row_id)
        return -1 if row is None else row.number

    def ready(self, last: str | None, models: tuple[str, ...], forced: str | None) -> list[str]:
        """Return the rows behind the ``last`` one, up to the first that still waits for a vote.

        Those up to the one that is ``forced`` do not wait any more. Where the last one is not here, it is long ago.
        """
        found: list[str] = []
        start, most = self._end - len(self._ids), self.number(forced)
        for number in range(max(start, self.number(last) + 1), self._end):
            row_id = self._ids[number - start]
            if number > most and any(model not in self._rows[row_id].votes for model in models):
                break
            found.append(row_id)
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
