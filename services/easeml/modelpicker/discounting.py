"""Sums that fade from row to row."""

from __future__ import annotations

import numpy as np

from easeml.modelpicker.voting import Floats


def discounted(start: Floats, fades: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return the sums before each row, shape (n, ...), and after the last, from s <- s fade + value.

    Parameters
    ----------
    start : ndarray of float64, shape (...)
    fades : ndarray of float64, shape (n, ...)
        Shapes of 1 are broadcast.
    values : ndarray of float64, shape (n, ...)

    Examples
    --------
    >>> discounted(np.array([8.0]), np.full((2, 1), 0.5), np.array([[1.0], [0.0]]))
    (array([[8.],
           [5.]]), array([2.5]))
    """
    sums = np.empty((len(values) + 1, *start.shape))
    sums[0] = start
    for before, after, fade, value in zip(sums, sums[1:], fades, values, strict=False):
        np.multiply(before, fade, out=after)
        np.add(after, value, out=after)
    return sums[:-1], sums[-1].copy()
