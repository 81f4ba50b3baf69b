"""Proposals of tools that wait for rows or lie over them, whatever came first.

Of what one source says about a cell or about a row as a whole, the last batch stands; sources are laid over the rows
by name, so the order of arrival of different sources does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.relation.proposals import frame_of
from easeml.relation.relation import Relation
from easeml.stream.payloads import CandidateBatch, CandidateKind

_SLACK = 65_536
"""Candidates that no longer stand and are kept before they are looked for."""


class _Said(NamedTuple):
    """A batch of proposals, and whether it is known to fit the columns."""

    batch: CandidateBatch
    known: bool


class Overlay:
    """Candidate batches in the order of their arrival."""

    def __init__(self) -> None:
        self._said: list[_Said] = []
        self._lines = 0
        self._limit = _SLACK

    def __len__(self) -> int:
        return len(self._said)

    def fold(self, batch: CandidateBatch, label: str, *, known: bool) -> None:
        """Take in a whole batch; ``known`` tells whether it is known to fit the columns."""
        self._said.append(_Said(batch, known))
        self._lines += len(batch.row)
        if self._lines > self._limit:
            self._pack(label)

    def _pack(self, label: str) -> None:
        """Forget batches of which nothing stands. Those that may not fit yet replace nothing and are kept."""
        known = [said.batch for said in self._said if said.known]
        stands = iter(standing(known, label))
        self._said = [said for said in self._said if not said.known or next(stands).any()]
        self._lines = sum(len(said.batch.row) for said in self._said)
        self._limit = 2 * self._lines + _SLACK

    def over(self, relation: Relation, fits: Callable[[CandidateBatch], bool]) -> Relation:
        """Return a relation with what stands laid over it; batches about other rows wait."""
        batches = [said.batch for said in self._said if said.known or fits(said.batch)]
        if not batches:
            return relation
        rows = pd.Index(np.array(relation.row_ids, object))
        frames: dict[tuple[CandidateKind, str, tuple[str, ...]], list[pd.DataFrame]] = {}
        for batch, stands in zip(batches, standing(batches, relation.label or ""), strict=True):
            here = rows.get_indexer(pd.Index(np.array(batch.row_ids, object))) >= 0
            kept = stands & here[batch.row]
            if kept.any():
                columns = batch.columns if batch.kind is CandidateKind.ROWS else ()
                frames.setdefault((batch.kind, batch.source, columns), []).append(
                    frame_of(batch, relation.columns)[kept]
                )
        for (kind, source, _), parts in sorted(frames.items(), key=lambda item: item[0]):
            merge = relation.merge_candidates if kind is CandidateKind.CELLS else relation.merge_rows
            relation = merge(pd.concat(parts, ignore_index=True), source=source)
        return relation


def standing(batches: Sequence[CandidateBatch], label: str) -> list[NDArray[np.bool_]]:
    """Return which candidates of each batch no later batch of the same source replaces.

    A tool speaks about the features of a row cell by cell or as a whole; what it does last replaces the other.
    Cost O(m) for m candidates.
    """
    units: dict[tuple[str, str], int] = {}
    names: dict[str, int] = {}
    unit_of, cell_of = [], []
    for batch in batches:
        units_of_rows = [units.setdefault((batch.source, row_id), len(units)) for row_id in batch.row_ids]
        unit_of.append(np.array(units_of_rows or [0], np.int64)[batch.row])
        columns = np.array([names.setdefault(name, len(names)) for name in batch.columns] or [0], np.int64)
        cell_of.append(columns[batch.column])
    width = max(len(names), 1)
    last_cell, last_row, last_feature = (np.full(size, -1) for size in (len(units) * width, len(units), len(units)))
    for place, (batch, unit, cell) in enumerate(zip(batches, unit_of, cell_of, strict=True)):
        if batch.kind is CandidateKind.ROWS:
            last_row[unit] = place
        else:
            last_cell[unit * width + cell] = place
            last_feature[unit[cell != names.get(label, -1)]] = place
    stands = []
    for place, (batch, unit, cell) in enumerate(zip(batches, unit_of, cell_of, strict=True)):
        if batch.kind is CandidateKind.ROWS:
            stands.append((last_row[unit] == place) & (last_feature[unit] < place))
        else:
            of_label = cell == names.get(label, -1)
            stands.append((last_cell[unit * width + cell] == place) & (of_label | (last_row[unit] < place)))
    return stands
