"""Conditions on one column that a person can read: ``age > 60``, ``region = "north"``, ``income is missing``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.stream.payloads import Column, ColumnKind

Flags = NDArray[np.bool_]

CUTS = (0.2, 0.4, 0.6, 0.8)
"""Quantiles at which a numeric column is cut."""
MOST_CATEGORIES = 12
_ORDERED = (ColumnKind.NUMERIC, ColumnKind.BOOLEAN, ColumnKind.DATETIME)


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """One condition.

    Parameters
    ----------
    column : str
        Name of the column.
    relation : str
        ``<=``, ``>``, ``=`` or ``is missing``.
    value : float or str
        What the cell is compared with; "" for ``is missing``.
    """

    column: str
    relation: str
    value: float | str = ""

    def holds(self, frame: pd.DataFrame) -> Flags:
        """Return the rows of ``frame`` for which it holds; a missing cell meets no comparison."""
        cells = frame[self.column]
        if self.relation == "is missing":
            return np.asarray(cells.isna(), bool)
        if self.relation == "=":
            return np.asarray((cells.astype(object).astype(str) == self.value) & cells.notna(), bool)
        numbers = _numbers(cells)
        with np.errstate(invalid="ignore"):
            return np.asarray(numbers <= float(self.value) if self.relation == "<=" else numbers > float(self.value))

    def __str__(self) -> str:
        if self.relation == "is missing":
            return f"{self.column} is missing"
        shown = f'"{self.value}"' if isinstance(self.value, str) else f"{self.value:.4g}"
        return f"{self.column} {self.relation} {shown}"


def describe(conditions: tuple[Condition, ...]) -> str:
    """Return the conjunction in words.

    Examples
    --------
    >>> describe((Condition("age", ">", 60.0), Condition("region", "=", "north")))
    'age > 60 and region = "north"'
    """
    return " and ".join(map(str, conditions))


def all_hold(conditions: tuple[Condition, ...], frame: pd.DataFrame) -> Flags:
    """Return the rows for which every condition holds."""
    held = np.ones(len(frame), bool)
    for condition in conditions:
        held &= condition.holds(frame)
    return held


def conditions_of(frame: pd.DataFrame, columns: tuple[Column, ...]) -> list[Condition]:
    """Return every condition that some rows of ``frame`` meet and others do not; texts and tensors have none."""
    found: list[Condition] = []
    for column in columns:
        cells = frame[column.name]
        if column.kind in _ORDERED:
            numbers = _numbers(cells)
            known = numbers[~np.isnan(numbers)]
            cuts = np.unique(_shown(np.quantile(known, CUTS))) if len(known) else np.empty(0)
            found += [Condition(column.name, sign, float(cut)) for cut in cuts for sign in ("<=", ">")]
        elif column.kind is ColumnKind.CATEGORICAL:
            counts = cells.dropna().astype(str).value_counts()
            frequent = sorted(counts.index, key=lambda name: (-counts[name], name))[:MOST_CATEGORIES]
            found += [Condition(column.name, "=", name) for name in frequent]
        found.append(Condition(column.name, "is missing"))
    return [condition for condition in found if 0 < condition.holds(frame).sum() < len(frame)]


def _numbers(cells: pd.Series) -> NDArray[np.float64]:
    if cells.dtype.kind == "M":
        return np.where(cells.isna(), np.nan, cells.to_numpy("datetime64[ns]").astype(np.int64) / 1e9)
    return np.asarray(cells.to_numpy(dtype=np.float64, na_value=np.nan))


def _shown(cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cuts with the digits that are shown: what is read is what was tested."""
    return np.array([float(f"{cut:.4g}") for cut in cuts])
