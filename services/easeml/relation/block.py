"""A block of rows: dense typed columns, labels, candidates and alternatives, in the layout of ``RelationBatch``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.relation.alternatives import Alternatives, joined
from easeml.relation.candidates import LABEL, Candidates, Indices, concatenate
from easeml.relation.columns import width
from easeml.stream.payloads import Column, ColumnKind, RelationBatch

NUMERIC, CODES, TEXTS, TENSOR = "numeric", "codes", "texts", "tensor"
_PLACE = {
    ColumnKind.NUMERIC: NUMERIC,
    ColumnKind.DATETIME: NUMERIC,
    ColumnKind.BOOLEAN: CODES,
    ColumnKind.CATEGORICAL: CODES,
    ColumnKind.TEXT: TEXTS,
    ColumnKind.TENSOR: TENSOR,
}


@lru_cache(maxsize=256)
def layout(columns: tuple[Column, ...]) -> tuple[dict[str, int], tuple[tuple[str, slice], ...]]:
    """Return the width of each part and, per column, its part and place there."""
    widths = dict.fromkeys((NUMERIC, CODES, TEXTS, TENSOR), 0)
    places = []
    for column in columns:
        part = _PLACE[column.kind]
        places.append((part, slice(widths[part], widths[part] + width(column))))
        widths[part] += width(column)
    return widths, tuple(places)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows of one relation.

    Parameters
    ----------
    columns : tuple of Column
        The d feature columns.
    row_ids : tuple of str
        Identity of each of the n rows.
    numeric : ndarray of float64, shape (n, numeric and datetime columns)
        NaN: missing.
    codes : ndarray of int32, shape (n, boolean and categorical columns)
        -1: missing.
    texts : ndarray of object, shape (n, text columns)
        Strings; None: missing.
    tensor : ndarray of float64, shape (n, sum of tensor sizes)
        Tensor cells, flattened.
    labels : ndarray of int32, shape (n,)
        Label codes, -1: unknown.
    candidates : Candidates
        Uncertain cells.
    alternatives : Alternatives
        Rows that are uncertain as a whole; their feature cells have no candidates.
    """

    columns: tuple[Column, ...]
    row_ids: tuple[str, ...]
    numeric: NDArray[np.float64]
    codes: NDArray[np.int32]
    texts: NDArray[np.object_]
    tensor: NDArray[np.float64]
    labels: NDArray[np.int32]
    candidates: Candidates
    alternatives: Alternatives = field(default_factory=Alternatives)

    def __len__(self) -> int:
        return len(self.row_ids)

    @classmethod
    def from_batch(cls, batch: RelationBatch) -> Block:
        """Return the rows of a valid batch; numbers are views of the message."""
        rows = len(batch.row_ids)
        widths, _ = layout(batch.columns)
        pointer = batch.candidate_ptr
        return cls(
            batch.columns,
            batch.row_ids,
            batch.numeric.reshape(rows, widths[NUMERIC]),
            batch.codes.reshape(rows, widths[CODES]),
            _words(batch.texts, batch.missing_texts, rows, widths[TEXTS]),
            batch.tensor.reshape(rows, widths[TENSOR]),
            batch.labels if len(batch.labels) else np.full(rows, -1, np.int32),
            Candidates(
                np.repeat(np.arange(rows), np.diff(pointer)) if len(pointer) else np.empty(0, np.int32),
                batch.candidate_column,
                batch.candidate_value,
                batch.candidate_probability,
                batch.candidate_source,
                batch.candidate_texts,
                batch.sources,
            ).sort(),
            _alternatives(batch, widths),
        )

    def column(self, index: int) -> NDArray[Any]:
        """Return the dense cells of a column: (n,) or, for tensors, (n, size)."""
        part, place = layout(self.columns)[1][index]
        cells: NDArray[Any] = getattr(self, part)[:, place]
        return cells if part == TENSOR else cells[:, 0]

    def cells(self, rows: NDArray[np.int64]) -> Block:
        """Return the features of the chosen rows, which may repeat: no labels, no candidates."""
        return Block(
            self.columns,
            tuple([self.row_ids[row] for row in rows.tolist()]),
            self.numeric[rows],
            self.codes[rows],
            self.texts[rows],
            self.tensor[rows],
            np.full(len(rows), -1, np.int32),
            Candidates(),
        )

    def take(self, rows: NDArray[np.int64]) -> Block:
        """Return the chosen, distinct rows in their order."""
        return replace(
            self.cells(rows),
            labels=self.labels[rows],
            candidates=self.candidates.take(rows, len(self)),
            alternatives=self.alternatives.take(rows, len(self)),
        )

    def part(self, start: int, stop: int) -> Block:
        """Return the rows from ``start`` to ``stop``, which share the memory of this block."""
        return Block(
            self.columns,
            self.row_ids[start:stop],
            self.numeric[start:stop],
            self.codes[start:stop],
            self.texts[start:stop],
            self.tensor[start:stop],
            self.labels[start:stop],
            self.candidates.part(start, stop),
            self.alternatives.part(start, stop),
        )

    def with_cells(self, row: Indices, column: Indices, value: NDArray[np.float64], texts: Sequence[str]) -> Block:
        """Return the block with these cells set to numbers, codes, label codes or indices into ``texts``."""
        numeric, codes, words, labels = self.numeric.copy(), self.codes.copy(), self.texts.copy(), self.labels.copy()
        parts: dict[str, NDArray[Any]] = {NUMERIC: numeric, CODES: codes, TEXTS: words}
        names = np.array([*texts, None], object)
        for index in np.unique(column):
            mine = column == index
            if index == LABEL:
                labels[row[mine]] = value[mine]
                continue
            part, place = layout(self.columns)[1][index]
            cells = names[value[mine].astype(np.int64)] if part == TEXTS else value[mine]
            parts[part][row[mine], place.start] = cells
        return replace(self, numeric=numeric, codes=codes, texts=words, labels=labels)

    def with_rows(self, row: Indices, other: Block, lines: Indices) -> Block:
        """Return the block in which these rows have the features of lines of another block of the same columns."""
        parts = {}
        for part in (NUMERIC, CODES, TEXTS, TENSOR):
            cells = getattr(self, part).copy()
            cells[row] = getattr(other, part)[lines]
            parts[part] = cells
        return replace(self, **parts)

    def recoded(self, columns: tuple[Column, ...], classes: tuple[Sequence[str], Sequence[str]]) -> Block:
        """Return the block in other code orders.

        Parameters
        ----------
        columns : tuple of Column
            The same columns; the categories of each hold those of this block's.
        classes : pair of sequences of str
            Label domain of this block and the one wanted, which holds it.
        """
        codes, labels = self.codes, self.labels
        maps = {LABEL: _places(*classes)} if tuple(classes[0]) != tuple(classes[1]) else {}
        for index, (old, new) in enumerate(zip(self.columns, columns, strict=True)):
            if old.categories != new.categories:
                maps[index] = _places(old.categories, new.categories)
        value = self.candidates.value.copy() if maps else self.candidates.value
        for index, places in maps.items():
            mine = self.candidates.column == index
            value[mine] = places[value[mine].astype(np.int64)]
            if index == LABEL:
                labels = places[labels]
            else:
                codes = codes.copy() if codes is self.codes else codes
                place = layout(self.columns)[1][index][1]
                codes[:, place] = places[codes[:, place]]
        alternatives = self.alternatives
        if alternatives.block is not None:
            alternatives = replace(alternatives, block=alternatives.block.recoded(columns, ((), ())))
        # A category may have another place among its equals.
        candidates = replace(self.candidates, value=value).sort() if maps else self.candidates
        return replace(
            self, columns=columns, codes=codes, labels=labels, candidates=candidates, alternatives=alternatives
        )


def _places(old: Sequence[str], new: Sequence[str]) -> NDArray[np.int32]:
    """Return the new code of each old one; the last item serves -1."""
    codes = {name: code for code, name in enumerate(new)}
    return np.array([*(codes[name] for name in old), -1], np.int32)


def stack(blocks: Sequence[Block]) -> Block:
    """Return several blocks of the same columns as one."""
    if len(blocks) == 1:
        return blocks[0]
    columns = blocks[0].columns
    offsets = np.cumsum([0, *(len(block) for block in blocks[:-1])]).tolist()
    text = np.array([column.kind is ColumnKind.TEXT for column in columns] or [False])
    return Block(
        columns,
        tuple(row_id for block in blocks for row_id in block.row_ids),
        np.concatenate([block.numeric for block in blocks]),
        np.concatenate([block.codes for block in blocks]),
        np.concatenate([block.texts for block in blocks]),
        np.concatenate([block.tensor for block in blocks]),
        np.concatenate([block.labels for block in blocks]),
        concatenate([block.candidates for block in blocks], offsets, text),
        stack_alternatives([block.alternatives for block in blocks], offsets),
    )


def stack_alternatives(tables: Sequence[Alternatives], offsets: Sequence[int]) -> Alternatives:
    """Return several tables of the same columns as one; row 0 of each becomes the row ``offsets`` gives."""
    table, blocks = joined(tables, offsets)
    return replace(table, block=stack(blocks)).sort() if blocks else table


def _words(texts: Sequence[str], missing: NDArray[Any], rows: int, width: int) -> NDArray[np.object_]:
    words = np.array(texts, object)
    words[missing] = None
    return words.reshape(rows, width)


def _alternatives(batch: RelationBatch, widths: dict[str, int]) -> Alternatives:
    pointer = batch.alternative_ptr
    if not len(pointer) or not pointer[-1]:
        return Alternatives()
    owners = np.repeat(np.arange(len(batch.row_ids)), np.diff(pointer))
    rows = len(owners)
    block = Block(
        batch.columns,
        tuple([batch.row_ids[row] for row in owners.tolist()]),
        batch.alternative_numeric.reshape(rows, widths[NUMERIC]),
        batch.alternative_codes.reshape(rows, widths[CODES]),
        _words(batch.alternative_texts, batch.alternative_missing_texts, rows, widths[TEXTS]),
        batch.alternative_tensor.reshape(rows, widths[TENSOR]),
        np.full(rows, -1, np.int32),
        Candidates(),
    )
    return Alternatives(owners, batch.alternative_probability, batch.alternative_source, batch.sources, block).sort()
