"""Rows known by name: a matrix that grows, and in which a row that comes again replaces itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from easeml.errors import InvalidDataError
from easeml.market.inputs import feature_matrix
from easeml.market.neighbours import Floats


class NamedRows:
    """Features of rows, and one number of each.

    Parameters
    ----------
    what : str
        What the rows are, for error texts.

    Attributes
    ----------
    ids : list of str
        Names, in the order of first arrival.
    x : ndarray of float64, shape (n, d)
    number : ndarray of float64, shape (n,)
        A class code or a price.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.ids: list[str] = []
        self.x: Floats = np.empty((0, 0))
        self.number: Floats = np.empty(0)
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._places

    def place(self, row_id: str) -> int:
        """Return where a row is."""
        return self._places[row_id]

    def put(self, row_ids: Sequence[str], x: npt.ArrayLike, number: npt.NDArray[np.generic], width: int | None) -> None:
        """Add rows; those that are here already are replaced.

        Raises
        ------
        InvalidDataError
            When names, features and numbers do not fit each other, or a name is given twice. Nothing is added then.
        """
        rows = feature_matrix(x, self.what, width)
        if not len(row_ids) == len(rows) == len(number):
            raise InvalidDataError(
                f"{len(row_ids)} names, {len(rows)} {self.what} rows and {len(number)} numbers do not fit.",
                mend="Give one of each per row.",
            )
        names = [str(row_id) for row_id in row_ids]
        if len(set(names)) < len(names):
            raise InvalidDataError(f"A name of the {self.what} rows is given twice.", mend="Give each row once.")
        fresh = np.array([name not in self._places for name in names], bool)
        known = np.array([self._places[name] for name in names if name in self._places], np.int64)
        self.x = self.x if len(self.ids) else np.empty((0, rows.shape[1]))
        self.x[known], self.number[known] = rows[~fresh], number[~fresh]
        for name in np.array(names, object)[fresh].tolist():
            self._places[name] = len(self.ids)
            self.ids.append(name)
        self.x = np.vstack([self.x, rows[fresh]])
        self.number = np.append(self.number, number[fresh])

    def state(self) -> dict[str, Any]:
        """Return the rows as a list and arrays."""
        return {"ids": list(self.ids), "x": self.x.copy(), "number": self.number.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take the rows that :meth:`state` returned."""
        self.ids = list(state["ids"])
        self.x, self.number = np.array(state["x"], np.float64), np.array(state["number"], np.float64)
        self._places = {row: place for place, row in enumerate(self.ids)}
