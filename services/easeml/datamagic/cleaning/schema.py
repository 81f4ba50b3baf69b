"""What the columns of a frame are, and the frame read by it: numbers, dates, booleans, categories, texts, ids.

Files hold words. ``infer_schema`` decides for each column, by what at least 90 % of its values are, how the words
are to be read; ``Schema.apply`` reads them, also in later frames (the chunks of a large file). A value that clashes
with its column becomes missing, so that repairs can be proposed for it, and is reported with its row and column.

>>> import pandas as pd
>>> frame = pd.DataFrame({"paid": ["$1,200", "$950", "n/a"], "when": ["31/12/2024", "2025-01-05", "05/02/2025"]})
>>> schema = infer_schema(frame)
>>> [(column.name, str(column.kind)) for column in schema.columns]
[('paid', 'numeric'), ('when', 'datetime')]
>>> schema.apply(frame)["when"].dt.strftime("%d %b").tolist()
['31 Dec', '05 Jan', '05 Feb']
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.datamagic.cleaning.inference import ColumnSchema, Kind, infer_column, suspected_target, values_of
from easeml.datamagic.cleaning.words import words_of
from easeml.errors import InvalidDataError
from easeml.relation.columns import RowNames
from easeml.stream.payloads import Column, ColumnKind

__all__ = ["Clash", "ColumnSchema", "Kind", "Schema", "infer_schema"]


class Clash(NamedTuple):
    """A value that is not of its column's kind.

    Parameters
    ----------
    row : object
        Label of the row in the frame's index (its line in the file, where the reader knows it).
    column : str
        The column.
    value : object
        What stands there.
    """

    row: Any
    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a frame.

    Parameters
    ----------
    columns : tuple of ColumnSchema
        In the frame's order, label and ids included.
    label : str, optional
        The label column, as the caller named it.
    target : str, optional
        The column that looks like the label when the caller named none.
    row_id : str, optional
        The column that looks like the identity of the rows.
    clashes : tuple of Clash
        Values of the frame it was inferred from that are not of their column's kind, by column and row.
    """

    columns: tuple[ColumnSchema, ...]
    label: str | None = None
    target: str | None = None
    row_id: str | None = None
    clashes: tuple[Clash, ...] = ()

    def __repr__(self) -> str:
        columns = ", ".join(f"{column.name}: {column.kind.value}" for column in self.columns)
        return f"<Schema: {columns}{f'; label {self.label!r}' if self.label else ''}>"

    def _repr_html_(self) -> str:
        return str(self.table().to_html(index=False, border=0))

    def __getitem__(self, name: str) -> ColumnSchema:
        for column in self.columns:
            if column.name == name:
                return column
        raise InvalidDataError(f"Unknown column {name!r}.", mend=f"Columns are {', '.join(self.names)}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns."""
        return tuple(column.name for column in self.columns)

    @property
    def empty(self) -> tuple[str, ...]:
        """Columns without a single value; they are kept as numeric ones."""
        return tuple(column.name for column in self.columns if column.empty)

    @property
    def features(self) -> tuple[Column, ...]:
        """Feature columns as a relation has them: no ids, no label; pass them to ``Relation.from_frame``."""
        return tuple(
            Column(own.name, ColumnKind(own.kind.value), own.categories, own.shape)
            for own in self.columns
            if own.kind is not Kind.ID and own.name != self.label
        )

    def table(self) -> pd.DataFrame:
        """Return one row per column, for people."""
        return pd.DataFrame(
            {
                "column": self.names,
                "kind": [str(column.kind) for column in self.columns],
                "missing": [column.missing for column in self.columns],
                "distinct": [column.distinct for column in self.columns],
                "missing tokens": [", ".join(map(repr, column.tokens)) for column in self.columns],
                "sentinels": [", ".join(f"{value:g}" for value in column.sentinels) for column in self.columns],
                "role": [self._role(column) for column in self.columns],
            }
        )

    def _role(self, column: ColumnSchema) -> str:
        if column.name == self.label:
            return "label"
        if column.kind is Kind.ID:
            return "row id" if column.name == self.row_id else "id, left out"
        return "label?" if column.name == self.target else "empty" if column.empty else "feature"

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a frame of these columns, read: missing tokens gone, numbers, UTC datetimes, booleans, categories.

        Id columns are left out (``row_ids`` gives them), the index is kept. A column of the schema that the frame
        lacks is an error, but for ids and the label, which rows to be predicted do not have.

        Raises
        ------
        InvalidDataError
            When a column is unknown, missing or occurs twice.
        """
        return self.clean(frame)[0]

    def clean(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Clash, ...]]:
        """Return what ``apply`` does, and the values that clash with their columns.

        Raises
        ------
        InvalidDataError
            As ``apply``.
        """
        names = _names(frame)
        optional = {column.name for column in self.columns if column.kind is Kind.ID} | {self.label}
        for what, odd in (
            ("Unknown", [name for name in names if name not in self.names]),
            ("Missing", [name for name in self.names if name not in names and name not in optional]),
        ):
            if odd:
                raise InvalidDataError(f"{what} column {odd[0]!r}.", mend=f"Columns are {', '.join(self.names)}.")
        read: dict[str, Any] = {}
        clashes: list[Clash] = []
        for column in self.columns:
            if column.kind is Kind.ID or column.name not in names:
                continue
            series = frame.iloc[:, names.index(column.name)]
            values, odd_rows = values_of(column, series, RowNames(None, frame.index), label=column.name == self.label)
            read[column.name] = values if isinstance(values, pd.Series) else pd.Series(values, index=frame.index)
            clashes += _clashes(column.name, series, odd_rows)
        # Not copied: the columns belong to nobody else.
        return pd.DataFrame(read, index=frame.index, copy=False), tuple(clashes)

    def row_ids(self, frame: pd.DataFrame) -> tuple[str, ...] | None:
        """Return the proposed identities of a frame's rows; None when there are none or they are not distinct."""
        names = _names(frame)
        if self.row_id is None or self.row_id not in names:
            return None
        words = words_of(self.row_id, frame.iloc[:, names.index(self.row_id)], RowNames(None, frame.index))
        if (words.codes < 0).any() or (words.counts > 1).any() or len(set(words.texts)) != len(words.texts):
            return None
        return tuple(words.texts[code] for code in words.codes.tolist())


def infer_schema(
    frame: pd.DataFrame,
    *,
    label: str | None = None,
    kinds: Mapping[str, Kind | str] | None = None,
    day_first: bool | None = None,
) -> Schema:
    """Return what the columns of a frame are.

    Parameters
    ----------
    frame : DataFrame, shape (n, d)
        Cells of any type; words as they stand in the file are best.
    label : str, optional
        The label column: never an id, never read as a number or a date.
    kinds : mapping, optional
        Kinds that the caller declares, by column; the only way for 0 and 1 to be boolean.
    day_first : bool, optional
        How to read dates of which no value tells whether the day or the month comes first.

    Returns
    -------
    Schema
        Kinds, missing tokens, shares, clashes, the suspected target and row id.

    Raises
    ------
    InvalidDataError
        When a column occurs twice, a declared or label column does not exist, a cell holds a structure, or more
        than a tenth of a column's dates can be read day first or month first; names the column and a row.

    Notes
    -----
    Kind by what at least 90 % of the values are, in this order: boolean (true/false, yes/no, t/f, y/n, on/off),
    numeric (with thousands separators, percent, a currency or decimal comma where the column says so), datetime, id
    (all distinct, and named or shaped like one), categorical (at most 256 distinct, twice each on average), text.
    Digits with leading zeros are codes, not numbers. Cost: O(n) per column plus work on distinct values.
    """
    names = _names(frame)
    declared = {name: Kind(kind) for name, kind in (kinds or {}).items()}
    for what, asked in (("label column", [label] if label is not None else []), ("column", list(declared))):
        for name in asked:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                hint = f"Did you mean {near[0]!r}? " if near else ""
                raise InvalidDataError(f"No {what} {name!r}.", mend=f"{hint}Columns are {', '.join(names)}.")
    columns: list[ColumnSchema] = []
    clashes: list[Clash] = []
    rows = RowNames(None, frame.index)
    for place, name in enumerate(names):
        series = frame.iloc[:, place]
        column, odd = infer_column(
            name, series, rows, first=place == 0, label=name == label, declared=declared.get(name), day_first=day_first
        )
        columns.append(column)
        clashes += _clashes(name, series, odd)
    ids = [column.name for column in columns if column.kind is Kind.ID]
    target = suspected_target(columns) if label is None else None
    return Schema(tuple(columns), label, target, ids[0] if ids else None, tuple(clashes))


def _names(frame: pd.DataFrame) -> list[str]:
    names = [str(name) for name in frame.columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidDataError(f"Column {twice[0]!r} occurs twice.", mend="Give every column its own name.")
    return names


def _clashes(name: str, series: pd.Series[Any], odd: NDArray[np.int64]) -> Iterable[Clash]:
    for place in odd.tolist():
        yield Clash(series.index[place], name, series.iloc[place])
