"""What is done to an encoder's matrix before a model sees it: each step as plain arrays, fitted elsewhere.

A step knows the width it takes and tells the width it gives, so that a loaded chain is checked before native code
follows it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from easeml.artifacts.arrays import is_finite, is_indices, need

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_LARGEST = 1e100  # of a centre or an axis: coordinates of encoded rows stay finite


class Clipped:
    """Every number within [-limit, limit].

    Parameters
    ----------
    limit : float
        In standard deviations of the training rows, above 0.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def apply(self, matrix: Floats) -> Floats:
        """Return float64[n, d] for ``matrix`` float64[n, d]."""
        return np.clip(matrix, -self.limit, self.limit)

    def width(self, columns: int) -> int:
        """Return how many columns come of ``columns``; ArtifactError when it does not take that many."""
        need(type(self.limit) is float and 0 < self.limit < np.inf, "clips at no number")
        return columns


class Ranks:
    """Normal scores of ranks in some columns: order counts, distance does not.

    Parameters
    ----------
    columns : int64[c]
        Which ones.
    quantiles : float64[q, c]
        Quantiles of the training rows, from the smallest to the largest value.
    """

    def __init__(self, columns: Codes, quantiles: Floats) -> None:
        self.columns = columns
        self.quantiles = quantiles

    def apply(self, matrix: Floats) -> Floats:
        """Return float64[n, d] for ``matrix`` float64[n, d]; equal values have the middle of their ranks."""
        found = matrix.copy()
        share = np.linspace(0, 1, len(self.quantiles))
        edge = 0.5 / max(len(self.quantiles), 2)
        for column, values in zip(self.columns.tolist(), self.quantiles.T, strict=True):
            rising = np.interp(matrix[:, column], values, share)
            falling = np.interp(-matrix[:, column], -values[::-1], share)
            found[:, column] = ndtri(np.clip((rising + 1 - falling) / 2, edge, 1 - edge))
        return found

    def width(self, columns: int) -> int:
        """Return how many columns come of ``columns``; ArtifactError when it does not take that many."""
        _within(self.columns, columns)
        count = len(self.quantiles)
        need(count > 0 and is_finite(self.quantiles, count, len(self.columns)), "ranks by quantiles of another shape")
        return columns


class Selection:
    """Some columns only.

    Parameters
    ----------
    columns : int64[c]
        Which ones.
    """

    def __init__(self, columns: Codes) -> None:
        self.columns = columns

    def apply(self, matrix: Floats) -> Floats:
        """Return float64[n, c] for ``matrix`` float64[n, d]."""
        return np.ascontiguousarray(matrix[:, self.columns])

    def width(self, columns: int) -> int:
        """Return how many columns come of ``columns``; ArtifactError when it does not take that many."""
        _within(self.columns, columns)
        return len(self.columns)


class Projection:
    """Coordinates along some axes: principal components, whitened ones, concepts of texts.

    Parameters
    ----------
    centre : float64[d]
        Origin.
    axes : float64[d, c]
        Axes.
    """

    def __init__(self, centre: Floats, axes: Floats) -> None:
        self.centre = centre
        self.axes = axes

    def apply(self, matrix: Floats) -> Floats:
        """Return float64[n, c] for ``matrix`` float64[n, d]."""
        return np.asarray((matrix - self.centre) @ self.axes)

    def width(self, columns: int) -> int:
        """Return how many columns come of ``columns``; ArtifactError when it does not take that many."""
        need(
            is_finite(self.centre, columns)
            and is_finite(self.axes, columns, *self.axes.shape[1:2])
            and float(np.abs(self.centre).max(initial=0.0)) <= _LARGEST
            and float(np.abs(self.axes).max(initial=0.0)) <= _LARGEST,
            "projects another number of columns than there are",
        )
        return int(self.axes.shape[1])


class Products:
    """All columns, and the products of some pairs of them.

    Parameters
    ----------
    left, right : int64[c]
        Columns of each pair.
    """

    def __init__(self, left: Codes, right: Codes) -> None:
        self.left = left
        self.right = right

    def apply(self, matrix: Floats) -> Floats:
        """Return float64[n, d + c] for ``matrix`` float64[n, d]."""
        return np.hstack([matrix, matrix[:, self.left] * matrix[:, self.right]])

    def width(self, columns: int) -> int:
        """Return how many columns come of ``columns``; ArtifactError when it does not take that many."""
        _within(self.left, columns)
        _within(self.right, columns)
        need(len(self.left) == len(self.right), "multiplies columns with nothing")
        return columns + len(self.left)


Step = Clipped | Ranks | Selection | Projection | Products
STEPS: frozenset[type] = frozenset({Clipped, Ranks, Selection, Projection, Products})


def _within(chosen: Codes, columns: int) -> None:
    need(is_indices(chosen, None, columns), "prepares columns which do not exist")
