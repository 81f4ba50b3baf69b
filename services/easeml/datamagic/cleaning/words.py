"""A column as distinct texts: what schema inference looks at, whatever the cells are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.datamagic.cleaning.missing import TOKENS, WEAK_TOKENS
from easeml.errors import InvalidDataError
from easeml.relation.columns import RowNames, text_of

_ROWS = 1 << 14
"""Rows whose words are counted at once."""


@dataclass(frozen=True, slots=True)
class Words:
    """Distinct texts of a column.

    Parameters
    ----------
    codes : ndarray of int64, shape (n,)
        Text of each row; -1 where the cell is empty.
    texts : tuple of str
        Distinct values, stripped (so that two may be equal).
    raw : ndarray of object
        The same as they stood in the cells.
    counts : ndarray of int64
        Rows per text.
    missing, weak : ndarray of bool
        Texts that mean "missing" in any column; those that do only among numbers, dates and booleans.
    """

    codes: NDArray[np.int64]
    texts: tuple[str, ...]
    raw: NDArray[np.object_]
    counts: NDArray[np.int64]
    missing: NDArray[np.bool_]
    weak: NDArray[np.bool_]

    def spread(self, values: NDArray[Any], empty: Any) -> NDArray[Any]:
        """Return one value per row, given one per text."""
        out = np.append(values, np.array([empty], values.dtype))
        return out[self.codes]

    def present(self, *, weak: bool) -> NDArray[np.int64]:
        """Return the places of the texts that are values; ``weak``: leave the doubtful words out."""
        return np.flatnonzero(~self.missing & ~(self.weak if weak else np.zeros_like(self.weak)))


def words_of(name: str, series: pd.Series[Any], rows: RowNames) -> Words:
    """Return a column as distinct texts.

    Raises
    ------
    InvalidDataError
        When a cell holds a list, a mapping or another structure; names row and column.
    """
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, raw = series.cat.codes.to_numpy(np.int64), series.cat.categories.to_numpy(object)
    else:
        if series.dtype == object:
            series = _as_texts(name, series, rows)
        codes, raw = _distinct(series)
    texts = tuple(value.strip() if isinstance(value, str) else _text(value) for value in raw)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts)).astype(np.int64)
    return Words(
        np.asarray(codes, np.int64),
        texts,
        raw,
        counts,
        _among(texts, TOKENS),
        _among(texts, WEAK_TOKENS),
    )


def _among(texts: tuple[str, ...], tokens: frozenset[str]) -> NDArray[np.bool_]:
    longest = max(map(len, tokens))
    return np.fromiter((len(text) <= longest and text.lower() in tokens for text in texts), np.bool_, len(texts))


def _distinct(series: pd.Series[Any]) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return the place of each row's value among the distinct ones, which are in the order of the rows.

    Slice by slice, for Arrow takes several times the memory of the words that it counts.
    """
    starts = range(0, len(series), _ROWS) if isinstance(series.dtype, pd.StringDtype) else range(0)
    if len(starts) < 2:
        places, uniques = pd.factorize(series)
        return np.asarray(places, np.int64), np.asarray(uniques, object)
    codes = np.empty(len(series), np.int64)
    found: list[NDArray[np.object_]] = []
    ends = 0
    for start in starts:
        places, uniques = pd.factorize(series.iloc[start : start + _ROWS])
        codes[start : start + _ROWS] = np.where(places < 0, -1, places + ends)
        found.append(np.asarray(uniques, object))
        ends += len(uniques)
    joined, raw = pd.factorize(np.concatenate(found))
    return np.append(joined, -1)[codes], raw


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else text_of(value)


def _as_texts(name: str, series: pd.Series[Any], rows: RowNames) -> pd.Series[Any]:
    """Return object cells as texts, for 1, 1.0 and True are one value to pandas but not to the reader of a file."""
    if pd.api.types.infer_dtype(series, skipna=True) in ("string", "empty"):
        return series
    out = np.empty(len(series), object)
    for place, value in enumerate(series):
        if isinstance(value, list | tuple | dict | set | np.ndarray):
            raise InvalidDataError(
                f"Column {name!r}, {rows[place]}: the cell holds a {type(value).__name__}.",
                mend="Flatten nested values into columns of their own, or give arrays of one shape in every row.",
            )
        out[place] = None if pd.isna(value) else value if isinstance(value, str) else _text(value)
    return pd.Series(out, index=series.index, dtype=object)
