"""Rows in order of arrival, in columns; the oldest fall out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

RowKey = str | int
Column = npt.NDArray[Any]


class Rows:
    """The last rows of a stream, each with an id and a value per column.

    Parameters
    ----------
    capacity : int
        Rows kept.
    columns : mapping of str to ndarray
        An empty array per column, of the shape and type of its values.

    Examples
    --------
    >>> rows = Rows(2, {"number": np.zeros(0, int)})
    >>> rows.extend(["a", "b", "c"], number=np.array([1, 2, 3]))
    >>> rows.ids, rows["number"].tolist(), rows.find("a")
    (['b', 'c'], [2, 3], None)
    """

    def __init__(self, capacity: int, columns: Mapping[str, Column]) -> None:
        self.capacity = capacity
        self.ids: list[RowKey] = []
        self._first = 0
        self._places: dict[RowKey, int] = {}
        # room for as many rows again, so that the oldest are moved out once per capacity
        self._room = 2 * capacity + 8
        self._start = self._end = 0
        self._columns = {name: np.empty((self._room, *value.shape[1:]), value.dtype) for name, value in columns.items()}

    def __len__(self) -> int:
        return self._end - self._start

    def __getitem__(self, column: str) -> Column:
        return self._columns[column][self._start : self._end]

    def find(self, row: RowKey) -> int | None:
        """Return the position of a row, counted from the oldest."""
        place = self._places.get(row)
        return None if place is None else place - self._first

    def extend(self, ids: Sequence[RowKey], **columns: Column) -> None:
        """Append rows that are not there yet."""
        n = len(ids)
        if self._end + n > self._room:
            self._room = max(self._room, 2 * (len(self) + n))
            for name in self._columns:
                old = self[name]
                self._columns[name] = np.empty((self._room, *old.shape[1:]), old.dtype)
                self._columns[name][: len(old)] = old
            self._start, self._end = 0, self._end - self._start
        for name, values in columns.items():
            self._columns[name][self._end : self._end + n] = values
        self._places.update({row: self._first + len(self) + i for i, row in enumerate(ids)})
        self.ids.extend(ids)
        self._end += n
        self._shrink()

    def _shrink(self) -> None:
        surplus = len(self) - self.capacity
        if surplus > 0:
            for row in self.ids[:surplus]:
                del self._places[row]
            del self.ids[:surplus]
            self._first += surplus
            self._start += surplus

    def remove(self, row: RowKey) -> None:
        """Forget a row."""
        place = self.find(row)
        if place is not None:
            kept = np.delete(np.arange(len(self)), place)
            self.replace([self.ids[i] for i in kept], {name: self[name][kept] for name in self._columns})

    def replace(self, ids: Sequence[RowKey], columns: Mapping[str, Column]) -> None:
        """Hold these rows instead; a column's width may have changed."""
        self._places.clear()
        self.ids.clear()
        self._first = self._start = self._end = 0
        for name, values in columns.items():
            self._columns[name] = np.empty((self._room, *values.shape[1:]), values.dtype)
        self.extend(ids, **columns)

    def columns(self) -> dict[str, Column]:
        """Return the columns as they are now."""
        return {name: self[name] for name in self._columns}

    def state(self) -> dict[str, Any]:
        """Return the ids and copies of the columns."""
        return {"capacity": self.capacity, "ids": list(self.ids), **{n: v.copy() for n, v in self.columns().items()}}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], like: Mapping[str, Column]) -> Self:
        """Return what :meth:`state` described; ``like`` tells the types of the columns."""
        n = len(state["ids"])
        values = {name: np.array(state[name], v.dtype).reshape(n, *v.shape[1:]) for name, v in like.items()}
        rows = cls(int(state["capacity"]), values)
        rows.extend(state["ids"], **values)
        return rows
