"""Approximate functional dependencies between single columns: zip -> city holds but for a few rows.

Error measure g3 (Kivinen & Mannila, Theoretical Computer Science 149, 1995): the share of rows to take away so that
the dependency holds, over rows of groups with at least three members. Chance is ruled out by a permutation: small
groups agree by luck, and must agree far more often than with the dependent column shuffled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.relation.block import Block
from easeml.stream.payloads import ColumnKind

Ints = NDArray[np.int64]

MAX_ERROR = 0.1
"""Largest g3 of a dependency."""
MAX_CHANCE = 0.3
"""Largest ratio of g3 to that of a shuffled column."""
LEAST_GROUP = 3
SURE = 0.8
"""Share of a group that must agree for its value to be implied."""
_LEAST_COVER = 0.3


@dataclass(frozen=True, slots=True)
class Dependency:
    """One column decides another.

    Parameters
    ----------
    determinant, dependent : int
        Columns.
    confidence : float
        1 - g3.
    luck : float
        g3 divided by that of a shuffled column: 0 where the determinant decides all, 1 where it has no say.
    """

    determinant: int
    dependent: int
    confidence: float
    luck: float


@dataclass(frozen=True, slots=True)
class Groups:
    """What a dependency says per value of its determinant.

    Parameters
    ----------
    value : ndarray of int64, shape (values,)
        The most frequent code of the dependent column, -1 where fewer than three rows or 80 % agree.
    share : ndarray of float64, shape (values,)
        Share of rows that agree.
    size : ndarray of float64, shape (values,)
        Rows.
    """

    value: Ints
    share: NDArray[np.float64]
    size: NDArray[np.float64]


def column_codes(
    block: Block,
    rows: Ints | None = None,
    hidden: NDArray[np.bool_] | None = None,
    columns: Sequence[int] | None = None,
) -> tuple[list[Ints], list[pd.Index[Any]]]:
    """Return columns as codes of their distinct values (-1: missing or a tensor), and those values.

    Parameters
    ----------
    block : Block
        The rows.
    rows : ndarray of int64, optional
        Which; all by default.
    hidden : ndarray of bool, shape (rows, all columns), optional
        Cells to take for missing.
    columns : sequence of int, optional
        Which columns; all by default.
    """
    codes, values = [], []
    for place in range(len(block.columns)) if columns is None else columns:
        kind = block.columns[place].kind
        cells = block.column(place) if rows is None else block.column(place)[rows]
        if kind is ColumnKind.TENSOR:
            own, distinct = np.full(len(cells), -1, np.int64), pd.Index([])
        else:
            if kind in (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL):
                cells = np.where(cells < 0, np.nan, cells)
            found, uniques = pd.factorize(cells, sort=False)
            own, distinct = np.asarray(found, np.int64), pd.Index(uniques)
        if hidden is not None:
            own = np.where(hidden[:, place], -1, own)
        codes.append(own)
        values.append(distinct)
    return codes, values


def groups(determinant: Ints, dependent: Ints) -> tuple[Groups, float, float]:
    """Return what a determinant implies, the confidence and the share of rows it covers.

    Parameters
    ----------
    determinant, dependent : ndarray of int64, shape (n,)
        Codes, -1 missing.
    """
    both = (determinant >= 0) & (dependent >= 0)
    size = int(determinant.max(initial=-1)) + 1
    width = int(dependent.max(initial=-1)) + 1
    none = Groups(np.full(size, -1, np.int64), np.zeros(size), np.zeros(size))
    if not both.any():
        return none, 0.0, 0.0
    pair, count = np.unique(determinant[both] * width + dependent[both], return_counts=True)
    owner = pair // width
    total = np.bincount(owner, count, minlength=size).astype(np.float64)
    # The most frequent dependent value per owner; the smallest code on a tie.
    order = np.lexsort((pair, -count, owner))
    heads = order[np.searchsorted(owner[order], np.unique(owner))]
    most = np.zeros(size)
    most[owner[heads]] = count[heads]
    value = np.full(size, -1, np.int64)
    value[owner[heads]] = pair[heads] % width
    share = most / np.maximum(total, 1)
    large = total >= LEAST_GROUP
    covered = float(total[large].sum())
    confidence = float(most[large].sum()) / covered if covered else 0.0
    return Groups(np.where(large & (share >= SURE), value, -1), share, total), confidence, covered / len(determinant)


def find_dependencies(codes: Sequence[Ints], *, rng: np.random.Generator) -> list[Dependency]:
    """Return the dependencies between columns, most confident first.

    Parameters
    ----------
    codes : sequence of ndarray of int64, shape (n,)
        Every column as codes, -1 missing.
    rng : Generator
        Shuffles the rows to measure chance.

    Notes
    -----
    Cost O(c^2 n log n) for c columns: give a sample of at most some thousand rows.
    """
    known = [int((own >= 0).sum()) for own in codes]
    distinct = [len(np.unique(own[own >= 0])) for own in codes]
    fit = [size >= 2 and 2 * size <= count for size, count in zip(distinct, known, strict=True)]
    order = rng.permutation(len(codes[0])) if codes else np.empty(0, np.int64)
    found = []
    for determinant in np.flatnonzero(fit).tolist():
        for dependent in np.flatnonzero(fit).tolist():
            if dependent == determinant:
                continue
            _, confidence, cover = groups(codes[determinant], codes[dependent])
            if confidence < 1 - MAX_ERROR or cover < _LEAST_COVER:
                continue
            _, chance, _ = groups(codes[determinant], codes[dependent][order])
            if 1 - confidence <= MAX_CHANCE * (1 - chance) and chance < 1:
                luck = (1 - confidence) / (1 - chance)
                found.append(Dependency(determinant, dependent, confidence, luck))
    return sorted(found, key=lambda item: (-item.confidence, item.determinant, item.dependent))
