"""Learning curve: what more rows of the same kind would bring.

error(n) = floor + scale n^-exponent is fitted to models trained on sub-samples; its uncertainty is that of the rows it
was measured on and of the sub-samples drawn, by the bootstrap.

Source: power law with a floor as in Hestness et al., 2017 (arXiv 1712.00409) and Viering & Loog, TPAMI 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from easeml.advisor.estimate import Estimate
from easeml.advisor.learning import Learner, Sample, right

Floats = NDArray[np.float64]

TELLING = 100
"""Rows from which on a curve can tell that a target is out of reach."""
SHARES = (0.2, 0.35, 0.55, 0.8, 1.0)
REPEATS = (4, 4, 3, 2, 1)
_EXPONENTS = np.linspace(0.2, 1.5, 27)
_DRAWS = 200
_SMALLEST = 8


@dataclass(frozen=True)
class Curve:
    """A fitted curve.

    Parameters
    ----------
    sizes, errors : ndarray of float64, shape (s,)
        Training rows, ascending, and the mean error measured with them.
    law : ndarray of float64, shape (3,)
        Floor, scale, exponent.
    draws : ndarray of float64, shape (b, 3)
        The law fitted to each bootstrap sample.
    bare : ndarray of float64, shape (3,)
        The law fitted with a floor of 0.
    """

    sizes: Floats
    errors: Floats
    law: Floats
    draws: Floats
    bare: Floats

    @property
    def rows(self) -> int:
        """Training rows there are."""
        return int(self.sizes[-1])

    @property
    def floor(self) -> Estimate:
        """Error that no number of rows gets under."""
        return Estimate(float(self.law[0]), *_ends(self.draws[:, 0]))

    def gain(self, more: float) -> Estimate:
        """Return the accuracy that ``more`` rows add."""
        now, then = float(self.rows), self.rows + more
        value = float(error_at(self.law, now) - error_at(self.law, then))
        low, high = _ends(error_at(self.draws, now) - error_at(self.draws, then))
        # What is extrapolated need not follow any law, the less so the fewer rows it was seen on: a factor either way
        # (4 from 25 rows, 1.75 from 400), the law without a floor, and from few rows a usual law.
        factor = 1 + 15 / math.sqrt(self.rows)
        usual = float(self.errors[-1]) * (1 - math.sqrt(now / then)) if self.rows < TELLING else 0.0
        bare = float(error_at(self.bare, now) - error_at(self.bare, then))
        return Estimate(
            value, min(low, value / factor), min(max(high, factor * value, bare, usual), float(self.errors[-1]))
        )

    def rows_for(self, gain: float) -> float:
        """Return how many more rows gain that much: infinite where the floor is in the way."""
        floor, scale, exponent = (float(part) for part in self.law)
        left = float(error_at(self.law, float(self.rows))) - gain - floor
        if left <= 0 or scale <= 0:
            return math.inf
        return float(max(0.0, (scale / left) ** (1 / exponent) - self.rows))


def error_at(law: Floats, rows: float) -> Floats:
    """Return the error of laws float64[..., 3] at a number of rows."""
    return np.asarray(law[..., 0] + law[..., 1] * rows ** -law[..., 2])


def fit_power_law(sizes: Floats, errors: Floats, weights: Floats) -> Floats:
    """Return floor, scale and exponent by least squares, floor and scale >= 0.

    Parameters
    ----------
    sizes, errors, weights : ndarray of float64, shape (s,)
        Training rows, errors, and how much each counts.

    Examples
    --------
    >>> sizes = np.array([50.0, 100.0, 200.0, 400.0])
    >>> law = fit_power_law(sizes, 0.05 + 2 / sizes, np.ones(4))
    >>> law.round(3).tolist()
    [0.05, 2.0, 1.0]
    """
    return np.asarray(_fit_all(sizes, errors[None], weights)[0])


def _fit_all(sizes: Floats, errors: Floats, weights: Floats) -> Floats:
    """Return the law of each row of ``errors`` float64[b, s]: for each exponent the other two are a closed form."""
    share = weights / weights.sum()
    best, laws = np.full(len(errors), np.inf), np.zeros((len(errors), 3))
    mean = errors @ share
    for exponent in _EXPONENTS:
        falls = sizes**-exponent
        centre = float(falls @ share)
        spread = float((falls - centre) ** 2 @ share)
        slope = np.maximum(((errors - mean[:, None]) * (falls - centre)) @ share / max(spread, 1e-300), 0.0)
        floor = mean - slope * centre
        through_zero = (errors * falls) @ share / float(falls**2 @ share)
        slope, floor = np.where(floor < 0, through_zero, slope), np.maximum(floor, 0.0)
        loss = (floor[:, None] + slope[:, None] * falls - errors) ** 2 @ share
        better = loss < best - 1e-15
        best = np.where(better, loss, best)
        laws[better] = np.column_stack([floor, slope, np.full(len(errors), exponent)])[better]
    return laws


def _without_floor(sizes: Floats, errors: Floats, weights: Floats) -> Floats:
    """Return the law with floor 0 by least squares of the logarithms; an error that rises gives a flat one."""
    exponent, scale = np.polyfit(np.log(sizes), np.log(np.maximum(errors, 1e-4)), 1, w=np.sqrt(weights))
    return np.array([0.0, math.exp(scale), max(-float(exponent), 0.0)])


def learning_curve(learner: Learner, train: Sample, validation: Sample, rng: np.random.Generator) -> Curve:
    """Measure and fit the curve of a learner.

    Parameters
    ----------
    learner : Learner
        What is trained.
    train, validation : Sample
        Labelled rows to train on and to be measured with.
    rng : Generator
        Draws the sub-samples and the bootstrap.
    """
    counts = [max(round(part * len(train)), min(_SMALLEST, len(train))) for part in SHARES]
    wrongs = [
        np.array([1 - right(learner.fit(train.at(_some(train, count, rng))), validation) for _ in range(repeats)])
        for count, repeats in zip(counts, REPEATS, strict=True)
    ]
    sizes, errors = np.array(counts, np.float64), np.array([wrong.mean() for wrong in wrongs])
    weights = np.sqrt(np.array(REPEATS, np.float64))
    drawn = np.empty((_DRAWS, len(sizes)))
    for draw in range(_DRAWS):
        rows = rng.integers(len(validation), size=len(validation))
        for place, wrong in enumerate(wrongs):
            drawn[draw, place] = wrong[rng.integers(len(wrong), size=len(wrong))][:, rows].mean()
    law, laws = fit_power_law(sizes, errors, weights), _fit_all(sizes, drawn, weights)
    return Curve(sizes, errors, law, laws, _without_floor(sizes, errors, weights))


def _some(train: Sample, size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return random rows, among them one of each class (as far as ``size`` goes): nothing can learn from one class."""
    order = rng.permutation(len(train))
    firsts = order[np.unique(train.labels[order], return_index=True)[1]][: max(size, 2)]
    rest = order[~np.isin(order, firsts)]
    return np.concatenate([firsts, rest])[: max(size, 2)]


def _ends(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, (0.05, 0.95))
    return float(low), float(high)
