"""NumPy files: one array (.npy) or several of the same length (.npz).

Never unpickled: an array of Python objects is refused. Source: the NPY format as ``numpy.lib.format`` reads it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from easeml.datamagic.readers.account import Account, Options
from easeml.datamagic.readers.naming import named
from easeml.datamagic.readers.sources import Source
from easeml.datamagic.readers.zips import check_document
from easeml.errors import InvalidDataError

MOST_BYTES = 2 << 30
"""Largest file that is read."""
_MOST_COLUMNS = 10_000


def array(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames of at most ``rows`` rows of an array: a column per place of its second axis.

    Raises
    ------
    InvalidDataError
        When the file is damaged, holds objects or has no rows.
    """
    yield from _frames(source.name, {"value": _loaded(source.content(MOST_BYTES), source.name)}, options, account, rows)


def arrays(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames of the arrays of an archive that are as long as most are; the others are noted.

    Raises
    ------
    InvalidDataError
        As ``array``, and when the archive expands beyond its bounds.
    """
    content = source.content(MOST_BYTES)
    check_document(io.BytesIO(content), source.name)
    found = _loaded(content, source.name)
    try:
        tables = {name: found[name] for name in found.files}
    except (ValueError, OSError) as error:
        raise _unreadable(source.name, error) from error
    tables = {name: table for name, table in tables.items() if table.ndim}
    lengths = [len(table) for table in tables.values()]
    if not lengths:
        raise InvalidDataError(f"{source.name} has no arrays with rows.", mend="Check the file.")
    wanted = max(set(lengths), key=lambda length: (lengths.count(length), length))
    for name, table in tables.items():
        if len(table) != wanted:
            account.note(f"array {name!r} has {len(table):,} rows, not {wanted:,}, and was left out")
    same = {name: table for name, table in tables.items() if len(table) == wanted}
    yield from _frames(source.name, same, options, account, rows)


def _loaded(content: bytes, name: str) -> Any:
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> InvalidDataError:
    return InvalidDataError(
        f"{name} is not readable as NumPy arrays: {error}.", mend="Save arrays of numbers or strings, not of objects."
    )


def _frames(
    name: str, tables: dict[str, np.ndarray[Any, Any]], options: Options, account: Account, rows: int
) -> Iterator[pd.DataFrame]:
    columns: dict[str, Any] = {}
    for title, table in tables.items():
        if table.ndim == 2:
            columns |= {f"{title}_{place}": table[:, place] for place in range(table.shape[1])}
        else:
            columns[title] = table
        if len(columns) > _MOST_COLUMNS:
            raise InvalidDataError(
                f"{name} has more than {_MOST_COLUMNS:,} columns.", mend="Save it with one row per example."
            )
    titles = named(list(columns), name).names
    total = len(next(iter(columns.values()))) if columns else 0
    for start in range(0, total, rows):
        index = pd.RangeIndex(start + 1, min(start + rows, total) + 1, name="row")
        cells = {
            title: _cells(values[start : start + rows], text=title in options.text or options.as_text)
            for title, values in zip(titles, columns.values(), strict=True)
        }
        account.rows += len(index)
        yield pd.DataFrame({title: pd.Series(one, index) for title, one in cells.items()}, index=index)


def _cells(values: np.ndarray[Any, Any], *, text: bool) -> Any:
    if values.ndim > 1:
        return list(values.astype(np.float64))
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "U" or text:
        return values.astype(str).astype(object)
    return values
