"""Possible worlds of a block and its entropy.

Cells, labels and whole rows are independent variables; the lines of a distribution over whole rows stand for
alternatives, and equal alternatives count as one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.relation.alternatives import Alternatives
from easeml.relation.block import CODES, NUMERIC, TENSOR, TEXTS, Block, layout
from easeml.relation.candidates import LABEL, Candidates, Distributions, Floats, Ints
from easeml.relation.digests import row_digests
from easeml.stream.payloads import ColumnKind

ROW = -2
"""Column index of the row as a whole."""
_SMOOTH = (ColumnKind.NUMERIC, ColumnKind.DATETIME)


@dataclass(frozen=True, slots=True, eq=False)
class Entropy:
    """Uncertainty in bits; rows and cells are independent, so it adds up.

    Parameters
    ----------
    cells : DataFrame
        ``row_id``, ``column`` and ``bits`` of every uncertain cell; unlabelled labels included. A row with
        alternatives is one variable: its column is None.
    rows : ndarray of float64, shape (n,)
        Sum per row.
    total : float
        Sum over all rows.
    """

    cells: pd.DataFrame
    rows: NDArray[np.float64]
    total: float


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """Everything uncertain about a block.

    Parameters
    ----------
    cells : Distributions
        Cells with candidates.
    rows : Distributions
        Rows with alternatives, of column ``ROW``; values are lines of ``Block.alternatives``.
    free : ndarray of int64, shape (u,)
        Rows whose label is uniform over the classes.
    classes : int
        Number of classes.
    """

    cells: Distributions
    rows: Distributions
    free: Ints
    classes: int


def uncertainty_of(block: Block, classes: int, *, labelled: bool) -> Uncertainty:
    """Return what is uncertain about a block; ``labelled`` tells whether it has a label column."""
    free = np.empty(0, np.int64)
    if labelled:
        unknown = block.labels < 0
        unknown[block.candidates.row[block.candidates.column == LABEL]] = False
        free = np.flatnonzero(unknown)
    return Uncertainty(block.candidates.distributions(), row_distributions(block.alternatives), free, max(classes, 1))


def row_distributions(table: Alternatives) -> Distributions:
    """Return the distribution of each row over its distinct alternatives, told by the first line of each."""
    if table.block is None:
        return Candidates().distributions()
    digests = row_digests(table.block)
    order = np.lexsort((digests, table.row))
    row, digest = table.row[order], digests[order]
    starts = np.flatnonzero(np.append(True, (row[1:] != row[:-1]) | (digest[1:] != digest[:-1])))
    line = np.minimum.reduceat(order, starts)
    count = len(starts)
    return Candidates(
        row[starts],
        np.full(count, ROW),
        line.astype(np.float64),
        np.add.reduceat(table.probability[order], starts),
        np.zeros(count, np.int8),
    ).distributions()


def entropy_of(block: Block, unsure: Uncertainty, label: str | None) -> Entropy:
    """Return the uncertainty of cells, rows and the whole block."""
    free = unsure.free
    row = np.concatenate([unsure.cells.row, unsure.rows.row, free])
    column = np.concatenate([unsure.cells.column, unsure.rows.column, np.full(len(free), LABEL)])
    bits = np.concatenate([unsure.cells.entropy(), unsure.rows.entropy(), np.full(len(free), np.log2(unsure.classes))])
    order = np.lexsort((column, row))
    table = _named(block, label, row[order], column[order]).assign(bits=bits[order])
    rows = np.bincount(row, bits, minlength=len(block)).astype(np.float64)
    return Entropy(table, rows, float(rows.sum()))


def _named(block: Block, label: str | None, row: Ints, column: Ints) -> pd.DataFrame:
    names = np.array([*(column.name for column in block.columns), None, label], object)
    ids = np.array(block.row_ids, object)
    return pd.DataFrame({"row_id": ids[row], "column": pd.Series(names[column], dtype=object)})


def uncertain_cells(block: Block, unsure: Uncertainty, label: str | None) -> pd.DataFrame:
    """Return the cells that may have two values or more, each by itself: those of alternatives too."""
    tables = [unsure.cells, *(marginals(block.alternatives, index) for index in range(len(block.columns)))]
    row = np.concatenate([*(table.row for table in tables), unsure.free])
    column = np.concatenate([*(table.column for table in tables), np.full(len(unsure.free), LABEL)])
    count = np.concatenate([*(np.diff(table.pointer) for table in tables), np.full(len(unsure.free), unsure.classes)])
    bits = np.concatenate([*(table.entropy() for table in tables), np.full(len(unsure.free), np.log2(unsure.classes))])
    order = np.lexsort((column, row))
    order = order[count[order] > 1]
    return _named(block, label, row[order], column[order]).assign(candidates=count[order], bits=bits[order])


def uncertain_rows(block: Block, unsure: Uncertainty, *, labels: bool) -> NDArray[np.bool_]:
    """Return which rows may have two values or more in a cell."""
    unclear = np.zeros(len(block), bool)
    for table in (unsure.cells, unsure.rows):
        several = np.diff(table.pointer) > 1
        unclear[table.row[several if labels else several & (table.column != LABEL)]] = True
    if labels and unsure.classes > 1:
        unclear[unsure.free] = True
    return unclear


def marginals(table: Alternatives, index: int) -> Distributions:
    """Return the distribution of one column's cell in each row with alternatives; values are codes.

    Equal cells have equal codes; missing is a value like others.
    """
    if table.block is None:
        return Candidates().distributions()
    codes = _cell_codes(table.block, index)
    count = len(table)
    return Candidates(
        table.row, np.full(count, index), codes.astype(np.float64), table.probability, np.zeros(count, np.int8)
    ).distributions()


def _cell_codes(block: Block, index: int) -> NDArray[np.int64]:
    part, _ = layout(block.columns)[1][index]
    cells = block.column(index)
    if part == TENSOR:
        cells = np.array([np.where(np.isnan(cell), np.nan, cell + 0.0).tobytes() for cell in cells], object)
    return np.asarray(pd.factorize(cells, use_na_sentinel=part != TEXTS)[0], np.int64)


def likeliest_world(block: Block, unsure: Uncertainty) -> Block:
    """Return the world of the largest probability; a label that is uniform stays unknown."""
    cells, rows = unsure.cells, unsure.rows
    return _world(block, (cells.row, cells.column, cells.modes()), (rows.row, rows.modes()))


def sampled_world(block: Block, unsure: Uncertainty, rng: np.random.Generator) -> Block:
    """Return a world drawn from the priors, every label included."""
    cells, rows, free = unsure.cells, unsure.rows, unsure.free
    labels = rng.integers(unsure.classes, size=len(free))
    row = np.concatenate([cells.row, free])
    column = np.concatenate([cells.column, np.full(len(free), LABEL)])
    drawn = np.concatenate([cells.sample(rng), labels])
    return _world(block, (row, column, drawn), (rows.row, rows.sample(rng)))


def expected_world(block: Block, unsure: Uncertainty) -> Block:
    """Return numbers and datetimes at their expected value, all others at the most probable one.

    In a row with alternatives that holds of each cell by itself: a number's expected value is over the alternatives
    that have one.
    """
    cells, rows = unsure.cells, unsure.rows
    smooth = np.array([*(column.kind in _SMOOTH for column in block.columns), False])
    value = np.where(smooth[cells.column], cells.means(), cells.modes())
    world = _world(block, (cells.row, cells.column, value), (rows.row, rows.modes()))
    table = block.alternatives
    if table.block is None:
        return world
    owners, place = np.unique(table.row, return_inverse=True)
    for part in (NUMERIC, TENSOR):
        getattr(world, part)[owners] = _means(getattr(table.block, part), table.probability, place, len(owners))
    for index, (part, own) in enumerate(layout(block.columns)[1]):
        if part in (CODES, TEXTS):
            best = marginals(table, index)
            code = _cell_codes(table.block, index)
            # The first alternative of the row that has the most probable value of this cell.
            matches = np.flatnonzero(code == best.modes()[place])
            line = matches[np.searchsorted(place[matches], np.arange(len(owners)))]
            getattr(world, part)[owners, own.start] = table.block.column(index)[line]
    return world


def _means(cells: Floats, priors: Floats, place: Ints, rows: int) -> Floats:
    """Return the mean of the known cells of each row's lines, NaN where none is known."""
    known = ~np.isnan(cells)
    out = np.full((rows, cells.shape[1]), np.nan)
    for column in range(cells.shape[1]):
        mine = known[:, column]
        weight = np.bincount(place[mine], priors[mine], minlength=rows)
        total = np.bincount(place[mine], priors[mine] * cells[mine, column], minlength=rows)
        np.divide(total, weight, out=out[:, column], where=weight > 0)
    return out


def _world(block: Block, cells: tuple[Ints, Ints, Floats], rows: tuple[Ints, Floats]) -> Block:
    """Return the certain block with these cells, and the rows replaced by these lines of their alternatives."""
    made = block.with_cells(*cells, block.candidates.texts)
    if block.alternatives.block is not None:
        made = made.with_rows(rows[0], block.alternatives.block, rows[1].astype(np.int64))
    return replace(made, candidates=Candidates(), alternatives=Alternatives())
