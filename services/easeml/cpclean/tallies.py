"""Tallies: how many of the nearest rows vote for each class, who wins a tally, and which tallies a row leads to.

A tally g counts votes per class. Where the K-th nearest row is known, the other K - 1 make a tally of size K - 1, and
the label of the K-th decides together with it. The vote is a plurality; a tie goes to the smaller label.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Tallies:
    """Tallies of at most K - 1 votes over c classes.

    Attributes
    ----------
    counts : ndarray of int64, shape (h, c)
        Votes per class, in lexicographic order.
    place : dict
        Place of each tally.
    size : ndarray of int64, shape (h,)
        Votes of each tally.
    more : ndarray of int64, shape (h, c)
        Place of the tally with one more vote for a class; h where that has K votes.
    winners : tuple of sparse arrays, one per label of the K-th row, shape (c * (1 + c * (K - 1)), h)
        Line ``l`` sums the tallies of size K - 1 in which label l wins; line ``c * (1 + a * (K - 1) + s - 1) + l``
        sums the tallies of size K - 1 - s in which l wins once s votes for class a are added.
    """

    counts: Ints
    place: dict[tuple[int, ...], int]
    size: Ints
    more: Ints
    winners: tuple[csr_array, ...]


@lru_cache(maxsize=64)
def tallies_of(classes: int, k: int) -> Tallies:
    """Return the tables for ``classes`` classes and ``k`` neighbours; h = (k - 1 + c choose c) lines."""
    found: list[tuple[int, ...]] = [()]
    for _ in range(classes):
        found = [(*tally, votes) for tally in found for votes in range(k - sum(tally))]
    counts = np.array(found, np.int64).reshape(len(found), classes)
    place = {tally: index for index, tally in enumerate(found)}
    more = np.full((len(found), classes), len(found), np.int64)
    for index, tally in enumerate(found):
        for label in range(classes):
            raised = (*tally[:label], tally[label] + 1, *tally[label + 1 :])
            more[index, label] = place.get(raised, len(found))
    size = counts.sum(axis=1)
    winners = tuple(_winners(counts, size, last, k) for last in range(classes))
    return Tallies(counts, place, size, more, winners)


def _winners(counts: Ints, size: Ints, last: int, k: int) -> csr_array:
    classes = counts.shape[1]
    lines, places = [], []
    for missing in range(k):
        mine = np.flatnonzero(size == k - 1 - missing)
        for label in range(classes if missing else 1):
            tally = counts[mine].copy()
            tally[:, last] += 1
            tally[:, label] += missing
            block = 1 + label * (k - 1) + missing - 1 if missing else 0
            # The first of the largest counts: a tie goes to the smaller label.
            lines.append(classes * block + tally.argmax(axis=1))
            places.append(mine)
    line, place = np.concatenate(lines), np.concatenate(places)
    shape = (classes * (1 + classes * (k - 1)), len(counts))
    return csr_array((np.ones(len(line)), (line, place)), shape=shape)
