"""Python values, from JSON or a workbook, as columns of frames: nested objects flat, lists of numbers as arrays."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from easeml.errors import InvalidDataError

_DEEPEST = 32


def flat(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a record with the fields of nested objects named ``outer.inner``.

    Raises
    ------
    InvalidDataError
        When two fields get the same name, or objects nest deeper than 32.
    """
    if not any(isinstance(value, dict) for value in record.values()):
        return dict(record)
    out: dict[str, Any] = {}
    _flatten(record, "", out, where, 0)
    return out


def _flatten(record: Mapping[str, Any], prefix: str, out: dict[str, Any], where: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise InvalidDataError(f"{where}: objects nest deeper than {_DEEPEST}.", mend="Flatten the records.")
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            if value:
                _flatten(value, f"{name}.", out, where, depth + 1)
            continue
        if name in out:
            raise InvalidDataError(
                f"{where}: two fields are both named {name!r} once nested objects are flat.",
                mend="Give every field its own name.",
                reason="duplicate_column",
            )
        out[name] = value


def frame_of(records: Sequence[Mapping[str, Any]], index: pd.Index, text: frozenset[str], where: str) -> pd.DataFrame:
    """Return records as a frame; a field that a record lacks is missing there."""
    names: dict[str, None] = {}
    for record in records:
        if len(record) != len(names) or any(name not in names for name in record):
            names.update(dict.fromkeys(record))
    columns = {
        name: column([record.get(name) for record in records], index, f"{where}, column {name!r}", text=name in text)
        for name in names
    }
    return pd.DataFrame(columns, index=index)


def column(values: list[Any], index: pd.Index, where: str, *, text: bool = False) -> pd.Series:
    """Return the values of a column in the type they have together; of several types, as texts.

    Parameters
    ----------
    values : list
        None: missing.
    index : Index
        Names of the rows.
    where : str
        How errors call the column.
    text : bool
        Whether values stay texts.

    Raises
    ------
    InvalidDataError
        When lists of numbers are not all of one shape; names the row.
    """
    present = [value for value in values if value is not None]
    kinds = {_kind(value) for value in present}
    if kinds == {"list"} and not text:
        arrays = _arrays(values, index, where)
        if arrays is not None:
            return arrays
    if text or len(kinds) > 1 or kinds & {"list", "other"}:
        return pd.Series([None if value is None else written(value) for value in values], index, dtype="str")
    if kinds in ({"number"}, {"bool"}, {"moment"}):
        return _typed(values, index, kinds.pop())
    if kinds == {"text"}:
        return pd.Series([value or None for value in values], index, dtype="str")
    return pd.Series(np.nan, index, dtype=np.float64)


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, dt.datetime | dt.date):
        return "moment"
    return "list" if isinstance(value, list | np.ndarray) else "other"


def _typed(values: list[Any], index: pd.Index, kind: str) -> pd.Series:
    if kind == "moment":
        try:
            moments: pd.Series = pd.to_datetime(pd.Series(values, dtype=object), utc=True)
            return moments.set_axis(index)
        except (ValueError, OverflowError):  # years that no timestamp holds stay texts
            return pd.Series([None if value is None else written(value) for value in values], index, dtype="str")
    if kind == "bool":
        whole = None not in values
        return pd.Series(values, index, dtype=bool if whole else "boolean")
    if all(type(value) is int and abs(value) < 2**63 for value in values):
        return pd.Series(values, index, dtype=np.int64)
    return pd.Series([np.nan if value is None else float(value) for value in values], index, dtype=np.float64)


def written(value: Any) -> str:
    """Return a value as the text a file would hold.

    >>> written(2.0), written([1, "a"]), written("x")
    ('2', '[1, "a"]', 'x')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _arrays(values: Iterable[Any], index: pd.Index, where: str) -> pd.Series | None:
    """Return lists of numbers as arrays of one shape; None when they hold anything else."""
    out: list[Any] = []
    shape: tuple[int, ...] | None = None
    for place, value in enumerate(values):
        if value is None:
            out.append(None)
            continue
        try:
            array = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            if _numbers_only(value):
                raise _uneven(where, index, place, "lists of different lengths inside one value") from None
            return None
        if not _numbers_only(value):
            return None
        if shape is None:
            shape = array.shape
        if array.shape != shape:
            raise _uneven(where, index, place, f"{_shape(array.shape)} numbers, and {_shape(shape)} in the rows before")
        out.append(array)
    cells = np.empty(len(out), object)
    for place, item in enumerate(out):
        cells[place] = item
    return pd.Series(cells, index, dtype=object)


def _numbers_only(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iufb"
    if isinstance(value, list):
        return all(map(_numbers_only, value))
    return isinstance(value, int | float) or value is None


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _uneven(where: str, index: pd.Index, place: int, what: str) -> InvalidDataError:
    return InvalidDataError(
        f"{where}, {index.name or 'row'} {index[place]}: {what}.",
        mend="Give arrays of one shape, or spread them over columns.",
        reason="uneven_arrays",
    )
