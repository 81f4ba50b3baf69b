"""Candidates of cells turned into the most probable alternatives of whole rows."""

from __future__ import annotations

import numpy as np

from easeml.errors import InvalidDataError
from easeml.relation.alternatives import Alternatives
from easeml.relation.block import Block
from easeml.relation.candidates import LABEL, Distributions, Floats, Ints
from easeml.relation.merging import merge_alternatives

JOINT = "joint"
"""Source of alternatives that were made from cells."""
_AT_ONCE = 1 << 22
"""Choices kept in memory at once."""


def joint_rows(block: Block, most: int) -> Block:
    """Return the block in which rows with uncertain feature cells have their ``most`` most probable versions.

    The priors are those of the product of the cells, renormalised over the versions kept: exact, because a row among
    the k best over all cells is among the k best over any subset of them. Cost O(k c n d) for c candidates a cell.

    Raises
    ------
    InvalidDataError
        When ``most`` is below 1.
    """
    if most < 1:
        raise InvalidDataError(f"{most} alternatives per row.", mend="Give 1 or more.")
    cells = block.candidates.distributions()
    cells = cells.select(cells.column != LABEL)
    if not len(cells.row):
        return block
    owners, first = np.unique(cells.row, return_index=True)
    bounds = np.append(first, len(cells.row))
    step = max(1, _AT_ONCE // (most * int(np.diff(bounds).max())))
    starts = range(0, len(owners), step)
    tables = [_best(cells, bounds[start : start + step + 1], most) for start in starts]
    owner = np.concatenate([own + start for (own, _, _), start in zip(tables, starts, strict=True)])
    priors = np.concatenate([own for _, own, _ in tables])
    width = max(choice.shape[1] for _, _, choice in tables)
    choices = np.concatenate(
        [np.pad(choice, ((0, 0), (0, width - choice.shape[1])), constant_values=-1) for _, _, choice in tables]
    )
    row = owners[owner]
    rows = block.cells(row)
    line, depth = np.nonzero(choices >= 0)
    chosen = choices[line, depth]
    cell = bounds[:-1][owner[line]] + depth
    rows = rows.with_cells(line, cells.column[cell], cells.value[chosen], block.candidates.texts)
    table = Alternatives(row, priors, np.zeros(len(row), np.int8), (JOINT,), rows)
    return merge_alternatives(block, table)


def _best(cells: Distributions, bounds: Ints, most: int) -> tuple[Ints, Floats, Ints]:
    """Return the best combinations of some rows.

    Parameters
    ----------
    cells : Distributions
        All uncertain cells.
    bounds : ndarray of int64, shape (r + 1,)
        Row ``i`` owns the cells ``bounds[i]:bounds[i + 1]``.
    most : int
        Combinations per row.

    Returns
    -------
    owner : ndarray of int64, shape (m,)
        Row of each combination, ascending; the most probable one of a row first.
    probability : ndarray of float64, shape (m,)
        Sums to 1 per row.
    choice : ndarray of int64, shape (m, most cells of a row)
        Line chosen for each of the row's cells; -1 beyond them.
    """
    counts = np.diff(bounds)
    rows, depths = len(counts), int(counts.max())
    score = np.zeros((rows, most))
    score[:, 0] = 1.0
    choice = np.full((rows, most, depths), -1, np.int64)
    sizes = np.diff(cells.pointer)
    for depth in range(depths):
        row = np.flatnonzero(counts > depth)
        cell = bounds[:-1][row] + depth
        width = int(sizes[cell].max())
        inside = np.arange(width) < sizes[cell][:, None]
        line = np.where(inside, cells.pointer[cell][:, None] + np.arange(width), 0)
        prior = np.where(inside, cells.probability[line], 0.0)
        pairs = (score[row][:, :, None] * prior[:, None, :]).reshape(len(row), -1)
        best = np.argsort(-pairs, axis=1, kind="stable")[:, :most]
        kept = np.take_along_axis(pairs, best, axis=1)
        # Scaled, so that many cells do not run out of small numbers; padding stays at 0.
        score[row, : kept.shape[1]] = kept / kept[:, :1]
        former = np.take_along_axis(choice[row], (best // width)[:, :, None], axis=1)
        former[:, :, depth] = np.take_along_axis(line, best % width, axis=1)
        choice[row[:, None], np.arange(best.shape[1])] = former
    owner, place = np.nonzero(score > 0)
    priors = score / score.sum(axis=1, keepdims=True)
    return owner, priors[owner, place], choice[owner, place]
