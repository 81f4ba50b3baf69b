"""The rows a new model is shown: all of the test pillar, the last ones of production."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from easeml.errors import Poison
from easeml.ids import EventId
from easeml.relation import Block, validate_batch
from easeml.relation.block import stack
from easeml.stream.needs import Offsets, Run
from easeml.stream.payloads import AppDefined, RelationBatch

_AT_ONCE = 1000


class Backlog:
    """Batches of one pillar of one app in the order of arrival.

    Parameters
    ----------
    keep_last : int, optional
        Rows to keep at least; whole batches before them are dropped.
    """

    def __init__(self, keep_last: int | None = None) -> None:
        self._keep_last = keep_last
        self._batches: dict[EventId, RelationBatch] = {}
        self._places: dict[EventId, int] = {}
        self._offsets = Offsets()
        self._rows = 0

    def add(self, event_id: EventId, batch: RelationBatch, offset: int) -> None:
        """Take in a batch and the offset of its message; the same event twice changes nothing."""
        if event_id in self._batches:
            return
        self._batches[event_id], self._places[event_id] = batch, offset
        self._offsets.add(offset)
        self._rows += len(batch.row_ids)
        if self._keep_last is None:
            return
        for old, first in list(self._batches.items()):
            if self._rows - len(first.row_ids) < self._keep_last:
                return
            del self._batches[old], self._places[old]
            self._rows -= len(first.row_ids)

    @property
    def needed(self) -> list[Run]:
        """Messages that the batches here came in."""
        return self._offsets.since(next(iter(self._places.values()))) if self._places else []

    def blocks(self, app: AppDefined) -> Iterator[Block]:
        """Yield the rows that fit ``app``, without those before the last ``keep_last``.

        Small batches come as one block: a model takes as long for one row as for hundreds. A row id that comes again is
        in another block.
        """
        held: list[Block] = []
        names: set[str] = set()
        for block in self._fitting(app):
            alike = bool(held) and block.columns == held[0].columns and len(names) + len(block) <= _AT_ONCE
            if held and not (alike and names.isdisjoint(block.row_ids)):
                yield stack(held)
                held, names = [], set()
            held.append(block)
            names.update(block.row_ids)
        if held:
            yield stack(held)

    def _fitting(self, app: AppDefined) -> Iterator[Block]:
        surplus = 0 if self._keep_last is None else max(self._rows - self._keep_last, 0)
        for batch in self._batches.values():
            skip, surplus = min(surplus, len(batch.row_ids)), max(surplus - len(batch.row_ids), 0)
            try:
                validate_batch(batch, app)
            except Poison:
                continue  # its own handler has dead-lettered it
            block = Block.from_batch(batch)
            if skip < len(block):
                yield block.take(_tail(len(block), skip)) if skip else block


def _tail(rows: int, skip: int) -> NDArray[np.int64]:
    return np.arange(skip, rows)
