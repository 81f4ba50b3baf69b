"""Candidates of uncertain cells as a nested Arrow column and back.

Beside each row stands a list of ``{column, value, number, probability, source}``: ``value`` is the candidate as people
write it (null for numbers), ``number`` what a computer calculates with (a number, the seconds since 1970 of a datetime,
0 or 1, the place of a text among all texts; null for names). A row without uncertain cells has null.

The order of texts and sources comes back too, so that the same seed draws the same world before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from easeml.errors import InvalidDataError
from easeml.relation.arrow_columns import cast, codes_of, names, numbers, numbers_of, one, reachable
from easeml.relation.block import Block
from easeml.relation.candidates import LABEL, Candidates
from easeml.relation.columns import moments_of
from easeml.relation.tables import Terms
from easeml.relation.validation import check_candidates
from easeml.stream.payloads import ColumnKind

_TRUTHS = ("false", "true")
_NUMBERED = (ColumnKind.NUMERIC, ColumnKind.DATETIME, ColumnKind.BOOLEAN, ColumnKind.TEXT)
FIELDS = ("column", "value", "number", "probability", "source")


def candidate_lists(block: Block, label: str | None, classes: Sequence[str]) -> Any:
    """Return the candidates of n rows as a list array of n items."""
    table = block.candidates
    numeric = np.array([*(column.kind in _NUMBERED for column in block.columns), False])[table.column]
    titles = [*(column.name for column in block.columns), label or ""]
    column = np.where(table.column == LABEL, len(titles) - 1, table.column.astype(np.int64))
    place, pool = _spelled(block, classes)
    parts = [
        names(column, titles),
        names(place, pool),
        pa.array(np.ascontiguousarray(table.value, np.float64), mask=~numeric),
        numbers(table.probability),
        names(table.source, table.sources),
    ]
    # Nested dictionaries are beyond what many readers of Arrow and Parquet know.
    lines = pa.StructArray.from_arrays([plain(part) for part in parts], names=list(FIELDS))
    return lists_of(lines, table.row, len(block))


def plain(array: Any) -> Any:
    """Return the array without dictionary."""
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def lists_of(lines: Any, owner: NDArray[np.int64], rows: int) -> Any:
    """Return lines as one list per row, null where it has none; ``owner`` is ascending."""
    ends = np.searchsorted(owner, np.arange(rows + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), lines, mask=pa.array(np.diff(ends) == 0))


def _spelled(block: Block, classes: Sequence[str]) -> tuple[NDArray[np.int64], list[str | None]]:
    """Return how each candidate is written: index into a pool of texts, -1 for numbers; and the pool."""
    table = block.candidates
    place = np.full(len(table), -1, np.int64)
    pool: list[str | None] = [*table.texts]
    for index in np.unique(table.column).tolist():
        mine = np.flatnonzero(table.column == index)
        kind = None if index == LABEL else block.columns[index].kind
        value = table.value[mine]
        if kind is ColumnKind.NUMERIC:
            continue
        if kind is ColumnKind.TEXT:
            place[mine] = value.astype(np.int64)
            continue
        if kind is ColumnKind.DATETIME:
            value, code = np.unique(value, return_inverse=True)
            shown = np.datetime_as_string(moments_of(reachable(value))).tolist()
            spelled: list[str | None] = [None if text == "NaT" else f"{text}Z" for text in shown]
        else:
            code = value.astype(np.int64)
            domain = classes if kind is None else block.columns[index].categories
            spelled = list(_TRUTHS if kind is ColumnKind.BOOLEAN else domain)
        place[mine] = code + len(pool)
        pool += spelled
    return place, pool


def opened(array: Any, what: str) -> tuple[NDArray[np.int64], Any]:
    """Return the row of each line of a list array, and the lines.

    Raises
    ------
    InvalidDataError
        When it holds no lists of structs.
    """
    whole = one(array)
    kind = whole.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (listed and pa.types.is_struct(kind.value_type)):
        raise InvalidDataError(
            f"The field {what!r} holds {kind} values, not lists of candidates.",
            mend="Give it the type that the relation wrote.",
            reason="bad_candidates",
        )
    lengths = np.asarray(pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False), np.int64)
    return np.repeat(np.arange(len(whole)), lengths), whole.flatten()


def parts_of(lines: Any, wanted: Sequence[str], what: str) -> dict[str, Any]:
    """Return the children of a struct array by name.

    Raises
    ------
    InvalidDataError
        When one is missing.
    """
    have = [field.name for field in lines.type]
    missing = [name for name in wanted if have.count(name) != 1]
    if missing:
        raise InvalidDataError(
            f"The candidates in the field {what!r} have no {missing[0]!r}.",
            mend=f"They need {', '.join(wanted)}.",
            reason="bad_candidates",
        )
    children = lines.flatten()
    return {name: children[have.index(name)] for name in wanted}


def candidates_of(array: Any, what: str, terms: Terms, order: Sequence[str] = ()) -> Candidates:
    """Return the candidate table of what ``candidate_lists`` made.

    Parameters
    ----------
    what : str
        How errors name the field.
    order : sequence of str
        Sources in their order; others follow by name.

    Raises
    ------
    InvalidDataError
        When a candidate names no column, does not fit it, or the priors of a cell do not sum to 1; names row and
        column.
    """
    row, lines = opened(array, what)
    if not len(row):
        return Candidates()
    parts = parts_of(lines, FIELDS, what)
    known = [*(column.name for column in terms.columns), *([terms.label] if terms.label is not None else [])]
    owners = Owners(terms.row_ids, row)
    title = f"{what!r}, candidate"
    column = codes_of(parts["column"], known, f"{title} of column", owners).astype(np.int64)
    _need(column >= 0, "names no column", terms, row, np.full(len(row), LABEL))
    column[column == len(terms.columns)] = LABEL
    spelled, spellings = texts_of(parts["value"], f"{title} value")
    value, texts = _values((spelled, spellings), numbers_of(parts["number"], f"{title} number"), terms, row, column)
    source, found = texts_of(parts["source"], f"{title} source")
    _need(source >= 0, "has no source", terms, row, column)
    first = {name: place for place, name in enumerate(order)}
    sources = tuple(sorted(found, key=lambda name: (first.get(name, len(first)), name)))
    source = np.array([sources.index(name) for name in found], np.int64)[source]
    probability = numbers_of(parts["probability"], f"{title} probability")
    table = Candidates(row, column, value, probability, source, texts, sources).sort()
    check_candidates(table, terms.columns, terms.classes, terms.row_ids)
    return table


class Owners(Sequence[str]):
    """The id of the row of each line, looked up when it is wanted: mostly for an error only.

    Parameters
    ----------
    row_ids : sequence of str
        The rows.
    row : ndarray of integers, shape (m,)
        Row of each line.
    """

    def __init__(self, row_ids: Sequence[str], row: NDArray[Any]) -> None:
        self._row_ids, self._row = row_ids, row

    def __len__(self) -> int:
        return len(self._row)

    def __getitem__(self, place: Any) -> Any:
        return self._row_ids[self._row[place]]


def texts_of(array: Any, what: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return texts as places in the distinct ones, -1 where null, and those."""
    coded = cast(array, pa.string(), what).dictionary_encode()
    places = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    return np.asarray(places, np.int64), tuple(coded.dictionary.to_pylist())


def _values(
    spelled: tuple[NDArray[np.int64], tuple[str, ...]],
    number: NDArray[np.float64],
    terms: Terms,
    row: NDArray[np.int64],
    column: NDArray[np.int64],
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return the value of each candidate as relations hold it, and the texts of text candidates."""
    place, spellings = spelled
    value, good = number, np.isfinite(number)
    texts: list[NDArray[np.int64]] = []
    for index in np.unique(column).tolist():
        kind = None if index == LABEL else terms.columns[index].kind
        mine = np.flatnonzero(column == index)
        if kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME):
            continue
        if kind is ColumnKind.BOOLEAN:
            good[mine] = np.isin(number[mine], (0.0, 1.0))
        elif kind is ColumnKind.TEXT:
            texts.append(mine)
            good[mine] = place[mine] >= 0
        elif kind is ColumnKind.TENSOR:
            good[mine] = False
        else:
            names_ = terms.classes if kind is None else terms.columns[index].categories
            codes = {name: code for code, name in enumerate(names_)}
            table = np.array([*(codes.get(text, -1) for text in spellings), -1])
            value[mine] = table[place[mine]]
            good[mine] = value[mine] >= 0
    _need(good, "has no value that fits", terms, row, column)
    if not texts:
        return value, ()
    mine = np.concatenate(texts)
    value[mine], words = _ordered(place[mine], number[mine], spellings)
    return value, words


def _ordered(
    place: NDArray[np.int64], number: NDArray[np.float64], spellings: tuple[str, ...]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return texts as places in those in use, in the order of their numbers; without numbers by name."""
    used, where = np.unique(place, return_inverse=True)
    rank = np.full(len(used), np.inf)
    np.fmin.at(rank, where, number)
    words = [spellings[code] for code in used.tolist()]
    order = sorted(range(len(words)), key=lambda code: (rank[code], words[code]))
    return np.argsort(order)[where], tuple(words[code] for code in order)


def _need(good: NDArray[np.bool_], what: str, terms: Terms, row: NDArray[np.int64], column: NDArray[np.int64]) -> None:
    if not good.all():
        place = int(np.argmin(good))
        raise InvalidDataError(
            f"Row {terms.row_ids[row[place]]!r}, {terms.title(int(column[place]))}: a candidate {what}.",
            mend="Correct the candidate or leave it out.",
            reason="bad_candidates",
        )
