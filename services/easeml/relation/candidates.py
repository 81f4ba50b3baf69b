"""Sparse candidate table: the possible values of uncertain cells with their priors.

One line per (row, column, value, source). Several sources may propose the same value: a cell's distribution is the
sum over its lines. A million rows may hold millions of lines, so indices take the smallest integers that hold them
and a column that says the same everywhere takes no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Indices = NDArray[Any]
"""Integers of whatever size is large enough: cast them to int64 before computing with them."""

LABEL = -1
"""Column index of the label."""


def _indices() -> Indices:
    return np.empty(0, np.int8)


def _floats() -> Floats:
    return np.empty(0, np.float64)


def narrow(numbers: Indices, smallest: type[np.signedinteger[Any]] = np.int8) -> Indices:
    """Return integers in the smallest type from ``smallest`` on that holds them and one more."""
    if numbers.dtype == smallest:
        return numbers
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    for kind in (np.int8, np.int16, np.int32, np.int64):
        limits = np.iinfo(kind)
        if np.dtype(kind).itemsize >= np.dtype(smallest).itemsize and limits.min <= low and high < limits.max:
            return numbers.astype(kind, copy=False)
    return numbers


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Candidate table.

    Parameters
    ----------
    row, column : ndarray of integers, shape (m,)
        Cell of each candidate; column -1 is the label. Kept in small types: use ``keys`` to compute with cells.
    value : ndarray of float64, shape (m,)
        Number, code, or index into ``texts``.
    probability : ndarray of float64, shape (m,)
        Prior, above 0; sums to 1 per cell.
    source : ndarray of integers, shape (m,)
        Index into ``sources``.
    texts, sources : tuple of str
        Texts of text candidates; names of the tools. Distinct.
    """

    row: Indices = field(default_factory=_indices)
    column: Indices = field(default_factory=_indices)
    value: Floats = field(default_factory=_floats)
    probability: Floats = field(default_factory=_floats)
    source: Indices = field(default_factory=_indices)
    texts: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "row", narrow(self.row, np.int32))
        object.__setattr__(self, "column", narrow(self.column))
        object.__setattr__(self, "source", shared(narrow(self.source)))

    def __len__(self) -> int:
        return len(self.row)

    def keys(self, width: int) -> Ints:
        """Return one number per line that tells its cell; ``width`` is the number of columns plus one."""
        keys: Ints = self.row.astype(np.int64)
        keys *= width
        keys += self.column
        keys += 1
        return keys

    def width(self) -> int:
        """Return the least ``width`` that tells the cells of this table apart."""
        return int(self.column.max(initial=LABEL)) + 2

    def select(self, keep: NDArray[np.bool_] | Ints | slice) -> Candidates:
        """Return the chosen lines; those of a slice share their memory."""
        return replace(
            self,
            row=self.row[keep],
            column=self.column[keep],
            value=self.value[keep],
            probability=self.probability[keep],
            source=self.source[keep],
        )

    def sort(self) -> Candidates:
        """Return the table ordered by row, column, value and source: itself if it is. Fast where it nearly is."""
        # A number per line would take more memory than most of the table.
        wrong = (self.row[1:] == self.row[:-1]) & (self.column[1:] < self.column[:-1])
        wrong |= self.row[1:] < self.row[:-1]
        if wrong.any():
            return self.select(np.argsort(self.keys(self.width()), kind="stable"))._sorted_cells()
        return self._sorted_cells()

    def _sorted_cells(self) -> Candidates:
        """Return the table, ordered by cell, ordered by value and source within its cells."""
        first = self.cells()
        same = ~first[1:]
        wrong = same & (self.value[1:] < self.value[:-1])
        if len(self.sources) > 1:
            wrong |= same & (self.value[1:] == self.value[:-1]) & (self.source[1:] < self.source[:-1])
        if not wrong.any():
            return self
        starts = np.flatnonzero(first)
        sizes = np.diff(np.append(starts, len(self)))
        odd = np.unique(np.searchsorted(starts, np.flatnonzero(wrong), side="right") - 1)
        order = np.arange(len(self))
        for size in np.unique(sizes[odd]).tolist():
            lines = starts[odd[sizes[odd] == size]][:, None] + np.arange(size)
            best = np.lexsort((self.source[lines], self.value[lines]), axis=1)
            order[lines] = np.take_along_axis(lines, best, axis=1)
        return self.select(order)

    def part(self, start: int, stop: int) -> Candidates:
        """Return the sorted table of the rows from ``start`` to ``stop``, renumbered from 0."""
        first, last = np.searchsorted(self.row, (start, stop)).tolist()
        kept = self.select(slice(first, last))
        return replace(kept, row=kept.row - self.row.dtype.type(start)) if start else kept

    def take(self, rows: Ints, total: int) -> Candidates:
        """Return the table of the chosen rows, renumbered in their order; ``rows`` are distinct."""
        if not len(self):
            return self
        places = np.full(total, -1, np.int64)
        places[rows] = np.arange(len(rows))
        moved = places[self.row]
        return replace(self.select(moved >= 0), row=moved[moved >= 0]).sort()

    def without(self, row: Indices, column: Indices) -> Candidates:
        """Return the table without the lines of these cells."""
        if not len(self):
            return self
        width = max(self.width(), int(column.max(initial=LABEL)) + 2)
        return self.select(~np.isin(self.keys(width), row.astype(np.int64) * width + column + 1))

    def cells(self) -> NDArray[np.bool_]:
        """Return which lines of the sorted table are the first one of a cell."""
        first = np.ones(len(self), bool)
        first[1:] = (self.row[1:] != self.row[:-1]) | (self.column[1:] != self.column[:-1])
        return first

    def distributions(self) -> Distributions:
        """Return the distribution of every uncertain cell: lines of equal value are summed."""
        table = self.sort()
        cell = table.cells()
        line = cell.copy()
        line[1:] |= table.value[1:] != table.value[:-1]
        starts = np.flatnonzero(line)
        probability = np.add.reduceat(table.probability, starts) if len(starts) else _floats()
        cells = np.flatnonzero(cell)
        return Distributions(
            table.row[cells].astype(np.int64),
            table.column[cells].astype(np.int64),
            np.searchsorted(starts, np.append(cells, len(table))),
            table.value[starts],
            probability,
        )


def shared(numbers: Indices) -> Indices:
    """Return the array; if all are 0 as one 0 for all, which takes no memory."""
    if len(numbers) > 1 and numbers.strides != (0,) and not numbers.any():
        return np.broadcast_to(numbers.dtype.type(0), len(numbers))
    return numbers


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

    def select(self, keep: NDArray[np.bool_] | Ints) -> Distributions:
        """Return the distributions of the chosen cells, in the order given."""
        chosen = np.flatnonzero(keep) if keep.dtype == bool else keep
        sizes = np.diff(self.pointer)[chosen]
        pointer = np.concatenate(([0], np.cumsum(sizes)))
        lines = np.arange(pointer[-1]) + np.repeat(self.pointer[chosen] - pointer[:-1], sizes)
        return Distributions(self.row[chosen], self.column[chosen], pointer, self.value[lines], self.probability[lines])

    def entropy(self) -> Floats:
        """Return the entropy of each cell in bits."""
        if not len(self.row):
            return _floats()
        bits = np.add.reduceat(-self.probability * np.log2(self.probability), self.pointer[:-1])
        return np.asarray(np.maximum(bits, 0.0), np.float64)

    def modes(self) -> Floats:
        """Return the most probable value of each cell; the smallest on a tie."""
        return self.value[self.likeliest()]

    def likeliest(self) -> Ints:
        """Return the line of the most probable value of each cell; the first on a tie."""
        if not len(self.row):
            return np.empty(0, np.int64)
        owner = np.repeat(np.arange(len(self.row)), np.diff(self.pointer))
        best = np.flatnonzero(self.probability == np.maximum.reduceat(self.probability, self.pointer[:-1])[owner])
        return best[np.searchsorted(owner[best], np.arange(len(self.row)))]

    def means(self) -> Floats:
        """Return the expected value of each cell."""
        if not len(self.row):
            return _floats()
        return np.asarray(np.add.reduceat(self.value * self.probability, self.pointer[:-1]), np.float64)

    def sample(self, rng: np.random.Generator) -> Floats:
        """Return one draw per cell, independent of each other."""
        return self.value[self.draw(rng)]

    def draw(self, rng: np.random.Generator) -> Ints:
        """Return the line drawn for each cell, independent of each other."""
        if not len(self.row):
            return np.empty(0, np.int64)
        ends = np.cumsum(self.probability)
        start = np.concatenate(([0.0], ends))[self.pointer[:-1]]
        target = start + rng.random(len(self.row)) * (ends[self.pointer[1:] - 1] - start)
        drawn = np.searchsorted(ends, target, side="right")
        return np.clip(drawn, self.pointer[:-1], self.pointer[1:] - 1)


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
    if len(filled) == 1 and not filled[0][1]:
        return filled[0][0].sort()
    texts: dict[str, int] = {}
    values = []
    for table, _ in filled:
        value = table.value
        if table.texts:
            text = (table.column >= 0) & text_columns[table.column]
            places = np.array([texts.setdefault(name, len(texts)) for name in table.texts], np.float64)
            value = value.copy()
            value[text] = places[value[text].astype(np.int64)]
        values.append(value)
    sources, source = united_sources([(table.sources, table.source) for table, _ in filled])
    return Candidates(
        np.concatenate([table.row.astype(np.int64) + offset if offset else table.row for table, offset in filled]),
        np.concatenate([table.column for table, _ in filled]),
        np.concatenate(values),
        np.concatenate([table.probability for table, _ in filled]),
        source,
        tuple(texts),
        sources,
    ).sort()


def united_sources(tables: Sequence[tuple[tuple[str, ...], Indices]]) -> tuple[tuple[str, ...], Indices]:
    """Return the names of all sources and, for the lines of all tables in turn, the places among them."""
    names: dict[str, int] = {}
    parts = [
        narrow(np.array([names.setdefault(name, len(names)) for name in own] or [0], np.int64))[places]
        for own, places in tables
    ]
    return tuple(names), np.concatenate(parts) if parts else np.empty(0, np.int8)
