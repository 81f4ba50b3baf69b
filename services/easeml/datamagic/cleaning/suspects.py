"""Cells that somebody doubts, as places in a relation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError, NotFoundError
from easeml.relation import Block, Relation
from easeml.stream.payloads import ColumnKind

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Found:
    """Errors of one kind: rows, their column (None: the whole row), scores and what to tell about each."""

    kind: str
    row: NDArray[np.int64]
    column: str | None
    score: NDArray[np.float64]
    detail: Sequence[str]


@dataclass(frozen=True, slots=True)
class Suspects:
    """Doubtful cells.

    Parameters
    ----------
    row, column : ndarray of int64, shape (m,)
        The cells, by row and column, each once.
    score : ndarray of float64, shape (m,)
        How doubtful, in [0, 1].
    hidden : ndarray of bool, shape (rows, columns), optional
        The same as a mask; None when there are none.
    """

    row: Ints
    column: Ints
    score: NDArray[np.float64]
    hidden: NDArray[np.bool_] | None

    def within(self, start: int, stop: int) -> slice:
        """Return where the cells of these rows stand."""
        first, last = np.searchsorted(self.row, (start, stop)).tolist()
        return slice(first, last)


def missing_cells(block: Block, column: int) -> NDArray[np.bool_]:
    """Return which cells of a column have no value; shape (n,)."""
    own, kind = block.column(column), block.columns[column].kind
    if kind is ColumnKind.TENSOR:
        return np.asarray(np.isnan(own).all(axis=1), bool)
    if kind is ColumnKind.TEXT:
        return np.asarray(pd.isna(own), bool)
    coded = kind in (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL)
    return np.asarray(own < 0 if coded else np.isnan(own), bool)


def suspects_of(relation: Relation, errors: pd.DataFrame | None) -> Suspects:
    """Return the doubted cells of a table of errors; errors of whole rows, of labels and missing cells are passed by.

    Raises
    ------
    NotFoundError
        When a row is unknown.
    InvalidDataError
        When a column is unknown, or the table lacks ``row_id``, ``column`` or ``score``.
    """
    none = np.empty(0, np.int64)
    if errors is None or not len(errors):
        return Suspects(none, none, np.empty(0), None)
    lacking = [name for name in ("row_id", "column", "score") if name not in errors.columns]
    if lacking:
        raise InvalidDataError(f"The errors have no column {lacking[0]!r}.", mend="Give what detect_errors returns.")
    names = [column.name for column in relation.columns]
    cellwise = errors[errors["column"].notna() & (errors["column"] != relation.label)]
    unknown = cellwise.loc[~cellwise["column"].isin(names), "column"]
    if len(unknown):
        raise InvalidDataError(f"Unknown column {unknown.iloc[0]!r}.", mend=f"Columns are {', '.join(names)}.")
    row = pd.Index(relation.row_ids, dtype=object).get_indexer(pd.Index(cellwise["row_id"], dtype=object))
    if (row < 0).any():
        raise NotFoundError(f"Row {cellwise['row_id'].iloc[int(np.argmin(row))]!r} is not in the relation.")
    column = pd.Index(names, dtype=object).get_indexer(pd.Index(cellwise["column"], dtype=object))
    score = np.nan_to_num(cellwise["score"].to_numpy(np.float64), nan=0.5)
    gone = np.zeros(len(row), bool)
    for place in np.unique(column).tolist():
        gone[column == place] = missing_cells(relation.block, place)[row[column == place]]
    row, column, score = row[~gone], column[~gone], score[~gone]
    cell, place = np.unique(row * len(names) + column, return_inverse=True)
    worst = np.zeros(len(cell))
    np.maximum.at(worst, place, score)
    hidden = np.zeros((len(relation), len(names)), bool)
    hidden.reshape(-1)[cell] = True
    return Suspects(cell // len(names), cell % len(names), np.clip(worst, 0.0, 1.0), hidden)
