"""The candidates of training rows as arrays, checked on entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from easeml.cpclean.neighbours import Floats, Ints
from easeml.errors import InvalidDataError

_LEAST = 1e-100
"""What a smaller prior than that becomes: quotients of priors stay numbers."""
_SUM = 1e-6
"""By how much the priors of a row may miss 1."""


@dataclass(frozen=True, slots=True, eq=False)
class CandidateRows:
    """Possible versions of rows, CSR.

    Parameters
    ----------
    row_ptr : ndarray of int64, shape (n + 1,)
        Row ``i`` owns the candidates ``row_ptr[i]:row_ptr[i + 1]``, one or more.
    features : ndarray of float64, shape (m, d)
        Candidates, each a whole row, encoded so that Euclidean distances make sense.
    prior : ndarray of float64, shape (m,)
        Sums to 1 per row; a candidate of prior 0 does not take part.
    """

    row_ptr: Ints
    features: Floats
    prior: Floats


def checked(train: CandidateRows, labels: ArrayLike, classes: int) -> tuple[CandidateRows, NDArray[np.int32]]:
    """Return the candidates with priors that sum to 1 exactly, and the label of each candidate.

    Parameters
    ----------
    train : CandidateRows
    labels : array of integers, shape (n,) or (m,)
        Of rows or, where a row may have several, of candidates.
    classes : int

    Raises
    ------
    InvalidDataError
        When shapes do not fit, numbers are not finite, a row has no candidate, priors are no distribution or a label
        is not one of the classes; names the row.
    """
    pointer = np.asarray(train.row_ptr, np.int64)
    features = np.atleast_2d(np.asarray(train.features, np.float64))
    prior = np.asarray(train.prior, np.float64)
    if pointer.ndim != 1 or not len(pointer) or pointer[0] or pointer[-1] != len(features):
        raise InvalidDataError(
            f"row_ptr does not divide the {len(features)} candidates into rows.",
            mend=f"Let it rise from 0 to {len(features)}, one number more than rows.",
        )
    if (np.diff(pointer) < 1).any():
        raise InvalidDataError(
            f"Row {int(np.argmax(np.diff(pointer) < 1))} has no candidate.",
            mend="A certain row has one candidate: itself.",
        )
    if prior.shape != (len(features),):
        raise InvalidDataError(f"{prior.size} priors for {len(features)} candidates.", mend="Give one per candidate.")
    owner = np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))
    finite_features(features, owner)
    prior = distributions(prior, owner, len(pointer) - 1)
    return CandidateRows(pointer, features, prior), candidate_labels(labels, owner, len(pointer) - 1, classes)


def finite_features(features: Floats, names: Ints | Sequence[int]) -> None:
    """Raise InvalidDataError when a number is not finite or its square is not; ``names`` tells the row of each line."""
    good = np.abs(features).max(axis=1, initial=0.0) <= 1e100
    if not good.all():
        raise InvalidDataError(
            f"Row {int(names[int(np.argmin(good))])}: a feature is missing, infinite or larger than 1e100.",
            mend="Give each candidate every feature; a missing value is filled or becomes several candidates.",
        )


def distributions(prior: Floats, owner: Ints, rows: int) -> Floats:
    """Return priors that sum to 1 per row up to rounding.

    Raises
    ------
    InvalidDataError
        When a prior is negative or not finite, or those of a row do not sum to 1.
    """
    wrong = ~((prior >= 0) & (prior < np.inf))
    if wrong.any():
        place = int(np.argmax(wrong))
        raise InvalidDataError(f"Row {int(owner[place])}: {prior[place]} is no prior.", mend="Give numbers from 0 on.")
    total = np.bincount(owner, prior, minlength=rows)
    here = np.unique(owner)
    off = np.abs(total[here] - 1.0) > _SUM
    if off.any():
        row = int(here[int(np.argmax(off))])
        raise InvalidDataError(
            f"Row {row}: the priors sum to {total[row]:.6g}.", mend="Let the priors of each row sum to 1."
        )
    return np.asarray(np.where(prior > 0, np.maximum(prior / total[owner], _LEAST), 0.0))


def candidate_labels(labels: ArrayLike, owner: Ints, rows: int, classes: int) -> NDArray[np.int32]:
    """Return the label of each candidate, given those of rows or candidates.

    Raises
    ------
    InvalidDataError
        When there are as many labels as neither, or one is not a class.
    """
    given = np.asarray(labels)
    if given.shape == (rows,):
        given = given[owner]
    elif given.shape != owner.shape:
        raise InvalidDataError(
            f"{given.size} labels for {rows} rows with {len(owner)} candidates.",
            mend="Give one per row or one per candidate.",
        )
    return known_classes(given, owner, classes, "Row")


def known_classes(labels: ArrayLike, names: Ints, classes: int, what: str) -> NDArray[np.int32]:
    """Return labels as integers; raises InvalidDataError when one is none of the classes."""
    given = np.asarray(labels)
    wrong = ~((given >= 0) & (given < classes) & (given == np.floor(given)))
    if wrong.any():
        place = int(np.argmax(wrong))
        raise InvalidDataError(
            f"{what} {int(names[place])}: {given[place]} is none of the {classes} classes.",
            mend=f"Give labels from 0 to {classes - 1}.",
        )
    return given.astype(np.int32)
