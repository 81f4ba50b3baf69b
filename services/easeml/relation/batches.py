"""Blocks as ``RelationBatch`` messages and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.errors import InvalidDataError
from easeml.relation.alternatives import Alternatives
from easeml.relation.block import Block, stack
from easeml.relation.candidates import LABEL, Candidates, united_sources
from easeml.relation.validation import UNLABELLED, check_batch, check_row_ids
from easeml.stream import codec
from easeml.stream.payloads import Column, ColumnKind, Pillar, RelationBatch


def batches_of(
    block: Block, classes: tuple[str, ...], *, app: str, pillar: Pillar, version: str, rows: int, max_bytes: int
) -> Iterator[RelationBatch]:
    """Yield the batches of a block: at most ``rows`` rows and ``max_bytes`` encoded bytes each.

    Raises
    ------
    InvalidDataError
        When a single row is larger than ``max_bytes``.
    """
    if pillar in UNLABELLED:
        block = without_labels(block)
        classes = ()
    for start in range(0, len(block), rows):
        yield from _halved(block.part(start, min(start + rows, len(block))), classes, app, pillar, version, max_bytes)


def _halved(
    block: Block, classes: tuple[str, ...], app: str, pillar: Pillar, version: str, max_bytes: int
) -> Iterator[RelationBatch]:
    batch = _batch(block, classes, app, pillar, version)
    size = len(codec.encode(batch))
    if size <= max_bytes:
        yield batch
    elif len(block) == 1:
        raise InvalidDataError(
            f"Row {block.row_ids[0]!r} takes {size} bytes; a message may hold {max_bytes}.",
            mend="Keep large objects in files and put their URIs into a text column.",
        )
    else:
        middle = len(block) // 2
        for part in (block.part(0, middle), block.part(middle, len(block))):
            yield from _halved(part, classes, app, pillar, version, max_bytes)


def without_labels(block: Block) -> Block:
    """Return the block without labels and their candidates."""
    return replace(
        block,
        labels=np.full(len(block), -1, np.int32),
        candidates=block.candidates.select(block.candidates.column != LABEL),
    )


def _batch(block: Block, classes: tuple[str, ...], app: str, pillar: Pillar, version: str) -> RelationBatch:
    sources, source, other_source = _shared_sources(block)
    texts, missing = _texts(block)
    table = _compact(block.candidates, source, block.columns)
    pointer = np.searchsorted(table.row, np.arange(len(block) + 1)) if len(table) else np.empty(0)
    return RelationBatch(
        app=app,
        pillar=pillar,
        version=version,
        columns=block.columns,
        row_ids=block.row_ids,
        classes=classes,
        texts=texts,
        sources=sources,
        candidate_texts=table.texts,
        labels=block.labels if classes else np.empty(0, np.int32),
        codes=block.codes.ravel(),
        candidate_ptr=pointer.astype(np.int32),
        candidate_column=table.column.astype(np.int32),
        candidate_source=table.source.astype(np.int32),
        missing_texts=missing,
        tensor=block.tensor.ravel(),
        candidate_value=table.value,
        candidate_probability=table.probability,
        numeric=block.numeric.ravel(),
        **_alternatives(block.alternatives, other_source, len(block)),
    )


def _alternatives(table: Alternatives, source: NDArray[Any], rows: int) -> dict[str, Any]:
    """Return the fields of a batch that hold the alternatives."""
    if table.block is None:
        return {}
    texts, missing = _texts(table.block)
    return {
        "alternative_ptr": table.pointer(rows).astype(np.int32),
        "alternative_source": source.astype(np.int32),
        "alternative_probability": table.probability,
        "alternative_texts": texts,
        "alternative_missing_texts": missing,
        "alternative_codes": table.block.codes.ravel(),
        "alternative_numeric": table.block.numeric.ravel(),
        "alternative_tensor": table.block.tensor.ravel(),
    }


def _texts(block: Block) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the text cells, row-major, and the places of the missing ones."""
    texts = block.texts.ravel().tolist()
    missing = [place for place, text in enumerate(texts) if text is None]
    return tuple("" if text is None else text for text in texts), np.array(missing, np.int32)


def _shared_sources(block: Block) -> tuple[tuple[str, ...], NDArray[Any], NDArray[Any]]:
    """Return the sources in use, by name, and the places of those of candidates and alternatives among them."""
    names, places = united_sources(
        [(table.sources, table.source) for table in (block.candidates, block.alternatives) if len(table)]
    )
    used, source = _by_name(names, places)
    return used, source[: len(block.candidates)], source[len(block.candidates) :]


def _compact(table: Candidates, source: NDArray[Any], columns: tuple[Column, ...]) -> Candidates:
    """Return the table in its one form: only texts in use, by name; lines by cell, value and source by name."""
    texts, value = table.texts, table.value
    if texts:
        text = (table.column >= 0) & text_columns(columns)[table.column]
        value = value.copy()
        texts, value[text] = _by_name(texts, value[text].astype(np.int64))
    order = np.lexsort((source, value, table.column, table.row))
    return replace(table, value=value, source=source, texts=texts, sources=()).select(order)


def text_columns(columns: Sequence[Column]) -> NDArray[np.bool_]:
    """Return which columns are text; one more stands for the label at the end, which is none."""
    return np.array([*(column.kind is ColumnKind.TEXT for column in columns), False])


def _by_name(names: tuple[str, ...], places: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names in use, sorted, and the places among them."""
    used = sorted({names[place] for place in np.unique(places).tolist()})
    codes = {name: code for code, name in enumerate(used)}
    return tuple(used), np.array([codes.get(name, -1) for name in names] or [-1], np.int64)[places]


def block_of_batches(batches: Iterable[RelationBatch]) -> tuple[Block, tuple[str, ...]]:
    """Return the rows of batches in their order, and the label domain.

    Raises
    ------
    InvalidDataError
        When a batch is not whole, the columns differ or a row occurs twice.
    """
    blocks, classes = [], []
    for batch in batches:
        check_batch(batch)
        blocks.append(Block.from_batch(batch))
        classes.append(batch.classes)
    if not blocks:
        raise InvalidDataError("No batch to make a relation of.", mend="Give at least one batch.")
    columns, domain = united([block.columns for block in blocks]), union(classes)
    block = stack([one.recoded(columns, (own, domain)) for one, own in zip(blocks, classes, strict=True)])
    check_row_ids(block.row_ids)
    return block, domain


def union(domains: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the names of all domains, in the order of their first appearance."""
    return tuple(dict.fromkeys(name for domain in domains for name in domain))


def united(tables: Sequence[tuple[Column, ...]]) -> tuple[Column, ...]:
    """Return the columns of several batches as one: categories are united.

    Raises
    ------
    InvalidDataError
        When names, kinds or shapes differ.
    """
    first = tables[0]
    if all(table is first or table == first for table in tables):
        return first
    shapes = {tuple((column.name, column.kind, column.shape) for column in table) for table in tables}
    if len(shapes) > 1:
        raise InvalidDataError("Batches with different columns do not make one relation.", reason="wrong_kind")
    return tuple(
        replace(column, categories=union(table[place].categories for table in tables))
        for place, column in enumerate(first)
    )
