"""What a valuation is made from: training and validation rows with their labels, checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError, InvalidDataError
from easeml.market.neighbours import Floats, Ints, Ranking, matches

_LARGEST = 1e100  # squares and their sums still fit a double


class Inputs(NamedTuple):
    """Training and validation rows.

    Parameters
    ----------
    x : ndarray of float64, shape (n, d)
        Training rows.
    labels : ndarray
        Their codes int64[n], or class probabilities float64[n, c].
    queries : ndarray of float64, shape (v, d)
        Validation rows.
    codes : ndarray of int64, shape (v,)
        Their classes.
    """

    x: Floats
    labels: npt.NDArray[Any]
    queries: Floats
    codes: Ints

    @classmethod
    def checked(
        cls,
        x_train: npt.ArrayLike,
        y_train: npt.ArrayLike | None,
        x_val: npt.ArrayLike,
        y_val: npt.ArrayLike,
        *,
        proba: npt.ArrayLike | None = None,
        n_classes: int | None = None,
    ) -> Self:
        """Return rows as they are given by a caller.

        Raises
        ------
        InvalidDataError
            When they do not fit each other, or a class is not below ``n_classes``.
        """
        x, labels = labelled_rows(x_train, y_train, proba, "training", n_classes=n_classes)
        queries = feature_matrix(x_val, "validation", x.shape[1])
        return cls(x, labels, queries, label_codes(y_val, len(queries), "validation", n_classes))

    def mean(self, sums: Floats) -> Floats:
        """Return sums over the validation rows as means; 0 without any."""
        return np.asarray(sums / max(len(self.queries), 1), np.float64)

    def ranked(self, nearest: int | None = None) -> Iterator[tuple[int, Ints, Floats]]:
        """Yield, per validation row, its class, the nearest training rows in order, and how surely each matches."""
        if not len(self.x):
            return
        for part, orders in Ranking(self.x).orders(self.queries, nearest):
            for code, order in zip(self.codes[part].tolist(), orders, strict=True):
                yield code, order, matches(self.labels, code).take(order)


def labelled_rows(
    x: npt.ArrayLike,
    y: npt.ArrayLike | None,
    proba: npt.ArrayLike | None,
    what: str,
    width: int | None = None,
    *,
    n_classes: int | None = None,
) -> tuple[Floats, npt.NDArray[Any]]:
    """Return features float64[n, d] and labels: codes int64[n], or probabilities float64[n, c].

    Raises
    ------
    InvalidDataError
        When they do not fit each other, or there are neither labels nor probabilities.
    """
    rows = feature_matrix(x, what, width)
    if proba is not None:
        return rows, class_probabilities(proba, len(rows), what, n_classes)
    if y is None:
        raise InvalidDataError(f"The {what} rows have no labels.", mend="Give class codes or class probabilities.")
    return rows, label_codes(y, len(rows), what, n_classes)


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
