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
from easeml.relation.candidates import LABEL
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
        ``bad_candidates`` or ``labels_not_allowed``; the message names row and column.
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
    widths, places = layout(batch.columns)
    for part, size in widths.items():
        if len(getattr(batch, part)) != rows * size:
            raise InvalidDataError(
                f"{part} holds {len(getattr(batch, part))} cells, not {rows} rows x {size}.",
                mend="Send every cell of every row; missing is NaN, -1 or listed in missing_texts.",
                reason="wrong_width",
            )
    if len(batch.labels) not in (0, rows):
        raise InvalidDataError(f"{len(batch.labels)} labels for {rows} rows.", reason="wrong_width")
    _check_codes(batch.labels, len(batch.classes), batch.row_ids, "label", "unknown_class")
    for part in (NUMERIC, TENSOR):
        numbers = getattr(batch, part).reshape(rows, widths[part])
        if np.isinf(numbers).any():
            row, place = np.argwhere(np.isinf(numbers))[0]
            named = _column_at(batch.columns, places, part, int(place))
            raise InvalidDataError(
                f"Row {batch.row_ids[row]!r}, column {named!r}: infinite.",
                mend="Send NaN for a missing value.",
                reason="not_finite",
            )
    codes = batch.codes.reshape(rows, widths[CODES])
    for column, (part, place) in zip(batch.columns, places, strict=True):
        if part == CODES:
            _check_codes(codes[:, place.start], _domain(column), batch.row_ids, f"column {column.name!r}", "bad_code")
    texts = rows * widths[TEXTS]
    if len(batch.missing_texts) and not ((batch.missing_texts >= 0) & (batch.missing_texts < texts)).all():
        raise InvalidDataError(f"missing_texts points beyond the {texts} texts.", reason="wrong_width")
    _check_candidates(batch)


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


def _domain(column: Column) -> int:
    return 2 if column.kind is ColumnKind.BOOLEAN else len(column.categories)


def _column_at(columns: Sequence[Column], places: Sequence[tuple[str, slice]], part: str, at: int) -> str:
    return next(
        column.name
        for column, (own, place) in zip(columns, places, strict=True)
        if own == part and place.start <= at < place.stop
    )


def _check_codes(codes: NDArray[Any], size: int, row_ids: Sequence[str], what: str, reason: str) -> None:
    if len(codes) and (codes.min() < -1 or codes.max() >= size):
        row = int(np.argmax((codes < -1) | (codes >= size)))
        raise InvalidDataError(
            f"Row {row_ids[row]!r}, {what}: code {codes[row]}, but there are {size} values.",
            mend="Send -1 for a missing value.",
            reason=reason,
        )


def _check_candidates(batch: RelationBatch) -> None:
    pointer = batch.candidate_ptr
    columns, values, priors = batch.candidate_column, batch.candidate_value, batch.candidate_probability
    sizes = {len(columns), len(values), len(priors), len(batch.candidate_source)}
    rows = len(batch.row_ids)
    if not len(pointer) and sizes == {0}:
        return
    if len(pointer) != rows + 1 or pointer[0] != 0 or (np.diff(pointer) < 0).any() or sizes != {int(pointer[-1])}:
        raise _bad("candidate_ptr does not fit the rows and the candidates.")
    if not len(columns):
        return
    if columns.min() < LABEL or columns.max() >= len(batch.columns):
        raise _bad("candidate_column points beyond the columns.")
    if batch.candidate_source.min() < 0 or batch.candidate_source.max() >= len(batch.sources):
        raise _bad("candidate_source points beyond the sources.")
    owner = np.repeat(np.arange(rows), np.diff(pointer))
    for index in np.unique(columns):
        _check_values(batch, int(index), values[columns == index], owner[columns == index])
    # NaN fails the comparison too.
    if not ((priors > 0) & (priors <= 1 + SUM_TOLERANCE)).all():
        raise _bad("A prior is not in (0, 1].")
    cells = owner * (len(batch.columns) + 1) + columns + 1
    _, inverse = np.unique(cells, return_inverse=True)
    sums = np.bincount(inverse, priors)
    if (np.abs(sums - 1) > SUM_TOLERANCE).any():
        row = int(owner[np.argmax(np.abs(sums[inverse] - 1) > SUM_TOLERANCE)])
        raise _bad(f"Row {batch.row_ids[row]!r}: the priors of a cell do not sum to 1.")


def _check_values(batch: RelationBatch, index: int, values: NDArray[np.float64], owner: NDArray[Any]) -> None:
    name = "the label" if index == LABEL else f"column {batch.columns[index].name!r}"
    kind = None if index == LABEL else batch.columns[index].kind
    if kind is ColumnKind.TENSOR:
        raise _bad(f"Tensor {name} cannot have candidates.")
    if not np.isfinite(values).all():
        raise _bad(f"Row {batch.row_ids[owner[np.argmin(np.isfinite(values))]]!r}, {name}: a candidate is not finite.")
    if kind is None or kind in _CODED or kind is ColumnKind.TEXT:
        size = len(batch.classes) if kind is None else len(batch.candidate_texts)
        size = _domain(batch.columns[index]) if kind in _CODED else size
        bad = (values < 0) | (values >= size) | (values != np.floor(values))
        if bad.any():
            raise _bad(f"Row {batch.row_ids[owner[np.argmax(bad)]]!r}, {name}: candidate {values[np.argmax(bad)]}.")


def _bad(message: str) -> InvalidDataError:
    return InvalidDataError(message, mend="See the field comments of RelationBatch.", reason="bad_candidates")
