"""What a person can be asked about a row: its uncertain cells and label, and the values that each may have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from easeml.cpclean.encoding import EncodedRows
from easeml.cpclean.neighbours import Floats, Ints
from easeml.errors import InvalidDataError
from easeml.relation import Block, Relation
from easeml.relation.answers import canonical
from easeml.relation.candidates import LABEL
from easeml.relation.columns import cell_text, cell_value
from easeml.stream.payloads import Column, ColumnKind

_SHOWN = 32
"""Candidates that a question shows at most."""
_SHOWN_LETTERS = 8000
"""Letters of all candidates that a question shows at most: a label service keeps its questions in memory."""
_CODED = (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL)


@dataclass(frozen=True, slots=True)
class Asking:
    """A question about a training row.

    Parameters
    ----------
    row_id : str
    column : str or None
        None: the label is asked for.
    bits : float
        By how much the answer is expected to lower the entropy of a prediction, in the mean over validation rows.
    candidates : tuple of str
        Possible values as an answer names them, the most probable first; two or more.
    probabilities : tuple of float
        Belief about each, sums to 1.
    context : dict of str to str
        What a person may want to know beside the row itself.
    """

    row_id: str
    column: str | None
    bits: float
    candidates: tuple[str, ...]
    probabilities: tuple[float, ...]
    context: dict[str, str]


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed about a cell or label.

    Parameters
    ----------
    weights : dict of str to float
        Probability by value, as an answer names it; empty where nothing is uncertain. A cell that may be missing has
        no value for that.
    sources : tuple of str
        Tools that propose them, sorted.
    """

    weights: dict[str, float]
    sources: tuple[str, ...]

    def shown(self) -> tuple[tuple[str, ...], tuple[float, ...], int]:
        """Return the values to show, their probabilities, and how many others there are."""
        ranked = sorted(self.weights, key=lambda value: -self.weights[value])
        letters = np.cumsum([len(value) for value in ranked])
        kept = ranked[: min(_SHOWN, int((letters <= _SHOWN_LETTERS).sum()))]
        total = sum(self.weights[value] for value in kept)
        return tuple(kept), tuple(self.weights[value] / total for value in kept), len(ranked) - len(kept)


def belief_of(row: Relation, column: str | None) -> Belief:
    """Return what is believed about a cell of a one-row relation, or about its label (None)."""
    block = row.block
    index = LABEL if column is None else [own.name for own in block.columns].index(column)
    cells, whole = block.candidates, block.alternatives
    mine = np.flatnonzero(cells.column == index)
    if len(mine):
        kind = Column("", ColumnKind.CATEGORICAL, row.classes) if index == LABEL else block.columns[index]
        named = [_text(kind, value, cells.texts) for value in cells.value[mine].tolist()]
        return Belief(_summed(named, cells.probability[mine]), _names(cells.sources, cells.source[mine]))
    if index == LABEL or whole.block is None:
        return Belief({}, ())
    return Belief(_summed(_texts(whole.block, index), whole.probability), _names(whole.sources, whole.source))


def is_outside(row: Relation, column: str | None, text: str) -> bool:
    """Whether an answer names a value that was no candidate of an uncertain variable; ``row`` as tools propose it."""
    own = next((own for own in row.columns if own.name == column), None)
    if column is not None and own is None:
        return False
    known = belief_of(row, column).weights
    try:
        return bool(known) and (text if own is None else canonical(own, text)) not in known
    except InvalidDataError:
        return False  # it fits no value of the column, so it does not count as an answer


def variables(told: EncodedRows) -> dict[str | None, Ints]:
    """Return what can be asked about a single row, in the order of the columns, the label (None) last.

    Returns
    -------
    dict of int64[m]
        Which group of equal values each of the row's m candidates is of, by column. A cell that has fewer than two
        values when it is not missing is not there, nor is a tensor, which no person could type.
    """
    found: dict[str | None, Ints] = {}
    block = told.relation.block.alternatives.block
    for index, column in enumerate(block.columns if block is not None else ()):
        if block is None or column.kind is ColumnKind.TENSOR:
            continue
        cells = block.column(index)[told.alternative]
        codes, known = pd.factorize(np.where(cells < 0, np.nan, cells) if column.kind in _CODED else cells)
        if len(known) > 1:
            found[column.name] = np.where(codes < 0, len(known), codes).astype(np.int64)
    classes, codes = np.unique(told.labels, return_inverse=True)
    if len(classes) > 1:
        found[None] = codes.astype(np.int64)
    return found


def _summed(values: Iterable[str | None], probabilities: Floats) -> dict[str, float]:
    total: dict[str, float] = {}
    for value, probability in zip(values, probabilities.tolist(), strict=True):
        if value is not None:
            total[value] = total.get(value, 0.0) + probability
    return total


def _names(sources: tuple[str, ...], used: Ints) -> tuple[str, ...]:
    return tuple(sorted({sources[place] for place in used.tolist()}))


def _texts(block: Block, index: int) -> list[str | None]:
    """Return the cells of a column as texts, None where missing."""
    column, cells = block.columns[index], block.column(index)
    if column.kind is ColumnKind.TEXT:
        return list(cells)
    gone = cells < 0 if column.kind in _CODED else np.isnan(cells)
    return [None if no else _text(column, cell, ()) for no, cell in zip(gone, cells.tolist(), strict=True)]


def _text(column: Column, number: float, texts: tuple[str, ...]) -> str:
    return cell_text(column.kind, cell_value(column, number, texts))
