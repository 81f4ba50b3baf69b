"""Typed columns: inferred from a pandas series, encoded to dense arrays, decoded for people.

Numeric and datetime cells are float64 (datetimes: seconds since 1970 UTC, kept to the microsecond), boolean and
categorical cells int32 codes, texts Python strings, tensors float64. Missing: NaN, -1, None, all NaN.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError
from easeml.stream.payloads import Column, ColumnKind


class RowNames:
    """How errors name the rows of a frame: by their ids, or by where they stand when nobody gave ids.

    Parameters
    ----------
    ids : sequence of str, optional
        Ids that the caller knows.
    index : Index, optional
        Index of the frame; its name, if any, says what it counts (``line 3002``).
    """

    __slots__ = ("_ids", "_index")

    def __init__(self, ids: Sequence[str] | None = None, index: pd.Index[Any] | None = None) -> None:
        self._ids = ids
        self._index = index

    def __getitem__(self, place: int) -> str:
        if self._ids is not None:
            return f"row {self._ids[place]!r}"
        if self._index is None:
            return f"row {place} (of the frame)"
        label = self._index[place]
        return f"row {label} (of the frame)" if self._index.name is None else f"{self._index.name} {label}"


MOST_CATEGORIES = 256
"""A column of strings with more distinct values is text."""
MOSTLY = 0.9
"""From this share of numbers on, the other values of a column are taken for mistakes."""
_LOOKED_AT = 10_000
_UNSEEN = -2
_EXACT = 2.0**53
_TRUTH = {"true": 1.0, "false": 0.0}


def infer(name: str, series: pd.Series[Any], rows: RowNames) -> Column:
    """Return the column that fits a series.

    Strings are categories when there are at most 256 distinct ones and each occurs twice on average, else text.

    Raises
    ------
    InvalidDataError
        When the values have no common type, or nearly all are numbers: the rest would make them text for ever.
    """
    kinds = pd.api.types
    if kinds.is_bool_dtype(series.dtype):
        return Column(name, ColumnKind.BOOLEAN)
    if kinds.is_numeric_dtype(series.dtype):
        return Column(name, ColumnKind.NUMERIC)
    if kinds.is_datetime64_any_dtype(series.dtype):
        return Column(name, ColumnKind.DATETIME)
    if isinstance(series.dtype, pd.CategoricalDtype):
        return Column(name, ColumnKind.CATEGORICAL, tuple(map(text_of, series.dtype.categories)))
    present = series.dropna()
    kind = pd.api.types.infer_dtype(present, skipna=True)
    if kind == "string":
        codes, words = pd.factorize(present)
        _refuse_spoilt(name, np.asarray(words, object), np.bincount(codes), series, rows)
        if len(words) <= MOST_CATEGORIES and 2 * len(words) <= len(present):
            return Column(name, ColumnKind.CATEGORICAL, tuple(sorted(words)))
    if kind in ("mixed", "mixed-integer"):
        _refuse_spoilt(name, present.to_numpy(object), np.ones(len(present), np.int64), series, rows)
    if kind in ("string", "empty"):
        return Column(name, ColumnKind.TEXT)
    plain = {
        "boolean": ColumnKind.BOOLEAN,
        "date": ColumnKind.DATETIME,
        "decimal": ColumnKind.NUMERIC,
        "floating": ColumnKind.NUMERIC,
        "integer": ColumnKind.NUMERIC,
        "mixed-integer-float": ColumnKind.NUMERIC,
        "datetime": ColumnKind.DATETIME,
        "datetime64": ColumnKind.DATETIME,
    }
    if kind in plain:
        return Column(name, plain[kind])
    if all(isinstance(value, np.ndarray) for value in present):
        return Column(name, ColumnKind.TENSOR, shape=tuple(map(int, present.iloc[0].shape)))
    raise InvalidDataError(
        f"Column {name!r} holds {kind} values.", mend="Convert it to numbers, booleans, dates, strings or arrays."
    )


def _refuse_spoilt(
    name: str, values: NDArray[np.object_], counts: NDArray[np.int64], series: pd.Series[Any], rows: RowNames
) -> None:
    """Refuse numbers with a few words among them; only words or only numbers are fine."""
    total, words = int(counts.sum()), 0
    for start in range(0, len(values), _LOOKED_AT):
        part = slice(start, start + _LOOKED_AT)
        words += int(counts[part][np.isnan(pd.to_numeric(values[part], errors="coerce").astype(float))].sum())
        if words > (1 - MOSTLY) * total:
            return
    if not words:
        return
    odd = (series.notna() & pd.to_numeric(series.astype(object), errors="coerce").isna()).to_numpy()
    row = int(np.argmax(odd))
    raise InvalidDataError(
        f"Column {name!r}: {total - words:,} of {total:,} values are numbers; {rows[row]} is "
        f"{shown(series.iloc[row])}.",
        mend="Correct it or leave it empty; if the column is no number at all, make it categorical in the frame.",
    )


def text_of(value: Any) -> str:
    """Return a value as category or class name; whole floats lose their point, for pandas made them from integers.

    >>> text_of(1.0), text_of("a"), text_of(True)
    ('1', 'a', 'True')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def texts_of(values: Any) -> NDArray[np.object_]:
    """Return values as an object array of strings, None where missing."""
    series = pd.Series(values)
    if isinstance(series.dtype, pd.StringDtype):
        return np.where(series.isna(), None, series.to_numpy(object))  # type: ignore[call-overload,no-any-return]
    out = np.empty(len(series), object)
    out[:] = [
        None if gone else text_of(value) for gone, value in zip(series.isna(), series.astype(object), strict=True)
    ]
    return out


def codes_of(values: Any, domain: Sequence[str], rows: RowNames, what: str) -> NDArray[np.int32]:
    """Return the codes of values in a domain, -1 where missing.

    Raises
    ------
    InvalidDataError
        When a value is not in the domain; names the row.
    """
    texts = texts_of(values)
    codes = _codes(texts, domain)
    if (codes == _UNSEEN).any():
        row = int(np.argmax(codes == _UNSEEN))
        raise InvalidDataError(
            f"{what}, {rows[row]}: {texts[row]!r} is not one of {_some(domain)}.",
            mend="Correct the value, or add it to the app's definition.",
        )
    return codes


def _codes(texts: NDArray[np.object_], domain: Sequence[str]) -> NDArray[np.int32]:
    places = {value: code for code, value in enumerate(domain)}
    found, words = pd.factorize(texts)
    codes = np.array([*(places.get(word, _UNSEEN) for word in words), -1], np.int32)
    return np.asarray(codes[found], np.int32)


def unseen_of(column: Column, series: pd.Series[Any]) -> list[tuple[int, str]]:
    """Return the values of a series that a categorical column does not know: place and text of each."""
    if column.kind is not ColumnKind.CATEGORICAL:
        return []
    texts = texts_of(series)
    return [(int(row), texts[row]) for row in np.flatnonzero(_codes(texts, column.categories) == _UNSEEN)]


def _some(domain: Sequence[str]) -> str:
    return ", ".join(domain[:8]) + (f" and {len(domain) - 8} more" if len(domain) > 8 else "")


def encode(column: Column, series: pd.Series[Any], rows: RowNames) -> NDArray[Any]:
    """Return the dense array of a series: (n,) or, for tensors, (n, size).

    Raises
    ------
    InvalidDataError
        When a value does not fit the column; names column and row.
    """
    match column.kind:
        case ColumnKind.NUMERIC:
            return _finite(column, _numbers(column, series, rows), rows)
        case ColumnKind.DATETIME:
            return _seconds(column, series, rows)
        case ColumnKind.BOOLEAN:
            return _truths(column, series, rows)
        case ColumnKind.CATEGORICAL:
            return codes_of(series, column.categories, rows, f"Column {column.name!r}")
        case ColumnKind.TEXT:
            return texts_of(series)
        case ColumnKind.TENSOR:
            return _tensors(column, series, rows)


def shown(value: Any) -> str:
    """Return a cell as messages show it: as the file writes it, without the type that holds it here.

    >>> import numpy as np
    >>> shown(np.float64("inf")), shown("oops")
    ('inf', "'oops'")
    """
    return repr(value.item() if isinstance(value, np.generic) else value)


def _refuse(column: Column, row: str, value: Any) -> InvalidDataError:
    return InvalidDataError(
        f"Column {column.name!r}, {row}: {shown(value)} is not a {column.kind} value.",
        mend="Correct the value or leave it empty.",
    )


def _numbers(column: Column, series: pd.Series[Any], rows: RowNames) -> NDArray[np.float64]:
    if pd.api.types.is_datetime64_any_dtype(series.dtype):
        raise _refuse(column, rows[0], series.iloc[0])
    try:
        numbers: NDArray[np.float64] = series.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        parsed = pd.to_numeric(series.astype(object), errors="coerce")
        row = int(np.argmax((parsed.isna() & series.notna()).to_numpy()))
        raise _refuse(column, rows[row], series.iloc[row]) from error
    for row in np.flatnonzero(np.abs(numbers) >= _EXACT).tolist():
        value = series.iloc[row]
        if isinstance(value, int | np.integer) and int(numbers[row]) != int(value):
            raise InvalidDataError(
                f"Column {column.name!r}, {rows[row]}: {value} is too large to be exact.",
                mend="Numbers are 64-bit floats; give identifiers as text.",
            )
    return numbers


def _finite(column: Column, numbers: NDArray[np.float64], rows: RowNames) -> NDArray[np.float64]:
    infinite = np.isinf(numbers).any(axis=tuple(range(1, numbers.ndim)))
    if infinite.any():
        raise _refuse(column, rows[int(np.argmax(infinite))], "inf")
    return numbers


def _seconds(column: Column, series: pd.Series[Any], rows: RowNames) -> NDArray[np.float64]:
    try:
        moments = pd.to_datetime(series, utc=True, format="ISO8601")
    except (TypeError, ValueError) as error:
        parsed = pd.to_datetime(series, utc=True, format="ISO8601", errors="coerce")
        row = int(np.argmax((parsed.isna() & series.notna()).to_numpy()))
        raise InvalidDataError(
            f"Column {column.name!r}, {rows[row]}: {shown(series.iloc[row])} is not a date.",
            mend="Give ISO 8601 dates or datetime values.",
        ) from error
    ticks = moments.dt.tz_localize(None).to_numpy("datetime64[us]")
    seconds = ticks.astype(np.int64) / 1e6
    seconds[np.isnat(ticks)] = np.nan
    return np.asarray(seconds, np.float64)


def moments_of(seconds: NDArray[np.float64]) -> NDArray[np.datetime64]:
    """Return seconds since 1970 as datetime64[us]; NaN becomes NaT.

    Whole and fractional part are rounded apart: the product with 1e6 would lose the last microsecond after 2040.
    """
    known = np.isfinite(seconds)
    whole = np.floor(np.where(known, seconds, 0.0))
    ticks = whole.astype(np.int64) * 1_000_000 + np.rint((np.where(known, seconds, 0.0) - whole) * 1e6).astype(np.int64)
    moments = ticks.astype("datetime64[us]")
    moments[~known] = np.datetime64("NaT")
    return moments


def _truths(column: Column, series: pd.Series[Any], rows: RowNames) -> NDArray[np.int32]:
    if series.dtype == bool:
        return series.to_numpy(np.int32)
    codes = np.full(len(series), -1, np.int32)
    for row, value in enumerate(series.astype(object)):
        if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
            continue
        truth = _TRUTH.get(value.lower()) if isinstance(value, str) else value
        if truth not in (0, 1):
            raise _refuse(column, rows[row], value)
        codes[row] = int(truth)
    return codes


def _tensors(column: Column, series: pd.Series[Any], rows: RowNames) -> NDArray[np.float64]:
    out = np.full((len(series), width(column)), np.nan)
    for row, value in enumerate(series):
        if value is None:
            continue
        if np.shape(value) != column.shape:
            raise _refuse(column, rows[row], f"array of shape {np.shape(value)}")
        out[row] = np.asarray(value, np.float64).ravel()
    return _finite(column, out, rows)


def width(column: Column) -> int:
    """Return how many numbers a cell takes in its block."""
    return int(np.prod(column.shape, dtype=np.int64)) if column.kind is ColumnKind.TENSOR else 1


def cell_number(column: Column, value: Any) -> float:
    """Return a single value as the number that stands for it: itself, seconds, 0/1 or a code.

    Raises
    ------
    InvalidDataError
        When the value does not fit the column, or the column is text or tensor.
    """
    if column.kind in (ColumnKind.TEXT, ColumnKind.TENSOR):
        raise InvalidDataError(f"Column {column.name!r}: a {column.kind} value is not a number.")
    if column.kind is ColumnKind.NUMERIC and isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise _refuse(column, "cell", value) from None
    number = float(encode(column, pd.Series([value]), RowNames(("-",)))[0])
    if np.isnan(number) or (column.kind in (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL) and number < 0):
        raise _refuse(column, "cell", value)
    return number


def cell_value(column: Column, number: float, texts: Sequence[str]) -> Any:
    """Return what ``cell_number`` encoded, for people; ``number`` is an index into ``texts`` for text columns."""
    match column.kind:
        case ColumnKind.TEXT:
            return texts[int(number)]
        case ColumnKind.CATEGORICAL:
            return column.categories[int(number)]
        case ColumnKind.BOOLEAN:
            return bool(number)
        case ColumnKind.DATETIME:
            return pd.Timestamp(moments_of(np.array([number]))[0], tz="UTC")
        case _:
            return float(number)


def cell_text(kind: ColumnKind, value: Any) -> str:
    """Return a value as text from which the same value is read."""
    match kind:
        case ColumnKind.NUMERIC:
            return repr(float(value))
        case ColumnKind.BOOLEAN:
            return "true" if value else "false"
        case ColumnKind.DATETIME:
            return str(pd.Timestamp(value).isoformat())
        case ColumnKind.TENSOR:
            return json.dumps(np.asarray(value).tolist())
        case _:
            return str(value)
