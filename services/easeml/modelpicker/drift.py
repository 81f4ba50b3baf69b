"""ADWIN on a short window: tells when the mean of a 0/1 loss has changed.

The exact form, which tests every cut of the window, on at most the last 400 losses; so its state is one small
array and replays bit for bit.

Source: Bifet and Gavalda, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007, theorem 3.2.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_WINDOW = 400
_SHORTEST = 8


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
