"""Certain predictions of a nearest-neighbour vote over uncertain rows, kept up to date answer by answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from easeml.cpclean import choice
from easeml.cpclean.book import GONE, NEVER, Book
from easeml.cpclean.candidates import CandidateRows, checked, distributions, known_classes
from easeml.cpclean.masses import entropy
from easeml.cpclean.neighbours import Bools, Floats, Ints, Lists, joined, neighbour_lists
from easeml.cpclean.potential import Potential, potential_of
from easeml.cpclean.study import studies
from easeml.errors import InvalidDataError


class Outcome(StrEnum):
    """What became of an answer."""

    NEW = "new"  #: the row was uncertain and is known now
    REPLACED = "replaced"  #: the row was known by an older answer, which this one replaces
    OUTSIDE = "outside"  #: the answer is none of the candidates: it is taken as the certain value
    REPEATED = "repeated"  #: this version, or a newer one, was heard before: nothing changed


class CertainPredictions:
    """Which predictions are certain, and which row to clean next.

    Parameters
    ----------
    train : CandidateRows
        Candidates of the n training rows.
    labels : array of integers, shape (n,) or (m,)
        Labels of rows or, where those are uncertain too, of candidates.
    validation : ndarray of float64, shape (v, d)
        Points to predict, encoded as the candidates.
    k : int
        Neighbours that vote; a tie goes to the smaller label.
    n_classes : int
        Labels are 0 .. n_classes - 1.
    rng : Generator
        Divides the validation points for :meth:`potential`.
    validation_labels : array of integers, shape (v,), optional
        What the points are; only :meth:`potential` needs it.

    Raises
    ------
    InvalidDataError
        When k exceeds the rows, shapes do not fit or numbers, priors or labels are wrong; names the row.

    Notes
    -----
    Set-up costs O(v m d). An answer costs about O(log s) per step s on the lists of the points that the row can still
    touch. Everything is exact: after answers it is what a fresh object of the answered rows would say.

    Examples
    --------
    >>> rows = CandidateRows(np.array([0, 2, 3]), np.array([[0.0], [9.0], [4.0]]), np.array([0.5, 0.5, 1.0]))
    >>> predictions = CertainPredictions(
    ...     rows, [0, 1], np.array([[1.0], [5.0]]), k=1, n_classes=2, rng=np.random.default_rng(0)
    ... )
    >>> predictions.certain.tolist(), predictions.label_mass.tolist()
    ([False, True], [[0.5, 0.5], [0.0, 1.0]])
    >>> predictions.next().tolist(), predictions.answer(0, 1, version=1).value, predictions.done
    ([0], 'new', True)
    """

    def __init__(
        self,
        train: CandidateRows,
        labels: ArrayLike,
        validation: Floats,
        *,
        k: int = 3,
        n_classes: int,
        rng: np.random.Generator,
        validation_labels: ArrayLike | None = None,
    ) -> None:
        train, label = checked(train, labels, n_classes)
        rows = len(train.row_ptr) - 1
        if not 1 <= k <= rows:
            raise InvalidDataError(
                f"k is {k}, and there are {rows} training rows.", mend=f"Give a k from 1 to {rows}, or more rows."
            )
        self.k, self.n_classes, self._rng = k, n_classes, rng
        self._book = Book(train, label)
        self._begin(validation, validation_labels)

    def _begin(self, validation: Floats, labels: ArrayLike | None) -> None:
        self._world = self._book.world()
        self._validation = np.empty((0, self._book.features.shape[1]))
        self._truth: NDArray[np.int32] | None = None if labels is None else np.empty(0, np.int32)
        self._validation_version = NEVER
        self.certain: Bools = np.empty(0, bool)
        self.label_mass: Floats = np.empty((0, self.n_classes))
        self._lists: list[tuple[NDArray[np.int32], Bools]] = []
        self._parts: list[tuple[NDArray[np.int32], Floats]] = []
        self._pairs: tuple[NDArray[np.int32], Floats, Ints] | None = None
        self._append_points(validation, labels)

    @property
    def rows(self) -> int:
        """Training rows."""
        return self._book.rows

    @property
    def uncertain_rows(self) -> Bools:
        """Which rows have two candidates or more, shape (n,)."""
        return np.asarray(self._world.count > 1)

    @property
    def done(self) -> bool:
        """Whether every prediction is certain: cleaning more rows changes none of them."""
        return bool(self.certain.all())

    @property
    def gain(self) -> Floats:
        """Return by how much knowing each row is expected to lower the entropy of an uncertain point.

        Returns
        -------
        float64[n], nats
            Mean over the uncertain points; 0 for certain rows.
        """
        rows, values, _ = self._contributions()
        return np.bincount(rows, values, minlength=self.rows) / max(int((~self.certain).sum()), 1)

    def bits(self, rows: Ints) -> Floats:
        """Return the gains of rows in bits summed over all points: what an answer is expected to tell in total."""
        return np.asarray(self.gain[rows] * float((~self.certain).sum()) / np.log(2))

    def bits_of_part(self, row: int, groups: ArrayLike) -> float:
        """Return what it is expected to tell to learn only which group of its candidates a row is of.

        A cell of a row with several uncertain cells divides the row's candidates into groups of equal value.

        Parameters
        ----------
        row : int
            The row.
        groups : array of integers from 0 on, one per candidate
            Group of each candidate, in the order of :meth:`candidates_of`.

        Returns
        -------
        float
            Bits, summed over all points; with a group for each candidate what :meth:`bits` says.

        Raises
        ------
        NotFoundError, InvalidDataError
            When there is no such row; when there is not one group per candidate.
        """
        places, group = self._book.places(row), np.asarray(groups, np.int64)
        if group.shape != places.shape or (group < 0).any():
            raise InvalidDataError(
                f"Row {row}: {group.size} groups for {len(places)} candidates.", mend="Give one from 0 on for each."
            )
        lists = joined([self._lists[point] for point in self.touched(row).tolist()])
        nats = 0.0
        for study in studies(lists, self._world, self.n_classes, self.k):
            nats += study.information_of_part(row, places, self._book.prior[places], group)
        return nats / float(np.log(2))

    def candidates_of(self, row: int) -> tuple[Floats, Floats, NDArray[np.int32]]:
        """Return features, priors and labels of a row's candidates, in the order that :meth:`answer` counts.

        Raises
        ------
        NotFoundError
            When there is no such row.
        """
        book, places = self._book, self._book.places(row)
        return book.features[places], book.prior[places], book.label[places]

    def next(
        self, batch: int = 1, cost: Floats | None = None, *, pending: Sequence[int] = (), without: Sequence[int] = ()
    ) -> Ints:
        """Return the rows to clean next, the best first.

        Parameters
        ----------
        batch : int
            How many questions to ask at once: later ones count only what the earlier ones are not expected to tell.
        cost : ndarray of float64, shape (n,), optional
            Price of each row, above 0; 1 without it.
        pending : sequence of int
            Rows that are asked about already: only what they are not expected to tell counts.
        without : sequence of int
            Rows that nobody can be asked about.

        Returns
        -------
        int64[at most batch]
            Fewer where no other row is expected to tell anything; empty once every prediction is certain.

        Raises
        ------
        InvalidDataError
            When the batch is below 1 or a cost is not above 0.
        """
        if batch < 1:
            raise InvalidDataError(f"A batch of {batch} questions.", mend="Give 1 or more.")
        price = np.ones(self.rows) if cost is None else np.asarray(cost, np.float64)
        if price.shape != (self.rows,) or not ((price > 0) & (price < np.inf)).all():
            raise InvalidDataError("Costs are not one number above 0 per row.", mend=f"Give {self.rows} prices.")
        rows, values, points = self._contributions()
        kept = ~np.isin(rows, without) if without else np.ones(len(rows), bool)
        given = (rows[kept], values[kept], points[kept], entropy(self.label_mass), price, batch)
        return choice.best_rows(*given, np.array(pending, np.int64))

    def answer(self, row: int, value: int | ArrayLike, version: int, *, label: int | None = None) -> Outcome:
        """Take in what a row really is.

        Parameters
        ----------
        row : int
            The row.
        value : int or array of float64, shape (d,)
            Which of its candidates it is, or other features.
        version : int
            Number of the answer, from 0 on; one that is not newer than the last one about the row is ignored.
        label : int, optional
            Label that comes with other features; without it the row keeps the labels it may have.

        Raises
        ------
        NotFoundError
            When there is no such row.
        InvalidDataError
            When the row has no such candidate, the features are of another width or not finite, or the label is not
            a class.
        """
        book = self._book
        if label is not None:
            known_classes([label], np.array([row]), self.n_classes, "Row")
        if isinstance(value, int | np.integer):
            chosen = book.candidate(row, int(value))
            features = book.features[[chosen]]
        else:
            chosen = None
            features = np.atleast_2d(np.asarray(value, np.float64))
        places = book.places(row)
        book.check_width(features, [row])
        if not book.newer(row, version):
            return Outcome.REPEATED
        replaced, book.answered[row] = bool(book.answered[row]), True
        if chosen is None:
            book.put_outside(row, features, label, self.n_classes)
            self._renew(np.array([row]))
            return Outcome.OUTSIDE
        if book.prior[chosen] > 0:
            self._shrink(row, places, np.asarray(places == chosen, np.float64))
        else:
            book.prior[places] = places == chosen
            self._renew(np.array([row]))
        if book.given[chosen] <= 0:
            return Outcome.OUTSIDE
        return Outcome.REPLACED if replaced else Outcome.NEW

    def set_prior(self, row: int, prior: ArrayLike, version: int) -> Outcome:
        """Replace what is believed about a row; candidates of prior 0 are out, and an answer is forgotten.

        Parameters
        ----------
        row : int
            The row.
        prior : array of float64, one per candidate
            Sums to 1. A known cell of a row is set by the priors of the candidates that agree with it.
        version : int
            As in :meth:`answer`.

        Raises
        ------
        NotFoundError, InvalidDataError
            When there is no such row; when the priors are no distribution over its candidates.
        """
        book, places = self._book, self._book.places(row)
        given = np.asarray(prior, np.float64)
        if given.shape != places.shape:
            raise InvalidDataError(
                f"Row {row}: {given.size} priors for {len(places)} candidates.", mend="Give one per candidate."
            )
        belief = distributions(given, np.full(len(given), row), self.rows)
        if not book.newer(row, version):
            return Outcome.REPEATED
        book.answered[row] = False
        book.given[places] = belief
        if (book.prior[places] > 0)[belief > 0].all():
            self._shrink(row, places, belief)
        else:
            book.prior[places] = belief
            self._renew(np.array([row]))
        return Outcome.REPLACED

    def add_rows(self, train: CandidateRows, labels: ArrayLike, version: int, *, rows: ArrayLike | None = None) -> Ints:
        """Add rows, or give rows that are there other candidates.

        Parameters
        ----------
        train : CandidateRows
        labels : array of integers
            Of rows or candidates.
        version : int
            As in :meth:`answer`; a known row that has heard a newer or the same version stays as it is.
        rows : array of int64, optional
            Number of each row, known ones or the next ones in order; without it, all are new.

        Returns
        -------
        int64[r]
            Number of each row.

        Raises
        ------
        InvalidDataError
            As the constructor; when numbers leave a gap or repeat.
        """
        made, label = checked(train, labels, self.n_classes)
        sizes = np.diff(made.row_ptr)
        self._book.check_width(made.features, np.repeat(np.arange(len(sizes)), sizes))
        names = np.arange(self.rows, self.rows + len(sizes)) if rows is None else np.asarray(rows, np.int64)
        heard = self._book.put_rows(names, made, label, version)
        if len(heard):
            self._renew(heard)
        return names

    def add_validation(self, points: Floats, version: int, labels: ArrayLike | None = None) -> bool:
        """Add points to predict; returns whether this version of the validation rows is new.

        Raises
        ------
        InvalidDataError
            When the points are of another width or not finite, or labels are missing that earlier points have.
        """
        if version <= self._validation_version:
            return False
        self._append_points(points, labels)
        self._validation_version = version
        return True

    def potential(self) -> Potential:
        """Return the belief about the accuracy that cleaning can reach.

        Raises
        ------
        InvalidDataError
            When the labels of the validation points are not known.
        """
        if self._truth is None:
            raise InvalidDataError(
                "The labels of the validation points are not known.", mend="Give validation_labels from the start."
            )
        return potential_of(self._current(), self._world, self._truth, self.label_mass, self.certain, self.k, self._rng)

    def state(self) -> dict[str, Any]:
        """Return everything as plain arrays and numbers; lists and gains are computed anew from it."""
        return {
            "k": self.k,
            "n_classes": self.n_classes,
            **self._book.state(),
            "validation": self._validation.copy(),
            "validation_labels": np.empty(0, np.int32) if self._truth is None else self._truth.copy(),
            "validation_labelled": self._truth is not None,
            "validation_version": self._validation_version,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], rng: np.random.Generator) -> Self:
        """Return what :meth:`state` described."""
        made = cls.__new__(cls)
        made.k, made.n_classes, made._rng = int(state["k"]), int(state["n_classes"]), rng
        made._book = Book.from_state(state)
        made._begin(state["validation"], state["validation_labels"] if state["validation_labelled"] else None)
        made._validation_version = int(state["validation_version"])
        return made

    def _append_points(self, points: Floats, labels: ArrayLike | None) -> None:
        made = np.asarray(points, np.float64)
        made = made.reshape(0, self._book.features.shape[1]) if not made.size else np.atleast_2d(made)
        self._book.check_width(made, np.arange(len(made)))
        if self._truth is not None:
            truth = known_classes([] if labels is None else labels, np.arange(len(made)), self.n_classes, "Point")
            if truth.shape != (len(made),):
                raise InvalidDataError(
                    f"{truth.size} labels for {len(made)} validation points.", mend="Give one per point."
                )
            self._truth = np.append(self._truth, truth)
        old = len(self._validation)
        self._validation = np.vstack([self._validation, made])
        self.certain = np.append(self.certain, np.zeros(len(made), bool))
        self.label_mass = np.vstack([self.label_mass, np.zeros((len(made), self.n_classes))])
        self._lists += [(np.empty(0, np.int32), np.empty(0, bool))] * len(made)
        self._parts += [(np.empty(0, np.int32), np.empty(0))] * len(made)
        self._build(np.arange(old, old + len(made)))

    def _shrink(self, row: int, places: Ints, belief: Floats) -> None:
        """Let a row be some of its possible candidates; lists only lose lines by that."""
        touched = self.touched(row)
        self._book.prior[places] = belief
        labels = self._book.label[places[belief > 0]]
        self._world.count[row], self._world.mixed[row] = len(labels), (labels != labels[0]).any()
        if len(touched):
            lists = joined([self._lists[point] for point in touched.tolist()])
            kept = (self._book.owner[lists.candidate] != row) | (self._book.prior[lists.candidate] > 0)
            self._learn(touched, lists.select(kept))

    def touched(self, row: int) -> Ints:
        """Return the uncertain points that an uncertain row can touch."""
        rows, _, points = self._contributions()
        return np.unique(points[rows == row])

    def _renew(self, rows: Ints) -> None:
        """Study again what changed rows touch, or touched before."""
        book = self._book
        self._world = book.world()
        if not len(self._validation):
            return
        lists = self._current()
        changed = np.isin(book.owner[lists.candidate], [*rows.tolist(), GONE])
        touched = np.zeros(len(self._validation), bool)
        touched[lists.points()[changed]] = True
        last = lists.candidate[lists.pointer[1:] - 1]
        farthest = np.linalg.norm(self._validation - book.features[last], axis=1) * (1 + 1e-9) + 1e-9
        places = np.flatnonzero((book.prior > 0) & np.isin(book.owner, rows))
        for point, vector in enumerate(self._validation):
            touched[point] |= np.linalg.norm(book.features[places] - vector, axis=1).min() <= farthest[point]
        self._build(np.flatnonzero(touched))

    def _build(self, points: Ints) -> None:
        """Make the lists of points from nothing and study them."""
        book, places = self._book, self._book.living()
        owner = book.owner[places].astype(np.int64)
        vectors = book.features[places]
        self._learn(points, neighbour_lists(self._validation[points], vectors, owner, places.astype(np.int32), self.k))

    def _learn(self, points: Ints, lists: Lists) -> None:
        self._pairs = None
        for study in studies(lists, self._world, self.n_classes, self.k):
            mine = points[study.points]
            self.certain[mine] = study.possible.sum(axis=1) == 1
            self.label_mass[mine] = study.mass
            parts = study.information()
            for point, own, part in zip(mine.tolist(), study.lists.split(), parts, strict=True):
                self._lists[point] = own
                self._parts[point] = part

    def _current(self) -> Lists:
        return joined(self._lists)

    def _contributions(self) -> tuple[NDArray[np.int32], Floats, Ints]:
        """Return every pair of an uncertain row and an uncertain point that it can touch: row, nats, point."""
        if self._pairs is None:
            sizes = [len(rows) for rows, _ in self._parts]
            rows = np.concatenate([np.empty(0, np.int32), *(rows for rows, _ in self._parts)])
            values = np.concatenate([np.empty(0), *(values for _, values in self._parts)])
            self._pairs = rows, values, np.repeat(np.arange(len(sizes)), sizes)
        return self._pairs


def certain_predictions(
    row_ptr: Ints,
    candidates: Floats,
    prior: Floats,
    labels: ArrayLike,
    validation: Floats,
    *,
    k: int = 3,
    n_classes: int,
) -> tuple[Bools, Floats]:
    """Return which predictions are certain, bool[v], and their label masses, float64[v, c].

    Parameters
    ----------
    row_ptr, candidates, prior : ndarray
        As in :class:`easeml.cpclean.candidates.CandidateRows`.
    labels, validation, k, n_classes
        As in :class:`CertainPredictions`.

    Raises
    ------
    InvalidDataError
        As :class:`CertainPredictions`.
    """
    train = CandidateRows(row_ptr, candidates, prior)
    # Nothing here is drawn by chance.
    made = CertainPredictions(train, labels, validation, k=k, n_classes=n_classes, rng=np.random.default_rng(0))
    return made.certain, made.label_mass
