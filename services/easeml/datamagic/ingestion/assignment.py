"""Which pillar each row of an upload goes to: stratified, seeded, leak-free, also against what is known already.

Rows with the same features and rows of the same group make one component, and a component goes to one pillar. One
that holds a row, an id or a group which a pillar has already goes to that pillar. Of the others a whole file is split
stratified by label (``relation.splitting``); a file that is read in slices is split by a hash of each component, so
that equal rows and groups agree from slice to slice. Rows without a label go to the pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from easeml.datamagic.ingestion.shelf import Digests
from easeml.errors import InvalidDataError
from easeml.relation.splitting import DEFAULT_SHARES, LARGEST_TEST_SHARE, shares_with, split_for_test, split_pillars
from easeml.stream.payloads import Pillar

JUDGING = (Pillar.TEST, Pillar.VALIDATION, Pillar.TRAIN)
"""Pillars that must not share rows; a component that several of them have goes to the first."""
Words = NDArray[np.uint64]
_NONE = Digests()


@dataclass(frozen=True, slots=True)
class Known:
    """What the judging pillars have.

    Parameters
    ----------
    rows, ids, groups : mapping of Pillar to Digests
        Of the features and ids of rows, and of the values of group columns.
    given : sequence of Digests
        Of the ids that earlier slices of the same file have given.
    room : int
        Groups that can be remembered beside these. Where more come, they follow their hash, but for those that go
        elsewhere and can be remembered.
    crowded : bool
        Whether more came before: groups that are not remembered follow their hash from then on.
    """

    rows: Mapping[Pillar, Digests] = field(default_factory=dict)
    ids: Mapping[Pillar, Digests] = field(default_factory=dict)
    groups: Mapping[Pillar, Digests] = field(default_factory=dict)
    given: Sequence[Digests] = ()
    room: int = 2**62
    crowded: bool = False

    def is_crowded(self, groups: Words) -> bool:
        """Whether there are, or were, more new ones among some groups than can be remembered."""
        if self.crowded:
            return True
        new = np.unique(groups[groups != 0])
        for own in self.groups.values():
            new = new[~own.has(new)]
        return len(new) > self.room


@dataclass(frozen=True, slots=True)
class Wish:
    """How a file is to be split.

    Parameters
    ----------
    seed : int
        Seed of the order.
    test_share : float
        Share of the test rows; 0: a quarter, and up to half for ``test_rows``.
    test_rows : int
        Rows that the test set must have at least.
    total : int
        Rows that the file has, about, when these are a slice of it; 0: these are all.
    """

    seed: int
    test_share: float = 0.0
    test_rows: int = 0
    total: int = 0


def assign(
    rows: Words, ids: Words, groups: Words | None, labels: NDArray[np.int32], known: Known, wish: Wish
) -> NDArray[np.object_]:
    """Return the pillar of each row.

    Parameters
    ----------
    rows, ids : uint64[n]
        Digest of each row's features and id.
    groups : uint64[n] or None
        Digest of each row's group; 0: none.
    labels : int32[n]
        Label codes, -1: none.
    known : Known
        What the pillars have.
    wish : Wish
        Seed and shares.

    Returns
    -------
    object[n]

    Raises
    ------
    InvalidDataError
        When there are too few rows for three pillars that have none yet.
    """
    components = components_of(rows, groups)
    forced = _forced(components, rows, ids, groups, known)
    assigned = np.full(len(rows), Pillar.POOL, object)
    for place, pillar in enumerate(JUDGING):
        assigned[forced == place] = pillar
    labelled = labels >= 0
    assigned[~labelled] = Pillar.POOL
    free = labelled & (forced < 0)
    if free.any():
        needed = max(0, wish.test_rows - int((assigned == Pillar.TEST).sum()))
        if groups is not None and known.is_crowded(groups):
            assigned[free] = side_of(components[free])
            return assigned
        assigned[free] = _split(components[free], labels[free], needed, known, wish)
    return assigned


def components_of(rows: Words, groups: Words | None) -> Words:
    """Return a digest for each row that equal rows and rows of one group share, directly or through others.

    It is the smallest digest of a group in the component, or of a row where there is none.
    """
    if groups is None or not len(rows):
        return rows
    _, row = np.unique(rows, return_inverse=True)
    named = np.where(groups == 0, rows ^ np.uint64(0x5851F42D4C957F2D), groups)
    _, group = np.unique(named, return_inverse=True)
    size = int(row.max()) + int(group.max()) + 2
    links = coo_array((np.ones(len(rows), np.int8), (row, group + int(row.max()) + 1)), shape=(size, size))
    found = connected_components(links, directed=False)[1][row]
    order = np.lexsort((named, found))
    first = np.ones(len(order), bool)
    first[1:] = found[order][1:] != found[order][:-1]
    names = np.empty(len(rows), np.uint64)
    names[order] = named[order][np.flatnonzero(first)[np.cumsum(first) - 1]]
    return names


def _forced(components: Words, rows: Words, ids: Words, groups: Words | None, known: Known) -> NDArray[np.int64]:
    """Return the place in ``JUDGING`` of the pillar that has something of a row's component, -1: none has."""
    forced = np.full(len(rows), -1, np.int64)
    for place, pillar in reversed(list(enumerate(JUDGING))):
        has = known.rows.get(pillar, _NONE).has(rows) | known.ids.get(pillar, _NONE).has(ids)
        if groups is not None:
            has |= (groups != 0) & known.groups.get(pillar, _NONE).has(groups)
        forced[np.isin(components, components[has])] = place
    # An id stays where it is, whatever the rest of its component says: row ids are unique in an app.
    for place, pillar in enumerate(JUDGING):
        forced[known.ids.get(pillar, _NONE).has(ids)] = place
    return forced


def _split(components: Words, labels: NDArray[np.int32], needed: int, known: Known, wish: Wish) -> NDArray[np.object_]:
    if wish.total:
        return by_hash(components, wish.seed, share_of_test(wish))
    try:
        if wish.test_share:
            rng = np.random.default_rng(wish.seed)
            return split_pillars(components, labels, shares_with(wish.test_share), rng=rng)
        return split_for_test(components, labels, needed, seed=wish.seed)
    except InvalidDataError:
        # A few more rows for pillars that have some already need not reach all of them.
        if all(len(known.rows.get(pillar, _NONE)) for pillar in JUDGING):
            return by_hash(components, wish.seed, share_of_test(wish))
        raise


def share_of_test(wish: Wish) -> float:
    """Return the share of test rows."""
    if wish.test_share:
        return wish.test_share
    wanted = wish.test_rows / wish.total if wish.total else 0.0
    return min(max(DEFAULT_SHARES[Pillar.TEST], wanted), LARGEST_TEST_SHARE)


def side_of(groups: Words) -> NDArray[np.object_]:
    """Return the pillar of groups that nobody remembers: the same one in every upload."""
    return by_hash(groups, 0, DEFAULT_SHARES[Pillar.TEST])


def strays(groups: Words, assigned: NDArray[np.object_], known: Known) -> NDArray[np.bool_]:
    """Return which rows of a crowded app cannot go where they were assigned, for nobody would remember their groups.

    Parameters
    ----------
    groups : uint64[n]
        Digest of each row's group; 0: none.
    assigned : object[n]
        Pillar of each row.
    known : Known
        What the pillars have.
    """
    new, sides = np.zeros(len(groups), bool), side_of(groups)
    for pillar in JUDGING:
        new |= (assigned == pillar) & (sides != pillar) & ~known.groups.get(pillar, _NONE).has(groups)
    new &= groups != 0
    return new & ~np.isin(groups, np.unique(groups[new])[: known.room])


def by_hash(components: Words, seed: int, share: float) -> NDArray[np.object_]:
    """Return the pillar of each component by its hash: the same one in every slice and every upload of a seed.

    The shares hold up to chance; test comes first, so that a larger test share only adds to it.
    """
    shares = shares_with(share)
    pillars = np.array(JUDGING, object)
    edges = np.cumsum([shares[pillar] for pillar in JUDGING])[:-1]
    mixed = components ^ np.uint64((seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):  # splitmix64
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    place = np.searchsorted(edges, (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53, side="right")
    chosen: NDArray[np.object_] = pillars[place]
    return chosen
