"""Rows as pandas frames and matrices: one form for people, one for models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError
from easeml.relation.block import Block
from easeml.relation.columns import moments_of
from easeml.stream.payloads import ColumnKind, RelationBatch

if TYPE_CHECKING:
    from easeml.relation.relation import Relation
    from easeml.relation.view import RelationView

_OBJECTS = (ColumnKind.CATEGORICAL, ColumnKind.TEXT, ColumnKind.TENSOR)


def features(source: RelationBatch | Block | Relation | RelationView) -> pd.DataFrame:
    """Return the features as models take them; one row per row id, columns in their order.

    Numeric columns are float64 with NaN; booleans float64 (0, 1, NaN); datetimes float64 (seconds since 1970 UTC,
    NaN); categories and texts are objects (str or None); tensors are objects (ndarray). The numbers are copied once
    out of the message, so they are aligned and may be written.
    """
    block = block_of(source)
    numbers = [index for index, column in enumerate(block.columns) if column.kind not in _OBJECTS]
    names = [column.name for column in block.columns]
    index = pd.Index(block.row_ids, dtype=object)
    if len(numbers) == block.numeric.shape[1] == len(names):
        return pd.DataFrame(np.array(block.numeric), index=index, columns=names)
    table = np.empty((len(block), len(numbers)))
    for place, column in enumerate(numbers):
        table[:, place] = _number(block, column)
    frame = pd.DataFrame(table, index=index, columns=[names[place] for place in numbers])
    others = [place for place, column in enumerate(block.columns) if column.kind in _OBJECTS]
    if not others:
        return frame
    cells = np.empty((len(block), len(others)), object)
    for place, column in enumerate(others):
        cells[:, place] = _object(block, column)
    objects = pd.DataFrame(cells, index=index, columns=[names[place] for place in others], dtype=object)
    return pd.concat([frame, objects], axis=1)[names]


def block_of(source: RelationBatch | Block | Relation | RelationView) -> Block:
    """Return the block behind a batch, a relation or a view."""
    if isinstance(source, RelationBatch):
        return Block.from_batch(source)
    return source if isinstance(source, Block) else source.block


def _number(block: Block, index: int) -> NDArray[np.float64]:
    cells = block.column(index)
    if block.columns[index].kind is ColumnKind.BOOLEAN:
        return np.where(cells < 0, np.nan, cells)
    return cells


def _object(block: Block, index: int) -> NDArray[np.object_]:
    column, cells = block.columns[index], block.column(index)
    if column.kind is ColumnKind.CATEGORICAL:
        return np.asarray(np.array([*column.categories, None], object)[cells], object)
    if column.kind is ColumnKind.TEXT:
        return np.asarray(cells, object)
    out = np.empty(len(block), object)
    out[:] = [row.reshape(column.shape) for row in np.array(cells)]
    return out


def people_frame(block: Block, label: str | None, classes: Sequence[str]) -> pd.DataFrame:
    """Return the rows as people read them: nullable booleans, UTC datetimes, categories, and the label last."""
    index = pd.Index(block.row_ids, dtype=object, name="row_id")
    data = {column.name: _series(block, place, index) for place, column in enumerate(block.columns)}
    if label is not None:
        data[label] = pd.Series(_categorical(block.labels, classes), index)
    return pd.DataFrame(data, index=index)


def _series(block: Block, index: int, rows: pd.Index[Any]) -> Any:
    column, cells = block.columns[index], block.column(index)
    match column.kind:
        case ColumnKind.NUMERIC:
            return pd.Series(np.array(cells), rows)
        case ColumnKind.DATETIME:
            return pd.Series(moments_of(cells), rows).dt.tz_localize("UTC")
        case ColumnKind.BOOLEAN:
            return pd.Series(pd.array(cells == 1, dtype="boolean"), rows).mask(cells < 0)
        case ColumnKind.CATEGORICAL:
            return pd.Series(_categorical(cells, column.categories), rows)
        case _:
            return pd.Series(_object(block, index), rows, object)


def _categorical(codes: NDArray[Any], names: Sequence[str]) -> Any:
    """Return codes as pandas categories; names stay objects, for pandas would make an empty domain numeric."""
    domain: Any = pd.Index(np.array(names, object))
    return pd.Categorical.from_codes(codes, categories=domain)


def matrix(block: Block, names: Sequence[str] | None = None) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return columns as one matrix of numbers, and the names of its columns.

    Numeric cells and datetimes stand as they are, booleans as 0 and 1, categories one-hot (all 0: missing), tensors
    flattened. Missing: NaN.

    Raises
    ------
    InvalidDataError
        When a name is unknown or a column is text.
    """
    known = {column.name: place for place, column in enumerate(block.columns)}
    chosen = list(known) if names is None else list(names)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise InvalidDataError(f"Unknown column {unknown[0]!r}.", mend=f"Columns are {', '.join(known)}.")
    if len(chosen) == block.numeric.shape[1] == len(known) and chosen == list(known):
        return np.array(block.numeric), tuple(chosen)
    parts = [_part(block, known[name]) for name in chosen]
    table = np.concatenate([part for part, _ in parts], axis=1) if parts else np.empty((len(block), 0))
    return table, tuple(name for _, titles in parts for name in titles)


def _part(block: Block, index: int) -> tuple[NDArray[np.float64], list[str]]:
    column, cells = block.columns[index], block.column(index)
    match column.kind:
        case ColumnKind.TEXT:
            raise InvalidDataError(
                f"Column {column.name!r} is text and has no numbers.", mend="Name the columns to use, without it."
            )
        case ColumnKind.CATEGORICAL:
            hot = (cells[:, None] == np.arange(len(column.categories))).astype(np.float64)
            return hot, [f"{column.name}={category}" for category in column.categories]
        case ColumnKind.TENSOR:
            return np.array(cells), [f"{column.name}[{place}]" for place in range(cells.shape[1])]
        case _:
            return _number(block, index)[:, None], [column.name]
