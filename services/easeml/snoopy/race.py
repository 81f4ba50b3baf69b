"""Which arm reads how far: successive halving with the tangent rule.

Arms read the same points in the same order. In each round all arms left read up to a goal that doubles, and the better
half stays. The better half of the round before reads first; its worst error is the one to beat. Another arm reads on in
batches and leaves as soon as the tangent of its error, drawn on to the goal, stays above that: learning curves are
convex, so the tangent is the best that can come.

Source: Renggli et al., "Automatic Feasibility Study via Data Quality Analysis for ML", ICDE 2023, section V.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_POINTS = 1000
"""With fewer points every arm reads all: reading is cheap, and a part of them tells too little."""
LEAST_BATCH = 100
"""Points between two readings before their tangent is trusted."""
_BATCHES = 4
"""Batches that an arm behind reads in a round, at most."""


class Race:
    """Successive halving with eta = 2.

    Parameters
    ----------
    names : sequence of str
        Arms.
    points : int
        Points to read.
    halving : bool
        Whether arms may leave.

    Attributes
    ----------
    dropped : dict of str to int
        Arms that have left, and how many points they had read.
    """

    def __init__(self, names: Sequence[str], points: int, *, halving: bool = True) -> None:
        self._alive = list(names)
        rounds = int(math.log2(len(names))) if halving and points >= LEAST_POINTS else 0
        self._goals: list[int] = [-(-points // (1 << (rounds - place))) for place in range(rounds + 1)]
        self._halving = rounds > 0
        self._readings: dict[str, list[tuple[int, float]]] = {name: [(0, 1.0)] for name in names}
        self._ahead = self._front()
        self.dropped: dict[str, int] = {}

    @property
    def alive(self) -> tuple[str, ...]:
        """Arms that have not left."""
        return tuple(self._alive)

    def wanted(self) -> dict[str, int]:
        """Return which arms shall read on now, and to how many points; they do not wait for each other.

        Empty: the race is over, and the arms left have read all points.
        """
        if not self._goals:
            return {}
        goal = self._goals[0]
        behind = {name for name in self._alive if self._read(name) < goal}
        front = [name for name in self._alive if name in behind and name in self._ahead]
        if front:
            return dict.fromkeys(front, goal)
        return {name: self._next(name) for name in self._alive if name in behind}

    def tell(self, name: str, points: int, error: float) -> None:
        """Take the error of an arm after it has read ``points``.

        Raises
        ------
        KeyError
            When the arm takes no part.
        """
        readings = self._readings[name]
        if name not in self._alive or points <= readings[-1][0]:
            return
        readings.append((points, error))
        if name not in self._ahead and self._hopeless(name):
            self._drop(name)
        if all(self._read(other) >= self._goals[0] for other in self._alive):
            self._close()

    def _read(self, name: str) -> int:
        return self._readings[name][-1][0]

    def _error(self, name: str) -> float:
        return self._readings[name][-1][1]

    def _front(self) -> frozenset[str]:
        return frozenset(self._alive[: max(len(self._alive) // 2, 1)] if self._halving else self._alive)

    def _next(self, name: str) -> int:
        goal = self._goals[0]
        start = goal // 2 if self._read(name) else 0
        batch = max(LEAST_BATCH, math.ceil((goal - start) / _BATCHES))
        stop = self._read(name) + batch
        # What is left is no batch of its own when it is too small for a tangent.
        return goal if goal - stop < LEAST_BATCH else stop

    def _hopeless(self, name: str) -> bool:
        """Return whether the tangent of an arm stays above the error of the worst arm ahead at the goal."""
        (before, then), (points, now) = self._readings[name][-2:]
        goal = self._goals[0]
        if before == 0 or points - before < LEAST_BATCH or points >= goal:
            return False
        beaten = max(self._error(other) for other in self._ahead)
        slope = min((now - then) / (points - before), 0.0)
        return now + slope * (goal - points) > beaten

    def _drop(self, name: str) -> None:
        self._alive.remove(name)
        self.dropped[name] = self._read(name)

    def _close(self) -> None:
        """End the round: the better half stays, the best first."""
        self._goals.pop(0)
        order = {name: place for place, name in enumerate(self._alive)}
        self._alive.sort(key=lambda name: (self._error(name), order[name]))
        if self._goals:
            for name in self._alive[max(math.ceil(len(self._alive) / 2), 1) :]:
                self._drop(name)
        self._ahead = self._front()
