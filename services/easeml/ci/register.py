"""What the CI service knows of the test rows of one app: labels, and the predictions of every model.

A view: rebuilt by folding the topics again, in any interleaving of them. Labels keep their order of arrival,
so an epoch is a range of that order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from easeml.errors import Poison
from easeml.stream.payloads import PredictionBatch, TestLabels

Ints = npt.NDArray[np.int32]

ABSENT = -2
"""No prediction has arrived; -1 is a model's own "none"."""


class Register:
    """Test labels and test predictions of one app."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._labels: dict[int, str] = {}
        self._domains: dict[int, tuple[str, ...]] = {}
        self._predictions: dict[str, Ints] = {}

    def add_labels(self, batch: TestLabels) -> None:
        """Add labels; a repeated label changes nothing.

        Raises
        ------
        Poison
            When the batch does not fit together, or a row has another label already.
        """
        codes = batch.labels
        if len(codes) != len(batch.row_ids):
            raise Poison(
                f"{len(codes)} labels for {len(batch.row_ids)} rows.", mend="Give one per row.", reason="width"
            )
        if len(codes) and not 0 <= codes.min() <= codes.max() < len(batch.classes):
            raise Poison(
                f"Label codes {codes.min()} to {codes.max()} do not fit {len(batch.classes)} classes.",
                mend="Every test row needs a label, a code into `classes`.",
                reason="unknown_class",
            )
        for row, code in zip(batch.row_ids, codes.tolist(), strict=True):
            known = self._labels.get(self._places.get(row, -1))
            if known not in (None, batch.classes[code]):
                raise Poison(
                    f"Test row {row!r} is {known!r} already, not {batch.classes[code]!r}.",
                    mend="Labels of a test set are final; publish corrected rows under new ids.",
                    reason="conflict",
                )
        for row, code in zip(batch.row_ids, codes.tolist(), strict=True):
            place = self._place(row)
            self._labels[place] = batch.classes[code]
            self._domains.setdefault(place, batch.classes)

    def add_predictions(self, batch: PredictionBatch) -> None:
        """Add a model's predictions; the last one per row counts.

        Raises
        ------
        Poison
            When the batch does not fit together.
        """
        if len(batch.labels) != len(batch.row_ids):
            raise Poison(
                f"{len(batch.labels)} predictions for {len(batch.row_ids)} rows.",
                mend="Give one per row, -1 for none.",
                reason="width",
            )
        places = np.array([self._place(row) for row in batch.row_ids], dtype=np.int64)
        known = self._predictions.get(batch.model, np.full(0, ABSENT, dtype=np.int32))
        if len(known) < len(self._places):
            grown = np.full(2 * len(self._places), ABSENT, dtype=np.int32)
            grown[: len(known)] = known
            known = self._predictions[batch.model] = grown
        known[places] = np.maximum(batch.labels, -1)

    def _place(self, row: str) -> int:
        return self._places.setdefault(row, len(self._places))

    def labelled(self, classes: tuple[str, ...], start: int) -> list[int]:
        """Return the labelled rows from the ``start``-th on, without batches of another label domain."""
        known = set(classes)
        fits = {domain: known.issuperset(domain) for domain in set(self._domains.values())}
        return [place for place in list(self._labels)[start:] if fits[self._domains[place]]]

    def size(self) -> int:
        """Return how many rows have a label."""
        return len(self._labels)

    def codes(self, places: list[int], classes: tuple[str, ...]) -> list[int]:
        """Return the labels of rows as codes."""
        code = {name: i for i, name in enumerate(classes)}
        return [code[self._labels[place]] for place in places]

    def predictions(self, model: str, places: list[int], classes: int) -> Ints | None:
        """Return a model's predictions, shape (len(places),), or None while some are missing.

        A prediction outside the label domain, and "none", become one class more: always wrong.
        """
        known = self._predictions.get(model, np.full(0, ABSENT, dtype=np.int32))
        if not places or max(places) >= len(known):
            return None
        found = known[places]
        if (found == ABSENT).any():
            return None
        return np.where((found < 0) | (found >= classes), classes, found).astype(np.int32)

    def unlabelled_predictions(self, model: str) -> bool:
        """Return whether the model has predicted rows that have no label (yet)."""
        known = self._predictions.get(model, np.full(0, ABSENT, dtype=np.int32))
        return any(int(place) not in self._labels for place in np.flatnonzero(known != ABSENT))
