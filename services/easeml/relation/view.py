"""A view of one pillar of one app: folded from batches, candidates and answers, fast to append, idempotent.

Rows are upserted by row id, so the same batch twice changes nothing and batches of distinct rows may come in any
order. Candidates and answers are laid over the rows when they are read: one that comes before its row waits for it,
and stays when its row is published again. An answer, which a person gave, wins over candidates; a category that only
an answer names is one of the relation's from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError, NotFoundError
from easeml.relation import frames
from easeml.relation.answers import canonical, with_categories
from easeml.relation.batches import union, united
from easeml.relation.block import Block, stack
from easeml.relation.overlay import Overlay
from easeml.relation.proposals import check_proposal, check_shape
from easeml.relation.relation import Relation
from easeml.stream.payloads import Answer, CandidateBatch, Column, QuestionKind, RelationBatch

_SLACK = 4096
"""Overwritten rows kept before the storage is packed."""


class RelationView:
    """Rows of one pillar of one app.

    Parameters
    ----------
    label : str
        Name of the label column in frames.
    classes : sequence of str
        Label domain, in code order; classes that batches add follow.
    columns : sequence of Column
        Feature columns of the app; categories that batches add follow, and in what is read those that answers add.
        Without them the first batch gives them.
    keep_last : int, optional
        Keep only the rows that arrived last.

    Notes
    -----
    Folding n rows costs one dictionary update and the blocks that change; reading after a fold joins the new blocks
    once. Batches are taken as valid: check them with ``validate_batch`` first.
    """

    def __init__(
        self,
        label: str = "label",
        classes: Sequence[str] = (),
        columns: Sequence[Column] = (),
        *,
        keep_last: int | None = None,
    ) -> None:
        self.label = label
        self.classes = tuple(classes)
        self.columns = tuple(columns)
        self._keep_last = keep_last
        self._blocks: list[tuple[Block, tuple[str, ...]]] = []
        self._places: dict[str, int] = {}
        self._stored = 0
        self._answers: dict[tuple[str, str | None], str] = {}
        self._overlay = Overlay()
        self._read: Relation | None = None
        self._proposed: Relation | None = None

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, row_id: str) -> bool:
        return row_id in self._places

    @property
    def rows(self) -> int:
        """Rows in the view."""
        return len(self._places)

    @property
    def row_ids(self) -> tuple[str, ...]:
        """Row ids in the order of their first arrival."""
        return tuple(self._places)

    @property
    def answered(self) -> tuple[str, ...]:
        """Rows of the view that somebody answered about, in the order of the answers."""
        return tuple(dict.fromkeys(row_id for row_id, _ in self._answers if row_id in self._places))

    def is_answered(self, row_id: str, column: str | None) -> bool:
        """Return whether somebody answered about a cell, or about the label (None) of a row."""
        return (row_id, column) in self._answers

    def fold(self, data: RelationBatch | CandidateBatch | Answer) -> None:
        """Take in a batch, candidates or an answer.

        Raises
        ------
        InvalidDataError
            When a batch has other columns than those before it, or candidates or an answer do not fit them. Nothing
            is changed.
        """
        if isinstance(data, Answer):
            self._fold_answer(data)
        elif isinstance(data, CandidateBatch):
            self._fold_candidates(data)
        else:
            self._fold_batch(data)
        self._read = None
        if not isinstance(data, Answer):
            self._proposed = None

    def _fold_candidates(self, batch: CandidateBatch) -> None:
        check_shape(batch)
        if self.columns:
            check_proposal(batch, self.columns, self.label, self.classes)
        self._overlay.fold(batch, self.label, known=bool(self.columns))

    def _agrees(self, batch: CandidateBatch) -> bool:
        """Whether candidates that came before the columns were known fit them; if not, they say nothing."""
        try:
            check_proposal(batch, self.columns, self.label, self.classes)
        except InvalidDataError:
            return False
        return True

    def _fold_answer(self, answer: Answer) -> None:
        if answer.kind is QuestionKind.ROW:
            raise InvalidDataError(
                f"Answer to {answer.question!r} settles a whole row.", mend="Ask for a label or a cell."
            )
        self._answers[answer.row_id, answer.column if answer.kind is QuestionKind.CELL else None] = self._said(answer)

    def _said(self, answer: Answer) -> str:
        """Return what an answer says, of a cell in its one form; before columns and classes are known all may fit."""
        if answer.kind is QuestionKind.CELL:
            return self._cell(answer.column or "", answer.text) if self.columns else answer.text
        if not self._is_class(answer.text):
            raise InvalidDataError(
                f"Answer to {answer.question!r}: {answer.text!r} does not fit {self.label!r}.",
                mend=f"Classes are {', '.join(self.classes)}.",
            )
        return answer.text

    def _cell(self, name: str, text: str) -> str:
        own = next((column for column in self.columns if column.name == name), None)
        if own is None:
            raise InvalidDataError(f"There is no column {name!r}.", mend="Answer about a column of the app.")
        return canonical(own, text)

    def _is_class(self, text: str) -> bool:
        return text in self.classes or not self.classes

    def _judge_early(self) -> None:
        """Forget answers about cells that came before the columns and do not fit them."""
        for (row_id, name), text in list(self._answers.items()):
            if name is not None:
                try:
                    self._answers[row_id, name] = self._cell(name, text)
                except InvalidDataError:
                    del self._answers[row_id, name]

    def _fold_batch(self, batch: RelationBatch) -> None:
        if self.columns:
            self.columns = united([self.columns, batch.columns])
        else:
            self.columns = batch.columns
            self._judge_early()
        self._blocks.append((Block.from_batch(batch), batch.classes))
        self.classes = union((self.classes, batch.classes))
        self._places.update(zip(batch.row_ids, range(self._stored, self._stored + len(batch.row_ids)), strict=True))
        self._stored += len(batch.row_ids)
        if self._keep_last is not None and len(self._places) > self._keep_last:
            for row_id in list(islice(self._places, len(self._places) - self._keep_last)):
                del self._places[row_id]
        if self._stored > 2 * len(self._places) + _SLACK:
            self._pack()

    def _join(self) -> Block:
        """Return all stored rows as one block in the view's codes."""
        if not self._blocks:
            raise NotFoundError("The view holds no rows yet.", mend="Publish rows to the pillar first.")
        joined = stack([block.recoded(self.columns, (own, self.classes)) for block, own in self._blocks])
        self._blocks = [(joined, self.classes)]
        return joined

    def _pack(self) -> None:
        live = np.fromiter(self._places.values(), np.int64, len(self._places))
        self._blocks = [(self._join().take(live), self.classes)]
        self._places = dict(zip(self._places, range(len(live)), strict=True))
        self._stored = len(live)

    def relation(self, row_ids: Iterable[str] | None = None) -> Relation:
        """Return rows as a relation with all candidates and answers applied.

        Parameters
        ----------
        row_ids : iterable of str, optional
            Distinct rows, in the order wanted; without it all rows, ordered by row id, so that the result does not
            depend on the order of arrival.

        Raises
        ------
        NotFoundError
            When a row is unknown or the view is empty.
        """
        if row_ids is None and self._read is not None:
            return self._read
        wanted = sorted(self._places) if row_ids is None else list(row_ids)
        unknown = next((row_id for row_id in wanted if row_id not in self._places), None)
        if unknown is not None:
            raise NotFoundError(f"Row {unknown!r} is not in the view.", mend="Publish it to the pillar first.")
        places = np.fromiter((self._places[row_id] for row_id in wanted), np.int64, len(wanted))
        relation = self._settled(self._laid_over(places), set(wanted))
        if row_ids is None and len(self._overlay):
            self._read = relation
        return relation

    def proposed(self) -> Relation:
        """Return all rows in the order of arrival as tools propose them, as if nobody had answered.

        Kept until rows or candidates come.

        Raises
        ------
        NotFoundError
            When the view is empty.
        """
        if self._proposed is None:
            self._proposed = self._laid_over(np.fromiter(self._places.values(), np.int64, len(self._places)))
        return self._proposed

    def row(self, row_id: str, *, answers: bool = True) -> Relation:
        """Return one row with candidates, and answers or none, applied: fast, for it is taken from ``proposed``.

        Raises
        ------
        NotFoundError
            When the row is unknown.
        """
        proposed = self.proposed()
        row = proposed.take(np.array([proposed._row(row_id)]))
        return self._settled(row, {row_id}) if answers else row

    def _laid_over(self, places: NDArray[np.int64]) -> Relation:
        plain = Relation(self._join().take(places), label=self.label, classes=self.classes)
        return self._overlay.over(plain, self._agrees)

    def _settled(self, relation: Relation, rows: AbstractSet[str]) -> Relation:
        """Return the relation of these rows with answers applied."""
        block = relation.block.recoded(self._named(), (self.classes, self.classes))
        return Relation(block, label=self.label, classes=self.classes).settle(
            (row_id, self.label if column is None else column, text)
            for (row_id, column), text in self._answers.items()
            if row_id in rows and (column is not None or self._is_class(text))
        )

    def _named(self) -> tuple[Column, ...]:
        """Return the columns with the categories that answers about rows of the view name."""
        cells = self._answers.items()
        return with_categories(
            self.columns, ((name, text) for (row_id, name), text in cells if name is not None and row_id in self)
        )

    @property
    def block(self) -> Block:
        """All rows with candidates and answers applied, ordered by row id."""
        return self.relation().block

    def frame(self, row_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """Return rows for people."""
        return self.relation(row_ids).frame()

    def features(self, row_ids: Iterable[str] | None = None) -> pd.DataFrame:
        """Return the features of rows as models take them."""
        return frames.features(self.relation(row_ids).block)

    def labelled(self) -> Relation:
        """Return the rows whose label is certain."""
        return self.relation().labelled()

    def most_probable_world(self) -> Relation:
        """Return the most probable world of all rows."""
        return self.relation().most_probable_world()
