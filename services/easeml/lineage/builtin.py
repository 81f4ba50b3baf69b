"""Operators that need nothing but a relation."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from easeml.errors import InvalidDataError, NotFoundError
from easeml.lineage.graph import GIVEN
from easeml.lineage.operators import operator
from easeml.lineage.values import Json
from easeml.relation import Relation
from easeml.relation.batches import union, united
from easeml.relation.block import CODES, NUMERIC, TENSOR, TEXTS, Block, layout, stack
from easeml.relation.candidates import LABEL
from easeml.relation.columns import cell_number
from easeml.relation.validation import check_row_ids
from easeml.stream.payloads import ColumnKind

Comparison = Literal["==", "!=", "<", "<=", ">", ">=", "in", "missing", "present"]


@operator(GIVEN)
def given(*, address: str) -> Relation:
    """Hold a relation from memory."""
    raise NotFoundError(
        f"The relation {address[:12]} that this step held is not at hand.",
        mend="Save the graph with its data, or read the relation from a file.",
    )


@operator("lineage.constant")
def constant(*, value: Json) -> Json:
    """Stand for a JSON value."""
    return value


@operator("relation.take", cost=0.02)
def take(
    relation: Relation,
    *,
    first: Annotated[int, Field(ge=0)] | None = None,
    skip: Annotated[int, Field(ge=0)] = 0,
    row_ids: list[str] | None = None,
) -> Relation:
    """Keep rows by their place, or by their ids."""
    places = np.arange(len(relation))
    if row_ids is not None:
        known = {row_id: place for place, row_id in enumerate(relation.row_ids)}
        unknown = [row_id for row_id in row_ids if row_id not in known]
        if unknown:
            raise NotFoundError(f"Row {unknown[0]!r} is not in the relation.", mend="See row_ids.")
        places = np.array([known[row_id] for row_id in dict.fromkeys(row_ids)], np.int64)
    return relation.take(places[skip:][:first])


@operator("relation.filter", rowwise=True, cost=0.02)
def keep_where(relation: Relation, *, column: str, comparison: Comparison = "==", value: Json = None) -> Relation:
    """Keep the rows whose observed value in a column, or whose label, compares so; a missing one never does."""
    cells, wanted = _observed(relation, column, comparison, value)
    if comparison in ("missing", "present"):
        return relation.take(pd.isna(cells) == (comparison == "missing"))
    known = ~pd.isna(cells)
    kept = np.zeros(len(relation), bool)
    compare: dict[str, Any] = {
        "==": lambda own: own == wanted[0],
        "!=": lambda own: own != wanted[0],
        "<": lambda own: own < wanted[0],
        "<=": lambda own: own <= wanted[0],
        ">": lambda own: own > wanted[0],
        ">=": lambda own: own >= wanted[0],
        "in": lambda own: np.isin(own, wanted),
    }
    kept[known] = np.asarray(compare[comparison](cells[known]), bool)
    return relation.take(kept)


def _observed(relation: Relation, column: str, comparison: str, value: Json) -> tuple[NDArray[Any], list[Any]]:
    """Return a column's cells, missing ones as NaN or None, and the values to compare with, in the same form."""
    index = {own.name: place for place, own in enumerate(relation.columns)}.get(column)
    values = value if comparison == "in" and isinstance(value, list) else [value]
    if column == relation.label:
        return np.array([*relation.classes, None], object)[relation.labels], [str(one) for one in values]
    if index is None:
        have = ", ".join(own.name for own in relation.columns)
        raise InvalidDataError(f"Unknown column {column!r}.", mend=f"Columns are {have}.")
    kind = relation.columns[index].kind
    if kind is ColumnKind.TENSOR:
        raise InvalidDataError(f"Column {column!r} is a tensor and does not compare.", mend="Name another column.")
    if kind in (ColumnKind.BOOLEAN, ColumnKind.CATEGORICAL) and comparison in ("<", "<=", ">", ">="):
        raise InvalidDataError(f"Column {column!r} is {kind} and has no order.", mend="Use ==, != or in.")
    cells = relation.block.column(index)
    if kind is ColumnKind.CATEGORICAL:
        return np.array([*relation.columns[index].categories, None], object)[cells], [str(one) for one in values]
    if kind is ColumnKind.TEXT:
        return cells, [str(one) for one in values]
    numbers = np.where(cells < 0, np.nan, cells) if kind is ColumnKind.BOOLEAN else cells
    if comparison in ("missing", "present"):
        return numbers, []
    return numbers, [cell_number(relation.columns[index], one) for one in values]


@operator("relation.select", rowwise=True, cost=0.02)
def select(relation: Relation, *, columns: list[str]) -> Relation:
    """Keep some feature columns, in this order; the label stays."""
    known = {column.name: place for place, column in enumerate(relation.columns)}
    unknown = [name for name in columns if name not in known]
    if unknown or len(set(columns)) < len(columns):
        what = f"Unknown column {unknown[0]!r}" if unknown else "A column is named twice"
        raise InvalidDataError(f"{what}.", mend=f"Columns are {', '.join(known)}.")
    return _with(relation, _selected(relation.block, [known[name] for name in columns]))


def _selected(block: Block, places: list[int]) -> Block:
    columns = tuple(block.columns[place] for place in places)
    widths, _ = layout(columns)
    parts: dict[str, NDArray[Any]] = {}
    for part, width in widths.items():
        own: NDArray[Any] = getattr(block, part)
        taken = [own[:, where] for name, where in (layout(block.columns)[1][place] for place in places) if name == part]
        parts[part] = np.concatenate(taken, axis=1) if taken else np.empty((len(block), width), own.dtype)
    renumbered = np.full(len(block.columns) + 1, -2, np.int64)
    renumbered[places] = np.arange(len(places))
    renumbered[LABEL] = LABEL
    table = block.candidates
    moved = renumbered[table.column] if len(table) else table.column
    kept = replace(table, column=moved).select(moved >= LABEL).sort()
    rows = block.alternatives
    return replace(
        block,
        columns=columns,
        numeric=parts[NUMERIC],
        codes=parts[CODES],
        texts=parts[TEXTS],
        tensor=parts[TENSOR],
        candidates=kept,
        alternatives=rows if rows.block is None else replace(rows, block=_selected(rows.block, places)),
    )


@operator("relation.labelled", rowwise=True, cost=0.02)
def labelled(relation: Relation) -> Relation:
    """Keep the rows whose label is certain."""
    return relation.labelled()


@operator("relation.without_labels", rowwise=True, cost=0.01)
def without_labels(relation: Relation) -> Relation:
    """Make every label unknown."""
    return relation.without_labels()


@operator("relation.most_probable_world", rowwise=True, cost=0.2)
def most_probable_world(relation: Relation) -> Relation:
    """Give every uncertain cell its most probable value."""
    return relation.most_probable_world()


@operator("relation.expected_world", rowwise=True, cost=0.2)
def expected_world(relation: Relation) -> Relation:
    """Give uncertain numbers and dates their expected value, other cells the most probable one."""
    return relation.expected_world()


@operator("relation.sample_world", cost=0.2)
def sample_world(relation: Relation, *, seed: Annotated[int, Field(ge=0)] = 0) -> Relation:
    """Draw one possible world from the priors."""
    return relation.sample_world(np.random.default_rng(seed))


@operator("relation.merge_candidates", cost=2.0)
def merge_candidates(relation: Relation, candidates: Json, *, source: str) -> Relation:
    """Add the candidates that a tool proposes: a list of row_id, column, value and probability."""
    wanted = ["row_id", "column", "value", "probability"]
    lines: list[Any] = candidates if isinstance(candidates, list) else [None]
    if not all(isinstance(line, dict) and set(wanted) <= set(line) for line in lines):
        raise InvalidDataError(
            "The candidates are no list of objects with row_id, column, value and probability.",
            mend='Give e.g. [{"row_id": "r1", "column": "age", "value": 31, "probability": 1.0}].',
        )
    table = pd.DataFrame([[one[name] for name in wanted] for one in lines], columns=wanted, dtype=object)
    try:
        return relation.merge_candidates(table.astype({"probability": float}), source=source)
    except (TypeError, ValueError) as error:
        raise InvalidDataError(f"A probability is no number: {error}.", mend="Give numbers from 0 to 1.") from error


@operator("relation.stack", cost=0.1)
def stacked(*relations: Relation) -> Relation:
    """Put the rows of several relations of the same columns below each other."""
    if not relations:
        raise InvalidDataError("Nothing to stack.", mend="Give at least one relation.")
    labels = {relation.label for relation in relations}
    if len(labels) > 1:
        raise InvalidDataError(f"Relations with different labels: {labels}.", mend="Name their labels alike.")
    columns = united([relation.columns for relation in relations])
    classes = union(relation.classes for relation in relations)
    block = stack([relation.block.recoded(columns, (relation.classes, classes)) for relation in relations])
    check_row_ids(block.row_ids)
    return Relation(block, label=relations[0].label, classes=classes)


@operator("relation.collapse", cost=0.1)
def collapse(relation: Relation, *, row_id: str, column: str, value: Json) -> Relation:
    """Make one cell or label certain, because somebody knows it."""
    return relation.collapse(row_id, column, value)


@operator("relation.candidates", cost=2.0)
def candidates(relation: Relation) -> Json:
    """List the candidates of uncertain cells."""
    table = relation.candidates()
    values = [one.isoformat() if isinstance(one, pd.Timestamp) else one for one in table["value"]]
    return table.assign(value=pd.Series(values, dtype=object)).to_dict("records")


@operator("relation.entropy", cost=0.2)
def entropy(relation: Relation) -> dict[str, float]:
    """Measure the uncertainty in bits: of all rows together, and of the mean row."""
    found = relation.entropy()
    return {"total": found.total, "mean": found.total / max(len(relation), 1)}


def _with(relation: Relation, block: Block) -> Relation:
    return Relation(block, label=relation.label, classes=relation.classes)
