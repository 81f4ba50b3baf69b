"""Splitting rows into pillars: stratified, seeded, and leak-free."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError
from easeml.stream.payloads import Pillar

DEFAULT_SHARES: Mapping[Pillar, float] = {Pillar.TRAIN: 0.6, Pillar.VALIDATION: 0.15, Pillar.TEST: 0.25}


def split_pillars(
    features: pd.DataFrame,
    labels: NDArray[np.int32],
    shares: Mapping[Pillar, float] = DEFAULT_SHARES,
    *,
    rng: np.random.Generator,
) -> NDArray[np.object_]:
    """Assign each row to a pillar.

    Rows with the same features stay together, whatever their label, so no test row was seen in training. Within a
    label the pillars get their shares up to rounding and the size of such groups. Cost O(n log n).

    Parameters
    ----------
    features : DataFrame, n rows
        Feature columns.
    labels : int32[n]
        Label codes; rows without a label (-1) are only possible where no validation or test is asked for.
    shares : mapping of Pillar to float
        Share of each pillar; sums to 1.
    rng : Generator
        Source of the order.

    Returns
    -------
    object[n]
        The Pillar of each row.

    Raises
    ------
    InvalidDataError
        When shares do not sum to 1 or a pillar would get no row.
    """
    if abs(sum(shares.values()) - 1.0) > 1e-9:
        raise InvalidDataError(
            f"The shares of the pillars sum to {sum(shares.values()):g}.", mend="Make them sum to 1."
        )
    groups = pd.util.hash_pandas_object(features, index=False).to_numpy()
    names, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.bincount(inverse, minlength=len(names))
    pillars = np.array(list(shares), dtype=object)
    edges = np.cumsum(list(shares.values()))[:-1]
    of_group = np.empty(len(names), dtype=object)
    for label in np.unique(labels[first]):
        members = rng.permutation(np.flatnonzero(labels[first] == label))
        rows = np.cumsum(sizes[members])
        middle = (rows - sizes[members] / 2) / rows[-1]
        of_group[members] = pillars[np.searchsorted(edges, middle)]
    assigned: NDArray[np.object_] = of_group[inverse]
    for pillar, share in shares.items():
        if share > 0 and not (assigned == pillar).any():
            raise InvalidDataError(
                f"{len(labels)} rows are too few: {pillar.value} would get none.", mend="Publish more rows at once."
            )
    return assigned
