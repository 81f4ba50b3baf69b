"""What the CI service knows of the test rows of one app: labels, and the predictions of every model.

A view: rebuilt by folding the topics again, in any interleaving of them. Labels keep their order of arrival,
so an epoch is a range of that order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from easeml.errors import Poison
from easeml.relation.predictions import check_width
from easeml.stream.payloads import PredictionBatch, TestLabels

Ints = npt.NDArray[np.int32]

ABSENT = -2
"""No prediction has arrived; -1 is a model's own "none"."""


class Register:
    """Test labels and test predictions of one app."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        # Whether a label domain is the app's is not known here, so labels under a wrong one must not stand in the way.
        self._labels: dict[int, dict[tuple[str, ...], str]] = {}
        self._predictions: dict[str, Ints] = {}

    def add_labels(self, batch: TestLabels) -> None:
        """Add labels; a repeated label changes nothing.

        Raises
        ------
        Poison
            When the batch does not fit together, has a row twice, or a row has another label already.
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
        if len(set(batch.row_ids)) != len(batch.row_ids):
            raise Poison("A test row occurs twice.", mend="Give every row one label.", reason="duplicate_row")
        for row, code in zip(batch.row_ids, codes.tolist(), strict=True):
            self._check_final(row, batch.classes[code], batch.classes)
        for row, code in zip(batch.row_ids, codes.tolist(), strict=True):
            self._labels.setdefault(self._place(row), {}).setdefault(batch.classes, batch.classes[code])

    def _check_final(self, row: str, label: str, classes: tuple[str, ...]) -> None:
        for domain, known in self._labels.get(self._places.get(row, -1), {}).items():
            if known != label and known in classes and label in domain:
                raise Poison(
                    f"Test row {row!r} is {known!r} already, not {label!r}.",
                    mend="Labels of a test set are final; publish corrected rows under new ids.",
                    reason="conflict",
                )

    def add_predictions(self, batch: PredictionBatch) -> None:
        """Add a model's predictions; the last one per row counts.

        Raises
        ------
        Poison
            When the batch does not fit together.
        """
        check_width(batch)
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
        fitting = self._fitting(classes)
        rows = list(self._labels.items())[start:]
        return [place for place, labels in rows if not fitting.isdisjoint(labels)]

    def _fitting(self, classes: tuple[str, ...]) -> set[tuple[str, ...]]:
        """Return the label domains that have no class besides ``classes``."""
        known = set(classes)
        domains = {domain for labels in self._labels.values() for domain in labels}
        return {domain for domain in domains if known.issuperset(domain)}

    def size(self) -> int:
        """Return how many rows have a label."""
        return len(self._labels)

    def codes(self, places: list[int], classes: tuple[str, ...]) -> list[int]:
        """Return the labels of rows as codes."""
        code = {name: i for i, name in enumerate(classes)}
        fitting = self._fitting(classes)
        return [
            code[next(label for domain, label in self._labels[place].items() if domain in fitting)] for place in places
        ]

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
