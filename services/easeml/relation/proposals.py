"""Proposals of tools on the stream: ``CandidateBatch`` messages checked, read and written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError, NotFoundError, Poison
from easeml.relation.block import Block
from easeml.relation.candidates import Candidates
from easeml.relation.columns import cell_text, moments_of
from easeml.relation.people import candidate_values
from easeml.relation.pooling import Voices, own_distributions
from easeml.relation.tables import Terms, cells_of_frame, versions_of_frame
from easeml.relation.validation import check_row_ids
from easeml.stream import codec
from easeml.stream.payloads import AppDefined, CandidateBatch, CandidateKind, Column, ColumnKind, Pillar

if TYPE_CHECKING:
    from easeml.relation.relation import Relation

_REASON = "bad_candidates"


def validate_candidates(batch: CandidateBatch, app: AppDefined) -> None:
    """Check a batch of proposals against its app; its rows may still be on their way.

    Raises
    ------
    Poison
        With the reason ``bad_candidates``, ``unknown_column``, ``duplicate_row``, ``bad_row_id`` or ``invalid_data``;
        the message names row and column.
    """
    try:
        check_proposal(batch, app.columns, app.label, app.classes)
    except InvalidDataError as error:
        raise Poison(
            f"Candidates of {batch.source!r} for {batch.pillar} rows of {batch.app}: {error.message}",
            mend=error.mend,
            reason=error.reason,
        ) from error


def check_proposal(batch: CandidateBatch, columns: Sequence[Column], label: str | None, classes: Sequence[str]) -> None:
    """Check that a batch is whole, its values fit the columns and its priors sum to 1.

    Raises
    ------
    InvalidDataError
        Names row and column.
    """
    check_shape(batch)
    terms = Terms(columns, label, classes, batch.row_ids)
    frame = frame_of(batch, columns)
    if batch.kind is CandidateKind.ROWS:
        versions_of_frame(terms, frame, normalize=False)
    else:
        cells_of_frame(terms, frame, batch.source, normalize=False)


def check_shape(batch: CandidateBatch) -> None:
    """Check that a batch is whole: lengths, indices, rows and columns.

    Raises
    ------
    InvalidDataError
        With the reason ``bad_candidates``, ``duplicate_row`` or ``bad_row_id``.
    """
    lines, width = len(batch.row), len(batch.columns)
    check_row_ids(batch.row_ids)
    if not batch.source:
        raise InvalidDataError("Candidates without a source.", mend="Name the tool and its version.", reason=_REASON)
    if len(set(batch.columns)) != width:
        raise InvalidDataError("A column is named twice.", mend="Name each column once.", reason=_REASON)
    cells = batch.kind is CandidateKind.CELLS
    sizes = {
        "probability": (len(batch.probability), lines),
        "column": (len(batch.column), lines if cells else 0),
        "values": (len(batch.values), lines if cells else lines * width),
    }
    for name, (size, wanted) in sizes.items():
        if size != wanted:
            raise InvalidDataError(
                f"{name} holds {size} items; {lines} candidates of {batch.kind} need {wanted}.",
                mend="See the field comments of CandidateBatch.",
                reason=_REASON,
            )
    for name, indices, limit in (
        ("row", batch.row, len(batch.row_ids)),
        ("column", batch.column, width),
        ("missing", batch.missing, len(batch.values)),
    ):
        if len(indices) and (indices.min() < 0 or indices.max() >= limit):
            raise InvalidDataError(f"{name} points beyond its {limit} items.", reason=_REASON)


def frame_of(batch: CandidateBatch, columns: Sequence[Column] = ()) -> pd.DataFrame:
    """Return a whole batch as the table ``merge_candidates`` or ``merge_rows`` takes; tensors are read from JSON."""
    values = np.array(batch.values, object)
    values[batch.missing] = None
    row_id = np.array(batch.row_ids, object)[batch.row]
    if batch.kind is CandidateKind.CELLS:
        names = np.array(batch.columns, object)[batch.column]
        return pd.DataFrame(
            {
                "row_id": row_id,
                "column": names,
                "value": pd.Series(values, dtype=object),
                "probability": batch.probability,
            }
        )
    tensors = {column.name for column in columns if column.kind is ColumnKind.TENSOR}
    data: dict[str, Any] = {"row_id": row_id, "probability": batch.probability}
    table = values.reshape(len(row_id), len(batch.columns))
    for place, name in enumerate(batch.columns):
        if name in data:
            raise InvalidDataError(f"A column named {name!r} cannot have alternatives.", reason=_REASON)
        cells = table[:, place]
        data[name] = pd.Series(_tensors(name, cells, row_id) if name in tensors else cells, dtype=object)
    return pd.DataFrame(data)


def _tensors(name: str, cells: NDArray[np.object_], row_id: NDArray[np.object_]) -> NDArray[np.object_]:
    out = np.empty(len(cells), object)
    for place, text in enumerate(cells):
        try:
            out[place] = None if text is None else np.array(json.loads(text), np.float64)
        except ValueError as error:
            raise InvalidDataError(
                f"Column {name!r}, row {row_id[place]!r}: not an array of numbers.", mend="Give JSON.", reason=_REASON
            ) from error
    return out


def batch_of(
    relation: Relation, source: str, app: str, pillar: Pillar, *, rows_per_batch: int = 1000, max_bytes: int = 900_000
) -> list[CandidateBatch]:
    """Return what one tool says about a relation's rows as messages: its own priors, not those of the pool.

    Raises
    ------
    NotFoundError
        When the tool says nothing about the relation.
    InvalidDataError
        When the candidates of one row are larger than ``max_bytes``.
    """
    if source not in relation.sources:
        raise NotFoundError(
            f"No candidates of {source!r}.", mend=f"Sources are {', '.join(relation.sources) or 'none'}."
        )
    head = CandidateBatch(app, pillar, source, (), (), ())
    made: list[CandidateBatch] = []
    for whole in (_cells(relation, head), _versions(relation, head)):
        if whole is not None:
            for start in range(0, len(whole.row_ids), rows_per_batch):
                part = _part(whole, start, min(start + rows_per_batch, len(whole.row_ids)))
                made += _fitting(part, max_bytes)
    return made


def _cells(relation: Relation, head: CandidateBatch) -> CandidateBatch | None:
    table = relation.block.candidates
    if head.source not in table.sources:
        return None
    own = own_distributions(
        Voices(table.keys(table.width()), table.source, table.probability), max(len(table.sources), 1)
    )
    mine = np.flatnonzero(table.source == table.sources.index(head.source))
    table = replace(table, probability=own).select(mine)
    if not len(table):
        return None
    rows, row = np.unique(table.row, return_inverse=True)
    used, column = np.unique(table.column, return_inverse=True)
    names = np.array([*(own.name for own in relation.columns), relation.label], object)
    values = _cell_texts(relation.block, relation.classes, table)
    return replace(
        head,
        columns=tuple(names[used]),
        row_ids=tuple(relation.row_ids[place] for place in rows.tolist()),
        values=tuple(values),
        row=row.astype(np.int32),
        column=column.astype(np.int32),
        probability=table.probability,
    )


def _cell_texts(block: Block, classes: Sequence[str], table: Candidates) -> list[str]:
    kinds = np.array([*(column.kind for column in block.columns), ColumnKind.CATEGORICAL], object)
    values = candidate_values(block, classes, table)
    return [cell_text(kind, value) for kind, value in zip(kinds[table.column], values, strict=True)]


def _versions(relation: Relation, head: CandidateBatch) -> CandidateBatch | None:
    table = relation.block.alternatives
    if head.source not in table.sources:
        return None
    own = own_distributions(Voices(table.row.astype(np.int64), table.source, table.probability), len(table.sources))
    table = replace(table, probability=own).select(table.source == table.sources.index(head.source))
    if table.block is None:
        return None
    rows, row = np.unique(table.row, return_inverse=True)
    texts = [_column_texts(table.block, index) for index in range(len(relation.columns))]
    values = [text for line in zip(*texts, strict=True) for text in line]
    return replace(
        head,
        kind=CandidateKind.ROWS,
        columns=tuple(column.name for column in relation.columns),
        row_ids=tuple(relation.row_ids[place] for place in rows.tolist()),
        values=tuple("" if text is None else text for text in values),
        row=row.astype(np.int32),
        missing=np.array([place for place, text in enumerate(values) if text is None], np.int32),
        probability=table.probability,
    )


def _column_texts(block: Block, index: int) -> list[str | None]:
    """Return the cells of a column as texts, None where missing."""
    column, cells = block.columns[index], block.column(index)
    match column.kind:
        case ColumnKind.TEXT:
            return list(cells)
        case ColumnKind.CATEGORICAL:
            return list(np.array([*column.categories, None], object)[cells])
        case ColumnKind.BOOLEAN:
            return list(np.array(["false", "true", None], object)[cells])
        case ColumnKind.TENSOR:
            gone = np.isnan(cells).all(axis=1)
            return [
                None if no else cell_text(column.kind, cell.reshape(column.shape))
                for no, cell in zip(gone, cells, strict=True)
            ]
        case ColumnKind.DATETIME:
            moments = pd.Series(moments_of(cells)).dt.tz_localize("UTC")
            return [None if pd.isna(moment) else cell_text(column.kind, moment) for moment in moments]
        case _:
            return [None if np.isnan(number) else repr(float(number)) for number in cells]


def _part(batch: CandidateBatch, start: int, stop: int) -> CandidateBatch:
    """Return the candidates of the rows from ``start`` to ``stop``; the batch is ordered by row."""
    first, last = np.searchsorted(batch.row, (start, stop)).tolist()
    width = 1 if batch.kind is CandidateKind.CELLS else len(batch.columns)
    low, high = np.searchsorted(batch.missing, (first * width, last * width)).tolist()
    return replace(
        batch,
        row_ids=batch.row_ids[start:stop],
        values=batch.values[first * width : last * width],  # noqa: PD011 - a field of the message
        row=batch.row[first:last] - np.int32(start),
        column=batch.column[first:last] if len(batch.column) else batch.column,
        missing=batch.missing[low:high] - np.int32(first * width),
        probability=batch.probability[first:last],
    )


def _fitting(batch: CandidateBatch, max_bytes: int) -> Iterator[CandidateBatch]:
    size = len(codec.encode(batch))
    if size <= max_bytes:
        yield batch
        return
    middle = len(batch.row_ids) // 2
    if not middle:
        raise InvalidDataError(
            f"The candidates of row {batch.row_ids[0]!r} take {size} bytes; a message may hold {max_bytes}.",
            mend="Propose fewer or shorter candidates.",
        )
    yield from _fitting(_part(batch, 0, middle), max_bytes)
    yield from _fitting(_part(batch, middle, len(batch.row_ids)), max_bytes)
