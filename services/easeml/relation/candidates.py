"""Sparse candidate table: the possible values of uncertain cells with their priors.

One line per (row, column, value, source). Several sources may propose the same value: a cell's distribution is the
sum over its lines. The table is sorted by row and column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LABEL = -1
"""Column index of the label."""


def _ints() -> Ints:
    return np.empty(0, np.int64)


def _floats() -> Floats:
    return np.empty(0, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Candidate table.

    Parameters
    ----------
    row, column : ndarray of int64, shape (m,)
        Cell of each candidate; column -1 is the label.
    value : ndarray of float64, shape (m,)
        Number, code, or index into ``texts``.
    probability : ndarray of float64, shape (m,)
        Prior, above 0; sums to 1 per cell.
    source : ndarray of int64, shape (m,)
        Index into ``sources``.
    texts, sources : tuple of str
        Texts of text candidates; names of the tools. Distinct.
    """

    row: Ints = field(default_factory=_ints)
    column: Ints = field(default_factory=_ints)
    value: Floats = field(default_factory=_floats)
    probability: Floats = field(default_factory=_floats)
    source: Ints = field(default_factory=_ints)
    texts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.row)

    def select(self, keep: NDArray[np.bool_] | Ints) -> Candidates:
        """Return the chosen lines."""
        return Candidates(
            self.row[keep],
            self.column[keep],
            self.value[keep],
            self.probability[keep],
            self.source[keep],
            self.texts,
            self.sources,
        )

    def sort(self) -> Candidates:
        """Return the table ordered by row and column; equal cells keep their order."""
        return self.select(np.lexsort((self.column, self.row)))

    def take(self, rows: Ints, total: int) -> Candidates:
        """Return the table of the chosen rows, renumbered in their order; ``rows`` are distinct."""
        if not len(self):
            return self
        places = np.full(total, -1, np.int64)
        places[rows] = np.arange(len(rows))
        moved = places[self.row]
        kept = self.select(moved >= 0)
        return Candidates(
            moved[moved >= 0], kept.column, kept.value, kept.probability, kept.source, kept.texts, kept.sources
        ).sort()

    def without(self, row: Ints, column: Ints) -> Candidates:
        """Return the table without the lines of these cells."""
        if not len(self):
            return self
        width = int(max(self.column.max(), column.max())) + 2
        return self.select(~np.isin(self.row * width + self.column + 1, row * width + column + 1))

    def distributions(self) -> Distributions:
        """Return the distribution of every uncertain cell: lines of equal value are summed."""
        order = np.lexsort((self.value, self.column, self.row))
        row, column, value = self.row[order], self.column[order], self.value[order]
        cell = np.ones(len(order), bool)
        cell[1:] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
        line = cell.copy()
        line[1:] |= value[1:] != value[:-1]
        starts = np.flatnonzero(line)
        probability = np.add.reduceat(self.probability[order], starts) if len(starts) else _floats()
        cells = np.flatnonzero(cell)
        return Distributions(
            row[cells], column[cells], np.searchsorted(starts, np.append(cells, len(order))), value[starts], probability
        )


@dataclass(frozen=True, slots=True, eq=False)
class Distributions:
    """Distribution per uncertain cell, CSR.

    Parameters
    ----------
    row, column : ndarray of int64, shape (k,)
        The cells, ordered.
    pointer : ndarray of int64, shape (k + 1,)
        Cell ``i`` owns the lines ``pointer[i]:pointer[i + 1]``.
    value, probability : ndarray of float64, shape (m,)
        Distinct values, ascending within a cell, and their probabilities.
    """

    row: Ints
    column: Ints
    pointer: Ints
    value: Floats
    probability: Floats

    def entropy(self) -> Floats:
        """Return the entropy of each cell in bits."""
        if not len(self.row):
            return _floats()
        bits = np.add.reduceat(-self.probability * np.log2(self.probability), self.pointer[:-1])
        return np.asarray(np.maximum(bits, 0.0), np.float64)

    def modes(self) -> Floats:
        """Return the most probable value of each cell; the smallest on a tie."""
        cell = np.repeat(np.arange(len(self.row)), np.diff(self.pointer))
        order = np.lexsort((self.value, -self.probability, cell))
        return self.value[order[self.pointer[:-1]]] if len(self.row) else _floats()

    def means(self) -> Floats:
        """Return the expected value of each cell."""
        if not len(self.row):
            return _floats()
        return np.asarray(np.add.reduceat(self.value * self.probability, self.pointer[:-1]), np.float64)

    def sample(self, rng: np.random.Generator) -> Floats:
        """Return one draw per cell, independent of each other."""
        if not len(self.row):
            return _floats()
        ends = np.cumsum(self.probability)
        start = np.concatenate(([0.0], ends))[self.pointer[:-1]]
        target = start + rng.random(len(self.row)) * (ends[self.pointer[1:] - 1] - start)
        drawn = np.searchsorted(ends, target, side="right")
        return self.value[np.clip(drawn, self.pointer[:-1], self.pointer[1:] - 1)]


def concatenate(tables: Sequence[Candidates], offsets: Sequence[int], text_columns: NDArray[np.bool_]) -> Candidates:
    """Return several tables as one.

    Parameters
    ----------
    tables : sequence of Candidates
        The tables.
    offsets : sequence of int
        Row number that row 0 of each table becomes.
    text_columns : ndarray of bool
        Which columns are text, whose values are indices to be renumbered.
    """
    filled = [(table, offset) for table, offset in zip(tables, offsets, strict=True) if len(table)]
    if not filled:
        return Candidates()
    texts: dict[str, int] = {}
    sources: dict[str, int] = {}
    values, origins = [], []
    for table, _ in filled:
        value = table.value
        if table.texts:
            text = (table.column >= 0) & text_columns[table.column]
            places = np.array([texts.setdefault(name, len(texts)) for name in table.texts], np.float64)
            value = value.copy()
            value[text] = places[value[text].astype(np.int64)]
        values.append(value)
        origins.append(np.array([sources.setdefault(name, len(sources)) for name in table.sources])[table.source])
    return Candidates(
        np.concatenate([table.row + offset for table, offset in filled]),
        np.concatenate([table.column for table, _ in filled]),
        np.concatenate(values),
        np.concatenate([table.probability for table, _ in filled]),
        np.concatenate(origins).astype(np.int64),
        tuple(texts),
        tuple(sources),
    ).sort()
