"""The linear opinion pool: what several tools say about the same variable, each with the same weight.

Where one tool alone speaks, its priors stay to the bit. Where tools meet, each tool's own distribution is kept in
whole units of 2^-44, from which it can be told again out of the pool; so neither the order nor the repetition of
merges changes a single bit.

Source: Stone, The opinion pool, Annals of Mathematical Statistics 1961.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from easeml.relation.candidates import Floats, Indices, Ints

_UNITS = 2.0**44
_ALIKE = 1e-6
_DENSE = 8
"""Up to so many numbers per line are counted in an array."""


class Voices(NamedTuple):
    """Lines of a table, ordered by variable.

    Parameters
    ----------
    key : ndarray of int64, shape (m,)
        Variable of each line, ascending.
    source : ndarray of integers, shape (m,)
        Tool of each line.
    probability : ndarray of float64, shape (m,)
        Priors; sum to 1 per variable.
    """

    key: Ints
    source: Indices
    probability: Floats

    def select(self, keep: NDArray[np.bool_]) -> Voices:
        """Return the chosen lines."""
        return Voices(self.key[keep], self.source[keep], self.probability[keep])

    def runs(self) -> tuple[Ints, Ints]:
        """Return the distinct variables and, per line, the place among them."""
        first = np.ones(len(self.key), bool)
        first[1:] = self.key[1:] != self.key[:-1]
        return self.key[first], np.cumsum(first) - 1


def own_distributions(voices: Voices, sources: int) -> Floats:
    """Return each line's prior in its tool's own distribution, which sums to 1 per variable and tool.

    Cost O(m) where there are few tools.
    """
    keys, unit = voices.runs()
    return _own(unit, voices.source, voices.probability, (len(keys), sources))


def pooled(voices: Voices, sources: int) -> Floats:
    """Return the priors of the pool of tools' own distributions."""
    keys, unit = voices.runs()
    pairs, count = _pairs(unit, voices.source, (len(keys), sources))
    return np.asarray(_whole(voices.probability) / _voices(unit, pairs, count, len(keys))[unit], np.float64)


def _own(unit: Ints, source: Indices, priors: Floats, shape: tuple[int, int]) -> Floats:
    pairs, count = _pairs(unit, source, shape)
    counts = _voices(unit, pairs, count, shape[0])[unit]
    weights = np.bincount(pairs, priors, minlength=count)[pairs]
    # A pool of equals is told apart exactly; only a foreign table weighs its tools unequally.
    scale = np.where(np.abs(weights * counts - 1) <= _ALIKE, counts, 1 / weights)
    own: Floats = np.where(counts == 1, priors, _whole(priors * scale))
    return own


def _whole(own: Floats) -> Floats:
    """Return priors in whole units: exact in a pool."""
    units: Floats = np.maximum(np.rint(own * _UNITS), 1.0) / _UNITS
    return units


def _pairs(unit: Ints, source: Indices, shape: tuple[int, int]) -> tuple[Ints, int]:
    """Return a number for each line's variable and tool, and how many numbers there may be."""
    pairs, count = unit * shape[1] + source, shape[0] * shape[1]
    if count <= _DENSE * len(pairs) + _DENSE:
        return pairs, count
    found, place = np.unique(pairs, return_inverse=True)
    return place, len(found)


def _voices(unit: Ints, pairs: Ints, count: int, units: int) -> Ints:
    """Return how many tools speak about each variable."""
    owner = np.full(count, -1)
    owner[pairs] = unit
    return np.bincount(owner[owner >= 0], minlength=units)


def meet(old: Voices, new: Voices, sources: int) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Return which old lines stay, and the pooled priors of those and of the new lines.

    A tool that speaks again about a variable replaces what it said about it. Cost O(m) where there are few tools.
    """
    keep = np.ones(len(old.key), bool)
    (old_keys, old_unit), (new_keys, new_unit) = old.runs(), new.runs()
    both, mine, theirs = np.intersect1d(old_keys, new_keys, assume_unique=True, return_indices=True)
    if not len(both):
        return keep, old.probability, new.probability
    before = _lines(mine, len(old_keys), old_unit)
    after = _lines(theirs, len(new_keys), new_unit)
    unit = np.concatenate([before.unit, after.unit])
    source = np.concatenate([old.source[before.line], new.source[after.line]])
    pairs, count = _pairs(unit, source, (len(both), sources))
    first = len(before.line)
    spoken = np.zeros(count, bool)
    spoken[pairs[first:]] = True
    again = spoken[pairs[:first]]
    keep[before.line[again]] = False
    shared = np.zeros(len(both), bool)
    shared[before.unit[~again]] = True
    met = shared[after.unit]
    shape = (len(both), sources)
    own = np.concatenate(
        [
            _own(before.unit, source[:first], old.probability[before.line], shape)[~again],
            _own(after.unit[met], source[first:][met], new.probability[after.line[met]], shape),
        ]
    )
    chosen = np.concatenate([~again, met])
    voices = _voices(unit[chosen], pairs[chosen], count, len(both))
    pooled = _whole(own) / voices[unit[chosen]]
    kept = int((~again).sum())
    old_priors, new_priors = old.probability.copy(), new.probability.copy()
    old_priors[before.line[~again]] = pooled[:kept]
    new_priors[after.line[met]] = pooled[kept:]
    return keep, old_priors[keep], new_priors


class _Lines(NamedTuple):
    """Lines of the variables that two tables share, and the place of each line's variable among those."""

    line: Ints
    unit: Ints


def _lines(chosen: Ints, total: int, unit: Ints) -> _Lines:
    place = np.full(total, -1)
    place[chosen] = np.arange(len(chosen))
    places = place[unit]
    line = np.flatnonzero(places >= 0)
    return _Lines(line, places[line])
