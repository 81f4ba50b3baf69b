"""What tools propose, as tables for people, turned into the coded tables of a relation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError, NotFoundError
from easeml.relation.alternatives import Alternatives
from easeml.relation.block import CODES, NUMERIC, TENSOR, TEXTS, Block, layout
from easeml.relation.candidates import LABEL, Candidates, Floats, Ints
from easeml.relation.columns import RowNames, codes_of, encode, shown
from easeml.relation.validation import SUM_TOLERANCE, check_candidates
from easeml.stream.payloads import Column, ColumnKind

_REASON = "bad_candidates"
_MEND = "Give priors that sum to 1, or have them normalized."


@dataclass(frozen=True, slots=True)
class Terms:
    """What a proposal may speak about.

    Parameters
    ----------
    columns : sequence of Column
        Feature columns.
    label : str, optional
        Name of the label column.
    classes : sequence of str
        Label domain.
    row_ids : sequence of str
        Rows, in their order.
    """

    columns: Sequence[Column]
    label: str | None
    classes: Sequence[str]
    row_ids: Sequence[str]

    def names(self) -> dict[str, int]:
        """Return the place of each column, ``LABEL`` for the label."""
        names = {column.name: place for place, column in enumerate(self.columns)}
        return names if self.label is None else {**names, self.label: LABEL}

    def place(self, name: Any, where: str = "") -> int:
        """Return the place of a column, ``LABEL`` for the label."""
        names = self.names()
        if name not in names:
            raise InvalidDataError(
                f"{where}: unknown column {name!r}." if where else f"Unknown column {name!r}.",
                mend=f"Columns are {', '.join(names)}.",
                reason="unknown_column",
            )
        return names[name]

    def title(self, index: int) -> str:
        """Return how errors name a column."""
        return f"label {self.label!r}" if index == LABEL else f"column {self.columns[index].name!r}"


class Versions(NamedTuple):
    """Whole rows that a tool proposes, in the order of the rows.

    Parameters
    ----------
    row : ndarray of int64, shape (m,)
        Row of each.
    probability : ndarray of float64, shape (m,)
        Priors; sum to 1 per row.
    cells : dict of int to ndarray of m cells
        Values of the columns spoken about.
    """

    row: Ints
    probability: Floats
    cells: dict[int, NDArray[Any]]


def cells_of_frame(terms: Terms, frame: pd.DataFrame, source: str, *, normalize: bool) -> Candidates:
    """Return a tool's candidates of cells, sorted; those of prior 0 are dropped. Cost O(m log m).

    Raises
    ------
    NotFoundError
        When a row is unknown.
    InvalidDataError
        When a column is unknown, a value does not fit or priors are no distribution; names row and column.
    """
    _need(frame, ("row_id", "column", "value", "probability"))
    row = _places(terms, frame["row_id"])
    column = _columns(terms, frame, row)
    value = np.empty(len(row))
    texts: tuple[str, ...] = ()
    values = frame["value"].reset_index(drop=True)
    words = np.isin(column, [place for place, own in enumerate(terms.columns) if own.kind is ColumnKind.TEXT])
    for index in np.flatnonzero(np.bincount(column + 1)) - 1:
        mine = np.flatnonzero((column == index) & ~words)
        if len(mine):
            value[mine] = _numbers(terms, int(index), values.iloc[mine], row[mine])
    if words.any():
        value[words], texts = _texts(terms, values[words], row[words], column[words])
    table = Candidates(
        row, column, value, _weights(terms, frame, row, column), np.zeros(len(row), np.int8), texts, (source,)
    ).sort()
    starts = np.flatnonzero(table.cells())
    with np.errstate(over="ignore"):
        sums = np.add.reduceat(table.probability, starts) if len(starts) else np.empty(0)
    bad = _no_distribution(sums, normalize=normalize)
    if bad.any():
        line = starts[int(np.argmax(bad))]
        raise InvalidDataError(
            f"Row {terms.row_ids[table.row[line]]!r}, {terms.title(int(table.column[line]))}: "
            f"the priors sum to {sums[np.argmax(bad)]:.9g}, not to 1.",
            mend=_MEND,
            reason=_REASON,
        )
    priors = table.probability
    if normalize:
        priors = priors / np.repeat(sums, np.diff([*starts.tolist(), len(table)]))
    return replace(table, probability=priors).select(priors > 0) if len(table) else table


def versions_of_frame(terms: Terms, frame: pd.DataFrame, *, normalize: bool) -> Versions:
    """Return a tool's whole-row alternatives; those of prior 0 are dropped.

    Raises
    ------
    NotFoundError
        When a row is unknown.
    InvalidDataError
        When a column is unknown, a value does not fit or priors are no distribution; names row and column.
    """
    _need(frame, ("row_id", "probability"))
    row = _places(terms, frame["row_id"])
    priors = _weights(terms, frame, row, None)
    names = RowNames(_Ids(terms.row_ids, row))
    cells = {}
    for name in frame.columns:
        if name in ("row_id", "probability"):
            continue
        index = terms.place(name)
        if index == LABEL:
            raise InvalidDataError(
                f"Alternatives of rows hold the label {name!r}.", mend="Merge candidates of labels as cells."
            )
        cells[index] = encode(terms.columns[index], frame[name].reset_index(drop=True), names)
    sums = np.bincount(row, priors, minlength=len(terms.row_ids))
    bad = _no_distribution(sums[row], normalize=normalize)
    if bad.any():
        place = int(row[np.argmax(bad)])
        raise InvalidDataError(
            f"Row {terms.row_ids[place]!r}: the priors of its alternatives sum to {sums[place]:.9g}, not to 1.",
            mend=_MEND,
            reason=_REASON,
        )
    if normalize:
        priors = priors / sums[row]
    order = np.argsort(row, kind="stable")
    order = order[priors[order] > 0]
    return Versions(row[order], priors[order], {index: own[order] for index, own in cells.items()})


def alternatives_of(block: Block, versions: Versions, source: str) -> Alternatives:
    """Return alternatives of the rows of a block; what a version does not tell is as observed."""
    if not len(versions.row):
        return Alternatives()
    rows = block.cells(versions.row)
    parts: dict[str, Any] = {part: getattr(rows, part) for part in (NUMERIC, CODES, TEXTS, TENSOR)}
    places = layout(block.columns)[1]
    for index, cells in versions.cells.items():
        part, place = places[index]
        parts[part][:, place] = cells.reshape(len(cells), -1)
    lines = np.zeros(len(versions.row), np.int8)
    return Alternatives(versions.row, versions.probability, lines, (source,), replace(rows, **parts))


def checked_cells(terms: Terms, table: Candidates) -> Candidates:
    """Return a coded table, sorted and without priors of 0, once it is known to fit.

    Raises
    ------
    InvalidDataError
        When an index is out of range, a value does not fit or priors do not sum to 1; names row and column.
    """
    sizes = {len(getattr(table, name)) for name in ("row", "column", "value", "probability", "source")}
    if len(sizes) > 1:
        raise InvalidDataError("The arrays of the candidates differ in length.", reason=_REASON)
    if not len(table):
        return table
    for what, indices, low, high in (
        ("row", table.row, 0, len(terms.row_ids)),
        ("column", table.column, LABEL if terms.label is not None else 0, len(terms.columns)),
        ("source", table.source, 0, len(table.sources)),
    ):
        if indices.min() < low or indices.max() >= high:
            odd = indices[np.argmax((indices < low) | (indices >= high))]
            raise InvalidDataError(f"Candidates of {what} {odd}; there are {high}.", reason=_REASON)
    if (table.probability == 0).any():
        table = table.select(table.probability != 0)
    table = table.sort()
    check_candidates(table, terms.columns, terms.classes, terms.row_ids)
    return table


class _Ids(Sequence[str]):
    """Row ids of lines, looked up only where an error names one."""

    def __init__(self, ids: Sequence[str], rows: Ints) -> None:
        self._ids = ids
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        return self._ids[self._rows[place]]


def _need(frame: pd.DataFrame, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InvalidDataError(f"The candidate table has no column {missing[0]!r}.", mend=f"Give {', '.join(names)}.")


def _places(terms: Terms, given: pd.Series[Any]) -> Ints:
    codes, names = pd.factorize(given.to_numpy(object))
    places = pd.Index(np.array(terms.row_ids, object)).get_indexer(names)
    unknown = (codes < 0) | (places < 0)[codes] if len(names) else codes < 0
    if unknown.any():
        odd = given.iloc[int(np.argmax(unknown))]
        raise NotFoundError(f"Row {odd!r} is not in the relation.", mend="See row_ids.")
    return np.asarray(places[codes] if len(names) else codes, np.int64)


def _columns(terms: Terms, frame: pd.DataFrame, row: Ints) -> Ints:
    codes, names = pd.factorize(frame["column"].to_numpy(object), use_na_sentinel=False)
    places = []
    for code, name in enumerate(names):
        where = f"Row {terms.row_ids[row[int(np.argmax(codes == code))]]!r}" if name not in terms.names() else ""
        places.append(terms.place(name, where))
    return np.array(places, np.int64)[codes] if places else np.empty(0, np.int64)


def _no_distribution(sums: NDArray[Any], *, normalize: bool) -> NDArray[np.bool_]:
    bad: NDArray[np.bool_] = ~((sums > 0) & np.isfinite(sums)) if normalize else np.abs(sums - 1) > SUM_TOLERANCE
    return bad


def _weights(terms: Terms, frame: pd.DataFrame, row: Ints, column: Ints | None) -> Floats:
    given = frame["probability"]
    weights = np.asarray(pd.to_numeric(given, errors="coerce"), np.float64)
    fine = np.isfinite(weights) & (weights >= 0)
    if not fine.all():
        place = int(np.argmin(fine))
        where = "" if column is None else f", {terms.title(int(column[place]))}"
        raise InvalidDataError(
            f"Row {terms.row_ids[row[place]]!r}{where}: a prior of {shown(given.iloc[place])}.",
            mend="Priors are numbers from 0 to 1.",
            reason=_REASON,
        )
    return weights


def _numbers(terms: Terms, index: int, values: pd.Series[Any], row: Ints) -> Floats:
    """Return candidates of a column that is not text as numbers."""
    names = RowNames(_Ids(terms.row_ids, row))
    if index == LABEL:
        numbers = codes_of(values, terms.classes, names, f"Label {terms.label!r}").astype(np.float64)
    elif terms.columns[index].kind is ColumnKind.TENSOR:
        raise InvalidDataError(
            f"Row {terms.row_ids[row[0]]!r}: tensor {terms.title(index)} cannot have candidates.",
            mend="Give alternatives of the whole row.",
            reason=_REASON,
        )
    else:
        numbers = encode(terms.columns[index], values, names).astype(np.float64)
        if terms.columns[index].kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME):
            return _present(terms, index, numbers, np.isnan(numbers), row)
    return _present(terms, index, numbers, numbers < 0, row)


def _present(terms: Terms, index: int, numbers: Floats, missing: NDArray[np.bool_], row: Ints) -> Floats:
    if missing.any():
        raise InvalidDataError(
            f"Row {terms.row_ids[row[np.argmax(missing)]]!r}, {terms.title(index)}: a candidate is missing.",
            mend="Candidates of cells are values; alternatives of whole rows may leave cells empty.",
            reason=_REASON,
        )
    return numbers


def _texts(terms: Terms, values: pd.Series[Any], row: Ints, column: Ints) -> tuple[Floats, tuple[str, ...]]:
    texts = encode(Column("", ColumnKind.TEXT), values, RowNames())
    codes, names = pd.factorize(texts)
    if (codes < 0).any():
        place = int(np.argmax(codes < 0))
        _present(terms, int(column[place]), np.empty(0), np.array([True]), row[place : place + 1])
    return codes.astype(np.float64), tuple(names)
