"""Which messages a service folds again after a restart: those that its views still rest on.

A view of what never ends keeps the newest of it, so folding all of it again would take ever longer. Services name the
offsets that they need as half-open runs; the changelog keeps these, and what came after them is folded whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from easeml.stream.topics import TICKS

Run: TypeAlias = tuple[int, int]
Needs: TypeAlias = Mapping[str, Sequence[Run]]
"""Topic -> runs of offsets."""

END = 2**62
"""End of a run without one."""
GAP = 1000
"""Messages that are sooner read than skipped."""
MOST_RUNS = 200
"""Each is sought for, which takes as long as reading some hundred messages."""


def merged(runs: Iterable[Run], most: int = MOST_RUNS) -> list[Run]:
    """Return runs that cover these, ascending: small gaps are closed, and of many runs the smallest ones between them.

    >>> merged([(9000, 9001), (5, 7), (7, 8)])
    [(5, 8), (9000, 9001)]
    """
    found: list[Run] = []
    for start, end in sorted(run for run in runs if run[0] < run[1]):
        if found and start - found[-1][1] <= GAP:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    if len(found) <= most:
        return found
    gaps = [after[0] - before[1] for before, after in pairwise(found)]
    widest = sorted(sorted(range(len(gaps)), key=gaps.__getitem__)[len(gaps) - most + 1 :])
    cuts = [0, *(place + 1 for place in widest), len(found)]
    return [(found[a][0], found[b - 1][1]) for a, b in pairwise(cuts)]


class Offsets:
    """Offsets of the messages that a view was folded from, as runs that cover them."""

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def add(self, offset: int) -> None:
        """Take in the offset of one more message."""
        if self._runs and offset - self._runs[-1][1] <= GAP:
            self._runs[-1] = (min(offset, self._runs[-1][0]), max(offset + 1, self._runs[-1][1]))
        else:
            self._runs.append((offset, offset + 1))
        if len(self._runs) > 2 * MOST_RUNS:
            self._runs = merged(self._runs)

    def since(self, first: int = 0) -> list[Run]:
        """Return runs that cover those from the first one on; the ones before it are forgotten."""
        self._runs = merged((max(start, first), end) for start, end in self._runs)
        return self._runs


def joined(needs: Sequence[Needs], positions: Mapping[str, int]) -> dict[str, list[Run]]:
    """Return what several apps need together, and all that comes after the positions.

    A topic that one of them does not name is needed whole.
    """
    whole = [(0, END)]
    topics = sorted({topic for each in needs for topic in each})
    return {
        topic: merged([run for each in needs for run in each.get(topic, whole)] + [(positions.get(topic, -1) + 1, END)])
        for topic in topics
    }


def to_fold(needs: Needs, topic: str, low: int, end: int) -> list[Run]:
    """Return the runs of a topic to fold again, of the offsets that were applied and that the broker has.

    Parameters
    ----------
    needs : mapping of str to sequence of (int, int)
        As the changelog has it; topics that are not in it are needed whole. Of the clock the last tick is.
    topic : str
    low, end : int
        First offset on the broker, and the first that is not applied yet.
    """
    runs = [(end - 1, end)] if topic == TICKS.name else needs.get(topic, [(0, END)])
    clipped = [(max(start, low), min(stop, end)) for start, stop in runs]
    return [(start, stop) for start, stop in clipped if start < stop]
