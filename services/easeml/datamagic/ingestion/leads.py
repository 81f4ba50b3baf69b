"""What the first slice of a large file decides for all of them, so that a value means the same wherever it stands.

A worker process learns it once for each file and repeats nothing; another process learns the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from easeml.datamagic.cleaning.repairs import RepairModel
from easeml.datamagic.cleaning.schema import Kind, Schema, infer_schema
from easeml.datamagic.ingestion.fitting import Rules
from easeml.stream.payloads import ColumnKind

_KEPT = 4
_NUMBER = r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*"


@dataclass(frozen=True, slots=True, eq=False)
class Lead:
    """How the rows of a file are read.

    Parameters
    ----------
    columns : tuple of str
        Columns that the app, the ids and the groups take from the file.
    left : frozenset of str
        Its other columns.
    numbers : frozenset of str
        Columns that the reader reads as numbers.
    texts : frozenset of str
        Numeric columns that are written as no computer writes numbers; they are read as texts.
    schema : Schema
        How the values of the app's columns are written.
    """

    columns: tuple[str, ...]
    left: frozenset[str]
    numbers: frozenset[str]
    texts: frozenset[str]
    schema: Schema


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What a process keeps of a file.

    Parameters
    ----------
    lead : Lead
        How it is read.
    model : RepairModel or None
        What proposes candidates.
    total : int
        Rows of the file, about.
    """

    lead: Lead
    model: RepairModel | None
    total: int


_learnt: OrderedDict[str, Learnt] = OrderedDict()


def learnt(key: str, learn: Callable[[], Learnt]) -> Learnt:
    """Return what was learnt under a key, the last few of which are kept in this process."""
    if key not in _learnt:
        _learnt[key] = learn()
        while len(_learnt) > _KEPT:
            _learnt.popitem(last=False)
    _learnt.move_to_end(key)
    return _learnt[key]


def lead_of(frame: pd.DataFrame, rules: Rules) -> Lead:
    """Return what the first rows of a file decide.

    Raises
    ------
    InvalidDataError
        When it cannot be told how a column is written; names column and row.
    """
    frame = _titled(frame)
    label = rules.app.label if rules.labelled and rules.app.label in frame else None
    kinds = {column.name: Kind(column.kind.value) for column in rules.app.columns if column.name in frame}
    read = [*kinds, *([label] if label is not None else [])]
    special = [name for name in (rules.app.label, rules.id_column, rules.group_column) if name in frame]
    columns = tuple(dict.fromkeys([*kinds, *special]))
    numeric = [c.name for c in rules.app.columns if c.kind is ColumnKind.NUMERIC and c.name in frame]
    numbers = frozenset(name for name in numeric if _is_number(frame[name]))
    return Lead(
        columns,
        frozenset(frame.columns) - set(columns),
        numbers,
        frozenset(numeric) - numbers,
        infer_schema(frame[read], label=label, kinds=kinds),
    )


def aligned(frame: pd.DataFrame, lead: Lead, *, decimal: str, strict: bool) -> pd.DataFrame:
    """Return a later slice with the columns of the first; what is no number there stays a word, which clashes.

    Parameters
    ----------
    frame : DataFrame
        Cells as they stand in the slice.
    lead : Lead
        What the first slice has decided.
    decimal : str
        Decimal mark.
    strict : bool
        Whether a column that the first slice does not have is an error of the file; else it is left out.
    """
    frame = _titled(frame).drop(columns=[name for name in frame.columns if str(name) in lead.left])
    more = [name for name in frame.columns if name not in lead.columns] if strict else []
    frame = frame.reindex(columns=[*lead.columns, *more])
    odd = {name: numbered(frame[name], decimal) for name in lead.numbers if not _is_number(frame[name])}
    return frame.assign(**odd) if odd else frame


def numbered(cells: pd.Series[Any], decimal: str) -> pd.Series[Any]:
    """Return cells of which those that are plain numbers are numbers, and the others what they are.

    >>> numbered(pd.Series(["1,5", "1.234", None, "lots"]), ",").tolist()
    [1.5, '1.234', None, 'lots']
    """
    out = cells.astype(object)
    words = out.map(lambda cell: cell if isinstance(cell, str) else None)
    if decimal == ",":
        words = words.str.replace(".", "_", regex=False).str.replace(",", ".", regex=False)
    plain = words.str.fullmatch(_NUMBER).fillna(value=False).to_numpy(bool)
    values = out.to_numpy(object, copy=True)
    values[plain] = pd.to_numeric(words[plain]).astype(np.float64).tolist()
    return pd.Series(values, index=cells.index, dtype=object, name=cells.name)


def _titled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def _is_number(cells: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells))
