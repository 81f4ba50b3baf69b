"""Slices where a model fails: beam search over conjunctions of conditions, with false discoveries under control.

Source: Chung et al., "Slice Finder", ICDE 2019 (lattice search, effect size); the control is Benjamini-Hochberg over
every conjunction of the language, also over those that the beam never looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import hypergeom

from easeml.advisor.conditions import Condition, conditions_of, describe
from easeml.advisor.estimate import Estimate, difference, share
from easeml.advisor.multiplicity import benjamini_hochberg
from easeml.errors import InvalidDataError
from easeml.stream.payloads import Column

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """Rows that a conjunction describes, and how a model fares there.

    Parameters
    ----------
    conditions : tuple of Condition
        All hold in the slice.
    rows : ndarray of bool, shape (n,)
        The rows it was found on.
    effect : Estimate
        Error in the slice minus error elsewhere.
    error, error_elsewhere : float
        Share of wrong rows.
    p_value : float
        Probability of so many mistakes in the slice, were they spread at random (one-sided Fisher test).
    """

    conditions: tuple[Condition, ...]
    rows: Flags
    effect: Estimate
    error: float
    error_elsewhere: float
    p_value: float

    @property
    def text(self) -> str:
        """The conjunction in words."""
        return describe(self.conditions)

    @property
    def support(self) -> int:
        """Rows in the slice."""
        return int(self.rows.sum())


def find_slices(
    frame: pd.DataFrame,
    wrong: NDArray[np.bool_],
    columns: tuple[Column, ...],
    *,
    depth: int = 2,
    support: int = 20,
    beam: int = 30,
    alpha: float = 0.05,
    overlap: float = 0.5,
    most: int = 5,
) -> list[Slice]:
    """Return where the model fails more often than elsewhere, the surest first.

    Parameters
    ----------
    frame : DataFrame, n rows
        Features.
    wrong : ndarray of bool, shape (n,)
        Whether the model was wrong about a row.
    columns : tuple of Column
        Columns that conditions may speak of.
    depth : int
        Conditions in a conjunction at most, 1 to 3.
    support : int
        Rows in a slice at least, and outside of it.
    beam : int
        Conjunctions of each length that are made longer.
    alpha : float
        Share of false slices among those returned, in expectation.
    overlap : float
        A slice that shares more than this with a surer one (intersection over union) is left out.
    most : int
        Slices returned at most.

    Raises
    ------
    InvalidDataError
        When rows and judgements differ in number.
    """
    if wrong.shape != (len(frame),):
        raise InvalidDataError(f"{len(frame)} rows, {wrong.size} judgements.", mend="Give one per row.")
    atoms = conditions_of(frame, columns)
    held = np.array([atom.holds(frame) for atom in atoms]).reshape(len(atoms), len(frame))
    tested: dict[tuple[int, ...], float] = {}
    level: list[tuple[int, ...]] = [()]
    for _ in range(depth):
        fresh = _extended(level, held, wrong, support)
        tested |= fresh
        level = sorted(fresh, key=lambda places: (fresh[places], places))[:beam]
    order = sorted(tested, key=lambda places: (tested[places], len(places), places))
    whole = sum(math.comb(len(atoms), length) for length in range(1, depth + 1))
    kept = benjamini_hochberg([tested[places] for places in order], alpha, whole)
    chosen: list[Slice] = []
    for places in (places for places, stays in zip(order, kept, strict=True) if stays):
        rows = np.logical_and.reduce(held[list(places)])
        if len(chosen) < most and all(_shared(rows, other.rows) <= overlap for other in chosen):
            chosen.append(judge_slice(tuple(atoms[place] for place in places), rows, wrong))
    return chosen


def _extended(level: list[tuple[int, ...]], held: Flags, wrong: Flags, support: int) -> dict[tuple[int, ...], float]:
    """Return the p-value of every conjunction of the level with one more condition that has enough rows."""
    if not len(held) or not level:
        return {}
    parents = np.array([held[list(places)].all(axis=0) for places in level], np.float32)
    atoms = held.astype(np.float32)
    inside = (parents @ atoms.T).round().astype(np.int64)
    mistakes = ((parents * wrong) @ atoms.T).round().astype(np.int64)
    p_values = hypergeom.sf(mistakes - 1, len(wrong), int(wrong.sum()), inside)
    fits = (inside >= support) & (inside <= len(wrong) - support)
    return {
        tuple(sorted((*level[parent], int(atom)))): float(p_values[parent, atom])
        for parent, atom in np.argwhere(fits)
        if atom not in level[parent]
    }


def judge_slice(conditions: tuple[Condition, ...], rows: Flags, wrong: Flags) -> Slice:
    """Return how a model fares in the slice ``rows`` bool[n] of those it was ``wrong`` bool[n] about."""
    inside = share(float(wrong[rows].sum()), float(rows.sum()))
    outside = share(float(wrong[~rows].sum()), float((~rows).sum()))
    p_value = hypergeom.sf(int((rows & wrong).sum()) - 1, len(rows), int(wrong.sum()), int(rows.sum()))
    return Slice(conditions, rows, difference(inside, outside), inside.value, outside.value, float(p_value))


def _shared(left: Flags, right: Flags) -> float:
    return float((left & right).sum() / (left | right).sum())
