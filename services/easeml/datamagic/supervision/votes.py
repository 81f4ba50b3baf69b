"""Votes of labelling sources: the dense matrix of labelling functions and the sparse table of a crowd.

A vote is a class code; -1 is an abstention, which is no evidence for anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from easeml.errors import InvalidDataError

ABSTAIN = -1
"""What a source says when it does not know."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def check_codes(values: ArrayLike, n_classes: int, what: str, *, least: int = ABSTAIN) -> Ints:
    """Return class codes as int64.

    Raises
    ------
    InvalidDataError
        When a value is no whole number from ``least`` to ``n_classes - 1``; names its place.
    """
    given = np.asarray(values)
    if given.size == 0:
        return np.empty(given.shape, np.int64)
    if given.dtype.kind not in "iufb":
        raise InvalidDataError(f"{what} are {given.dtype} values.", mend="Give class codes; -1: no vote.")
    wrong = ~((given >= least) & (given < n_classes) & (given == np.floor(given)))
    if wrong.any():
        place = np.unravel_index(int(np.argmax(wrong)), given.shape)
        where = f"row {place[0]}" + (f", source {place[1]}" if len(place) > 1 else "")
        raise InvalidDataError(
            f"{what}, {where}: {given[place]} is no class code.",
            mend=f"Codes go from {max(least, 0)} to {n_classes - 1}" + ("; -1: abstain." if least < 0 else "."),
        )
    return given.astype(np.int64)


def check_matrix(votes: ArrayLike, n_classes: int, sources: int | None = None) -> Ints:
    """Return a dense vote matrix as int64[n, m].

    Raises
    ------
    InvalidDataError
        When it is no matrix, has not ``sources`` columns, or holds anything but class codes and -1.
    """
    given = np.asarray(votes)
    if given.ndim != 2:
        raise InvalidDataError(f"The votes have {given.ndim} dimensions.", mend="Give one row per example.")
    if sources is not None and given.shape[1] != sources:
        raise InvalidDataError(
            f"{given.shape[1]} sources vote; the model was fitted with {sources}.", mend="Keep their number and order."
        )
    return check_codes(given, n_classes, "Votes")


def check_balance(balance: ArrayLike, n_classes: int) -> Floats:
    """Return a class balance.

    Raises
    ------
    InvalidDataError
        When it is not one positive probability per class that sum to 1.
    """
    given = np.asarray(balance, np.float64)
    if given.shape != (n_classes,) or not (given > 0).all() or abs(given.sum() - 1) > 1e-6:
        raise InvalidDataError(
            f"The class balance {given.tolist()} is no distribution over {n_classes} classes.",
            mend="Give one positive probability per class; they sum to 1.",
        )
    return np.asarray(given / given.sum(), np.float64)


def check_classes(n_classes: int) -> int:
    """Return the number of classes, which is at least two.

    Raises
    ------
    InvalidDataError
        When it is less.
    """
    if n_classes < 2:
        raise InvalidDataError(f"{n_classes} classes leave nothing to decide.", mend="Give two or more.")
    return int(n_classes)


def normalised(scores: Floats) -> Floats:
    """Return log scores, shape (n, c), as probabilities per row."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True)) if len(scores) else scores
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """Sparse votes of a crowd.

    Parameters
    ----------
    item, worker, answer : ndarray of int64, shape (v,)
        Who said what about which item; from 0.
    n_items, n_workers : int
        Numbers of items and workers, those without a vote included.
    """

    item: Ints
    worker: Ints
    answer: Ints
    n_items: int
    n_workers: int

    @classmethod
    def of(cls, votes: ArrayLike | Votes, n_classes: int) -> Votes:
        """Return a dense matrix, shape (items, workers), or sparse votes as checked sparse votes."""
        if isinstance(votes, Votes):
            return cls.from_triples(votes.item, votes.worker, votes.answer, n_classes, votes.n_items, votes.n_workers)
        dense = check_matrix(votes, n_classes)
        item, worker = np.nonzero(dense != ABSTAIN)
        return cls(item, worker, dense[item, worker], *dense.shape)

    @classmethod
    def from_triples(
        cls,
        item: ArrayLike,
        worker: ArrayLike,
        answer: ArrayLike,
        n_classes: int,
        n_items: int | None = None,
        n_workers: int | None = None,
    ) -> Votes:
        """Return votes given as three columns; abstentions are dropped.

        Raises
        ------
        InvalidDataError
            When the columns differ in length, an item or worker is out of range or an answer is no class code.
        """
        codes = check_codes(answer, n_classes, "Answers")
        numbers = []
        for what, given, total in (("Items", item, n_items), ("Workers", worker, n_workers)):
            most = total if total is not None else np.iinfo(np.int64).max
            number = check_codes(given, most, what, least=0)
            if number.shape != codes.shape or codes.ndim != 1:
                raise InvalidDataError(f"{what} and answers differ in shape.", mend="Give one of each per vote.")
            numbers.append(number)
        said = codes != ABSTAIN
        sizes = [
            int(number.max(initial=-1)) + 1 if total is None else total
            for number, total in zip(numbers, (n_items, n_workers), strict=True)
        ]
        return cls(numbers[0][said], numbers[1][said], codes[said], *sizes)

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, classes: tuple[str, ...], row_ids: tuple[str, ...] | None = None
    ) -> tuple[Votes, tuple[str, ...], tuple[str, ...]]:
        """Return votes by name, with the names of items and workers in the order of their numbers.

        Parameters
        ----------
        frame : DataFrame
            ``row_id``, ``annotator`` and ``value`` (a class) of each vote.
        classes : tuple of str
            Class names in code order.
        row_ids : tuple of str, optional
            The items; without them, those of the frame in order of appearance.

        Raises
        ------
        InvalidDataError
            When a value is no class or a row is unknown.
        """
        workers = tuple(map(str, pd.unique(frame["annotator"])))
        items = tuple(map(str, pd.unique(frame["row_id"]))) if row_ids is None else row_ids
        columns = []
        for name, domain in (("row_id", items), ("annotator", workers), ("value", classes)):
            places = {text: place for place, text in enumerate(domain)}
            odd = next((text for text in frame[name].astype(str) if text not in places), None)
            if odd is not None:
                raise InvalidDataError(f"Votes, {name}: {odd!r} is not known.", mend="Check the name.")
            columns.append(np.array([places[text] for text in frame[name].astype(str)], np.int64))
        item, worker, answer = columns
        return cls(item, worker, answer, len(items), len(workers)), items, workers

    def select(self, keep: NDArray[np.bool_]) -> Votes:
        """Return the chosen votes; items and workers keep their numbers."""
        return Votes(self.item[keep], self.worker[keep], self.answer[keep], self.n_items, self.n_workers)

    def indicator(self, n_classes: int) -> sparse.csr_matrix:
        """Return the matrix, shape (items, workers * classes), that counts the votes of each worker for each class."""
        cells = (self.item, self.worker * n_classes + self.answer)
        shape = (self.n_items, self.n_workers * n_classes)
        return sparse.csr_matrix((np.ones(len(self.item)), cells), shape=shape)
