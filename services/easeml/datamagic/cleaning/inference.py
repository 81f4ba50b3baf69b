"""The kind of one column, and its cells read by it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.datamagic.cleaning.amounts import AmountFormat, amount_format, amounts, plain_numbers
from easeml.datamagic.cleaning.dates import DateFormat, date_format, dates
from easeml.datamagic.cleaning.missing import sentinels
from easeml.datamagic.cleaning.words import Words, words_of
from easeml.errors import InvalidDataError
from easeml.relation.columns import MOST_CATEGORIES, MOSTLY, RowNames, text_of

Ints = NDArray[np.int64]

_PAIRS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("off", "on"))
_TRUTH = {word: float(truth) for pair in (*_PAIRS, ("0", "1")) for truth, word in enumerate(pair)}
_LONGEST_TRUTH = max(map(len, _TRUTH))
_ID_NAME = re.compile(r"(^|[_\s.-])(id|ids|key|uuid|guid|pk)$|^(rowid|row_?nr|row|index|nr|unnamed: 0)$", re.IGNORECASE)
_ID_CAMEL = re.compile(r"[a-z](Id|ID|Key)$")
_DATE_NAME = re.compile(r"date|datum|day|(^|_)(at|on|dt|time)$|timestamp", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_LEAST_IDS = 20
_EXACT = 2.0**53
_TARGETS = (
    ("target", "label", "labels", "class", "y", "outcome"),
    (
        "churned",
        "churn",
        "survived",
        "species",
        "diagnosis",
        "income",
        "default",
        "fraud",
        "spam",
        "result",
        "response",
    ),
    ("category", "quality", "type", "status", "rating", "sentiment", "decision", "approved"),
)
_MOST_TARGETS = 50


class Kind(StrEnum):
    """What a column is."""

    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    CATEGORICAL = "categorical"
    DATETIME = "datetime"
    TEXT = "text"
    TENSOR = "tensor"
    ID = "id"


@dataclass(frozen=True, slots=True)
class ColumnSchema:
    """What one column is and how its words are read.

    Parameters
    ----------
    name : str
        The column.
    kind : Kind
        What it holds.
    missing : float
        Share of rows without a value, missing tokens included, clashes not.
    distinct : int
        Distinct values.
    tokens : tuple of str
        Words that were taken for "missing", as they stand in the file.
    sentinels : tuple of float
        Numbers that may mean "missing"; they are kept.
    empty : bool
        Whether no row has a value.
    categories : tuple of str
        Domain of a categorical column, sorted.
    shape : tuple of int
        Shape of a tensor.
    amounts, dates
        How numbers and dates are written.
    """

    name: str
    kind: Kind
    missing: float = 0.0
    distinct: int = 0
    tokens: tuple[str, ...] = ()
    sentinels: tuple[float, ...] = ()
    empty: bool = False
    categories: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    amounts: AmountFormat = AmountFormat()
    dates: DateFormat = DateFormat()


def infer_column(
    name: str,
    series: pd.Series[Any],
    rows: RowNames,
    *,
    first: bool = False,
    label: bool = False,
    declared: Kind | None = None,
    day_first: bool | None = None,
) -> tuple[ColumnSchema, Ints]:
    """Return what a column is, and the places of the rows whose value clashes with it.

    Raises
    ------
    InvalidDataError
        When a cell holds a structure or the dates cannot be read; names the column and a row.
    """
    shape = _tensor_shape(series)
    if shape is not None and not label:
        gone = float(series.isna().mean())
        return ColumnSchema(name, Kind.TENSOR, gone, int(series.notna().sum()), shape=shape), np.empty(0, np.int64)
    typed = _typed(name, series, first=first, label=label) if declared is None else None
    if typed is not None:
        infinite = np.flatnonzero(_infinite(series)) if typed.kind is Kind.NUMERIC else np.empty(0, np.int64)
        return typed, infinite
    words = words_of(name, series, rows)
    if isinstance(series.dtype, pd.CategoricalDtype) and declared is None and not label:
        # Somebody has decided already, and on the order of the categories too.
        domain = tuple(dict.fromkeys(words.texts[place] for place in words.present(weak=False)))
        return _counted(ColumnSchema(name, Kind.CATEGORICAL, categories=domain), words)
    column = _read(name, words, first=first, label=label, declared=declared, day_first=day_first)
    if column.kind is Kind.DATETIME:
        _refuse_undecided(column, words, rows)
    return _counted(column, words)


def _tensor_shape(series: pd.Series[Any]) -> tuple[int, ...] | None:
    """Return the shape of a column of arrays, or of lists of numbers, of one shape; else None."""
    if series.dtype != object:
        return None
    present = series.dropna()
    if present.empty or not isinstance(present.iloc[0], np.ndarray | list | tuple):
        return None
    shapes = set()
    for value in present:
        if not isinstance(value, np.ndarray | list | tuple):
            return None
        try:
            shapes.add(np.asarray(value, np.float64).shape)
        except (TypeError, ValueError):
            return None
    shape = next(iter(shapes))
    return shape if len(shapes) == 1 and shape and 0 not in shape else None


def _infinite(series: pd.Series[Any]) -> NDArray[np.bool_]:
    numbers: NDArray[np.float64] = series.to_numpy(np.float64, na_value=np.nan)
    return np.isinf(numbers)


def _typed(name: str, series: pd.Series[Any], *, first: bool, label: bool) -> ColumnSchema | None:
    """Return the column of a series whose dtype says what it is; None when its words must be read."""
    kinds = pd.api.types
    boolean, moments = kinds.is_bool_dtype(series.dtype), kinds.is_datetime64_any_dtype(series.dtype)
    if isinstance(series.dtype, pd.CategoricalDtype) or not (boolean or moments or kinds.is_numeric_dtype(series)):
        return None
    gone, distinct = float(series.isna().mean()) if len(series) else 0.0, int(series.nunique())
    if label:
        return None
    if boolean or moments:
        return ColumnSchema(name, Kind.BOOLEAN if boolean else Kind.DATETIME, gone, distinct, empty=distinct == 0)
    if kinds.is_complex_dtype(series.dtype):
        raise InvalidDataError(f"Column {name!r} holds complex numbers.", mend="Give two columns of real numbers.")
    if kinds.is_integer_dtype(series.dtype):
        if distinct == len(series) and _integer_id(name, series.to_numpy(), first=first):
            return ColumnSchema(name, Kind.ID, gone, distinct)
        if (series.abs() >= _EXACT).any():
            return None
    numbers = series.to_numpy(np.float64, na_value=np.nan)
    return ColumnSchema(name, Kind.NUMERIC, gone, distinct, sentinels=sentinels(numbers), empty=distinct == 0)


def _named_id(name: str) -> bool:
    return bool(_ID_NAME.search(name) or _ID_CAMEL.search(name))


def _integer_id(name: str, numbers: NDArray[Any], *, first: bool) -> bool:
    """Whether distinct integers are ids: by name, or because the first column counts from 0 or 1."""
    if len(numbers) < 2:
        return False
    if _named_id(name):
        return True
    return bool(first and len(numbers) >= _LEAST_IDS and numbers[0] in (0, 1) and (np.diff(numbers) == 1).all())


def _text_id(name: str, texts: Sequence[str]) -> bool:
    """Whether distinct texts are ids: without spaces, and named so or all of one shape with digits in it."""
    if len(texts) < 2 or any(len(text) > 64 or any(mark.isspace() for mark in text) for text in texts):
        return False
    if _named_id(name):
        return True
    if len(texts) < _LEAST_IDS:
        return False
    if all(_UUID.fullmatch(text) for text in texts):
        return True
    shapes = {re.sub(r"[A-Za-z]", "a", re.sub(r"\d", "0", text)) for text in texts}
    shape = next(iter(shapes))
    return len(shapes) == 1 and "0" in shape and "a" in shape


def _read(
    name: str, words: Words, *, first: bool, label: bool, declared: Kind | None, day_first: bool | None
) -> ColumnSchema:
    """Return the column that distinct texts make."""
    strict, strong = words.present(weak=True), words.present(weak=False)
    texts, counts = [words.texts[place] for place in strict], words.counts[strict]
    everything = [words.texts[place] for place in strong]
    if label:
        return ColumnSchema(name, Kind.CATEGORICAL, categories=tuple(sorted(set(everything))))
    if not everything or (not texts and declared is None):
        return ColumnSchema(name, Kind.NUMERIC if declared is None else declared, empty=True)
    if declared is not None:
        return _declared(name, declared, texts, counts, everything, day_first)
    if _is_boolean(texts):
        return ColumnSchema(name, Kind.BOOLEAN)
    compact = bool(_DATE_NAME.search(name))
    moments = date_format(texts, counts, compact=True) if compact else None
    if moments is not None:
        return ColumnSchema(name, Kind.DATETIME, dates=_with_order(moments, day_first))
    unique = len(everything) == len(words.codes) and bool((words.codes >= 0).all())
    unique = unique and len(set(everything)) == len(everything)
    style = None if _codes(texts) else amount_format(texts, counts)
    if style is not None:
        numbers = amounts(texts, style)
        whole = style.plain and bool((numbers % 1 == 0).all())
        if unique and whole and _integer_id(name, amounts(_in_rows(words), style), first=first):
            return ColumnSchema(name, Kind.ID)
        if not (whole and (np.abs(numbers) >= _EXACT).any()):
            return ColumnSchema(name, Kind.NUMERIC, amounts=style)
    moments = moments or date_format(texts, counts)
    if moments is not None:
        return ColumnSchema(name, Kind.DATETIME, dates=_with_order(moments, day_first))
    if unique and _text_id(name, everything):
        return ColumnSchema(name, Kind.ID)
    return _words_column(name, everything, int(words.counts[strong].sum()))


def _in_rows(words: Words) -> list[str]:
    return [words.texts[code] for code in words.codes.tolist()]


def _declared(
    name: str, kind: Kind, texts: list[str], counts: Ints, everything: list[str], day_first: bool | None
) -> ColumnSchema:
    if kind is Kind.CATEGORICAL:
        return ColumnSchema(name, kind, categories=tuple(sorted(set(everything))))
    if kind is Kind.NUMERIC:
        return ColumnSchema(name, kind, amounts=amount_format(texts, counts) or AmountFormat(plain=False))
    if kind is Kind.DATETIME:
        return ColumnSchema(name, kind, dates=_with_order(date_format(texts, counts, compact=True), day_first))
    return ColumnSchema(name, kind)


def _with_order(style: DateFormat | None, day_first: bool | None) -> DateFormat:
    """Return a format in which what the column left open is read as the caller says."""
    style = style or DateFormat(compact=True)
    if day_first is None:
        return style
    known = dict(style.day_first)
    return replace(style, day_first=tuple((mark, known.get(mark, day_first)) for mark in "-./"))


def _is_boolean(texts: Sequence[str]) -> bool:
    """Whether the words are one pair; letters and on/off count only when both occur."""
    if not all(len(text) <= _LONGEST_TRUTH and text.lower() in _TRUTH for text in texts):
        return False
    found = {text.lower() for text in texts}
    return any(found == set(pair) or (found < set(pair) and pair in _PAIRS[:2]) for pair in _PAIRS)


def _codes(texts: Sequence[str]) -> bool:
    """Whether digits are codes: of one length, some with a leading zero."""
    return (
        any(text[0] == "0" for text in texts)
        and len({len(text) for text in texts}) == 1
        and len(texts[0]) > 1
        and all(text.isascii() and text.isdigit() for text in texts)
    )


def _words_column(name: str, texts: list[str], present: int) -> ColumnSchema:
    values = sorted(set(texts))
    if len(values) <= MOST_CATEGORIES and 2 * len(values) <= present:
        return ColumnSchema(name, Kind.CATEGORICAL, categories=tuple(values))
    return ColumnSchema(name, Kind.TEXT)


def _refuse_undecided(column: ColumnSchema, words: Words, rows: RowNames) -> None:
    places = words.present(weak=True)
    reading = dates([words.texts[place] for place in places], column.dates)
    open_rows = int(words.counts[places[reading.undecided]].sum())
    if open_rows > (1 - MOSTLY) * words.counts[places].sum():
        row = int(np.argmax(np.isin(words.codes, places[reading.undecided])))
        raise InvalidDataError(
            f"Column {column.name!r}, {rows[row]}: {words.texts[words.codes[row]]!r} may be day first or month first, "
            "and no value of the column decides.",
            mend="Write dates as YYYY-MM-DD, or say --day-first or --month-first (in Python day_first=True or False).",
        )


def _counted(column: ColumnSchema, words: Words) -> tuple[ColumnSchema, Ints]:
    """Return the column with what was counted, and the rows that clash with it."""
    weak = column.kind in (Kind.NUMERIC, Kind.BOOLEAN, Kind.DATETIME)
    places = words.present(weak=weak)
    values = _parsed(column, [words.texts[place] for place in places])
    bad = np.zeros(len(words.texts) + 1, bool)
    bad[places] = pd.isna(values)
    gone = np.setdiff1d(np.arange(len(words.texts)), places)
    absent = int((words.codes < 0).sum() + words.counts[gone].sum())
    found = column if column.kind is not Kind.NUMERIC else replace(column, sentinels=_sentinels(values, words, places))
    return (
        replace(
            found,
            missing=absent / len(words.codes) if len(words.codes) else 0.0,
            distinct=len(pd.unique(values[~pd.isna(values)])),
            tokens=tuple(sorted({str(words.raw[place]) for place in gone})),
        ),
        np.flatnonzero(bad[words.codes]),
    )


def _sentinels(values: NDArray[Any], words: Words, places: Ints) -> tuple[float, ...]:
    # Twice is as often as it takes to be seen; the full column need not be built.
    return sentinels(np.repeat(values.astype(np.float64), np.minimum(words.counts[places], 1 + len(places))))


def _parsed(column: ColumnSchema, texts: list[str]) -> NDArray[Any]:
    """Return texts as values of the column; NaN, NaT or None where they clash with it."""
    match column.kind:
        case Kind.NUMERIC:
            return amounts(texts, column.amounts)
        case Kind.BOOLEAN:
            return np.array([_TRUTH.get(text.lower(), np.nan) for text in texts], np.float64)
        case Kind.DATETIME:
            return dates(texts, column.dates).moments
        case _:
            out = np.empty(len(texts), object)
            out[:] = texts
            return out


def values_of(column: ColumnSchema, series: pd.Series[Any], rows: RowNames, *, label: bool = False) -> tuple[Any, Ints]:
    """Return the cells of a series read by its column, and the places of those that clash with it.

    Returns
    -------
    values : array
        float64; nullable boolean; datetime64[us, UTC]; categorical; objects (str or None; arrays).
    odd : ndarray of int64
        Rows whose value clashes; it is missing in ``values``.
    """
    none = np.empty(0, np.int64)
    kinds = pd.api.types
    if column.kind is Kind.TENSOR:
        return _tensors(series), none
    plain = not isinstance(series.dtype, pd.CategoricalDtype)
    if plain and column.kind is Kind.DATETIME and kinds.is_datetime64_any_dtype(series.dtype):
        return pd.array(pd.to_datetime(series, utc=True).dt.as_unit("us")), none
    if plain and column.kind is Kind.BOOLEAN and kinds.is_bool_dtype(series.dtype):
        return series.astype("boolean").array, none
    number = plain and kinds.is_numeric_dtype(series.dtype) and not kinds.is_bool_dtype(series.dtype)
    if column.kind is Kind.NUMERIC and number:
        numbers = series.to_numpy(np.float64, na_value=np.nan)
        odd = np.flatnonzero(np.isinf(numbers))
        if not len(odd) and series.dtype == np.float64:
            return series, odd  # pandas copies it when it is written to
        if len(odd):
            numbers = numbers.copy()
            numbers[odd] = np.nan
        return numbers, odd
    if label and number:
        return series.array, none
    return _from_words(column, words_of(column.name, series, rows), label=label)


def _tensors(series: pd.Series[Any]) -> NDArray[np.object_]:
    out = np.empty(len(series), object)
    for place, value in enumerate(series):
        out[place] = np.asarray(value, np.float64) if isinstance(value, np.ndarray | list | tuple) else None
    return out


def _from_words(column: ColumnSchema, words: Words, *, label: bool) -> tuple[Any, Ints]:
    weak = column.kind in (Kind.NUMERIC, Kind.BOOLEAN, Kind.DATETIME)
    places = words.present(weak=weak)
    texts = [words.texts[place] for place in places]
    parsed = _parsed(column, texts)
    clash = np.zeros(len(words.texts) + 1, bool)
    clash[places] = pd.isna(parsed)
    odd = np.flatnonzero(clash[words.codes])
    if column.kind in (Kind.NUMERIC, Kind.BOOLEAN):
        values = np.full(len(words.texts), np.nan)
        values[places] = parsed
        cells = words.spread(values, np.nan)
        return (cells, odd) if column.kind is Kind.NUMERIC else (pd.array(cells, dtype="boolean"), odd)
    if column.kind is Kind.DATETIME:
        moments = np.full(len(words.texts), np.datetime64("NaT"), "datetime64[us]")
        moments[places] = parsed
        cells = words.spread(moments, np.datetime64("NaT"))
        return pd.Series(cells).dt.tz_localize("UTC").array, odd
    if label:
        return _labels(words, places, texts), odd
    if column.kind is Kind.CATEGORICAL:
        return _categories(column, words, places, texts), odd
    values = np.full(len(words.texts), None, object)
    values[places] = words.raw[places] if all(isinstance(raw, str) for raw in words.raw[places]) else texts
    return words.spread(values, None), odd


def _labels(words: Words, places: Ints, texts: list[str]) -> NDArray[Any]:
    """Return label cells; as numbers when that loses nothing, so that a measured quantity is seen to be one."""
    numbers = plain_numbers(texts)
    exact = bool(texts) and all(text_of(number) == text for number, text in zip(numbers.tolist(), texts, strict=True))
    values: NDArray[Any] = np.full(len(words.texts), np.nan) if exact else np.full(len(words.texts), None, object)
    values[places] = numbers if exact else texts
    return words.spread(values, np.nan if exact else None)


def _categories(column: ColumnSchema, words: Words, places: Ints, texts: list[str]) -> Any:
    """Return the cells as categories; those that only a later frame has follow the schema's."""
    domain = [*column.categories, *sorted(set(texts) - set(column.categories))]
    known = {name: code for code, name in enumerate(domain)}
    codes = np.full(len(words.texts), -1, np.int64)
    codes[places] = [known[text] for text in texts]
    names: Any = pd.Index(np.array(domain, object))
    return pd.Categorical.from_codes(words.spread(codes, -1), categories=names)


def suspected_target(columns: Sequence[ColumnSchema]) -> str | None:
    """Return the column that looks like the label: by its name, else the last one if it has few values."""
    fit = [column for column in columns if _few(column)]
    for names in _TARGETS:
        for column in reversed(fit):
            if set(re.split(r"[^a-z]+", column.name.lower())) & set(names):
                return column.name
    last = columns[-1] if columns else None
    if last is not None and last in fit and last.kind in (Kind.CATEGORICAL, Kind.BOOLEAN):
        return last.name
    return None


def _few(column: ColumnSchema) -> bool:
    return column.kind in (Kind.CATEGORICAL, Kind.BOOLEAN, Kind.NUMERIC) and 2 <= column.distinct <= _MOST_TARGETS
