"""Dense columns as Arrow arrays and back, bit by bit.

Numbers are float64, datetimes timestamp[us, UTC], booleans bool, categories dictionary<int32, string>, texts string,
tensors fixed_size_list<double>. A missing cell is null. A NaN with other bits than numpy's own stays a value, so that
what was read is what was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from easeml.errors import InvalidDataError
from easeml.relation.columns import moments_of, width
from easeml.stream.payloads import Column, ColumnKind

MOMENT = pa.timestamp("us", tz="UTC")
FARTHEST = 9e12
"""Seconds from 1970 that a timestamp in microseconds reaches."""
_NAN = np.array(np.nan).view(np.uint64)


def _void(cells: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where cells are numpy's own NaN."""
    return np.asarray(cells.view(np.uint64) == _NAN, bool)


def numbers(cells: NDArray[np.float64]) -> Any:
    """Return numbers as an array, null where missing."""
    cells = np.ascontiguousarray(cells, np.float64)
    void = _void(cells)
    return pa.array(cells, mask=void) if void.any() else pa.array(cells)


def moments(seconds: NDArray[np.float64]) -> Any:
    """Return seconds since 1970 as timestamps, rounded to the microsecond; beyond their range null."""
    return pa.array(moments_of(reachable(seconds))).cast(MOMENT)


def reachable(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return seconds that 64-bit microseconds can tell, NaN for all others."""
    return np.where(np.abs(seconds) < FARTHEST, seconds, np.nan)


def inexact(seconds: NDArray[np.float64]) -> bool:
    """Whether timestamps would not give back these seconds."""
    seconds = np.ascontiguousarray(seconds, np.float64)
    back = _seconds(moments(seconds))
    return not np.array_equal(back.view(np.uint64), seconds.view(np.uint64))


def names(codes: NDArray[Any], domain: Sequence[str | None]) -> Any:
    """Return codes as a dictionary array; -1 is null."""
    codes = np.ascontiguousarray(codes, np.int32)
    gone = codes < 0
    places = pa.array(codes, mask=gone) if gone.any() else pa.array(codes)
    return pa.DictionaryArray.from_arrays(places, pa.array(domain, pa.string()))


def array_of(column: Column, cells: NDArray[Any]) -> Any:
    """Return the cells of a column, (n,) or for tensors (n, size), as an array.

    Raises
    ------
    InvalidDataError
        When a text is no valid Unicode.
    """
    match column.kind:
        case ColumnKind.NUMERIC:
            return numbers(cells)
        case ColumnKind.DATETIME:
            return moments(cells)
        case ColumnKind.BOOLEAN:
            return pa.array(np.asarray(cells == 1), mask=np.asarray(cells < 0))
        case ColumnKind.CATEGORICAL:
            return names(cells, column.categories)
        case ColumnKind.TEXT:
            return pa.array(np.asarray(cells, object), pa.string())
        case ColumnKind.TENSOR:
            return _tensors(column, cells)


def _tensors(column: Column, cells: NDArray[np.float64]) -> Any:
    cells = np.ascontiguousarray(cells, np.float64)
    size = width(column)
    # A cell of no numbers cannot be missing, and Arrow counts cells by their numbers: it stands as an empty list.
    if size == 0:
        return pa.ListArray.from_arrays(pa.array(np.zeros(len(cells) + 1, np.int32)), pa.array(np.empty(0)))
    void = _void(cells.ravel()).reshape(cells.shape).all(axis=1)
    return pa.FixedSizeListArray.from_arrays(pa.array(cells.ravel()), size, mask=pa.array(void))


def one(array: Any) -> Any:
    """Return a chunked array as a single one, dictionaries unified."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    if pa.types.is_dictionary(array.type):
        array = array.unify_dictionaries()
    return array.combine_chunks() if array.num_chunks != 1 else array.chunk(0)


def cells_of(column: Column, array: Any, rows: Sequence[str]) -> NDArray[Any]:
    """Return what ``array_of`` made an array of; types that other tools prefer are converted.

    Parameters
    ----------
    rows : sequence of str
        How errors name the rows.

    Raises
    ------
    InvalidDataError
        When the array holds other things than the column's kind; names the column, and the row where one is to blame.
    """
    what = f"Column {column.name!r}"
    match column.kind:
        case ColumnKind.NUMERIC:
            return finite(numbers_of(array, what), what, rows)
        case ColumnKind.DATETIME:
            return _seconds(cast(array, MOMENT, what))
        case ColumnKind.BOOLEAN:
            truths = pc.fill_null(cast(array, pa.int8(), what, through=pa.bool_()), -1)
            return np.asarray(truths.to_numpy(zero_copy_only=False), np.int32)
        case ColumnKind.CATEGORICAL:
            return codes_of(array, column.categories, what, rows)
        case ColumnKind.TEXT:
            return np.array(texts_in(array, what), object)
        case ColumnKind.TENSOR:
            return _flat(column, array, rows)


def texts_in(array: Any, what: str) -> list[str | None]:
    """Return texts; those of several chunks may be more than one array of Arrow holds.

    Raises
    ------
    InvalidDataError
        When the array holds no texts.
    """
    kind = array.type
    plain = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    texts: list[str | None] = (array if plain else cast(array, pa.large_string(), what)).to_pylist()
    return texts


def cast(array: Any, kind: Any, what: str, *, through: Any = None) -> Any:
    """Return the array in another type.

    Raises
    ------
    InvalidDataError
        When a value does not fit it.
    """
    whole = one(array)
    try:
        if pa.types.is_dictionary(whole.type):
            whole = whole.dictionary_decode()
        if through is not None:
            whole = whole.cast(through)
        return whole.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise InvalidDataError(
            f"{what} holds {array.type} values, not {through or kind}: {error}",
            mend="Give the column the type that the relation wrote.",
            reason="wrong_kind",
        ) from error


def numbers_of(array: Any, what: str) -> NDArray[np.float64]:
    """Return numbers, NaN where null; a writable copy.

    Raises
    ------
    InvalidDataError
        When the array holds no numbers.
    """
    filled = pc.fill_null(cast(array, pa.float64(), what), np.nan)
    return np.array(filled.to_numpy(zero_copy_only=False), np.float64)


def finite(cells: NDArray[np.float64], what: str, rows: Sequence[str]) -> NDArray[np.float64]:
    """Return the cells, none of which is infinite.

    Raises
    ------
    InvalidDataError
        Names the row.
    """
    infinite = np.isinf(cells).any(axis=tuple(range(1, cells.ndim)))
    if infinite.any():
        raise InvalidDataError(
            f"{what}, row {rows[int(np.argmax(infinite))]!r}: infinite.",
            mend="Leave a value that is not known empty.",
            reason="not_finite",
        )
    return cells


def _seconds(stamps: Any) -> NDArray[np.float64]:
    ticks = stamps.cast(pa.int64())
    seconds = np.array(pc.fill_null(ticks, 0).to_numpy(zero_copy_only=False), np.float64) / 1e6
    seconds[np.asarray(stamps.is_null().to_numpy(zero_copy_only=False))] = np.nan
    return seconds


def codes_of(array: Any, domain: Sequence[str], what: str, rows: Sequence[str]) -> NDArray[np.int32]:
    """Return the codes of names in a domain, -1 where null.

    Raises
    ------
    InvalidDataError
        When a name is not in the domain; names the row.
    """
    whole = one(array)
    if not pa.types.is_dictionary(whole.type):
        whole = cast(whole, pa.string(), what).dictionary_encode()
    known = {name: code for code, name in enumerate(domain)}
    spelled = cast(whole.dictionary, pa.string(), what).to_pylist()
    places = np.array([*(known.get(name, -2) if name is not None else -1 for name in spelled), -1], np.int32)
    indices = pc.fill_null(whole.indices.cast(pa.int64()), len(spelled)).to_numpy(zero_copy_only=False)
    codes = places[indices]
    if (codes == -2).any():
        row = int(np.argmax(codes == -2))
        shown = ", ".join(domain[:8]) + (f" and {len(domain) - 8} more" if len(domain) > 8 else "")
        raise InvalidDataError(
            f"{what}, row {rows[row]!r}: {spelled[indices[row]]!r} is not one of {shown}.",
            mend="Correct the value, or remove the metadata 'easeml' of the table to read its plain values.",
            reason="unknown_category",
        )
    return np.asarray(codes, np.int32)


def _flat(column: Column, array: Any, rows: Sequence[str]) -> NDArray[np.float64]:
    """Return tensor cells (n, size); a missing one is all NaN."""
    whole, size, what = one(array), width(column), f"Column {column.name!r}"
    kind = whole.type
    if not (pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise InvalidDataError(
            f"{what} holds {kind} values, not lists of {size} numbers.",
            mend="Give the column the type that the relation wrote.",
            reason="wrong_kind",
        )
    cells = np.full((len(whole), size), np.nan)
    known = np.asarray(whole.is_valid().to_numpy(zero_copy_only=False), bool)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(whole), size).to_numpy(zero_copy_only=False))
    if (lengths != size).any():
        row = int(np.argmax(lengths != size))
        raise InvalidDataError(
            f"{what}, row {rows[row]!r}: {lengths[row]} numbers, not {size} (shape {column.shape}).",
            mend="Give every cell the column's shape.",
            reason="wrong_width",
        )
    cells[known] = numbers_of(whole.flatten(), what).reshape(int(known.sum()), size)
    return finite(cells, what, rows)
