"""Training rows by their distance from each validation row, in blocks of bounded memory.

Distance and row number share one integer, so that a plain sort of integers, without argsort or gather, orders rows by
distance and equally distant rows by number: the bits of a non-negative double, read as an integer, keep its order, and
its lowest ``ceil(log2 n)`` bits hold the row number instead. Distances that agree in the bits left count as tied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError, InvalidDataError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BLOCK = 64
"""Validation rows at once: the working memory is ``BLOCK`` x n doubles."""

_LARGEST = 1e100  # squares and their sums still fit a double


def feature_matrix(x: npt.ArrayLike, what: str, width: int | None = None) -> Floats:
    """Return ``x`` as float64[n, d], contiguous.

    Parameters
    ----------
    x : array_like, shape (n, d)
        Encoded features, finite.
    what : str
        What the rows are, for the error text.
    width : int, optional
        Columns there have to be.

    Raises
    ------
    InvalidDataError
        When it is no matrix, has another width, or holds NaN, infinity or numbers beyond 1e100.
    """
    try:
        matrix = np.ascontiguousarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"The {what} rows are no matrix of numbers: {error}.", mend="Encode categories and text first."
        ) from error
    if matrix.ndim != 2 or (width is not None and matrix.shape[1] != width):
        raise InvalidDataError(
            f"The {what} rows have shape {matrix.shape}, not (n, {'d' if width is None else width}).",
            mend="Give one row of features per example, with the same columns for all.",
        )
    bad = ~(np.abs(matrix) <= _LARGEST)
    if bad.any():
        row, column = np.argwhere(bad)[0].tolist()
        raise InvalidDataError(
            f"Row {row} of the {what} rows has {matrix[row, column]} in column {column}.",
            mend="Fill missing values and standardise first, as easeml.artifacts.Encoder does.",
        )
    return matrix


def label_codes(y: npt.ArrayLike, n: int, what: str, n_classes: int | None = None) -> Ints:
    """Return class codes as int64[n].

    Raises
    ------
    InvalidDataError
        When there is not one code >= 0 (and below ``n_classes``) per row.
    """
    codes = np.asarray(y)
    if codes.shape != (n,):
        raise InvalidDataError(f"{n} {what} rows have labels of shape {codes.shape}.", mend="Give one label per row.")
    if n and codes.dtype.kind not in "iub":
        raise InvalidDataError(
            f"The {what} labels have type {codes.dtype}.", mend="Give class codes: integers from 0, none missing."
        )
    bad = (codes < 0) | (codes >= n_classes) if n_classes is not None else codes < 0
    if bad.any():
        row = int(bad.argmax())
        domain = "" if n_classes is None else f" to {n_classes - 1}"
        raise InvalidDataError(
            f"Row {row} of the {what} rows has class {codes[row]}.",
            mend=f"Codes are 0{domain}; leave others out.",
        )
    return codes.astype(np.int64)


def class_probabilities(p: npt.ArrayLike, n: int, what: str, n_classes: int | None = None) -> Floats:
    """Return probabilities of the classes as float64[n, c].

    Raises
    ------
    InvalidDataError
        When there is not one distribution per row: numbers >= 0 that sum to 1 within 1e-6.
    """
    array = np.asarray(p, dtype=np.float64)
    if array.ndim != 2 or len(array) != n or (n_classes is not None and array.shape[1] != n_classes):
        raise InvalidDataError(
            f"{n} {what} rows have class probabilities of shape {array.shape}.",
            mend=f"Give one row of {'c' if n_classes is None else n_classes} probabilities per example.",
        )
    bad = ~((array >= 0).all(axis=1) & (np.abs(array.sum(axis=1) - 1) <= 1e-6))
    if bad.any():
        row = int(bad.argmax())
        raise InvalidDataError(
            f"Row {row} of the {what} rows has probabilities {array[row].tolist()}.",
            mend="Probabilities are >= 0 and sum to 1.",
        )
    return array


def check_k(k: int) -> None:
    """Refuse a number of neighbours below 1.

    Raises
    ------
    ConfigurationError
    """
    if not isinstance(k, int | np.integer) or k < 1:
        raise ConfigurationError(f"k={k!r} neighbours cannot be counted.", mend="Use an integer of at least 1.")


def squared_distances(queries: Floats, rows: Floats) -> Floats:
    """Return squared Euclidean distances float64[q, n], none negative.

    The caller centres the features: what is far from the origin cancels.
    """
    distances = queries @ rows.T
    distances *= -2
    distances += np.einsum("ij,ij->i", rows, rows)
    distances += np.einsum("ij,ij->i", queries, queries)[:, None]
    return np.maximum(distances, 0.0, out=distances)


class Ranking:
    """Rows to be ordered by distance.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
        Training rows, n >= 1.

    Attributes
    ----------
    mask : int
        Bits of a key that hold the row number.
    """

    def __init__(self, rows: Floats) -> None:
        self._origin = rows.mean(axis=0)
        self._rows = rows - self._origin
        self._numbers = np.arange(len(rows), dtype=np.int64)
        self.mask = np.int64((1 << max(len(rows) - 1, 0).bit_length()) - 1)

    def blocks(self, queries: Floats, nearest: int | None = None) -> Iterator[tuple[slice, Ints]]:
        """Yield which queries, and for each the keys of all (or the ``nearest``) rows in ascending order.

        Parameters
        ----------
        queries : ndarray of float64, shape (v, d)
        nearest : int, optional

        Yields
        ------
        slice, ndarray of int64, shape (b, n) or (b, nearest)
            ``key & mask`` is the row number.
        """
        n = len(self._rows)
        for start in range(0, len(queries), BLOCK):
            part = slice(start, min(start + BLOCK, len(queries)))
            keys = self.keys(queries[part])
            if nearest is not None and nearest < n:
                keys.partition(nearest - 1, axis=1)
                keys = np.ascontiguousarray(keys[:, :nearest])
            keys.sort(axis=1)
            yield part, keys

    def orders(self, queries: Floats, nearest: int | None = None) -> Iterator[tuple[slice, Ints]]:
        """Yield the same as :meth:`blocks` with row numbers in place of keys."""
        for part, keys in self.blocks(queries, nearest):
            np.bitwise_and(keys, self.mask, out=keys)
            yield part, keys

    def keys(self, queries: Floats) -> Ints:
        """Return the keys of all rows, in their own order: int64[q, n]."""
        keys = squared_distances(queries - self._origin, self._rows).view(np.int64)
        keys &= ~self.mask
        keys |= self._numbers
        return keys

    def behind(self, queries: Floats, others: Floats) -> Ints:
        """Return keys of rows that do not belong to the ranking: each sorts behind rows as near as itself."""
        keys = squared_distances(queries - self._origin, others - self._origin).view(np.int64)
        keys |= self.mask
        return keys


def matches(labels: npt.NDArray[Any], code: int) -> Floats:
    """Return how surely each row has class ``code``: float64[n].

    Parameters
    ----------
    labels : ndarray
        Codes int64[n], or probabilities float64[n, c].
    code : int
    """
    if labels.ndim == 1:
        return np.asarray(labels == code, np.float64)
    if code >= labels.shape[1]:
        return np.zeros(len(labels))
    return np.ascontiguousarray(labels[:, code])
