"""Splitting rows into pillars: stratified, seeded, leak-free, with a test set that is large enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from easeml.errors import InvalidDataError
from easeml.stream.payloads import Pillar

DEFAULT_SHARES: Mapping[Pillar, float] = {Pillar.TRAIN: 0.6, Pillar.VALIDATION: 0.15, Pillar.TEST: 0.25}
LARGEST_TEST_SHARE = 0.5
"""An automatic split gives the test set no more: a model that learns from less than half is no fair candidate."""
_ATTEMPTS = 20
_MOST_EXTRAPOLATED = 2.0


def shares_with(test: float, shares: Mapping[Pillar, float] = DEFAULT_SHARES) -> dict[Pillar, float]:
    """Return the shares with another test share; the others keep their proportions.

    Raises
    ------
    InvalidDataError
        When the test share is not between 0 and 1.
    """
    if not 0 < test < 1:
        raise InvalidDataError(f"A test share of {test:g} is not between 0 and 1.", mend="Give e.g. 0.25.")
    rest = sum(share for pillar, share in shares.items() if pillar is not Pillar.TEST)
    return {p: test if p is Pillar.TEST else share * (1 - test) / rest for p, share in shares.items()}


def split_for_test(
    rows: NDArray[np.uint64], labels: NDArray[np.int32], needed: int, *, seed: int
) -> NDArray[np.object_]:
    """Assign each row to a pillar; the test share grows from 0.25 up to 0.5 until the test set has ``needed`` rows.

    Where even half of the rows are too few, the split is the one with half of them.

    Parameters
    ----------
    rows : uint64[n]
        Content of each row (``row_digests``).
    labels : int32[n]
        Label codes.
    needed : int
        Test rows that the CI plan needs.
    seed : int
        Seed of the order.

    Returns
    -------
    object[n]
        The Pillar of each row.

    Raises
    ------
    InvalidDataError
        When a pillar would get no row.
    """
    total = max(len(rows), 1)
    share = min(max(DEFAULT_SHARES[Pillar.TEST], needed / total), LARGEST_TEST_SHARE)
    # Shares hold up to one row per label, so the last step to exactly half may need that many more.
    largest = min(LARGEST_TEST_SHARE + (len(np.unique(labels)) + 1) / total, 0.9)
    for _ in range(_ATTEMPTS):
        assigned = split_pillars(rows, labels, shares_with(share), rng=np.random.default_rng(seed))
        short = needed - int((assigned == Pillar.TEST).sum())
        if short <= 0 or share >= largest or 2 * needed > total:
            return assigned
        share = min(share + short / total, largest)
    return assigned


def split_pillars(
    rows: NDArray[np.uint64],
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
    rows : uint64[n]
        Content of each row's features (``row_digests``).
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
    names, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    sizes = np.bincount(inverse, minlength=len(names))
    pillars = np.array(list(shares), dtype=object)
    edges = np.cumsum(list(shares.values()))[:-1]
    of_group = np.empty(len(names), dtype=object)
    for label in np.unique(labels[first]):
        members = rng.permutation(np.flatnonzero(labels[first] == label))
        counts = np.cumsum(sizes[members])
        middle = (counts - sizes[members] / 2) / counts[-1]
        of_group[members] = pillars[np.searchsorted(edges, middle)]
    assigned: NDArray[np.object_] = of_group[inverse]
    for pillar, share in shares.items():
        if share > 0 and not (assigned == pillar).any():
            raise InvalidDataError(
                f"{len(labels)} rows are too few: {pillar.value} would get none.", mend="Publish more rows at once."
            )
    return assigned


def chance_overlap(versions: Sequence[NDArray[np.uint64]], fresh: int, known: int) -> float:
    """Return the largest share of fresh rows that chance alone may let equal known ones (three standard errors).

    A row of the largest version counts as seen when another one of the same version equals it: the leave-one-out
    estimate of the probability that the next row has been seen. Only rows of one version are compared, so rows that
    were published twice do not make doubles look usual.

    Parameters
    ----------
    versions : sequence of uint64[n]
        Row contents (``row_digests``) of each version, at least one.
    fresh, known : int
        Rows compared; at least one fresh row.

    Returns
    -------
    float
        In [0, 1].

    Source: Good, The population frequencies of species, Biometrika 1953: coverage is 1 - (species seen once) / n.
    """
    largest = max(versions, key=len)
    counts = np.unique(largest, return_counts=True)[1]
    seen = float(counts[counts > 1].sum()) / len(largest)
    # More known rows than the estimate rests on cover more; how much depends on the distribution, so not without end.
    more = min(max(known / len(largest), 1.0), _MOST_EXTRAPOLATED)
    covered = 1.0 - math.pow(1.0 - seen, more)
    return min(1.0, covered + 3 * math.sqrt(covered * (1 - covered) * (1 / fresh + 1 / len(largest))))
