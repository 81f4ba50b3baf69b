"""The rows that questions are about, so that people see what they answer.

Only the newest rows of a pillar are kept, as the batches they came in, beside those with an open question.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np

from easeml.errors import InvalidDataError, Poison
from easeml.relation.columns import cell_number
from easeml.stream.needs import Offsets, Run, merged
from easeml.stream.payloads import Column, ColumnKind, RelationBatch

CodeKinds = (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN)
NumericKinds = (ColumnKind.NUMERIC, ColumnKind.DATETIME)


@dataclass(frozen=True, slots=True)
class Image:
    """A value of tensor type.

    Parameters
    ----------
    shape : tuple of int
        Shape, row-major.
    values : tuple of float
        Items, row-major.
    """

    shape: tuple[int, ...]
    values: tuple[float, ...]


Value: TypeAlias = float | str | bool | datetime | Image | None
"""A cell as people see it; None: missing."""


KEEP_BYTES = 64 * 2**20
_SLACK = 1.25
"""Rows are dropped when there are so many times those to keep: which ones are asked about is looked up once for all."""
_BYTES_PER_BATCH = 500
"""What a batch takes beside what it holds."""
_BYTES_PER_ROW = 250
"""What the id of a row takes where it is looked up."""
_BYTES_PER_TEXT = 60
"""What a text takes beside its characters."""


class Rows:
    """The newest rows of one pillar of an app, and the older ones that somebody still asks about.

    Parameters
    ----------
    asked : callable
        Returns the row ids that open questions are about; such rows are not dropped.
    keep_bytes : int
        Bytes kept, roughly; whole batches before them are dropped, the newest one never.
    keep_rows : float
        Rows kept at least, where bytes allow it; whole batches before them are dropped too, many at a time.
    """

    def __init__(
        self, asked: Callable[[], AbstractSet[str]], keep_bytes: int = KEEP_BYTES, keep_rows: float = math.inf
    ) -> None:
        self._asked = asked
        self._keep_bytes = keep_bytes
        self._keep_rows = keep_rows
        self._batches: deque[tuple[RelationBatch, int]] = deque()
        self._offsets = Offsets()
        self._bytes = self._count = 0
        self._places: dict[str, tuple[RelationBatch, int]] = {}
        self._pinned: dict[str, tuple[dict[str, Value], int]] = {}
        self._answers: dict[str, dict[str, str]] = {}

    def fold(self, batch: RelationBatch, offset: int) -> None:
        """Add the rows of a batch, whose message has an offset; a row that comes again replaces the former one.

        Raises
        ------
        Poison
            When a block does not have the size that columns and row ids ask for.
        """
        check(batch)
        if self._batches and batch.columns == self._batches[-1][0].columns:
            batch = replace(batch, columns=self._batches[-1][0].columns)  # each message brings its own copy
        self._batches.append((batch, offset))
        self._offsets.add(offset)
        self._bytes += _size(batch)
        self._count += len(batch.row_ids)
        self._places.update((row_id, (batch, index)) for index, row_id in enumerate(batch.row_ids))
        if self._bytes > self._keep_bytes or self._count > _SLACK * self._keep_rows:
            self._drop()

    @property
    def needed(self) -> list[Run]:
        """Messages that the rows here came in."""
        pinned = [(offset, offset + 1) for _, offset in self._pinned.values()]
        return merged([*pinned, *(self._offsets.since(self._batches[0][1]) if self._batches else ())])

    def answer(self, row_id: str, column: str, text: str) -> None:
        """Show what somebody said about a cell in place of what the row holds."""
        self._answers.setdefault(row_id, {})[column] = text

    def show(self, row_id: str) -> dict[str, Value]:
        """Return the values of a row by column; empty when the row is not (or no longer) here."""
        row = dict(cells(*self._places[row_id])) if row_id in self._places else self._pinned.get(row_id, ({}, 0))[0]
        said = self._answers.get(row_id)
        if not row or not said:
            return row
        known = {column.name: column for column in self._batches[-1][0].columns}
        return row | {name: _told(known[name], text) for name, text in said.items() if name in row and name in known}

    def _drop(self) -> None:
        asked = self._asked()
        self._pinned = {row_id: held for row_id, held in self._pinned.items() if row_id in asked}
        while len(self._batches) > 1 and (
            self._bytes > self._keep_bytes or self._count - len(self._batches[0][0].row_ids) >= self._keep_rows
        ):
            oldest, offset = self._batches.popleft()
            self._bytes -= _size(oldest)
            self._count -= len(oldest.row_ids)
            for row_id in oldest.row_ids:
                batch, index = self._places.get(row_id, (None, 0))
                if batch is oldest:
                    del self._places[row_id]
                    if row_id in asked:
                        self._pinned[row_id] = dict(cells(oldest, index)), offset


def _size(batch: RelationBatch) -> int:
    """Return the bytes that a batch takes, roughly: also what is not shown of it, for that is the same message."""
    values = [getattr(batch, item.name) for item in fields(batch)]
    arrays = sum(value.nbytes for value in values if isinstance(value, np.ndarray))
    texts = [*batch.texts, *batch.candidate_texts, *batch.alternative_texts]
    names, words = _BYTES_PER_ROW * len(batch.row_ids), sum(map(len, texts)) + _BYTES_PER_TEXT * len(texts)
    return _BYTES_PER_BATCH + arrays + names + words


def check(batch: RelationBatch) -> None:
    """Hold the blocks of a batch to its columns and rows.

    Raises
    ------
    Poison
        When one has another size; names the block.
    """
    rows = len(batch.row_ids)
    kinds = [column.kind for column in batch.columns]
    if any(size < 0 for column in batch.columns for size in column.shape):
        raise Poison(
            f"RelationBatch of app {batch.app} has a column with a negative size.",
            mend="Send shapes of tensors as they are.",
            reason="wrong_width",
        )
    sizes = {
        "numeric": (batch.numeric.size, rows * sum(kind in NumericKinds for kind in kinds)),
        "codes": (batch.codes.size, rows * sum(kind in CodeKinds for kind in kinds)),
        "texts": (len(batch.texts), rows * kinds.count(ColumnKind.TEXT)),
        "tensor": (batch.tensor.size, rows * sum(_items(column) for column in batch.columns)),
    }
    for name, (found, expected) in sizes.items():
        if found != expected:
            raise Poison(
                f"RelationBatch.{name} of app {batch.app} has {found} items; {rows} rows need {expected}.",
                mend="Send one item per row and column of that kind, row-major.",
                reason="wrong_width",
            )


def cells(batch: RelationBatch, index: int) -> Iterator[tuple[str, Value]]:
    """Yield the columns of row ``index`` and their values, in the order of the columns."""
    rows = len(batch.row_ids)
    numeric = iter(batch.numeric.reshape(rows, -1)[index].tolist() if batch.numeric.size else ())
    codes = iter(batch.codes.reshape(rows, -1)[index].tolist() if batch.codes.size else ())
    width = len(batch.texts) // rows
    texts = iter(range(index * width, (index + 1) * width))
    missing = set(batch.missing_texts.tolist())
    tensor = batch.tensor.reshape(rows, -1)[index] if batch.tensor.size else batch.tensor
    for column in batch.columns:
        if column.kind in NumericKinds:
            yield column.name, _number(column, next(numeric))
        elif column.kind in CodeKinds:
            yield column.name, _category(column, next(codes))
        elif column.kind is ColumnKind.TEXT:
            place = next(texts)
            yield column.name, None if place in missing else batch.texts[place]
        else:
            values, tensor = tensor[: _items(column)], tensor[_items(column) :]
            yield column.name, Image(column.shape, tuple(values.tolist()))


def _items(column: Column) -> int:
    return math.prod(column.shape) if column.kind is ColumnKind.TENSOR else 0


def _number(column: Column, value: float) -> Value:
    if np.isnan(value):
        return None
    if column.kind is ColumnKind.DATETIME:
        try:
            return datetime.fromtimestamp(value, UTC)
        except (OverflowError, ValueError, OSError):
            return value  # a time no calendar holds is still worth showing as a number
    return value


def _told(column: Column, text: str) -> Value:
    """Return what somebody said about a cell as the cell would show it."""
    if column.kind not in (*NumericKinds, ColumnKind.BOOLEAN):
        return text
    try:
        number = cell_number(column, text)
    except InvalidDataError:
        return text
    return bool(number) if column.kind is ColumnKind.BOOLEAN else _number(column, number)


def _category(column: Column, code: int) -> Value:
    if code < 0:
        return None
    if column.kind is ColumnKind.BOOLEAN:
        return bool(code)
    # A code beyond the announced categories is shown as it is: the row is context, not data to compute with.
    return column.categories[code] if code < len(column.categories) else str(code)
