"""What a batch must fulfil before its rows are used: against itself, and against the app it belongs to.

The reasons (``unknown_column``, ``wrong_width``, ...) go to the dead-letter topic with the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.errors import InvalidDataError, Poison
from easeml.ids import RowId
from easeml.relation.block import CODES, NUMERIC, TENSOR, TEXTS, layout
from easeml.relation.candidates import LABEL, Candidates
from easeml.stream.payloads import AppDefined, Column, ColumnKind, Pillar, RelationBatch

SUM_TOLERANCE = 1e-6
UNLABELLED = (Pillar.TEST, Pillar.PRODUCTION)
"""Pillars whose labels never travel with the features."""
_CODED = (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL)


def validate_batch(batch: RelationBatch, app: AppDefined) -> None:
    """Check a batch against its app.

    Raises
    ------
    Poison
        With the reason ``unknown_column``, ``missing_column``, ``wrong_kind``, ``unknown_category``,
        ``unknown_class``, ``duplicate_row``, ``bad_row_id``, ``wrong_width``, ``not_finite``, ``bad_code``,
        ``bad_candidates``, ``bad_alternatives`` or ``labels_not_allowed``; the message names row and column.
    """
    try:
        check_columns(batch.columns, app.columns)
        unknown = set(batch.classes) - set(app.classes)
        if unknown:
            raise InvalidDataError(
                f"Unknown class {min(unknown)!r}.",
                mend=f"Classes of {app.app} are {', '.join(app.classes)}.",
                reason="unknown_class",
            )
        check_batch(batch)
        if batch.pillar in UNLABELLED and ((batch.labels >= 0).any() or (batch.candidate_column == LABEL).any()):
            raise InvalidDataError(
                f"Labels on the {batch.pillar} pillar.",
                mend="Send features only; labels of test rows go to the topic data.test-labels.",
                reason="labels_not_allowed",
            )
    except InvalidDataError as error:
        raise Poison(
            f"{batch.pillar} batch {batch.version!r} of {batch.app}: {error.message}",
            mend=error.mend,
            reason=error.reason,
        ) from error


def check_pillar(batch: RelationBatch, pillar: Pillar) -> None:
    """Check that a batch is of the pillar whose topic it came on.

    Raises
    ------
    Poison
        With the reason ``wrong_pillar``.
    """
    if batch.pillar is not pillar:
        raise Poison(
            f"{batch.pillar} batch {batch.version!r} of {batch.app} came on the topic of {pillar} rows.",
            mend="Pillars stay apart: publish every batch on the topic of its pillar.",
            reason="wrong_pillar",
        )


def check_columns(columns: tuple[Column, ...], wanted: tuple[Column, ...]) -> None:
    """Check that columns are the wanted ones, in order, with no category besides theirs.

    Raises
    ------
    InvalidDataError
        Names the column.
    """
    if columns == wanted:
        return
    have, want = [column.name for column in columns], [column.name for column in wanted]
    for reason, names in (
        ("unknown_column", [name for name in have if name not in want]),
        ("missing_column", [name for name in want if name not in have]),
    ):
        if names:
            raise InvalidDataError(
                f"{reason.replace('_', ' ').capitalize()} {names[0]!r}.",
                mend=f"Columns are {', '.join(want)}.",
                reason=reason,
            )
    if have != want:
        raise InvalidDataError(
            f"Columns in the order {', '.join(have)}.", mend=f"Send {', '.join(want)}.", reason="wrong_kind"
        )
    for column, other in zip(columns, wanted, strict=True):
        if column.kind is not other.kind or column.shape != other.shape:
            raise InvalidDataError(
                f"Column {column.name!r} is {column.kind} {column.shape or ''}, not {other.kind} {other.shape or ''}.",
                mend="Send the columns of the app's definition.",
                reason="wrong_kind",
            )
        extra = set(column.categories) - set(other.categories)
        if extra:
            raise InvalidDataError(
                f"Column {column.name!r}: unknown category {min(extra)!r}.",
                mend="Add it to the app's definition.",
                reason="unknown_category",
            )


def check_batch(batch: RelationBatch) -> None:
    """Check that a batch is whole: sizes, row ids, codes, finite numbers, candidates.

    Raises
    ------
    InvalidDataError
        Names row and column; its reason is the Poison reason of ``validate_batch``.
    """
    rows = len(batch.row_ids)
    check_row_ids(batch.row_ids)
    if len(batch.labels) not in (0, rows):
        raise InvalidDataError(f"{len(batch.labels)} labels for {rows} rows.", reason="wrong_width")
    _check_codes(batch.labels, len(batch.classes), _Named(batch.row_ids), "label", "unknown_class")
    _check_cells(batch, "", _Named(batch.row_ids))
    _check_candidates(batch)
    _check_alternatives(batch)


class _Named:
    """How errors name a row, or an alternative of a row."""

    def __init__(self, row_ids: Sequence[str], owners: NDArray[Any] | None = None) -> None:
        self._row_ids = row_ids
        self._owners = owners

    def __len__(self) -> int:
        return len(self._row_ids) if self._owners is None else len(self._owners)

    def __getitem__(self, place: int) -> str:
        if self._owners is None:
            return f"Row {self._row_ids[place]!r}"
        owner = int(self._owners[place])
        return f"Row {self._row_ids[owner]!r}, alternative {place - int(np.argmax(self._owners == owner))}"


def _check_cells(batch: RelationBatch, prefix: str, names: _Named) -> None:
    """Check the dense cells of the rows, or with the prefix ``alternative_`` those of the alternatives."""
    rows = len(names)
    widths, places = layout(batch.columns)
    for part, size in widths.items():
        cells = getattr(batch, prefix + part)
        if len(cells) != rows * size:
            raise InvalidDataError(
                f"{prefix}{part} holds {len(cells)} cells, not {rows} rows x {size}.",
                mend="Send every cell of every row; missing is NaN, -1 or listed in missing_texts.",
                reason="wrong_width",
            )
    for part in (NUMERIC, TENSOR):
        numbers = getattr(batch, prefix + part).reshape(rows, widths[part])
        if np.isinf(numbers).any():
            row, place = np.argwhere(np.isinf(numbers))[0]
            named = _column_at(batch.columns, places, part, int(place))
            raise InvalidDataError(
                f"{names[int(row)]}, column {named!r}: infinite.",
                mend="Send NaN for a missing value.",
                reason="not_finite",
            )
    codes = getattr(batch, prefix + CODES).reshape(rows, widths[CODES])
    for column, (part, place) in zip(batch.columns, places, strict=True):
        if part == CODES:
            _check_codes(codes[:, place.start], domain_size(column), names, f"column {column.name!r}", "bad_code")
    texts, missing = rows * widths[TEXTS], getattr(batch, f"{prefix}missing_texts")
    if len(missing) and not ((missing >= 0) & (missing < texts)).all():
        raise InvalidDataError(f"{prefix}missing_texts points beyond the {texts} texts.", reason="wrong_width")


def check_row_ids(row_ids: Sequence[str]) -> None:
    """Check that row ids are valid and distinct.

    Raises
    ------
    InvalidDataError
        Names the row.
    """
    if len(set(row_ids)) != len(row_ids):
        twice = next(row_id for row_id, count in Counter(row_ids).items() if count > 1)
        raise InvalidDataError(
            f"Row {twice!r} occurs twice.", mend="Give every row its own id.", reason="duplicate_row"
        )
    # One look at all characters together; only odd ones are worth a look at each id.
    if row_ids and not (all(row_ids) and "".join(row_ids).isprintable() and max(map(len, row_ids)) <= 200):
        for row_id in row_ids:
            try:
                RowId(row_id)
            except InvalidDataError as error:
                raise InvalidDataError(error.message, mend=error.mend, reason="bad_row_id") from error


def domain_size(column: Column) -> int:
    """Return how many codes a boolean or categorical column has."""
    return 2 if column.kind is ColumnKind.BOOLEAN else len(column.categories)


def _column_at(columns: Sequence[Column], places: Sequence[tuple[str, slice]], part: str, at: int) -> str:
    return next(
        column.name
        for column, (own, place) in zip(columns, places, strict=True)
        if own == part and place.start <= at < place.stop
    )


def _check_codes(codes: NDArray[Any], size: int, names: _Named, what: str, reason: str) -> None:
    if len(codes) and (codes.min() < -1 or codes.max() >= size):
        row = int(np.argmax((codes < -1) | (codes >= size)))
        raise InvalidDataError(
            f"{names[row]}, {what}: code {codes[row]}, but there are {size} values.",
            mend="Send -1 for a missing value.",
            reason=reason,
        )


def _owners(pointer: NDArray[Any], rows: int, lines: set[int], what: str) -> NDArray[Any] | None:
    """Return the row of each line of a CSR table, None if it has none."""
    if not len(pointer) and lines == {0}:
        return None
    if len(pointer) != rows + 1 or pointer[0] != 0 or (np.diff(pointer) < 0).any() or lines != {int(pointer[-1])}:
        raise _bad(f"{what}_ptr does not fit the rows and the {what}s.", f"bad_{what}s")
    return np.repeat(np.arange(rows), np.diff(pointer)) if pointer[-1] else None


def _check_candidates(batch: RelationBatch) -> None:
    columns, values, priors = batch.candidate_column, batch.candidate_value, batch.candidate_probability
    sizes = {len(columns), len(values), len(priors), len(batch.candidate_source)}
    owner = _owners(batch.candidate_ptr, len(batch.row_ids), sizes, "candidate")
    if owner is None:
        return
    if columns.min() < LABEL or columns.max() >= len(batch.columns):
        raise _bad("candidate_column points beyond the columns.")
    if batch.candidate_source.min() < 0 or batch.candidate_source.max() >= len(batch.sources):
        raise _bad("candidate_source points beyond the sources.")
    table = Candidates(
        owner, columns, values, priors, batch.candidate_source, batch.candidate_texts, batch.sources
    ).sort()
    check_candidates(table, batch.columns, batch.classes, batch.row_ids)


def check_candidates(
    table: Candidates, columns: Sequence[Column], classes: Sequence[str], row_ids: Sequence[str]
) -> None:
    """Check the values and priors of a sorted candidate table whose indices are in range.

    Raises
    ------
    InvalidDataError
        With the reason ``bad_candidates``; names row and column.
    """
    if not len(table):
        return
    for index in np.unique(table.column):
        _check_values(table, columns, classes, row_ids, int(index))

    def where(line: int) -> str:
        return f"Row {row_ids[table.row[line]]!r}, {_title(columns, int(table.column[line]))}"

    # NaN fails the comparison too.
    wrong = ~((table.probability > 0) & (table.probability <= 1 + SUM_TOLERANCE))
    if wrong.any():
        line = int(np.argmax(wrong))
        raise _bad(f"{where(line)}: a prior of {table.probability[line]:g} is not in (0, 1].")
    starts = np.flatnonzero(table.cells())
    sums = np.add.reduceat(table.probability, starts)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        cell = int(np.argmax(off))
        raise _bad(f"{where(int(starts[cell]))}: the priors of a cell sum to {sums[cell]:.9g}, not to 1.")


def _title(columns: Sequence[Column], index: int) -> str:
    return "the label" if index == LABEL else f"column {columns[index].name!r}"


def _check_values(
    table: Candidates, columns: Sequence[Column], classes: Sequence[str], row_ids: Sequence[str], index: int
) -> None:
    kind = None if index == LABEL else columns[index].kind
    mine = np.flatnonzero(table.column == index)
    values = table.value[mine]
    name = _title(columns, index)
    if kind is ColumnKind.TENSOR:
        raise _bad(f"Tensor {name} cannot have candidates; row {row_ids[table.row[mine[0]]]!r} has.")
    finite = np.isfinite(values)
    if not finite.all():
        raise _bad(f"Row {row_ids[table.row[mine[np.argmin(finite)]]]!r}, {name}: a candidate is not finite.")
    if kind is None or kind in _CODED or kind is ColumnKind.TEXT:
        size = len(classes) if kind is None else len(table.texts)
        size = domain_size(columns[index]) if kind in _CODED else size
        bad = (values < 0) | (values >= size) | (values != np.floor(values))
        if bad.any():
            place = int(np.argmax(bad))
            raise _bad(f"Row {row_ids[table.row[mine[place]]]!r}, {name}: candidate {values[place]}.")


def _check_alternatives(batch: RelationBatch) -> None:
    priors, rows = batch.alternative_probability, len(batch.row_ids)
    owner = _owners(batch.alternative_ptr, rows, {len(priors), len(batch.alternative_source)}, "alternative")
    if batch.alternative_source.min(initial=0) < 0 or batch.alternative_source.max(initial=-1) >= len(batch.sources):
        raise _bad("alternative_source points beyond the sources.", "bad_alternatives")
    if owner is None:
        owner = np.empty(0, np.int64)
    try:
        _check_cells(batch, "alternative_", _Named(batch.row_ids, owner))
    except InvalidDataError as error:
        raise InvalidDataError(error.message, mend=error.mend, reason="bad_alternatives") from error
    if not len(owner):
        return
    check_shares(owner, priors, batch.row_ids)
    if len(batch.candidate_ptr):
        cells = np.repeat(np.arange(rows), np.diff(batch.candidate_ptr))[batch.candidate_column != LABEL]
        both = np.intersect1d(owner, cells)
        if len(both):
            raise _bad(
                f"Row {batch.row_ids[both[0]]!r} has alternatives and candidates of feature cells.", "bad_alternatives"
            )


def check_shares(owner: NDArray[Any], priors: NDArray[np.float64], row_ids: Sequence[str]) -> None:
    """Check the priors of alternatives; ``owner`` is the row of each.

    Raises
    ------
    InvalidDataError
        With the reason ``bad_alternatives``; names the row.
    """
    wrong = ~((priors > 0) & (priors <= 1 + SUM_TOLERANCE))
    if wrong.any():
        line = int(np.argmax(wrong))
        raise _bad(f"Row {row_ids[owner[line]]!r}: a prior of {priors[line]:g} is not in (0, 1].", "bad_alternatives")
    rows, place = np.unique(owner, return_inverse=True)
    sums = np.bincount(place, priors)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        row = int(np.argmax(off))
        raise _bad(
            f"Row {row_ids[rows[row]]!r}: the priors of its alternatives sum to {sums[row]:.9g}, not to 1.",
            "bad_alternatives",
        )


def _bad(message: str, reason: str = "bad_candidates") -> InvalidDataError:
    return InvalidDataError(
        message, mend="Priors lie in (0, 1] and sum to 1; the field comments of RelationBatch tell more.", reason=reason
    )
