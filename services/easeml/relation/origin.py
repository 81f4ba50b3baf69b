"""Pandas frames that remember the relation they show, so that a round trip through pandas loses nothing.

``to_pandas`` gives the frame for people and keeps the relation in its ``attrs`` (which pandas hands on to slices,
filters, sorts and copies); ``from_pandas`` takes what the frame says and, for everything it did not change, what the
relation knew:

- rows are found by their index: kept rows keep their candidates in whatever order, dropped rows are gone, new rows are
  certain;
- a cell whose value was changed is certain, for somebody wrote it; one that shows the same value keeps its candidates
  and its exact number;
- a row with joint alternatives keeps them as long as none of its features was changed;
- new columns are inferred, dropped ones are gone with their candidates, new categories and classes follow the old ones.

A frame whose ``attrs`` were lost on the way (a merge loses them) takes the relation as ``like``.

>>> import pandas as pd
>>> from easeml.relation import Relation
>>> relation = Relation.from_frame(pd.DataFrame({"age": [31.0, None]}), row_ids=("r1", "r2"))
>>> guess = pd.DataFrame({"row_id": ["r2"], "column": ["age"], "value": [40.0], "probability": [1.0]})
>>> frame = to_pandas(relation.merge_candidates(guess, source="knn"))
>>> len(from_pandas(frame.loc[["r2"]]).candidates())
1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError
from easeml.relation.alternatives import Alternatives
from easeml.relation.batches import without_labels
from easeml.relation.block import Block, layout
from easeml.relation.candidates import LABEL, Candidates
from easeml.relation.columns import RowNames, infer, moments_of, texts_of
from easeml.relation.ingest import Reading, block_of_frame
from easeml.relation.relation import Relation
from easeml.stream.payloads import Column, ColumnKind

ATTRIBUTE = "easeml"


class Origin(dict[str, Any]):
    """The relation that a frame shows, as ``attrs`` can carry it.

    It stands as a small dictionary wherever attributes are written as JSON, and is never copied: pandas copies
    ``attrs`` deeply with every operation, and a relation does not change.
    """

    def __init__(self, relation: Relation) -> None:
        super().__init__(label=relation.label, rows=len(relation))
        self.relation = relation

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def to_pandas(relation: Relation) -> pd.DataFrame:
    """Return the frame for people (``Relation.frame``), which remembers the relation."""
    frame = relation.frame()
    frame.attrs[ATTRIBUTE] = Origin(relation)
    return frame


def from_pandas(frame: pd.DataFrame, *, like: Relation | None = None) -> Relation:
    """Return the relation of a frame.

    Parameters
    ----------
    frame : DataFrame
        n rows; its index holds the row ids.
    like : Relation, optional
        The relation whose rows they are; without it the one that the frame remembers. When there is none, the frame
        is read as any other (``Relation.from_frame``).

    Raises
    ------
    InvalidDataError
        When a value does not fit its column, or a row or column occurs twice; names row and column.
    """
    kept = frame.attrs.get(ATTRIBUTE)
    old = like if like is not None else kept.relation if isinstance(kept, Origin) else None
    if old is None:
        return Relation.from_frame(frame)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise InvalidDataError(f"Column {twice[0]!r} occurs twice.", mend="Give every column its own name.")
    row_ids = tuple(map(str, frame.index))
    label = old.label if old.label in frame.columns else None
    columns = _columns(frame, old, label, RowNames(row_ids))
    classes = _widened(old.classes, frame[label]) if label is not None else ()
    reading = Reading(label=label, classes=classes or None, columns=columns, row_ids=row_ids)
    new, domain, _ = block_of_frame(frame, reading)
    known = old.block if label is not None else without_labels(old.block)
    return Relation(_remembered(known, new), label=label, classes=domain)


def _columns(frame: pd.DataFrame, old: Relation, label: str | None, rows: RowNames) -> tuple[Column, ...]:
    known = {column.name: column for column in old.columns}
    columns = []
    for name in frame.columns:
        column = known.get(name)
        if name == label:
            continue
        if column is None:
            column = infer(name, frame[name], rows)
        elif column.kind is ColumnKind.CATEGORICAL:
            column = replace(column, categories=_widened(column.categories, frame[name]))
        columns.append(column)
    return tuple(columns)


def _widened(domain: Sequence[str], values: pd.Series[Any]) -> tuple[str, ...]:
    """Return the domain with the values that it lacks after it."""
    new = set(texts_of(values.drop_duplicates())) - set(domain) - {None}
    return (*domain, *sorted(new))


def _remembered(old: Block, new: Block) -> Block:
    """Return the new block with the exact numbers, candidates and alternatives of what it did not change."""
    places = pd.Index(np.array(old.row_ids, object)).get_indexer(pd.Index(np.array(new.row_ids, object)))
    rows = np.flatnonzero(places >= 0)
    before = places[rows]
    names = {column.name: place for place, column in enumerate(new.columns)}
    moved = [names.get(column.name, -1) for column in old.columns]
    same = np.zeros((len(new), len(new.columns) + 1), bool)
    same[rows, LABEL] = new.labels[rows] == old.labels[before]
    for index, target in enumerate(moved):
        if target >= 0:
            same[rows, target] = _restore(new, target, rows, _shown(old, index, before), old.column(index)[before])
    whole = np.asarray(same[:, [target for target in moved if target >= 0]].all(axis=1), bool).reshape(-1)
    return replace(
        new,
        candidates=_candidates(old, (rows, before), np.array([*moved, LABEL], np.int64), same),
        alternatives=_alternatives(old, new, (rows[whole[rows]], before[whole[rows]]), moved),
    )


def _shown(block: Block, index: int, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return cells as a frame shows them: moments to the microsecond."""
    cells = block.column(index)[rows]
    if block.columns[index].kind is not ColumnKind.DATETIME:
        return cells
    ticks = moments_of(cells)
    return np.where(np.isnat(ticks), np.nan, ticks.astype(np.int64) / 1e6)


def _restore(
    new: Block, index: int, rows: NDArray[np.int64], shown: NDArray[Any], exact: NDArray[Any]
) -> NDArray[np.bool_]:
    """Put the exact cells where the new ones are as shown, and return where that is."""
    part, place = layout(new.columns)[1][index]
    cells = getattr(new, part)[rows, place]
    shown, exact = shown.reshape(cells.shape), exact.reshape(cells.shape)
    equal = cells == shown
    if cells.dtype == np.float64:
        equal |= np.isnan(cells) & np.isnan(shown)
    same = np.asarray(equal, bool).all(axis=1)
    cells[same] = exact[same]
    getattr(new, part)[rows, place] = cells
    return np.asarray(same, bool)


def _candidates(
    old: Block, places: tuple[NDArray[np.int64], NDArray[np.int64]], moved: NDArray[np.int64], same: NDArray[np.bool_]
) -> Candidates:
    """Return the candidates of cells that the frame did not change; the last item of ``moved`` serves the label."""
    rows, before = places
    table = old.candidates
    where = np.full(len(old), -1, np.int64)
    where[before] = rows
    row, column = where[table.row], moved[table.column]
    gone = (moved == -1)[table.column] & (table.column != LABEL)
    keep = (row >= 0) & ~gone
    keep[keep] = same[row[keep], column[keep]]
    return replace(table.select(keep), row=row[keep], column=column[keep]).sort() if len(table) else table


def _alternatives(
    old: Block, new: Block, places: tuple[NDArray[np.int64], NDArray[np.int64]], moved: list[int]
) -> Alternatives:
    """Return the alternatives of rows that the frame did not change; new columns are as observed."""
    rows, before = places
    where = np.full(len(old), -1, np.int64)
    where[before] = rows
    table = old.alternatives.select(where[old.alternatives.row] >= 0)
    if table.block is None:
        return table
    row = where[table.row]
    block = new.cells(row)
    for index, target in enumerate(moved):
        if target >= 0:
            part, place = layout(new.columns)[1][target]
            getattr(block, part)[:, place] = table.block.column(index).reshape(len(row), place.stop - place.start)
    return replace(table, row=row, block=block).sort()
