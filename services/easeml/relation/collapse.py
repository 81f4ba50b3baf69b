"""Collapsing cells and rows that somebody knows now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from easeml.errors import InvalidDataError, NotFoundError
from easeml.relation.alternatives import Alternatives
from easeml.relation.block import Block, layout
from easeml.relation.candidates import LABEL, Floats, Ints


def with_known_cells(block: Block, row: Ints, column: Ints, value: Floats, texts: Sequence[str]) -> Block:
    """Return the block in which these cells are certain; values as in ``Block.with_cells``.

    A row with alternatives keeps those that agree with the known cell (Bayes' rule). Where none does, the cell
    becomes the known one in all of them, for it says nothing about the rest.
    """
    made = block.with_cells(row, column, value, texts)
    made = replace(made, candidates=block.candidates.without(row, column))
    if block.alternatives.block is None:
        return made
    table = block.alternatives
    mine = block.alternatives.has(len(block))[row] & (column != LABEL)
    for index in np.unique(column[mine]).tolist():
        here = mine & (column == index)
        table = _given(table, row[here], index, made.column(index)[row[here]], len(block))
    return replace(made, alternatives=table)


def _given(table: Alternatives, row: Ints, index: int, known: NDArray[np.generic], rows: int) -> Alternatives:
    """Return the alternatives conditioned on one column's cells in some rows."""
    if table.block is None:
        return table
    place = np.full(rows, -1, np.int64)
    place[row] = np.arange(len(row))
    line = np.flatnonzero(place[table.row] >= 0)
    owner = place[table.row[line]]
    agrees = np.asarray(table.block.column(index)[line] == known[owner], bool)
    some = np.bincount(owner[agrees], minlength=len(row)) > 0
    wrong = line[~some[owner]]
    part, own = layout(table.block.columns)[1][index]
    cells = getattr(table.block, part).copy()
    cells[wrong, own.start] = known[place[table.row[wrong]]]
    keep = np.ones(len(table), bool)
    keep[line] = agrees | ~some[owner]
    priors = table.probability.copy()
    sums = np.bincount(owner[keep[line]], priors[line][keep[line]], minlength=len(row))
    # Rows that lose nothing keep their priors to the bit.
    fewer = np.bincount(owner, ~keep[line], minlength=len(row)) > 0
    priors[line] /= np.where(fewer, sums, 1.0)[owner]
    kept = replace(table, probability=priors, block=replace(table.block, **{part: cells}))
    return kept if keep.all() else kept.select(keep)


def with_known_row(block: Block, row: int, alternative: int) -> Block:
    """Return the block in which a row is one of its alternatives, counted from 0 within the row.

    Raises
    ------
    NotFoundError
        When the row has no alternatives.
    InvalidDataError
        When it has no such alternative.
    """
    table, name = block.alternatives, block.row_ids[row]
    lines = np.flatnonzero(table.row == row)
    if table.block is None or not len(lines):
        raise NotFoundError(f"Row {name!r} has no alternatives.", mend="See alternatives().")
    if not 0 <= alternative < len(lines):
        raise InvalidDataError(
            f"Row {name!r} has no alternative {alternative}.", mend=f"Give a number from 0 to {len(lines) - 1}."
        )
    made = block.with_rows(np.array([row]), table.block, lines[[alternative]])
    return replace(made, alternatives=table.select(table.row != row))
