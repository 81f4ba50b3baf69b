"""Values that the rest of a row implies: by a functional dependency, or as the right spelling of what stands there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.datamagic.cleaning.dependencies import column_codes, find_dependencies, groups
from easeml.datamagic.cleaning.spelling import LEAST_RATIO, Speller
from easeml.relation.block import Block
from easeml.stream.payloads import ColumnKind

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ENOUGH = 3
"""Dependencies kept per dependent column."""
_SAMPLE = 4000
WORDS = (ColumnKind.CATEGORICAL, ColumnKind.TEXT)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What each value of a column implies for another: a value, and how sure it is (0: nothing)."""

    determinant: int
    dependent: int
    keys: pd.Index[Any]
    value: NDArray[Any]
    sure: Floats


class ImpliedValues:
    """Dependencies and spellings learnt from a relation.

    Parameters
    ----------
    block : Block
        All rows.
    hidden : ndarray of bool, shape (n, columns), optional
        Cells not to learn from.
    sample : ndarray of int64
        Rows in which dependencies are looked for; what they imply is learnt from all rows.
    rng : Generator
        Tells chance from dependency.
    """

    def __init__(
        self, block: Block, hidden: NDArray[np.bool_] | None, sample: Ints, *, rng: np.random.Generator
    ) -> None:
        rows = sample[:_SAMPLE]
        codes, _ = column_codes(block, rows, None if hidden is None else hidden[rows])
        kept: dict[int, list[_Rule]] = {}
        for found in find_dependencies(codes, rng=rng):
            rules = kept.setdefault(found.dependent, [])
            if len(rules) < _ENOUGH:
                rules.append(_rule(block, hidden, found.determinant, found.dependent, found.confidence))
        self._rules = kept
        self._block = block
        self._hidden = hidden
        self._spellers: dict[int, Speller] = {}

    def implied(
        self, block: Block, rows: Ints, column: int, hidden: NDArray[np.bool_] | None
    ) -> tuple[NDArray[Any], Floats]:
        """Return what each row implies for a column, and how sure it is (0: nothing).

        Parameters
        ----------
        block : Block
            The rows, in the codes of the block learnt from.
        rows : ndarray of int64, shape (k,)
            Which of them.
        column : int
            The dependent column.
        hidden : ndarray of bool, shape (k, columns), optional
            Cells not to judge by.

        Returns
        -------
        value : ndarray, shape (k,)
            float64, or objects for a text column.
        sure : ndarray of float64, shape (k,)
            In [0, 1).
        """
        text = block.columns[column].kind is ColumnKind.TEXT
        value: NDArray[Any] = np.full(len(rows), None, object) if text else np.full(len(rows), np.nan)
        sure = np.zeros(len(rows))
        for rule in self._rules.get(column, []):
            cells = block.column(rule.determinant)[rows]
            place = rule.keys.get_indexer(pd.Index(cells))
            known = place >= 0
            if block.columns[rule.determinant].kind in (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL):
                known &= cells >= 0
            if hidden is not None:
                known &= ~hidden[:, rule.determinant]
            own = np.where(known, rule.sure[place], 0.0)
            better = own > sure
            value[better] = rule.value[place[better]]
            sure[better] = own[better]
        return value, sure

    def depends(self, column: int) -> bool:
        """Whether some column decides this one."""
        return column in self._rules

    def speller(self, column: int) -> Speller:
        """Return what corrects the words of a categorical or text column; built when first asked for."""
        if column not in self._spellers:
            words, counts = word_counts(self._block, column)
            self._spellers[column] = Speller(words, counts)
        return self._spellers[column]


def word_counts(block: Block, column: int) -> tuple[list[str], Ints]:
    """Return the words of a categorical or text column and how often each occurs.

    A text column hardly any of whose values repeats often enough has no words: it is prose.
    """
    own = block.columns[column]
    cells = block.column(column)
    if own.kind is ColumnKind.CATEGORICAL:
        return list(own.categories), np.bincount(cells[cells >= 0], minlength=len(own.categories)).astype(np.int64)
    codes, words = pd.factorize(cells)
    counts = np.bincount(codes[codes >= 0], minlength=len(words)).astype(np.int64)
    if counts[counts >= LEAST_RATIO].sum() < 0.5 * counts.sum():
        return [], np.empty(0, np.int64)
    return [str(word) for word in words], counts


def _rule(block: Block, hidden: NDArray[np.bool_] | None, determinant: int, dependent: int, confidence: float) -> _Rule:
    codes, values = column_codes(block, None, hidden, (determinant, dependent))
    found, _, _ = groups(codes[0], codes[1])
    implied = found.value
    text = block.columns[dependent].kind is ColumnKind.TEXT
    source = np.asarray(values[1], object if text else np.float64)
    chosen = source[np.maximum(implied, 0)] if len(source) else np.full(len(implied), np.nan)
    sure = np.where(implied >= 0, np.minimum(found.share, 0.99) * confidence, 0.0)
    return _Rule(determinant, dependent, values[0], chosen, sure)
