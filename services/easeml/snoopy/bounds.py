"""From an error of nearest neighbours to the Bayes error, and from noisy labels to clean ones.

>>> round(float(bayes_error(0.18, 2)), 4)
0.1
>>> round(clean_error(noisy_error(0.05, 0.2, 10), 0.2, 10), 4)
0.05
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from easeml.errors import InvalidDataError

_QUANTILE = 1.6448536269514722
"""0.95 quantile of the standard normal: two-sided 90 %."""


def bayes_error(error: npt.ArrayLike, classes: int) -> npt.NDArray[np.float64]:
    """Return the Cover-Hart lower bound of the Bayes error, L(e) = e / (1 + sqrt(1 - C e / (C - 1))).

    Parameters
    ----------
    error : array of float
        Error e of the nearest neighbour; clipped to [0, (C - 1) / C].
    classes : int
        C, at least 2.

    Returns
    -------
    ndarray of float64, the shape of ``error``
        Increasing in ``error``.

    Source: Cover and Hart, "Nearest neighbor pattern classification", 1967; Renggli et al., ICDE 2023, eq. 2.
    """
    most = (classes - 1) / classes
    clipped = np.clip(np.asarray(error, np.float64), 0.0, most)
    return np.asarray(clipped / (1 + np.sqrt(np.maximum(0.0, 1 - clipped / most))))


def neighbour_error(error: float, classes: int) -> float:
    """Return the error of the nearest neighbour whose bound is ``error``, e = R (2 - C R / (C - 1)); inverts L."""
    most = 1 - 1 / classes
    clipped = min(max(error, 0.0), most)
    return clipped * (2 - clipped / most)


def wilson(error: float, rows: int) -> tuple[float, float]:
    """Return the 90 % Wilson interval of a share ``error`` seen on ``rows`` rows."""
    if rows < 1:
        return 0.0, 1.0
    square = _QUANTILE**2 / rows
    centre = (error + square / 2) / (1 + square)
    half = math.sqrt(max(error * (1 - error), 0.0) * square + square**2 / 4) / (1 + square)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def interval(error: float, rows: int, classes: int) -> tuple[float, float]:
    """Return the Wilson interval of a nearest neighbour's error, mapped through the Cover-Hart bound."""
    low, high = bayes_error(wilson(error, rows), classes)
    return float(low), float(high)


def flipped_share(redrawn: float, classes: int) -> float:
    """Return the share of wrong labels when a share ``redrawn`` (rho) is drawn anew, uniformly over all classes."""
    return redrawn * (1 - 1 / classes)


def noisy_error(clean: float, redrawn: float, classes: int) -> float:
    """Return the Bayes error under uniform label noise: R + rho (1 - 1/C - R)."""
    return clean + redrawn * (1 - 1 / classes - clean)


def clean_error(noisy: float, redrawn: float, classes: int) -> float:
    """Return the Bayes error without uniform label noise, (R_rho - rho (1 - 1/C)) / (1 - rho), at least 0.

    Raises
    ------
    InvalidDataError
        When ``redrawn`` is not in [0, 1): labels that are all drawn at random tell nothing.
    """
    if not 0 <= redrawn < 1:
        raise InvalidDataError(f"A noise rate of {redrawn} is not possible.", mend="Give one in [0, 1).")
    return max((noisy - flipped_share(redrawn, classes)) / (1 - redrawn), 0.0)


def noisy_range(clean: float, flipped: float) -> tuple[float, float]:
    """Return the range of the Bayes error under class-dependent noise that flips a share ``flipped`` (d) of labels.

    d <= R_noisy <= d + R holds whenever no class is more often called another one than itself.
    """
    return flipped, min(flipped + clean, 1.0)


def redraw_rate(noisy: float, clean: float, classes: int) -> float:
    """Return the rate of uniform noise that turns the Bayes error ``clean`` into ``noisy``, in [0, 1]."""
    room = 1 - 1 / classes - clean
    return min(max((noisy - clean) / room, 0.0), 1.0) if room > 0 else 0.0


def labels_to_clean(noisy: float, redrawn: float, target_error: float, rows: int, classes: int) -> int | None:
    """Return how many rows, at random, must be cleaned until the Bayes error is at most ``target_error``.

    Parameters
    ----------
    noisy : float
        Bayes error with the labels as they are.
    redrawn : float
        Rate of uniform noise in them, [0, 1).
    target_error : float
        1 - target accuracy.
    rows, classes : int
        n, C.

    Returns
    -------
    int or None
        0: none; None: not even clean labels reach the target.
    """
    if noisy <= target_error:
        return 0
    clean = clean_error(noisy, redrawn, classes)
    if clean > target_error or redrawn == 0:
        return None
    # Cleaning a random row takes it out of the noise: the rate falls linearly with the share of cleaned rows.
    allowed = redraw_rate(target_error, clean, classes)
    return math.ceil(rows * (1 - allowed / redrawn))
