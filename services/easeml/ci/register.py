"""What the CI service knows of the test rows of one app: labels that were given, and the predictions of every model.

A view: rebuilt by folding the topics again, in any interleaving of them. Rows are numbered in the order of their first
prediction, which is one topic, so the numbers mean the same after every rebuild.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from easeml.ci.slices import Cells, Grouped
from easeml.errors import Poison
from easeml.relation.predictions import check_width
from easeml.stream.payloads import Column, PredictionBatch, TestLabels

Ints = npt.NDArray[np.int32]

ABSENT = -2
"""No prediction has arrived; -1 is a model's own "none"."""
UNKNOWN = -1
"""Code of a row without a label."""


class Register:
    """Test labels and test predictions of one app, and the cells that slices of its test rows are made of."""

    def __init__(self) -> None:
        self.cells = Cells()
        self._numbers: dict[str, int] = {}
        self._rows: list[str] = []
        # Whether a label domain is the app's is not known here, so labels under a wrong one must not stand in the way.
        self._labels: dict[str, dict[tuple[str, ...], str]] = {}
        self._domains: dict[tuple[str, ...], None] = {}
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
        self._domains[batch.classes] = None
        for row, code in zip(batch.row_ids, codes.tolist(), strict=True):
            self._labels.setdefault(row, {}).setdefault(batch.classes, batch.classes[code])

    def _check_final(self, row: str, label: str, classes: tuple[str, ...]) -> None:
        for domain, known in self._labels.get(row, {}).items():
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
        numbers = np.array([self._number(row) for row in batch.row_ids], dtype=np.int64)
        known = self._predictions.get(batch.model, np.full(0, ABSENT, dtype=np.int32))
        if len(known) < len(self._rows):
            grown = np.full(2 * len(self._rows), ABSENT, dtype=np.int32)
            grown[: len(known)] = known
            known = self._predictions[batch.model] = grown
        known[numbers] = np.maximum(batch.labels, -1)

    def _number(self, row: str) -> int:
        number = self._numbers.setdefault(row, len(self._rows))
        if number == len(self._rows):
            self._rows.append(row)
        return number

    def number(self, row: str) -> int | None:
        """Return the number of a row; None: nobody has predicted it."""
        return self._numbers.get(row)

    def row(self, number: int) -> str:
        """Return the id of a row."""
        return self._rows[number]

    def labelled(self, classes: tuple[str, ...]) -> list[int | None]:
        """Return the numbers of the rows that have a label of these classes, None for a row without predictions."""
        fitting = self._fitting(classes)
        return [self._numbers.get(row) for row, said in self._labels.items() if not fitting.isdisjoint(said)]

    def predicted(self, model: str) -> Ints:
        """Return the numbers of the rows that a model has predicted, ascending."""
        known = self._predictions.get(model, np.full(0, ABSENT, dtype=np.int32))
        return np.flatnonzero(known != ABSENT).astype(np.int32)

    def _fitting(self, classes: tuple[str, ...]) -> set[tuple[str, ...]]:
        """Return the label domains that have no class besides ``classes``."""
        known = set(classes)
        return {domain for domain in self._domains if known.issuperset(domain)}

    def codes(self, numbers: Sequence[int] | Ints, classes: tuple[str, ...]) -> list[int]:
        """Return the labels of rows as codes; UNKNOWN where there is none."""
        code = {name: i for i, name in enumerate(classes)}
        fitting = self._fitting(classes)
        return [
            next((code[name] for domain, name in self._labels.get(row, {}).items() if domain in fitting), UNKNOWN)
            for row in (self._rows[number] for number in numbers)
        ]

    def grouped(self, numbers: Ints, slices: Sequence[str], columns: tuple[Column, ...]) -> Grouped:
        """Return rows and who of them belongs to which slice; rows that did not come themselves are left out."""
        known, groups = np.ones(len(numbers), dtype=np.bool_), [np.ones(len(numbers), dtype=np.bool_)]
        for name in slices:
            here, members = self.cells.members(name, columns, [self._rows[number] for number in numbers])
            known &= here
            groups.append(members)
        return Grouped(numbers[known], np.stack(groups)[:, known], int((~known).sum()))

    def predictions(self, model: str, numbers: Ints, classes: int) -> Ints | None:
        """Return a model's predictions, shape (len(numbers),), or None while some are missing.

        A prediction outside the label domain, and "none", become one class more: always wrong.
        """
        known = self._predictions.get(model, np.full(0, ABSENT, dtype=np.int32))
        if not len(numbers) or int(numbers.max()) >= len(known):
            return None
        found = known[numbers]
        if (found == ABSENT).any():
            return None
        return np.where((found < 0) | (found >= classes), classes, found).astype(np.int32)
