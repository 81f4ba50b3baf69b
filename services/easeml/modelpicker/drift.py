"""Detectors of drift: ADWIN on the losses of labelled rows, and a t statistic on how all rows are voted about."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from easeml.modelpicker.voting import Floats

_WINDOW = 400
_SHORTEST = 8
_BLOCK, _BLOCKS, _FEWEST = 20, 100, 3
_SHIFT_DELTA = 1e-5


class Adwin:
    """ADWIN, an adaptive window over losses: tells when their mean has changed.

    The exact form, which tests every cut of the window, on at most the last 400 losses; so its state is one small
    array and replays bit for bit.

    Source: Bifet and Gavalda, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007, theorem 3.2.

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

    Means over blocks of 20 rows, since rows that follow one another are alike; a pooled t statistic at every cut of the
    last blocks. No block varies less than as many independent rows would.

    Source: Hawkins, "Testing a Sequence of Observations for a Shift in Location", JASA 1977.
    """

    def __init__(self) -> None:
        self.disagreed = self.impure = 0.0
        self.rows = 0
        self.blocks = np.zeros((0, 2))

    def update(self, *, contested: bool, impurity: float) -> int:
        """Take a row; return how many rows ago a change was, 0 without an alarm."""
        self.disagreed += contested
        self.impure += impurity
        self.rows += 1
        if self.rows < _BLOCK:
            return 0
        means = np.array([self.disagreed, self.impure]) / _BLOCK
        self.disagreed, self.impure, self.rows = 0.0, 0.0, 0
        self.blocks = np.vstack([self.blocks, means])[-_BLOCKS:]
        newer = blocks_since_a_shift(self.blocks)
        if newer:
            self.blocks = self.blocks[-newer:]
        return newer * _BLOCK

    def state(self) -> dict[str, Any]:
        """Return the sums and the blocks."""
        sums = {"disagreed": self.disagreed, "impure": self.impure, "rows": self.rows}
        return {**sums, "blocks": self.blocks.copy()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        watch = cls()
        watch.disagreed, watch.impure = float(state["disagreed"]), float(state["impure"])
        watch.rows = int(state["rows"])
        watch.blocks = np.array(state["blocks"], np.float64).reshape(-1, 2)
        return watch


def blocks_since_a_shift(blocks: Floats) -> int:
    """Return how many of the blocks came after their mean changed; 0 where no change is proved.

    Parameters
    ----------
    blocks : ndarray of float64, shape (n, d)
        Means over as many rows each, of d values in [0, 1]; O(n d).
    """
    n = len(blocks)
    older = np.arange(_FEWEST, n - _FEWEST + 1)[:, None]
    if not len(older):
        return 0
    sums, squares = np.cumsum(blocks, axis=0), np.cumsum(blocks**2, axis=0)
    before = sums[older[:, 0] - 1]
    first, second = before / older, (sums[-1] - before) / (n - older)
    within = (squares[-1] - older * first**2 - (n - older) * second**2) / (n - 2)
    share = (sums[-1] + 1) / (n + 2)
    spread = np.maximum(within, share * (1 - share) / _BLOCK) * (1 / older + 1 / (n - older))
    far = np.abs(first - second) / np.sqrt(spread)
    cut = int(far.max(axis=1).argmax())
    return n - int(older[cut, 0]) if far[cut].max() > stdtrit(n - 2, 1 - _SHIFT_DELTA / far.size) else 0
