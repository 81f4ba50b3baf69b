"""ADWIN on a short window: tells when the mean of a 0/1 loss has changed.

The exact form, which tests every cut of the window, on at most the last 400 losses; so its state is one small
array and replays bit for bit.

Source: Bifet and Gavalda, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007, theorem 3.2.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt

_WINDOW = 400
_SHORTEST = 8
_BLOCK = 20
_BLOCK_DELTA = 1e-4


class Adwin:
    """Adaptive window over losses.

    Parameters
    ----------
    window : array_like of float, optional
        Losses to start from, oldest first.
    delta : float
        Confidence parameter.

    Examples
    --------
    >>> detector = Adwin()
    >>> any(detector.update(0.0) for _ in range(60)), any(detector.update(1.0) for _ in range(60))
    (False, True)
    """

    def __init__(self, window: npt.ArrayLike = (), delta: float = 0.002) -> None:
        self.window = np.array(window, dtype=np.float64)
        self.delta = delta

    def update(self, loss: float) -> bool:
        """Add a loss; return whether the window was cut because its mean has changed."""
        self.window = np.append(self.window, loss)[-_WINDOW:]
        n = len(self.window)
        if n < 2 * _SHORTEST:
            return False
        left = np.arange(_SHORTEST, n - _SHORTEST + 1)
        sums = np.cumsum(self.window)
        means = sums[left - 1] / left, (sums[-1] - sums[left - 1]) / (n - left)
        harmonic = 1 / (1 / left + 1 / (n - left))
        log = math.log(2 * n / self.delta)
        threshold = np.sqrt(2 / harmonic * self.window.var() * log) + 2 / (3 * harmonic) * log
        cuts = np.flatnonzero(np.abs(means[0] - means[1]) > threshold)
        if not len(cuts):
            return False
        self.window = self.window[left[cuts[-1]] :]
        return True


class LossWatch:
    """Watches whether labelled rows go on to be right as often as believed.

    What is watched is 1[wrong] minus the probability believed, brought to [0, 1], so that a choice of harder rows is no
    change.
    """

    def __init__(self) -> None:
        self.adwin = Adwin()

    def update(self, *, right: bool, believed: float) -> bool:
        """Take an answered row; return the alarm."""
        return self.adwin.update((1.0 - right - (1.0 - believed)) / 2 + 0.5)


class VoteWatch:
    """Watches, without labels, how often models disagree and by how much (Gini impurity of a row's votes).

    Means over blocks of 20 rows go to a detector each.
    """

    def __init__(self) -> None:
        self.disagreed = self.impure = 0.0
        self.rows = 0
        self.adwins = (Adwin(delta=_BLOCK_DELTA), Adwin(delta=_BLOCK_DELTA))

    def update(self, *, contested: bool, impurity: float) -> bool:
        """Take a row; return the alarm."""
        self.disagreed += contested
        self.impure += impurity
        self.rows += 1
        if self.rows < _BLOCK:
            return False
        sums = (self.disagreed, self.impure)
        alarms = [adwin.update(total / _BLOCK) for adwin, total in zip(self.adwins, sums, strict=True)]
        self.disagreed, self.impure, self.rows = 0.0, 0.0, 0
        return any(alarms)

    def state(self) -> dict[str, Any]:
        """Return the sums and windows."""
        first, second = self.adwins
        return {
            "disagreed": self.disagreed,
            "impure": self.impure,
            "rows": self.rows,
            "first": first.window,
            "second": second.window,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        watch = cls()
        watch.disagreed, watch.impure = float(state["disagreed"]), float(state["impure"])
        watch.rows = int(state["rows"])
        watch.adwins[0].window = np.array(state["first"], np.float64)
        watch.adwins[1].window = np.array(state["second"], np.float64)
        return watch
