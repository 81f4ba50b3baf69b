"""Rows of a relation as one matrix of numbers, for the small models that DataMagic trains to judge data."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from easeml.errors import InvalidDataError
from easeml.relation import Relation
from easeml.stream.payloads import Column, ColumnKind

Matrix = Any
"""Dense float64 array or CSR matrix, shape (n, features)."""

MOST_CATEGORIES = 64
"""Categories of a column that get a number of their own; the rarer ones share none."""
MOST_WORDS = 20_000
_CODED = (ColumnKind.CATEGORICAL, ColumnKind.BOOLEAN)


class RowEncoder:
    """Turns rows into numbers as learned from some rows: nothing of other rows, and no label, enters.

    Parameters
    ----------
    relation : Relation
        The rows to learn from.

    Notes
    -----
    Numbers, datetimes and tensors are standardised, a missing one is the mean; the most frequent categories and
    booleans are one-hot; texts are TF-IDF weights of words and pairs of words, which make the matrix sparse.
    """

    def __init__(self, relation: Relation) -> None:
        self.columns: tuple[Column, ...] = relation.columns
        self._known: list[Any] = [
            self._learn(column, relation.block.column(place)) for place, column in enumerate(relation.columns)
        ]

    @classmethod
    def of(cls, relation: Relation) -> Self:
        """Return an encoder that has learned from these rows.

        Raises
        ------
        InvalidDataError
            When there is no feature column or no row.
        """
        if not relation.columns or not len(relation):
            raise InvalidDataError("There is nothing to learn from.", mend="Give rows with feature columns.")
        return cls(relation)

    def _learn(self, column: Column, cells: NDArray[Any]) -> Any:
        if column.kind is ColumnKind.TEXT:
            words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=MOST_WORDS)
            texts = [text for text in cells if text]
            try:
                return words.fit(texts)
            except ValueError:
                # No text holds a word: the column says nothing.
                return None
        if column.kind in _CODED:
            size = len(column.categories) or 2
            counts = np.bincount(cells[cells >= 0], minlength=size)
            return np.sort(np.argsort(-counts, kind="stable")[:MOST_CATEGORIES])
        table = cells.reshape(len(cells), -1)
        seen = ~np.isnan(table)
        total = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, table, 0.0).sum(axis=0) / total
        spread = np.sqrt(np.where(seen, (table - mean) ** 2, 0.0).sum(axis=0) / total)
        return mean, np.where(spread > 0, spread, 1.0)

    def transform(self, relation: Relation) -> Matrix:
        """Return rows with the same columns as one matrix, shape (n, features); sparse where there are texts."""
        if relation.columns != self.columns:
            raise InvalidDataError("The rows have other columns than those learned from.", reason="wrong_kind")
        dense, words = [np.empty((len(relation), 0))], []
        for place, column in enumerate(self.columns):
            cells, known = relation.block.column(place), self._known[place]
            if column.kind is ColumnKind.TEXT:
                if known is not None:
                    words.append(known.transform([text or "" for text in cells]))
            elif column.kind in _CODED:
                dense.append((cells[:, None] == known).astype(np.float64))
            else:
                table = (cells.reshape(len(cells), -1) - known[0]) / known[1]
                dense.append(np.where(np.isnan(table), 0.0, table))
        block = np.concatenate(dense, axis=1)
        return sparse.csr_matrix(sparse.hstack([sparse.csr_matrix(block), *words])) if words else block
