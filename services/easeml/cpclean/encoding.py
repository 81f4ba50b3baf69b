"""From relations to arrays: every row's joint candidates with their labels, and the validation points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from easeml.artifacts.encoder import Encoder
from easeml.cpclean.candidates import CandidateRows
from easeml.cpclean.neighbours import Floats, Ints
from easeml.errors import InvalidDataError
from easeml.relation import Relation, features
from easeml.relation.block import stack
from easeml.relation.candidates import LABEL


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRows:
    """Training rows as :class:`easeml.cpclean.predictions.CertainPredictions` takes them.

    Parameters
    ----------
    train : CandidateRows
        Candidates of the n rows whose label is known or has candidates.
    labels : ndarray of int32, shape (m,)
        Label of each candidate.
    alternative : ndarray of int64, shape (m,)
        Which line of ``relation.alternatives()`` each candidate is, counted within its row; -1: the row as it stands.
    row_ids : tuple of str
        Identity of the n rows.
    left_out : tuple of str
        Rows about whose label nothing is known: they teach nothing about any prediction.
    relation : Relation
        The rows with joint alternatives instead of uncertain cells.
    """

    train: CandidateRows
    labels: NDArray[np.int32]
    alternative: Ints
    row_ids: tuple[str, ...]
    left_out: tuple[str, ...]
    relation: Relation


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPoints:
    """Validation points.

    Parameters
    ----------
    points : ndarray of float64, shape (v, d)
    labels : ndarray of int32, shape (v,)
    row_ids : tuple of str
        Rows whose label is certain; the others are left out.
    """

    points: Floats
    labels: NDArray[np.int32]
    row_ids: tuple[str, ...]


class Encoding:
    """How rows of an app become points, learnt on its training rows.

    Numbers have variance 1 and categories are 0/1 columns, so two rows that differ in a category are as far apart as
    two numbers on average.

    Parameters
    ----------
    train : Relation
        Training rows; uncertain cells count at their most probable value.
    most : int
        Joint candidates that a row's uncertain cells make at most; no cell loses candidates by that which it has alone.

    Raises
    ------
    InvalidDataError
        When there is no row, no label or no column to learn from.
    """

    def __init__(self, train: Relation, most: int = 16) -> None:
        if not len(train) or not train.classes:
            raise InvalidDataError(
                "The training rows are none or have no labels.", mend="Publish labelled rows to the train pillar."
            )
        self.most, self.classes = most, train.classes
        self._encoder = Encoder().fit(train.most_probable_world().features(), train.columns)

    def rows(self, train: Relation) -> EncodedRows:
        """Return the candidates of rows; the conversion of the relation makes uncertain cells joint candidates.

        Raises
        ------
        InvalidDataError
            When the classes differ from those of the training rows, or a row lacks a column.
        """
        self._check(train)
        relation = _joint(train, self.most)
        block = relation.block
        owner, label, belief = _labels(relation)
        known = np.flatnonzero(np.bincount(owner, minlength=len(relation)))
        alternatives = block.alternatives
        plain = known[~alternatives.has(len(relation))[known]]
        version = np.concatenate([np.arange(len(alternatives)), np.full(len(plain), -1)])
        row = np.concatenate([alternatives.row.astype(np.int64), plain])
        prior = np.concatenate([alternatives.probability, np.ones(len(plain))])
        points = self._encoder.transform(features(block.cells(plain)))
        if alternatives.block is not None:
            points = np.vstack([self._encoder.transform(features(alternatives.block)), points])
        # Each version of a row with each label that the row may have.
        first = np.searchsorted(owner, row)
        times = np.searchsorted(owner, row, side="right") - first
        line = np.repeat(np.arange(len(row)), times)
        which = np.arange(len(line)) - np.repeat(np.cumsum(times) - times, times) + first[line]
        order = np.argsort(row[line], kind="stable")
        line, which = line[order], which[order]
        place = np.searchsorted(known, row[line])
        starts = np.searchsorted(alternatives.row, row[line])
        return EncodedRows(
            CandidateRows(np.searchsorted(place, np.arange(len(known) + 1)), points[line], prior[line] * belief[which]),
            label[which].astype(np.int32),
            np.where(version[line] < 0, -1, version[line] - starts),
            tuple(relation.row_ids[one] for one in known.tolist()),
            tuple(relation.row_ids[one] for one in np.setdiff1d(np.arange(len(relation)), known).tolist()),
            relation,
        )

    def points(self, validation: Relation) -> EncodedPoints:
        """Return validation rows as points; an uncertain cell counts at its most probable value.

        Raises
        ------
        InvalidDataError
            As :meth:`rows`.
        """
        self._check(validation)
        certain = validation.labelled()
        points = self._encoder.transform(certain.most_probable_world().features())
        return EncodedPoints(points, certain.labels, certain.row_ids)

    def _check(self, relation: Relation) -> None:
        if relation.classes != self.classes:
            raise InvalidDataError(
                f"The classes are {', '.join(relation.classes)}; the training rows have {', '.join(self.classes)}.",
                mend="Use the label domain of the app, in its order.",
            )


def _joint(relation: Relation, most: int) -> Relation:
    """Return the relation with joint alternatives instead of uncertain cells: ``most``, or as many as a cell has."""
    cells = relation.block.candidates.distributions()
    cells = cells.select(cells.column != LABEL)
    limit = np.full(len(relation), most, np.int64)
    np.maximum.at(limit, cells.row, np.diff(cells.pointer))
    parts = [np.flatnonzero(limit == own) for own in np.unique(limit)]
    if len(parts) < 2:
        return relation.joint(int(limit.max(initial=most)))
    made = stack([relation.take(part).joint(int(limit[part[0]])).block for part in parts])
    return Relation(made.take(np.argsort(np.concatenate(parts))), label=relation.label, classes=relation.classes)


def _labels(relation: Relation) -> tuple[Ints, Ints, Floats]:
    """Return the rows about whose label something is known, ascending, their possible labels and the beliefs."""
    table = relation.block.candidates.distributions()
    own = table.select(table.column == LABEL)
    spoken = np.repeat(own.row, np.diff(own.pointer))
    known = np.setdiff1d(np.flatnonzero(relation.labels >= 0), own.row)
    row = np.concatenate([spoken, known])
    label = np.concatenate([own.value.astype(np.int64), relation.labels[known].astype(np.int64)])
    belief = np.concatenate([own.probability, np.ones(len(known))])
    order = np.argsort(row, kind="stable")
    return row[order], label[order], belief[order]
