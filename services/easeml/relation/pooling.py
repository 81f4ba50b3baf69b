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


class Voices(NamedTuple):
    """Lines of a table.

    Parameters
    ----------
    key : ndarray of int64, shape (m,)
        Variable of each line.
    source : ndarray of integers, shape (m,)
        Tool of each line, below ``sources``.
    probability : ndarray of float64, shape (m,)
        Priors; sum to 1 per variable.
    """

    key: Ints
    source: Indices
    probability: Floats

    def select(self, keep: NDArray[np.bool_]) -> Voices:
        """Return the chosen lines."""
        return Voices(self.key[keep], self.source[keep], self.probability[keep])


def own_distributions(voices: Voices, sources: int) -> Floats:
    """Return each line's prior in its tool's own distribution, which sums to 1 per variable and tool.

    Cost O(m log m).
    """
    keys, unit = np.unique(voices.key, return_inverse=True)
    pairs, place = np.unique(unit * sources + voices.source, return_inverse=True)
    counts = np.bincount(pairs // sources, minlength=len(keys))[unit]
    weights = np.bincount(place, voices.probability)[place]
    # A pool of equals is told apart exactly; only a foreign table weighs its tools unequally.
    scale = np.where(np.abs(weights * counts - 1) <= _ALIKE, counts, 1 / weights)
    units = np.maximum(np.rint(voices.probability * scale * _UNITS), 1.0)
    own: Floats = np.where(counts == 1, voices.probability, units / _UNITS)
    return own


def meet(old: Voices, new: Voices, sources: int) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Return which old lines stay, and the pooled priors of those and of the new lines.

    A tool that speaks again about a variable replaces what it said about it. Cost O(m log m) in the lines of the
    variables that the new ones speak about.
    """
    keep = np.ones(len(old.key), bool)
    touched = np.isin(old.key, np.unique(new.key)) if len(old.key) and len(new.key) else np.zeros(len(old.key), bool)
    if not touched.any():
        return keep, old.probability, new.probability
    before = old.select(touched)
    again = np.isin(before.key * sources + before.source, np.unique(new.key * sources + new.source))
    keep[touched] = ~again
    shared = np.unique(before.key[~again])
    if not len(shared):
        return keep, old.probability[keep], new.probability
    here = np.isin(new.key, shared)
    others = new.select(here)
    key = np.concatenate([before.key[~again], others.key])
    source = np.concatenate([before.source[~again], others.source])
    own = np.concatenate(
        [_units(own_distributions(before, sources)[~again]), _units(own_distributions(others, sources))]
    )
    keys, unit = np.unique(key, return_inverse=True)
    pairs = np.unique(unit * sources + source)
    pooled = own / np.bincount(pairs // sources, minlength=len(keys))[unit]
    old_priors, new_priors = old.probability.copy(), new.probability.copy()
    old_priors[touched & keep] = pooled[: int((~again).sum())]
    new_priors[here] = pooled[int((~again).sum()) :]
    return keep, old_priors[keep], new_priors


def _units(own: Floats) -> Floats:
    """Return priors in whole units: exact in a pool."""
    units: Floats = np.maximum(np.rint(own * _UNITS), 1.0) / _UNITS
    return units
