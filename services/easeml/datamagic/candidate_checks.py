"""What a message of candidates must fulfil: against itself, and against the app it belongs to.

Whether its rows are known is not asked here: rows may come later, and what is known of them waits.
"""

from __future__ import annotations

import numpy as np

from easeml.errors import InvalidDataError, Poison
from easeml.relation.columns import cell_number
from easeml.relation.validation import SUM_TOLERANCE, UNLABELLED, check_row_ids
from easeml.stream.payloads import AppDefined, CandidateBatch, CandidateKind, ColumnKind

REASON = "bad_candidates"


def check_whole(batch: CandidateBatch) -> None:
    """Check that a message of candidates is whole: sizes, indices, probabilities.

    Raises
    ------
    Poison
        Names row and column; with the reason ``bad_candidates``, ``duplicate_row`` or ``bad_row_id``.
    """
    try:
        check_row_ids(batch.row_ids)
    except InvalidDataError as error:
        raise _poison(batch, error.message, error.mend, error.reason) from error
    cells = batch.kind is CandidateKind.CELLS
    count, width = len(batch.probability), len(batch.columns)
    sizes = {
        "row": (len(batch.row), count),
        "column": (len(batch.column), count if cells else 0),
        "values": (len(batch.values), count if cells else count * width),
    }
    for name, (found, wanted) in sizes.items():
        if found != wanted:
            raise _poison(batch, f"{name} has {found} items; {count} candidates need {wanted}.")
    if not batch.source:
        raise _poison(batch, "It has no source.", "Name the tool and its version.")
    if len(set(batch.columns)) != width:
        raise _poison(batch, "A column is named twice.")
    for name, places, end in (
        ("row", batch.row, len(batch.row_ids)),
        ("column", batch.column, width),
        ("missing", batch.missing, len(batch.values)),
    ):
        if len(places) and not (places.min() >= 0 and places.max() < end):
            raise _poison(batch, f"{name} points beyond the {end} there are.")
    _check_probabilities(batch)


def _check_probabilities(batch: CandidateBatch) -> None:
    weight = batch.probability
    odd = ~((weight >= 0) & (weight <= 1 + SUM_TOLERANCE))  # NaN is odd too
    if odd.any():
        place = int(np.argmax(odd))
        raise _poison(batch, f"{_where(batch, place)}: the probability {weight[place]:g} is not in [0, 1].")
    if not len(weight):
        return
    width = max(len(batch.columns), 1)
    cell = batch.row.astype(np.int64)
    if batch.kind is CandidateKind.CELLS:
        cell = cell * width + batch.column
    _, inverse = np.unique(cell, return_inverse=True)
    sums = np.bincount(inverse, weight)
    wrong = np.abs(sums - 1) > SUM_TOLERANCE
    if wrong.any():
        place = int(np.argmax(wrong[inverse]))
        raise _poison(batch, f"{_where(batch, place)}: the probabilities sum to {sums[inverse[place]]:g}, not to 1.")


def check_fit(batch: CandidateBatch, app: AppDefined) -> None:
    """Check a whole message of candidates against its app.

    Raises
    ------
    Poison
        Names row, column and value; with the reason ``unknown_column``, ``labels_not_allowed``, ``unknown_class`` or
        ``bad_candidates``.
    """
    columns = {column.name: column for column in app.columns}
    for name in batch.columns:
        if name == app.label and (batch.pillar in UNLABELLED or batch.kind is CandidateKind.ROWS):
            raise _poison(
                batch,
                f"Column {name!r} is the label, which {batch.pillar} rows do not carry."
                if batch.pillar in UNLABELLED
                else f"Column {name!r} is the label; whole rows are features.",
                "Propose features, or labels of train, pool and validation rows as cells.",
                "labels_not_allowed",
            )
        if name != app.label and name not in columns:
            raise _poison(
                batch, f"Unknown column {name!r}.", f"Columns are {', '.join((*columns, app.label))}.", "unknown_column"
            )
        if name in columns and columns[name].kind is ColumnKind.TENSOR:
            raise _poison(batch, f"Column {name!r} is a tensor, which cannot have candidates.")
    missing = set(batch.missing.tolist())
    judged: dict[tuple[str, str], InvalidDataError | None] = {}
    for place, value in enumerate(batch.values):
        name = batch.columns[_column(batch, place)]
        if place in missing:
            if name == app.label:
                raise _poison(batch, f"{_where_value(batch, place)}: a label cannot be missing.")
            continue
        if (name, value) not in judged:
            judged[name, value] = _problem(name, value, app)
        problem = judged[name, value]
        if problem is not None:
            raise _poison(batch, f"{_where_value(batch, place)}: {problem.message}", problem.mend, problem.reason)


def _problem(name: str, value: str, app: AppDefined) -> InvalidDataError | None:
    if name == app.label:
        if value in app.classes:
            return None
        return InvalidDataError(
            f"{value!r} is not one of {', '.join(app.classes)}.",
            mend="Give a class of the app.",
            reason="unknown_class",
        )
    column = next(column for column in app.columns if column.name == name)
    if column.kind is ColumnKind.TEXT:
        return None
    try:
        cell_number(column, value)
    except InvalidDataError:
        known = f"one of {', '.join(column.categories[:8])}" if column.categories else f"a {column.kind} value"
        return InvalidDataError(f"{value!r} is not {known}.", mend="Correct the value.", reason=REASON)
    return None


def _column(batch: CandidateBatch, place: int) -> int:
    return int(batch.column[place]) if batch.kind is CandidateKind.CELLS else place % len(batch.columns)


def _where(batch: CandidateBatch, place: int) -> str:
    """Name the row, and the column, of a candidate."""
    row_id = batch.row_ids[batch.row[place]]
    if batch.kind is CandidateKind.ROWS:
        return f"Row {row_id!r}"
    return f"Row {row_id!r}, column {batch.columns[batch.column[place]]!r}"


def _where_value(batch: CandidateBatch, place: int) -> str:
    """Name the row and the column of a value."""
    if batch.kind is CandidateKind.CELLS:
        return _where(batch, place)
    return f"{_where(batch, place // len(batch.columns))}, column {batch.columns[_column(batch, place)]!r}"


def _poison(batch: CandidateBatch, message: str, mend: str = "", reason: str = REASON) -> Poison:
    return Poison(
        f"Candidates of {batch.source!r} for {batch.pillar} rows of {batch.app}: {message}",
        mend=mend or "See the field comments of CandidateBatch.",
        reason=reason,
    )
