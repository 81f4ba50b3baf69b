"""How the error goes on falling with more rows: a power law with a floor.

>>> import numpy as np
>>> rows = np.array([50, 100, 200, 400, 800])
>>> law = fit_power_law(rows, 0.1 + 2.0 / rows)
>>> round(law.floor, 3), law.rows_for(0.11), law.rows_for(0.09)
(0.1, 200, None)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

_POWERS = np.linspace(0.05, 1.0, 20)
"""Faster than 1/n no error falls that neighbours make."""
MOST_ROWS = 10**12
"""More samples than anybody has."""


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """error(n) = floor + scale n^-power.

    Source: Hestness et al., 2017; the published log-linear fit has no floor and misses twice as far.
    """

    floor: float
    scale: float
    power: float

    def __call__(self, rows: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the error at a number of rows."""
        return np.asarray(self.floor + self.scale * np.asarray(rows, np.float64) ** -self.power)

    def rows_for(self, error: float) -> int | None:
        """Return how many rows bring the error down to ``error``; None: never."""
        if error <= self.floor:
            return None
        if self.scale <= 0:
            return 1
        log = math.log(self.scale / (error - self.floor)) / self.power
        # The epsilon keeps an exact answer from being rounded up to the next row.
        return math.ceil(math.exp(log) - 1e-6) if log < math.log(MOST_ROWS) else None


def fit_power_law(rows: npt.ArrayLike, errors: npt.ArrayLike) -> PowerLaw:
    """Return the power law that fits a learning curve best, by least squares with floor and scale at least 0.

    Parameters
    ----------
    rows : array of float, shape (m,), positive
    errors : array of float, shape (m,)
        Errors at these numbers of rows; later errors count for more, as n, for they are nearer to what comes.

    Returns
    -------
    PowerLaw
        With fewer than three points a constant: nothing tells where the curve goes.
    """
    count = np.asarray(rows, np.float64)
    error = np.asarray(errors, np.float64)
    if len(count) < 3:
        return PowerLaw(float(error[-1]) if len(error) else 1.0, 0.0, 1.0)
    weight = count / count.max()
    best, law = np.inf, PowerLaw(float(error[-1]), 0.0, 1.0)
    for power in _POWERS:
        basis = np.stack([np.ones_like(count), (count / count.max()) ** -power], axis=1)
        (floor, scale), misfit = nnls(basis * weight[:, None], error * weight)
        if misfit < best - 1e-12:
            best, law = misfit, PowerLaw(float(floor), float(scale * count.max() ** power), float(power))
    return law
