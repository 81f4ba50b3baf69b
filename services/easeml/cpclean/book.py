"""The candidates of all rows as they were given and as they are now, and who spoke last about each row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from easeml.cpclean.candidates import CandidateRows, finite_features
from easeml.cpclean.neighbours import Bools, Floats, Ints
from easeml.cpclean.steps import World, world_of
from easeml.errors import InvalidDataError, NotFoundError

NEVER = -1
"""Version of what nobody has spoken about."""
GONE = -1
"""Owner of candidates that were replaced."""


class Book:
    """Candidates of rows; new ones are put at the end, so that numbers of candidates stay what they are.

    Attributes
    ----------
    features : ndarray of float64, shape (m, d)
    owner, label : ndarray of int32, shape (m,)
        Row of each candidate, negative: replaced; label of each.
    given, prior : ndarray of float64, shape (m,)
        Prior as proposed, and now.
    versions : ndarray of int64, shape (n,)
        Newest version heard about each row.
    answered : ndarray of bool, shape (n,)
        Which rows somebody has told.
    """

    def __init__(self, train: CandidateRows, label: NDArray[np.int32]) -> None:
        rows = len(train.row_ptr) - 1
        self.features, self.label = train.features, label
        self.given, self.prior = train.prior, train.prior.copy()
        self.owner = np.repeat(np.arange(rows, dtype=np.int32), np.diff(train.row_ptr))
        self.versions = np.full(rows, NEVER, np.int64)
        self.answered: Bools = np.zeros(rows, bool)

    @property
    def rows(self) -> int:
        """Rows."""
        return len(self.versions)

    def world(self) -> World:
        """Return the candidates as they are now; the arrays are shared."""
        return world_of(self.owner, self.prior, self.label, self.rows)

    def living(self) -> Ints:
        """Return the candidates that are possible, by row, then by number."""
        places = np.flatnonzero((self.prior > 0) & (self.owner != GONE))
        return places[np.argsort(self.owner[places], kind="stable")]

    def places(self, row: int) -> Ints:
        """Return the candidates of a row; raises NotFoundError when there is no such row."""
        if not 0 <= row < self.rows:
            raise NotFoundError(f"There is no row {row}.", mend=f"Rows are 0 to {self.rows - 1}.")
        return np.flatnonzero(self.owner == row)

    def candidate(self, row: int, number: int) -> int:
        """Return the place of a row's candidate; raises InvalidDataError when the row has no such candidate."""
        places = self.places(row)
        if not 0 <= number < len(places):
            raise InvalidDataError(
                f"Row {row} has no candidate {number}.",
                mend=f"Give 0 to {len(places) - 1}, or the features themselves.",
            )
        return int(places[number])

    def newer(self, row: int, version: int) -> bool:
        """Note that a version about a row is heard; return whether it is newer than what was heard before."""
        if version <= self.versions[row]:
            return False
        self.versions[row] = version
        return True

    def check_width(self, features: Floats, names: ArrayLike) -> None:
        """Raise InvalidDataError when features are of another width or not finite; ``names`` tells their rows."""
        if features.shape[1] != self.features.shape[1]:
            raise InvalidDataError(
                f"{features.shape[1]} features where the rows have {self.features.shape[1]}.",
                mend="Encode them as the candidates.",
            )
        finite_features(features, np.asarray(names))

    def extend(self, owner: Ints, features: Floats, label: ArrayLike, given: Floats, prior: Floats) -> None:
        """Put candidates at the end."""
        self.owner = np.append(self.owner, owner.astype(np.int32))
        self.features = np.vstack([self.features, features])
        self.label = np.append(self.label, np.asarray(label, np.int32))
        self.given, self.prior = np.append(self.given, given), np.append(self.prior, prior)

    def put_outside(self, row: int, features: Floats, label: int | None, classes: int) -> None:
        """Let a row have other features than its candidates, (1, d); without a label, it keeps its belief about it."""
        places = self.places(row)
        weight = np.bincount(self.label[places], self.given[places], minlength=classes)
        labels = np.flatnonzero(weight) if label is None else np.array([label])
        belief = weight[labels] / weight[labels].sum() if label is None else np.ones(1)
        self.prior[places] = 0.0
        lines = len(labels)
        self.extend(np.full(lines, row), np.repeat(features, lines, axis=0), labels, np.zeros(lines), belief)

    def put_rows(self, names: Ints, train: CandidateRows, label: NDArray[np.int32], version: int) -> Ints:
        """Add rows or give known ones other candidates; return those to which the version is news.

        Raises
        ------
        InvalidDataError
            When numbers repeat, are negative or leave a gap behind the known rows, or the version is negative.
        """
        if version < 0:
            raise InvalidDataError(f"Version {version}.", mend="Versions count from 0.")
        sizes = np.diff(train.row_ptr)
        if names.shape != sizes.shape or len(np.unique(names)) < len(names) or (names < 0).any():
            raise InvalidDataError("Row numbers are negative, repeat or are not one per row.", mend="Number each once.")
        fresh = np.sort(names[names >= self.rows])
        if not np.array_equal(fresh, np.arange(self.rows, self.rows + len(fresh))):
            raise InvalidDataError(f"New rows are not numbered from {self.rows} on.", mend="Leave no gap.")
        self.versions = np.append(self.versions, np.full(len(fresh), NEVER))
        self.answered = np.append(self.answered, np.zeros(len(fresh), bool))
        heard = np.array([self.newer(name, version) for name in names.tolist()], bool)
        lines = np.repeat(heard, sizes)
        owner = np.repeat(names, sizes)[lines]
        replaced = np.isin(self.owner, names[heard])
        self.owner = np.where(replaced, np.int32(GONE), self.owner)
        self.prior[replaced] = 0.0
        self.answered[names[heard]] = False
        self.extend(owner, train.features[lines], label[lines], train.prior[lines], train.prior[lines])
        return np.asarray(names[heard])

    def state(self) -> dict[str, Any]:
        """Return copies of the arrays, by name."""
        return {name: getattr(self, name).copy() for name in _ARRAYS}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        made = cls.__new__(cls)
        for name, kind in _ARRAYS.items():
            setattr(made, name, np.array(state[name], kind))
        return made


_ARRAYS = {
    "features": np.float64,
    "owner": np.int32,
    "label": np.int32,
    "given": np.float64,
    "prior": np.float64,
    "versions": np.int64,
    "answered": np.bool_,
}
