"""Which labels some world gives to a point: the certificate, in integers (Q1 of certain predictions).

Walk through the steps; let the step of row b be the K-th neighbour. Of the other rows of class c, ``low`` are among
the nearer K - 1 in any case (all their candidates have passed) and ``high`` may be (one has). With b counted to its
class, label l wins with g votes iff every other class c can have at most g votes (g - 1 where c < l, for ties go to
the smaller label) and the K - g votes that remain can be divided so. The two extreme worlds per label that do for two
classes call points certain that are not where there are three.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from easeml.cpclean.neighbours import Bools
from easeml.cpclean.steps import Steps

Counts = NDArray[np.int32]


def possible_labels(steps: Steps, classes: int, k: int) -> Bools:
    """Return which labels each point has in some world, shape (points, classes). Cost O(s c^2 k) for s steps.

    The candidates of a row must not differ in their labels.
    """
    width = int(np.diff(steps.pointer).max(initial=0))
    inside = np.arange(width) < np.diff(steps.pointer)[:, None]
    label = steps.padded(steps.label, width)
    finished = steps.padded(steps.finished, width)
    first = steps.padded(steps.first, width)
    lows: list[Counts] = []
    highs: list[Counts] = []
    for one in range(classes):
        mine = label == one
        lows.append(_before(finished & mine) + mine)
        # The row of the step is counted once, as the K-th neighbour.
        highs.append(_before(first & mine) + (mine & first))
    out = np.zeros((len(inside), classes), bool)
    for one in range(classes):
        for votes in range(1, k + 1):
            wins = inside & (lows[one] <= votes) & (votes <= highs[one])
            least, most = np.zeros((2, *wins.shape), np.int32)
            for other in range(classes):
                if other != one:
                    cap = np.minimum(highs[other], votes - 1 if other < one else votes)
                    wins &= lows[other] <= cap
                    least += lows[other]
                    most += cap
            out[:, one] |= (wins & (least <= k - votes) & (k - votes <= most)).any(axis=1)
    return out


def _before(flags: Bools) -> Counts:
    """Return how many flags are set before each step."""
    return np.cumsum(flags, axis=1, dtype=np.int32) - flags
