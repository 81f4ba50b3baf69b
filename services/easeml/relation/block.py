"""A block of rows: dense typed columns, labels and the candidate table, in the layout of ``RelationBatch``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.relation.candidates import LABEL, Candidates, concatenate
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
    """

    columns: tuple[Column, ...]
    row_ids: tuple[str, ...]
    numeric: NDArray[np.float64]
    codes: NDArray[np.int32]
    texts: NDArray[np.object_]
    tensor: NDArray[np.float64]
    labels: NDArray[np.int32]
    candidates: Candidates

    def __len__(self) -> int:
        return len(self.row_ids)

    @classmethod
    def from_batch(cls, batch: RelationBatch) -> Block:
        """Return the rows of a valid batch; numbers are views of the message."""
        rows = len(batch.row_ids)
        widths, _ = layout(batch.columns)
        texts = np.array(batch.texts, object)
        texts[batch.missing_texts] = None
        pointer = batch.candidate_ptr
        owners = np.repeat(np.arange(len(pointer) - 1), np.diff(pointer)) if len(pointer) else np.empty(0, np.int64)
        return cls(
            batch.columns,
            batch.row_ids,
            batch.numeric.reshape(rows, widths[NUMERIC]),
            batch.codes.reshape(rows, widths[CODES]),
            texts.reshape(rows, widths[TEXTS]),
            batch.tensor.reshape(rows, widths[TENSOR]),
            batch.labels if len(batch.labels) else np.full(rows, -1, np.int32),
            Candidates(
                owners,
                batch.candidate_column.astype(np.int64),
                batch.candidate_value,
                batch.candidate_probability,
                batch.candidate_source.astype(np.int64),
                batch.candidate_texts,
                batch.sources,
            ).sort(),
        )

    def column(self, index: int) -> NDArray[Any]:
        """Return the dense cells of a column: (n,) or, for tensors, (n, size)."""
        part, place = layout(self.columns)[1][index]
        cells: NDArray[Any] = getattr(self, part)[:, place]
        return cells if part == TENSOR else cells[:, 0]

    def take(self, rows: NDArray[np.int64]) -> Block:
        """Return the chosen, distinct rows in their order."""
        return Block(
            self.columns,
            tuple(self.row_ids[row] for row in rows),
            self.numeric[rows],
            self.codes[rows],
            self.texts[rows],
            self.tensor[rows],
            self.labels[rows],
            self.candidates.take(rows, len(self)),
        )

    def with_cells(
        self, row: NDArray[np.int64], column: NDArray[np.int64], value: NDArray[np.float64], texts: Sequence[str]
    ) -> Block:
        """Return the block with these cells set to numbers, codes, label codes or indices into ``texts``."""
        numeric, codes, words, labels = self.numeric.copy(), self.codes.copy(), self.texts.copy(), self.labels.copy()
        parts: dict[str, NDArray[Any]] = {NUMERIC: numeric, CODES: codes, TEXTS: words}
        names = np.array(texts, object)
        for index in np.unique(column):
            mine = column == index
            if index == LABEL:
                labels[row[mine]] = value[mine]
                continue
            part, place = layout(self.columns)[1][index]
            cells = names[value[mine].astype(np.int64)] if part == TEXTS else value[mine]
            parts[part][row[mine], place.start] = cells
        return replace(self, numeric=numeric, codes=codes, texts=words, labels=labels)

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
        value = self.candidates.value.copy()
        maps = {LABEL: _places(*classes)} if tuple(classes[0]) != tuple(classes[1]) else {}
        for index, (old, new) in enumerate(zip(self.columns, columns, strict=True)):
            if old.categories != new.categories:
                maps[index] = _places(old.categories, new.categories)
        for index, places in maps.items():
            mine = self.candidates.column == index
            value[mine] = places[value[mine].astype(np.int64)]
            if index == LABEL:
                labels = places[labels]
            else:
                codes = codes.copy() if codes is self.codes else codes
                place = layout(self.columns)[1][index][1]
                codes[:, place] = places[codes[:, place]]
        return replace(
            self, columns=columns, codes=codes, labels=labels, candidates=replace(self.candidates, value=value)
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
    )
