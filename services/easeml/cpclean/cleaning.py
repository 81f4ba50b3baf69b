"""One app's training rows being cleaned: what is known of each row, what to ask next, and how far it has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from easeml.cpclean.encoding import EncodedRows, Encoding
from easeml.cpclean.masses import entropy
from easeml.cpclean.neighbours import Ints
from easeml.cpclean.predictions import CertainPredictions
from easeml.cpclean.questions import Asking, belief_of, variables
from easeml.relation import Relation

_NEIGHBOURS = 3
_POINTS = 1000
"""Validation rows predicted; of more, so many are taken evenly."""
_DIGITS = 9
"""Of figures: what is computed step by step and at once is the same up to rounding."""
_WORTH = 0.1
"""A begun row is stayed with while it tells this share of what the best row tells."""


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that is known.

    Parameters
    ----------
    train : Relation
        Training rows, answers included.
    proposed : Relation
        The same rows as tools propose them, without answers: what rows look like as points is learnt on these, so that
        answers move no other row.
    answered : tuple of str
        Rows that somebody answered about.
    validation : Relation
        Validation rows.
    """

    train: Relation
    proposed: Relation
    answered: tuple[str, ...]
    validation: Relation


@dataclass(frozen=True, slots=True)
class Figures:
    """How far cleaning has come; as in ``CleaningReport``."""

    rows: int
    uncertain_rows: int
    validation_rows: int
    certain: int
    entropy: float
    expected: float | None


class Cleaning:
    """Certain predictions of one app's rows, in terms of row ids, columns and values.

    Parameters
    ----------
    material : Material

    Raises
    ------
    InvalidDataError
        When nothing can be predicted from the rows: too few of them are labelled, or they have no feature.
    """

    def __init__(self, material: Material) -> None:
        validation = material.validation.labelled()
        if len(validation) > _POINTS:
            validation = validation.take(np.linspace(0, len(validation) - 1, _POINTS).astype(np.int64))
        self._encoding = Encoding(material.proposed)
        rows, points = self._encoding.rows(material.train), self._encoding.points(validation)
        self._predictions = CertainPredictions(
            rows.train,
            rows.labels,
            points.points,
            k=_NEIGHBOURS,
            n_classes=len(material.train.classes),
            rng=np.random.default_rng(0),
            validation_labels=points.labels,
        )
        self._truth = points.labels
        self._train = material.train
        self._names = rows.row_ids
        self._places = {row_id: place for place, row_id in enumerate(rows.row_ids)}
        self._lines = {row_id: line for line, row_id in enumerate(material.train.row_ids)}
        self._news: dict[int, Relation] = {}
        self._begun = dict.fromkeys(self._places[row_id] for row_id in material.answered if row_id in self._places)
        self._mute: dict[int, None] = {}
        self._version = 0

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._places

    def learn(self, row: Relation) -> None:
        """Take in what is known of a row now, a relation of this row alone; ``row in cleaning`` must hold."""
        place = self._places[row.row_ids[0]]
        self._news[place], self._begun[place] = row, None
        self._mute.pop(place, None)
        told = self._encoding.rows(row)
        _, prior, _ = self._predictions.candidates_of(place)
        belief = np.zeros(len(prior))
        where = self._where(place, told)
        self._version += 1
        if where is None:
            self._predictions.add_rows(told.train, told.labels, self._version, rows=[place])
        else:
            belief[where] = told.train.prior
            self._predictions.set_prior(place, belief, self._version)

    def ask(self, pending: Sequence[str], most: int) -> tuple[Asking, ...]:
        """Return what to ask next, the best first.

        Rows that somebody began to tell about come first while they tell enough: a person who has understood a row
        answers its other cells easily.

        Parameters
        ----------
        pending : sequence of str
            Rows with an open question.
        most : int
            Questions at most.
        """
        asked = [self._places[row_id] for row_id in pending if row_id in self._places]
        gain = self._predictions.gain
        least = max(_WORTH * float(gain.max(initial=0.0)), 10.0**-_DIGITS)
        begun = [place for place in self._begun if place not in asked and gain[place] >= least]
        todo = sorted(begun, key=lambda place: (-round(float(gain[place]), _DIGITS), place))
        found: list[Asking] = []
        while len(found) < most:
            todo = todo or self._predictions.next(most - len(found), pending=asked, without=tuple(self._mute)).tolist()
            if not todo:
                break
            place = todo.pop(0)
            asking = self._asking(place)
            if asking is None:
                self._mute[place] = None
            else:
                asked.append(place)
                found.append(asking)
        return tuple(found)

    def asked(self, row_id: str, column: str | None) -> Asking | None:
        """Return an open question as it is to be asked now; None: the row is not known, or nothing is uncertain."""
        place = self._places.get(row_id)
        return None if place is None else self._asking(place, column)

    def figures(self) -> Figures:
        """Return how far cleaning has come."""
        made = self._predictions
        mass, points = made.label_mass, len(self._truth)
        right = mass[np.arange(points), self._truth]
        return Figures(
            made.rows,
            int(made.uncertain_rows.sum()),
            points,
            int(made.certain.sum()),
            round(float(entropy(mass).sum()) / max(points, 1) / float(np.log(2)), _DIGITS),
            round(float(right.mean()), _DIGITS) if points else None,
        )

    def potential(self) -> float | None:
        """Return the validation accuracy that cleaning can reach, a belief; None without validation rows."""
        return round(self._predictions.potential().accuracy, _DIGITS) if len(self._truth) else None

    def _row(self, place: int) -> Relation:
        if place not in self._news:
            self._news[place] = self._train.take(np.array([self._lines[self._names[place]]]))
        return self._news[place]

    def _where(self, place: int, told: EncodedRows) -> Ints | None:
        """Return which of the row's former candidates its candidates are now; None: not all were there."""
        features, _, labels = self._predictions.candidates_of(place)
        former: dict[tuple[int, bytes], list[int]] = {}
        for number in reversed(range(len(labels))):
            former.setdefault((int(labels[number]), features[number].tobytes()), []).append(number)
        found = []
        for label, vector in zip(told.labels.tolist(), told.train.features, strict=True):
            numbers = former.get((label, vector.tobytes()))
            if not numbers:
                return None
            found.append(numbers.pop())
        return np.array(found, np.int64)

    def _asking(self, place: int, *only: str | None) -> Asking | None:
        """Return the best question about a row, or that about one column; None: no person could answer it."""
        row = self._row(place)
        gains = self._gains(place, row)
        for column in sorted(gains, key=lambda name: -round(gains[name], _DIGITS)):
            if only and column not in only:
                continue
            belief = belief_of(row, column)
            candidates, probabilities, others = belief.shown()
            if len(candidates) > 1:
                bits = round(max(gains[column], 0.0) / len(self._truth), _DIGITS)
                context = self._context(place, belief.sources, others)
                return Asking(self._names[place], column, bits, candidates, probabilities, context)
        return None

    def _gains(self, place: int, row: Relation) -> dict[str | None, float]:
        """Return the bits that each of a row's variables is expected to tell, summed over all points."""
        told = self._encoding.rows(row)
        where = self._where(place, told)
        gains: dict[str | None, float] = {}
        for column, group in variables(told).items():
            if where is None or len(np.unique(group)) == len(group):
                gains[column] = float(self._predictions.bits(np.array([place]))[0])
            else:
                every = np.zeros(len(self._predictions.candidates_of(place)[1]), np.int64)
                every[where] = group
                gains[column] = self._predictions.bits_of_part(place, every)
        return gains

    def _context(self, place: int, sources: tuple[str, ...], others: int) -> dict[str, str]:
        touched, points = len(self._predictions.touched(place)), len(self._truth)
        said = {"why": f"{touched:,} of {points:,} validation predictions may depend on this row."}
        if sources:
            said["candidates from"] = ", ".join(sources)[:500]
        if others:
            said["not shown"] = f"{others:,} less probable candidates; another value may be given."
        return said
