"""Where things are, by 64-bit key: a dictionary in numpy that holds millions of keys in 16 bytes each.

Runs of sorted keys, each at least twice as long as the next: a log-structured merge tree (O'Neil et al., 1996).
Putting n keys one batch at a time costs O(n log n) in all; finding one costs O(log n) per run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Numbers = NDArray[np.int64]


class Places:
    """Key -> number; what is put later replaces what was there.

    >>> places = Places()
    >>> places.put(np.array([7, 3], np.uint64), np.array([0, 1]))
    >>> places.put(np.array([3], np.uint64), np.array([2]))
    >>> places.find(np.array([3, 7, 9], np.uint64)).tolist()
    [2, 0, -1]
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Keys, Numbers]] = []

    def __len__(self) -> int:
        return sum(len(own) for own, _ in self._runs)

    def put(self, keys: Keys, numbers: Numbers) -> None:
        """Put keys, none of them twice."""
        order = np.argsort(keys, kind="stable")
        run = (keys[order], numbers[order].astype(np.int64))
        while self._runs and len(self._runs[-1][0]) < 2 * len(run[0]):
            run = _merged(self._runs.pop(), run)
        self._runs.append(run)

    def find(self, keys: Keys) -> Numbers:
        """Return the number of each key, -1: it is not there."""
        found = np.full(len(keys), -1, np.int64)
        for own, numbers in self._runs:  # the newest last: it replaces what the others say
            if not len(own):
                continue
            at = np.minimum(np.searchsorted(own, keys), len(own) - 1)
            hit = own[at] == keys
            found[hit] = numbers[at[hit]]
        return found


def _merged(old: tuple[Keys, Numbers], new: tuple[Keys, Numbers]) -> tuple[Keys, Numbers]:
    keys, numbers = np.concatenate([old[0], new[0]]), np.concatenate([old[1], new[1]])
    order = np.argsort(keys, kind="stable")
    keys, numbers = keys[order], numbers[order]
    last = np.append(keys[1:] != keys[:-1], True)[: len(keys)]
    return keys[last], numbers[last]
