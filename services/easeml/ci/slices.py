"""Slices of the test rows that come on the stream.

A slice is a value of a categorical or boolean column. Of a row CI keeps those cells alone: no number, no text, no
tensor, and no candidates, for a slice is what was published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easeml.ci.language import Condition
from easeml.errors import ConditionError, InvalidDataError
from easeml.ids import EventId
from easeml.relation.block import CODES, layout
from easeml.relation.columns import cell_number
from easeml.relation.validation import check_columns
from easeml.stream.payloads import Column, ColumnKind, RelationBatch

Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

_CODED = (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL)


def check_slices(condition: Condition, columns: tuple[Column, ...]) -> None:
    """Refuse a slice that no row of an app with these columns can belong to.

    Raises
    ------
    ConditionError
        When there is no such column, it has no categories, or none of this name.
    """
    for name in condition.slices:
        wanted, _, value = name.partition("=")
        coded = [column.name for column in columns if column.kind in _CODED]
        column = next((column for column in columns if column.name == wanted), None)
        if column is None or column.kind not in _CODED:
            what = "is not there" if column is None else f"is {column.kind}"
            raise ConditionError(
                f"The condition speaks of the slice [{name}]; column {wanted!r} {what}.",
                mend=f"A slice is a value of a categorical or boolean column: {', '.join(coded) or 'there is none'}.",
            )
        try:
            cell_number(column, value)
        except InvalidDataError as error:
            known = ", ".join(column.categories) or "true, false"
            raise ConditionError(
                f"The condition speaks of the slice [{name}]; column {wanted!r} has no value {value!r}.",
                mend=f"Its values are: {known}.",
            ) from error


@dataclass(frozen=True, slots=True)
class Grouped:
    """Rows, and which of them belong to each group: everyone first, then each slice.

    Attributes
    ----------
    numbers : ndarray of int32, shape (rows,)
    members : ndarray of bool, shape (groups, rows)
    unknown : int
        Rows that were left out, because they did not come themselves, only predictions of them.
    """

    numbers: Ints
    members: Bools
    unknown: int = 0

    def lacking(self, wanted: int) -> npt.NDArray[np.int64]:
        """Return how many rows each group has too few."""
        return np.asarray(np.maximum(wanted - self.members.sum(axis=1), 0), dtype=np.int64)

    def first(self, lacking: npt.NDArray[np.int64]) -> int | None:
        """Return how many rows from the first on hold so many of every group; None: all of them do not.

        They end before the next member, not at the last one that is needed: rows that end at a member hold too large
        a share of the slice, and so would not be a sample of all rows (inverse binomial sampling).

        >>> rows = Grouped(np.arange(4, dtype=np.int32), np.array([[1, 1, 1, 1], [0, 1, 0, 1]], dtype=np.bool_))
        >>> rows.first(np.array([1, 0])), rows.first(np.array([1, 1])), rows.first(np.array([0, 3]))
        (1, 3, None)
        """
        if (self.members.sum(axis=1) < lacking).any():
            return None
        so_far = np.cumsum(self.members, axis=1)
        return max(int(np.searchsorted(line, few + 1)) if few else 0 for line, few in zip(so_far, lacking, strict=True))

    def with_first(self, others: Grouped, count: int) -> Grouped:
        """Return these rows and the first ones of others, ascending."""
        numbers = np.concatenate([self.numbers, others.numbers[:count]])
        order = np.argsort(numbers)
        members = np.concatenate([self.members, others.members[:, :count]], axis=1)
        return Grouped(numbers[order], members[:, order], self.unknown + others.unknown)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is kept of one batch: the codes of its categorical and boolean columns, shape (rows, such columns)."""

    row_ids: tuple[str, ...]
    columns: tuple[Column, ...]
    codes: Ints


class Cells:
    """What slices are made of, for the test rows of one app; the last batch that has a row counts."""

    def __init__(self) -> None:
        self._parts: dict[EventId, _Part] = {}
        self._columns: tuple[Column, ...] = ()

    def add(self, event_id: EventId, batch: RelationBatch) -> None:
        """Keep the cells of a batch, if they fit together; the same event again changes nothing."""
        shape = len(batch.row_ids), layout(batch.columns)[0][CODES]
        if len(batch.codes) != shape[0] * shape[1]:
            return
        if batch.columns != self._columns:
            self._columns = batch.columns  # each message brings its own copy
        self._parts.setdefault(event_id, _Part(batch.row_ids, self._columns, batch.codes.reshape(shape).copy()))

    def members(self, name: str, columns: tuple[Column, ...], rows: Sequence[str]) -> tuple[Bools, Bools]:
        """Return which rows are here, and which of them belong to a slice.

        Batches that do not fit ``columns``, those of the app, are passed over: they went to the dead letters.
        """
        wanted, _, value = name.partition("=")
        found: dict[str, bool] = {}
        for part in self._parts.values():
            if (codes := _codes(part, columns, wanted, value)) is not None:
                found.update(zip(part.row_ids, codes.tolist(), strict=True))
        here = np.array([row in found for row in rows], dtype=np.bool_)
        return here, np.array([found.get(row, False) for row in rows], dtype=np.bool_)


def _codes(part: _Part, columns: tuple[Column, ...], wanted: str, value: str) -> Bools | None:
    """Return which rows of a batch have a value; None: the batch does not fit."""
    try:
        check_columns(part.columns, columns)
    except InvalidDataError:
        return None
    _, places = layout(part.columns)
    column, (_, place) = next(pair for pair in zip(part.columns, places, strict=True) if pair[0].name == wanted)
    try:
        code = cell_number(column, value)
    except InvalidDataError:
        return np.zeros(len(part.row_ids), dtype=np.bool_)  # a category that this batch did not need yet
    return np.asarray(part.codes[:, place.start] == code)


__all__ = ["Cells", "Grouped", "check_slices"]
