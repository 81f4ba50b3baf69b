"""What the portfolio remembers: the lookback window, contested rows, questions, answers and labelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.modelpicker.combiners import N_COMBINERS, balanced
from easeml.modelpicker.rows import RowKey, Rows
from easeml.modelpicker.similarity import MOST, Labelled
from easeml.modelpicker.standing import level
from easeml.modelpicker.voting import MISSING, Floats, Votes, agreed, contested, of_votes, vote_mass

FREE, OPEN = -2, -1
"""Status of a row that may be asked about, and of one that is; a label from 0 on is the answer."""

_REMEMBERED = 1000
_SHARPEST = 200.0


@dataclass(slots=True)
class Question:
    """A row asked about.

    Attributes
    ----------
    votes : ndarray of int32, shape (k,)
    number : int
        The row's.
    said : ndarray of int32, shape (3,)
        Classes by the best model and the combiners when the row arrived.
    expected : ndarray of float64, shape (k,)
        Probability by the posterior that each model is right.
    believed : ndarray of float64, shape (k,)
        The same by the labels of other rows.
    audit : float
        Probability of the audit that the row is; 0 for a row chosen by what it tells.
    """

    votes: Votes
    number: int
    said: Votes
    expected: Floats
    believed: Floats
    audit: float

    def join(self, vote: int, reference: int | None) -> None:
        """Add a model; it is expected to be what the reference is."""
        self.votes = np.append(self.votes, vote).astype(np.int32)
        for name in ("expected", "believed"):
            values = getattr(self, name)
            setattr(self, name, np.append(values, values[reference] if reference is not None else 0.0))

    def leave(self, index: int) -> None:
        """Remove a model."""
        for name in ("votes", "expected", "believed"):
            setattr(self, name, np.delete(getattr(self, name), index))


class Recall:
    """Rows of one stream.

    Parameters
    ----------
    k, n_classes : int
    lookback : int
        Rows of the window.

    Attributes
    ----------
    window : Rows
        The last rows, contested or not: number and votes.
    rows : Rows
        The last contested rows: number, votes, status, how many models vote differently on each labelled row (apart),
        doubt of the combiner, and what the best model and the combiners said.
    labelled : Labelled
    labels, open : dict
        Answers and questions by row.
    """

    def __init__(self, k: int, n_classes: int, lookback: int) -> None:
        self.n_classes, self.lookback = n_classes, lookback
        self.window = Rows(lookback, _window(k))
        self.rows = Rows(max(_REMEMBERED, lookback), _contested(k))
        self.labelled = Labelled(k, n_classes)
        self._root = np.zeros(k)
        self.labels: dict[RowKey, int] = {}
        self.open: dict[RowKey, Question] = {}
        self._expected: Floats | None = None

    @property
    def lookback_rows(self) -> list[RowKey]:
        """Rows on which a model that joins is judged: those asked about that have left the window, then the window."""
        return [row for row, _, _ in self._left()] + list(self.window.ids)

    @property
    def lookback_votes(self) -> Votes:
        """Votes on these rows, shape (len(lookback_rows), k)."""
        return np.vstack([*(votes for _, _, votes in self._left()), self.window["votes"]])

    def _left(self) -> list[tuple[RowKey, int, Votes]]:
        """Return the rows asked about that have left the window, with their numbers and votes."""
        known = self.labelled
        answered = list(self.labels)[len(self.labels) - len(known) :]  # in the order of the answers, as those
        asked = [
            *zip(answered, known.numbers.tolist(), known.votes, strict=True),
            *((row, question.number, question.votes) for row, question in self.open.items()),
        ]
        return [one for one in asked if self.window.find(one[0]) is None]

    def status(self, row: RowKey) -> int:
        """Return whether a row may be asked about, is, or what the answer was."""
        return self.labels.get(row, OPEN if row in self.open else FREE)

    def forget(self, row: RowKey) -> None:
        """Forget a row that comes again."""
        if self.window.find(row) is not None or self.rows.find(row) is not None:
            self.window.remove(row)
            self.rows.remove(row)

    def since(self, number: int) -> int:
        """Return the position of the first contested row from a number on."""
        return int(np.searchsorted(self.rows["number"], number))

    def ask(self, row: RowKey, question: Question) -> None:
        """Remember a question."""
        self.open[row] = question
        if self._expected is not None:
            self._expected = self._expected + question.expected

    def withdraw(self, row: RowKey) -> Question | None:
        """Forget a question; None when it is not open."""
        self._expected = None
        return self.open.pop(row, None)

    def close(self, row: RowKey, label: int) -> Question:
        """Turn a question into an answer."""
        self._expected = None
        question = self.open.pop(row)
        self.labels[row] = label
        place = self.rows.find(row)
        if place is not None:
            self.rows["status"][place] = label
        return question

    def learn(self, question: Question, label: int, before: int) -> None:
        """Let a label speak for similar rows; those from before a row number may be dropped."""
        self.labelled.add(question.votes, label, question.number)
        if self.labelled.expire(before):
            self.recount()
        else:
            self.rows["apart"][:, len(self.labelled) - 1] = self.labelled.newest_apart(self.rows["votes"])

    def recount(self) -> None:
        """Compare all rows with the labelled ones anew."""
        self.rows["apart"][:, : len(self.labelled)] = self.labelled.apart(self.rows["votes"])

    def fit(self, weights: Floats) -> None:
        """Learn from the labels where vote mass by a posterior, shape (k,), is wrong.

        By its root, and as sharp as after 200 labels at most: the posterior must not confirm itself where no label
        speaks.
        """
        self._root = weights ** (0.5 * min(1.0, _SHARPEST / max(self.labelled.weights.sum(), 1.0)))
        self.labelled.fit(self._mass(self.labelled.votes))

    def combine(self, votes: Votes) -> tuple[npt.NDArray[Any], Floats]:
        """Return what is believed of new contested rows.

        Parameters
        ----------
        votes : ndarray of int32, shape (n, k)

        Returns
        -------
        apart : ndarray of int, shape (n, a)
            How many models vote differently on each labelled row.
        belief : ndarray of float64, shape (n, n_classes)
        """
        apart = self.labelled.apart(votes)
        return apart, self._belief(votes, apart)

    def even(self, votes: Votes, split: npt.NDArray[np.bool_], belief: Floats) -> Floats:
        """Return what is believed of rows as if all classes were as frequent, shape (n, n_classes).

        Parameters
        ----------
        votes : ndarray of int32, shape (n, k)
        split : ndarray of bool, shape (n,)
            Which rows are contested.
        belief : ndarray of float64, shape (contested rows, n_classes)
            Of these.
        """
        even = agreed(votes, self.n_classes)
        even[split] = balanced(belief, self.labelled.balance)
        return even

    def _belief(self, votes: Votes, apart: npt.NDArray[Any]) -> Floats:
        return self.labelled.believed(apart, self._mass(votes))

    def _mass(self, votes: Votes) -> Floats:
        """Return what is believed where no label speaks."""
        return vote_mass(np.repeat(self._root[None], len(votes), axis=0), votes, self.n_classes)

    def right(self, place: slice) -> Floats:
        """Return the probability, without an answer, that each vote on contested rows is the label, shape (n, k)."""
        votes = self.rows["votes"][place]
        return level(of_votes(self.belief(place), votes), votes)

    def belief(self, place: slice | npt.NDArray[np.int64]) -> Floats:
        """Return how probable each class of contested rows is without an answer, shape (n, n_classes)."""
        return self._belief(self.rows["votes"][place], self.rows["apart"][place, : len(self.labelled)])

    def believed(self, since: int) -> tuple[npt.NDArray[np.int64], Votes, Floats]:
        """Return numbers, votes, and the probability that each is right, of the contested rows from a number on."""
        first = self.since(since)
        votes, status = self.rows["votes"][first:], self.rows["status"][first:]
        right = self.right(slice(first, None))
        known = status >= 0
        right[known] = level((votes[known] == status[known, None]).astype(np.float64), votes[known])
        return self.rows["number"][first:], votes, right

    def expected(self, k: int) -> Floats:
        """Return how often each model is expected to be right on the open questions, shape (k,).

        A question that is asked is added to the sum of those before it, in the order in which all are added anew: the
        figures do not depend on when a state was restored.
        """
        if self._expected is None:
            self._expected = sum((question.expected for question in self.open.values()), start=np.zeros(k))
        return self._expected

    def history(self) -> tuple[npt.NDArray[np.int8], Floats]:
        """Return which models were right on the answered rows, shape (a, k), -1 without vote, and the rows' weights."""
        known = self.labelled
        right = np.where(known.votes == MISSING, -1, known.votes == known.labels[:, None])
        return right.astype(np.int8), known.weights

    def join(self, votes: Votes, reference: int | None) -> None:
        """Add a model with its votes on the lookback rows; elsewhere it is as right as the reference."""
        known, window = self.labelled, self.window
        left = [number for _, number, _ in self._left()]
        by_number = dict(zip(left + window["number"].tolist(), votes.tolist(), strict=True))
        votes = votes[len(left) :]

        def own(numbers: npt.NDArray[np.int64]) -> Votes:
            return np.array([by_number.get(number, MISSING) for number in numbers.tolist()], np.int32)

        column = own(known.numbers)
        as_best = known.right[:, reference] if reference is not None else np.zeros(len(known))
        known.join(column, np.where(column == MISSING, as_best, column == known.labels))
        window.replace(list(window.ids), window.columns() | {"votes": np.column_stack([window["votes"], votes])})
        columns = self.rows.columns()
        columns["votes"] = np.column_stack([columns["votes"], own(columns["number"])])
        self.rows.replace(list(self.rows.ids), columns)
        self._insert_contested()
        self._expected = None
        for question in self.open.values():
            question.join(by_number.get(question.number, MISSING), reference)

    def _insert_contested(self) -> None:
        """Remember the rows of the window that a new model has made contested."""
        window, rows = self.window, self.rows
        fresh = [i for i in np.flatnonzero(contested(window["votes"])) if rows.find(window.ids[i]) is None]
        votes = window["votes"][fresh]
        agreed = votes[:, :-1].max(axis=1, initial=MISSING)
        added = {
            "number": window["number"][fresh],
            "votes": votes,
            "status": np.array([self.status(window.ids[i]) for i in fresh], np.int64),
            "apart": np.zeros((len(fresh), MOST), np.uint16),
            "doubt": np.zeros(len(fresh)),
            "said": np.repeat(agreed[:, None], 1 + N_COMBINERS, axis=1),
        }
        merged = {name: np.concatenate([value, added[name]]) for name, value in rows.columns().items()}
        order = np.argsort(merged["number"], kind="stable")
        ids = rows.ids + [window.ids[i] for i in fresh]
        rows.replace([ids[i] for i in order], {name: value[order] for name, value in merged.items()})

    def leave(self, index: int) -> None:
        """Remove a model."""
        for rows in (self.window, self.rows):
            rows.replace(list(rows.ids), rows.columns() | {"votes": np.delete(rows["votes"], index, axis=1)})
        self.labelled.leave(index)
        self._expected = None
        for question in self.open.values():
            question.leave(index)

    def state(self) -> dict[str, Any]:
        """Return lists of row ids and arrays; how rows compare follows from the rest."""
        k, questions, symbol = self.window["votes"].shape[1], list(self.open.values()), self.labelled.symbol
        rows = self.rows.state()
        del rows["apart"]
        rows["votes"] = rows["votes"].astype(symbol)
        return {
            "lookback": self.lookback,
            "answered_ids": list(self.labels),
            "answered_labels": np.array(list(self.labels.values()), np.int64),
            "open_ids": list(self.open),
            "open_votes": np.array([q.votes for q in questions], symbol).reshape(len(questions), k),
            "open_numbers": np.array([q.number for q in questions], np.int64),
            "open_said": np.array([q.said for q in questions], np.int32).reshape(-1, 1 + N_COMBINERS),
            "open_expected": np.array([q.expected for q in questions]).reshape(len(questions), k),
            "open_believed": np.array([q.believed for q in questions]).reshape(len(questions), k),
            "open_audits": np.array([q.audit for q in questions], np.float64),
            "window_ids": list(self.window.ids),
            "window_numbers": self.window["number"].copy(),
            "window_votes": self.window["votes"].astype(symbol),
            "rows": rows,
            "labelled": self.labelled.state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], k: int, n_classes: int, distinct: npt.NDArray[np.int64]) -> Self:
        """Return what :meth:`state` described; ``distinct`` are the models by which rows are compared."""
        recall = cls(k, n_classes, int(state["lookback"]))
        recall.labels = dict(zip(state["answered_ids"], map(int, state["answered_labels"]), strict=True))
        recall.open = dict(zip(state["open_ids"], _questions(state, k), strict=True))
        columns = {"number": state["window_numbers"], "votes": state["window_votes"]}
        recall.window = Rows.from_state({"capacity": recall.lookback, "ids": state["window_ids"]} | columns, _window(k))
        recall.labelled = Labelled.from_state(state["labelled"], k, n_classes)
        recall.labelled.compare(distinct)
        apart = np.zeros((len(state["rows"]["ids"]), MOST), np.uint16)
        recall.rows = Rows.from_state(state["rows"] | {"apart": apart}, _contested(k))
        recall.recount()
        return recall


def generator_of(state: dict[str, Any]) -> np.random.Generator:
    """Return the random generator whose bit generator has this state."""
    bits = getattr(np.random, str(state["bit_generator"]))()
    bits.state = state
    return np.random.Generator(bits)


def _questions(state: dict[str, Any], k: int) -> Sequence[Question]:
    n = len(state["open_numbers"])
    shapes = {"votes": (n, k), "said": (n, 1 + N_COMBINERS), "expected": (n, k), "believed": (n, k)}
    columns = {name: np.array(state[f"open_{name}"]).reshape(shape) for name, shape in shapes.items()}
    return [
        Question(
            columns["votes"][i].astype(np.int32),
            int(number),
            columns["said"][i].astype(np.int32),
            columns["expected"][i].astype(np.float64),
            columns["believed"][i].astype(np.float64),
            float(audit),
        )
        for i, (number, audit) in enumerate(zip(state["open_numbers"], state["open_audits"], strict=True))
    ]


def _window(k: int) -> dict[str, npt.NDArray[Any]]:
    return {"number": np.zeros(0, np.int64), "votes": np.zeros((0, k), np.int32)}


def _contested(k: int) -> dict[str, npt.NDArray[Any]]:
    """Return the columns in which contested rows are remembered, empty."""
    return _window(k) | {
        "status": np.zeros(0, np.int64),
        "apart": np.zeros((0, MOST), np.uint16),
        "doubt": np.zeros(0),
        "said": np.zeros((0, 1 + N_COMBINERS), np.int32),
    }
