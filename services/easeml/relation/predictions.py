"""What a batch of predictions must fulfil before its votes count."""

from __future__ import annotations

from easeml.errors import Poison
from easeml.stream.payloads import AppDefined, PredictionBatch

_MEND = "Give one code into the app's classes per row, -1 for none."


def check_width(batch: PredictionBatch) -> None:
    """Check that there is one prediction per row.

    Raises
    ------
    Poison
        With the reason ``width``.
    """
    if len(batch.labels) != len(batch.row_ids):
        raise Poison(
            f"{len(batch.labels)} predictions for {len(batch.row_ids)} rows.",
            mend=_MEND,
            reason="width",
        )


def check_classes(batch: PredictionBatch, app: AppDefined) -> None:
    """Check that every prediction is one of the app's classes.

    Raises
    ------
    Poison
        With the reason ``unknown_class``.
    """
    highest = int(batch.labels.max(initial=-1))
    if highest >= len(app.classes):
        raise Poison(
            f"Model {batch.model!r} predicts class {highest}; {app.app!r} has {len(app.classes)}.",
            mend=_MEND,
            reason="unknown_class",
        )
