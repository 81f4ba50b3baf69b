"""A relation as an Arrow table or Parquet file, and back, with everything it holds.

Other tools see a normal table: a text field ``row_id``, one field per feature with the observed values, the label, and
beside each row its candidates as a nested list in ``__candidates__`` (``arrow_candidates``). What Arrow's types do not
tell stands in the metadata of the schema (``arrow_schema``). Nothing is pickled; what is read is checked.

============ ==================================== ============================================
kind         Arrow type                           missing
============ ==================================== ============================================
numeric      double                               null
boolean      bool                                 null
categorical  dictionary<int32, string>            null
datetime     timestamp[us, UTC]                   null; moments between two microseconds stand
                                                  exactly in a field ``__seconds__NAME`` besides
text         string                               null
tensor       fixed_size_list<double>              null
label        dictionary<int32, string>            null: not known
============ ==================================== ============================================

Fields whose name a column has already get an underscore in front. Needs pyarrow (extra ``files``).

>>> import pandas as pd
>>> from easeml.relation import Relation
>>> relation = Relation.from_frame(pd.DataFrame({"age": [31.0, None]}), row_ids=("r1", "r2"))
>>> table_of(relation).column_names
['age', 'row_id', '__candidates__']
>>> relation_of(table_of(relation)).content_hash() == relation.content_hash()
True
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from easeml.errors import ConfigurationError, InvalidDataError, NotFoundError
from easeml.relation.alternatives import Alternatives
from easeml.relation.block import CODES, NUMERIC, TENSOR, TEXTS, Block, layout
from easeml.relation.candidates import Candidates
from easeml.relation.columns import width
from easeml.relation.relation import Relation
from easeml.relation.tables import Terms
from easeml.relation.validation import check_row_ids
from easeml.stream.payloads import Column, ColumnKind

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise ConfigurationError(
        "Arrow tables and Parquet files need pyarrow.", mend="Install easeml-streaming[files]."
    ) from error

from easeml.relation.arrow_alternatives import alternative_lists, check_apart, opened_alternatives
from easeml.relation.arrow_candidates import Owners, candidate_lists, candidates_of
from easeml.relation.arrow_columns import array_of, cells_of, codes_of, inexact, names, numbers, numbers_of, texts_in
from easeml.relation.arrow_foreign import relation_of_foreign
from easeml.relation.arrow_schema import ColumnEntry, TableMetadata, metadata_of, packed, unpacked

ROWS_PER_GROUP = 131_072
"""Rows of one row group of a Parquet file."""


def table_of(relation: Relation) -> Any:
    """Return everything a relation holds as an Arrow table.

    Parameters
    ----------
    relation : Relation
        n rows; the numbers are copied once.

    Returns
    -------
    pyarrow.Table
        n rows.

    Raises
    ------
    InvalidDataError
        When two columns have one name, a domain holds a value twice, or a text is no valid Unicode.
    """
    block = relation.block
    joint = block.alternatives.block
    doubtful = _inexact(block) | (_inexact(joint) if joint is not None else set())
    metadata = metadata_of(block, relation.label, relation.classes, doubtful, joint=joint is not None)
    try:
        fields = _features(block, metadata.columns)
        if metadata.label is not None:
            fields[metadata.label.field] = names(block.labels, relation.classes)
        fields[metadata.row_id] = pa.array(block.row_ids, pa.string())
        fields[metadata.candidates] = candidate_lists(block, relation.label, relation.classes)
        if joint is not None and metadata.alternatives is not None:
            versions = _features(joint, metadata.columns) | _seconds(joint, metadata.columns)
            fields[metadata.alternatives] = alternative_lists(block.alternatives, versions, len(block))
        fields |= _seconds(block, metadata.columns)
        return pa.table(fields).replace_schema_metadata(packed(metadata))
    except UnicodeEncodeError as error:
        raise InvalidDataError(
            f"A name or text is no valid Unicode: {error.object[:40]!r}.",
            mend="Remove the lone surrogates: read the file with its true encoding.",
        ) from error


def _inexact(block: Block) -> set[str]:
    """Return the datetime columns with moments between two microseconds."""
    return {
        column.name
        for place, column in enumerate(block.columns)
        if column.kind is ColumnKind.DATETIME and inexact(block.column(place))
    }


def _seconds(block: Block, entries: Sequence[ColumnEntry]) -> dict[str, Any]:
    return {
        entry.seconds: numbers(block.column(place)) for place, entry in enumerate(entries) if entry.seconds is not None
    }


def _features(block: Block, entries: Sequence[ColumnEntry]) -> dict[str, Any]:
    return {
        entry.name: array_of(column, block.column(place))
        for place, (column, entry) in enumerate(zip(block.columns, entries, strict=True))
    }


def relation_of(table: Any, *, label: str | None = None, classes: Sequence[str] | None = None) -> Relation:
    """Return the relation of an Arrow table.

    A table that ``table_of`` made gives back its relation. Any other table becomes a plain one, without candidates, by
    the rules of ``Relation.from_frame``, except that Arrow's own types count: a dictionary is categorical, a list of
    numbers of one length a tensor. A text field ``row_id`` of distinct values without nulls names the rows.

    Parameters
    ----------
    table : pyarrow.Table
        n rows.
    label : str, optional
        Label column of a table that is not from a relation.
    classes : sequence of str, optional
        Label domain of such a table.

    Raises
    ------
    InvalidDataError
        When the metadata is damaged, fields are missing, a value does not fit its column or the priors of a cell do
        not sum to 1; names row and column. When ``label`` is not that of a relation's table.
    """
    metadata = unpacked(table.schema.metadata, table.column_names)
    if metadata is None:
        return relation_of_foreign(table, label, classes)
    own = metadata.label.name if metadata.label else None
    if label not in (None, own):
        raise InvalidDataError(
            f"The table is a relation whose label is {own!r}, not {label!r}.",
            mend="Leave the label out, or remove the metadata 'easeml' of the table to read its plain values.",
        )
    return _relation(table, metadata)


def _relation(table: Any, metadata: TableMetadata) -> Relation:
    columns = tuple(entry.column() for entry in metadata.columns)
    row_ids = _row_ids(table.column(metadata.row_id), metadata.row_id)
    label = metadata.label
    classes = tuple(label.classes) if label else ()
    fields = {name: table.column(name) for name in metadata.values()}
    parts = _parts(fields, metadata, columns, row_ids)
    labels = np.full(len(row_ids), -1, np.int32)
    if label is not None:
        labels = codes_of(table.column(label.field), classes, f"Label {label.field!r}", row_ids)
    name = label.name if label else None
    terms = Terms(columns, name if name is not None else "" if label else None, classes, row_ids)
    candidates = candidates_of(table.column(metadata.candidates), metadata.candidates, terms, metadata.sources)
    alternatives = _alternatives(table, metadata, terms)
    check_apart(alternatives, candidates, terms)
    block = replace(_block(columns, row_ids, parts), labels=labels, candidates=candidates, alternatives=alternatives)
    return Relation(block, label=name, classes=classes)


def _block(columns: tuple[Column, ...], row_ids: Sequence[str], parts: dict[str, NDArray[Any]]) -> Block:
    """Return a block of features."""
    labels = np.full(len(row_ids), -1, np.int32)
    cells = (parts[NUMERIC], parts[CODES], parts[TEXTS], parts[TENSOR])
    return Block(columns, tuple(row_ids), *cells, labels, Candidates())


def _alternatives(table: Any, metadata: TableMetadata, terms: Terms) -> Alternatives:
    field = metadata.alternatives
    if field is None:
        return Alternatives()
    values, bare = opened_alternatives(table.column(field), field, metadata.values(), terms)
    if not len(bare):
        return Alternatives()
    owners = Owners(terms.row_ids, bare.row)
    columns = tuple(terms.columns)
    parts = _parts(values, metadata, columns, owners)
    return replace(bare, block=_block(columns, owners, parts)).sort()


def _row_ids(array: Any, field: str) -> tuple[str, ...]:
    texts = texts_in(array, f"Field {field!r}")
    row_ids = tuple(text for text in texts if text is not None)
    if len(row_ids) < len(texts):
        raise InvalidDataError(
            f"Field {field!r}, row {texts.index(None)}: missing.",
            mend="Give every row its own id.",
            reason="bad_row_id",
        )
    check_row_ids(row_ids)
    return row_ids


def _parts(
    fields: dict[str, Any], metadata: TableMetadata, columns: tuple[Column, ...], row_ids: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Return the dense cells of the features by part of a block."""
    widths, places = layout(columns)
    rows = len(row_ids)
    kinds = {NUMERIC: np.float64, CODES: np.int32, TEXTS: object, TENSOR: np.float64}
    parts: dict[str, NDArray[Any]] = {part: np.empty((rows, widths[part]), kind) for part, kind in kinds.items()}
    for entry, column, (part, place) in zip(metadata.columns, columns, places, strict=True):
        cells = cells_of(column, fields[column.name], row_ids)
        if entry.seconds is not None:
            cells = _exact(cells, fields[entry.seconds], column)
        parts[part][:, place] = cells.reshape(rows, width(column))
    return parts


def _exact(cells: NDArray[np.float64], seconds: Any, column: Column) -> NDArray[np.float64]:
    """Return the exact moments wherever the timestamps are still theirs; another tool may have changed them."""
    exact = numbers_of(seconds, f"Seconds of column {column.name!r}")
    shown = cells_of(column, array_of(column, exact), ())
    same = shown.view(np.uint64) == cells.view(np.uint64)
    return np.where(same & ~np.isinf(exact), exact, cells)


def write_parquet(relation: Relation, target: str | Path | IO[bytes], *, rows_per_group: int = ROWS_PER_GROUP) -> None:
    """Write everything a relation holds to a Parquet file, compressed with zstd.

    Parameters
    ----------
    target : path or binary file
        A path gets the whole file at once: nobody meets half of it.
    rows_per_group : int
        Rows of one row group, which readers can take one at a time.

    Raises
    ------
    InvalidDataError
        As ``table_of``.
    """
    table = table_of(relation)
    if not isinstance(target, str | Path):
        _write(table, target, rows_per_group)
        return
    path = Path(target)
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        _write(table, part, rows_per_group)
        os.replace(part, path)  # noqa: PTH105 - also where Path.replace would follow a link
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _write(table: Any, target: Path | IO[bytes], rows_per_group: int) -> None:
    # A dictionary of all numbers of a column costs time and memory and saves nothing.
    pq.write_table(
        table, target, compression="zstd", row_group_size=rows_per_group, use_dictionary=_worded(table.schema)
    )


def _worded(schema: Any) -> list[str]:
    """Return the Parquet paths whose values repeat: names and priors, not measured numbers."""

    def walk(field: Any, path: str) -> list[str]:
        kind = field.type
        if pa.types.is_struct(kind):
            return [found for child in kind for found in walk(child, f"{path}.{child.name}")]
        if pa.types.is_list(kind):
            return walk(kind.value_field, f"{path}.list.element")
        return [path] if pa.types.is_string(kind) or pa.types.is_dictionary(kind) else []

    return [found for field in schema for found in walk(field, field.name)]


def read_parquet(
    source: str | Path | IO[bytes], *, label: str | None = None, classes: Sequence[str] | None = None
) -> Relation:
    """Return the relation of a Parquet file: one that ``write_parquet`` wrote, or any other as in ``relation_of``.

    Raises
    ------
    NotFoundError
        When there is no such file.
    InvalidDataError
        When it is no Parquet file, or as ``relation_of``.
    """
    try:
        with pq.ParquetFile(source) as file:
            table = file.read()
    except FileNotFoundError as error:
        raise NotFoundError(f"No file {str(source)!r}.", mend="Check the path.") from error
    except (pa.ArrowException, OSError) as error:
        raise InvalidDataError(
            f"{getattr(source, 'name', source)!s} is no readable Parquet file: {error}", mend="Write it again."
        ) from error
    return relation_of(table, label=label, classes=classes)
