"""Rows as points: equal rows are one point with a count per class, so duplicates cost nothing and tie exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from easeml.errors import InvalidDataError, NotFoundError
from easeml.snoopy.inputs import Inputs
from easeml.snoopy.neighbours import Ints
from easeml.snoopy.tally import Counts


class Points:
    """Distinct rows with the labels of all rows that are equal to each.

    Parameters
    ----------
    classes : int
        C.
    salt : bytes
        Makes the order of the points one of all permutations; the same salt and rows give the same order.

    Attributes
    ----------
    inputs : Inputs, p points
    keys : uint64[p]
        Drawn from the content; points are read in the order of their keys after ``sort``.
    counts : int32[p, C]
    """

    def __init__(self, classes: int, salt: bytes) -> None:
        self.classes = classes
        self.salt = salt
        self.inputs: Inputs | None = None
        self.keys = np.empty(0, np.uint64)
        self.counts: Counts = np.empty((0, classes), np.int32)
        self._places: dict[bytes, int] = {}
        self._rows: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._rows

    @property
    def rows(self) -> int:
        """Number of rows, equal ones included."""
        return len(self._rows)

    def features(self) -> Inputs:
        """Return the points.

        Raises
        ------
        InvalidDataError
            When there are none yet.
        """
        if self.inputs is None:
            raise InvalidDataError("There are no rows.", mend="Add labelled rows first.")
        return self.inputs

    def add(self, inputs: Inputs, labels: Ints, row_ids: Sequence[str]) -> None:
        """Add rows.

        Raises
        ------
        InvalidDataError
            When lengths differ, a label is out of range, or an id occurs twice or is there already; nothing changes.
        """
        if not len(inputs) == len(labels) == len(row_ids):
            raise InvalidDataError(
                f"There are {len(inputs)} rows of features, {len(labels)} labels and {len(row_ids)} row ids.",
                mend="Give one label and one id per row.",
            )
        self.check(labels, row_ids)
        known = set(self._rows)
        for row_id in row_ids:
            if row_id in known:
                raise InvalidDataError(
                    f"Row {row_id!r} comes twice.", mend="Give every row its own id.", reason="duplicate_row"
                )
            known.add(row_id)
        if self.inputs is not None:
            self.inputs.check_alike(inputs)
        fresh: list[int] = []
        digests = inputs.digests(self.salt)
        places = np.empty(len(inputs), np.int64)
        for row, digest in enumerate(digests):
            place = self._places.setdefault(digest, len(self._places))
            if place == len(self) + len(fresh):
                fresh.append(row)
            places[row] = place
        chosen = inputs.take(np.array(fresh, np.int64))
        self.inputs = chosen if self.inputs is None else self.inputs.joined(chosen)
        keys = np.array([int.from_bytes(digests[row][:8], "little") for row in fresh], np.uint64)
        self.keys = np.concatenate([self.keys, keys])
        self.counts = np.concatenate([self.counts, np.zeros((len(fresh), self.classes), np.int32)])
        np.add.at(self.counts, (places, labels), 1)
        for row_id, place, label in zip(row_ids, places.tolist(), labels.tolist(), strict=True):
            self._rows[row_id] = (place, label)

    def check(self, labels: Ints, row_ids: Sequence[str]) -> None:
        """Refuse labels that are none of the classes.

        Raises
        ------
        InvalidDataError
            Names the row.
        """
        wrong = np.flatnonzero((labels < 0) | (labels >= self.classes))
        if len(wrong):
            raise InvalidDataError(
                f"Row {row_ids[wrong[0]]!r}: label {labels[wrong[0]]} is not in 0..{self.classes - 1}.",
                mend="Give the code of one of the classes; leave unlabelled rows out.",
            )

    def label(self, row_id: str) -> tuple[int, int]:
        """Return the point and the label of a row.

        Raises
        ------
        NotFoundError
            When there is no such row.
        """
        if row_id not in self._rows:
            raise NotFoundError(f"There is no row {row_id!r}.", mend="Add it first.")
        return self._rows[row_id]

    def relabel(self, row_id: str, label: int) -> None:
        """Give a row another label."""
        point, old = self.label(row_id)
        self.counts[point, old] -= 1
        self.counts[point, label] += 1
        self._rows[row_id] = (point, label)

    def remove(self, row_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Remove rows and return which points have none left: bool[p]. ``drop`` removes those.

        Raises
        ------
        NotFoundError
            When there is no such row; nothing changes.
        """
        found = [self.label(row_id) for row_id in dict.fromkeys(row_ids)]
        for row_id in dict.fromkeys(row_ids):
            del self._rows[row_id]
        for point, label in found:
            self.counts[point, label] -= 1
        return np.asarray(self.counts.sum(axis=1) == 0)

    def drop(self, gone: npt.NDArray[np.bool_]) -> None:
        """Remove points without rows; the rest moves up."""
        if gone.any():
            self._reorder(np.flatnonzero(~gone))

    def sort(self) -> None:
        """Bring the points into the order of their keys, whatever order they came in."""
        self._reorder(np.argsort(self.keys, kind="stable"))

    def _reorder(self, order: Ints) -> None:
        place = np.full(len(self), -1)
        place[order] = np.arange(len(order))
        self.inputs = self.features().take(order)
        self.keys, self.counts = self.keys[order], self.counts[order]
        moved = place.tolist()
        self._places = {digest: moved[old] for digest, old in self._places.items() if moved[old] >= 0}
        self._rows = {row_id: (moved[old], label) for row_id, (old, label) in self._rows.items()}
