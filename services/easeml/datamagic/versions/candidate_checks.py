"""What a message of candidates must fulfil before it counts.

Whether its rows are known is not asked: rows may come later, and what is known of them waits. Those that do not come
in time are told (``ledger.Ledger.strangers``).
"""

from __future__ import annotations

from easeml.errors import InvalidDataError, Poison
from easeml.relation.proposals import check_shape, validate_candidates
from easeml.relation.validation import UNLABELLED
from easeml.stream.payloads import AppDefined, CandidateBatch


def check_whole(batch: CandidateBatch) -> None:
    """Check that a message of candidates is whole: sizes, indices, rows and columns.

    Raises
    ------
    Poison
        With the reason ``bad_candidates``, ``duplicate_row`` or ``bad_row_id``.
    """
    try:
        check_shape(batch)
    except InvalidDataError as error:
        raise _poison(batch, error.message, error.mend, error.reason) from error


def check_fit(batch: CandidateBatch, app: AppDefined) -> None:
    """Check a message of candidates against its app.

    Raises
    ------
    Poison
        Names row and column; with the reason ``labels_not_allowed``, or one of ``validate_candidates``.
    """
    if batch.pillar in UNLABELLED and app.label in batch.columns:
        raise _poison(
            batch,
            f"Column {app.label!r} is the label, which {batch.pillar} rows do not carry.",
            "Propose features, or labels of train, pool and validation rows.",
            "labels_not_allowed",
        )
    try:
        validate_candidates(batch, app)
    except Poison as error:
        if error.reason != "invalid_data":
            raise
        raise Poison(error.message, mend=error.mend, reason="bad_candidates") from error


def _poison(batch: CandidateBatch, message: str, mend: str, reason: str) -> Poison:
    text = f"Candidates of {batch.source!r} for {batch.pillar} rows of {batch.app}: {message}"
    return Poison(text, mend=mend, reason=reason)
