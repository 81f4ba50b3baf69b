"""Folds of cross-validation: stratified by label, and equal rows in one fold.

A copy of a row in another fold would vouch for a wrong label, and for any augmentation that learns rows by heart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Ints = NDArray[np.int64]


def stratified_folds(
    given: Ints, folds: int, rng: np.random.Generator, groups: NDArray[Any] | None = None
) -> list[NDArray[np.bool_]]:
    """Return masks of disjoint folds, stratified by label.

    Parameters
    ----------
    given : int64[n]
        Label codes; an unknown label (-1) is a class of its own here.
    folds : int
        How many.
    rng : Generator
        Source of the order.
    groups : array[n], optional
        Equal values stay in one fold, whose label is that of the first of them.
    """
    if groups is not None:
        _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
        if len(first) < len(given):
            return [mask[inverse] for mask in stratified_folds(given[first], folds, rng)]
    places = np.empty(len(given), np.int64)
    for label in np.unique(given):
        mine = rng.permutation(np.flatnonzero(given == label))
        places[mine] = (np.arange(len(mine)) + rng.integers(folds)) % folds
    return [places == fold for fold in range(folds)]


def same_rows(features: Any) -> Ints:
    """Return a number per row of an array or CSR matrix, equal for equal rows. Cost O(n d)."""
    numbers: dict[bytes, int] = {}
    if sparse.issparse(features):
        table = features.tocsr().sorted_indices()
        cuts = zip(table.indptr[:-1], table.indptr[1:], strict=True)
        rows = [table.indices[a:b].tobytes() + table.data[a:b].tobytes() for a, b in cuts]
    else:
        rows = [row.tobytes() for row in np.ascontiguousarray(features)]
    return np.array([numbers.setdefault(row, len(numbers)) for row in rows], np.int64)
