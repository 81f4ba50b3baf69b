"""Hypothesis strategies for relations with uncertain cells and rows, and comparisons by dictionary."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from easeml.relation import Relation
from easeml.stream import codec
from easeml.stream.payloads import Answer, AppDefined, Column, ColumnKind, Pillar, QuestionKind

CLASSES = ("no", "maybe", "yes")
COLUMNS = (
    Column("age", ColumnKind.NUMERIC),
    Column("paid", ColumnKind.BOOLEAN),
    Column("plan", ColumnKind.CATEGORICAL, ("basic", "plus", "ünlimited")),
    Column("since", ColumnKind.DATETIME),
    Column("note", ColumnKind.TEXT),
    Column("pixels", ColumnKind.TENSOR, shape=(2, 3)),
)
APP = AppDefined("churn", "churned", CLASSES, COLUMNS)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VALUES = {
    "age": st.floats(allow_nan=False, allow_infinity=False),
    "paid": st.booleans(),
    "plan": st.sampled_from(COLUMNS[2].categories),
    "since": st.integers(-(10**15), 7 * 10**15).map(lambda ticks: EPOCH + timedelta(microseconds=ticks)),
    "note": st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    "churned": st.sampled_from(CLASSES),
}
TENSORS = st.lists(st.floats(allow_infinity=False), min_size=6, max_size=6).map(lambda v: np.array(v).reshape(2, 3))


@st.composite
def relations(draw, *, certain=False, most=8, whole=False):
    rows = draw(st.integers(1, most))
    data = {
        name: pd.Series([draw(st.none() | value) for _ in range(rows)], dtype=object) for name, value in VALUES.items()
    }
    data["pixels"] = pd.Series([draw(TENSORS) for _ in range(rows)], dtype=object)
    relation = Relation.from_frame(
        pd.DataFrame(data), label="churned", classes=CLASSES, columns=COLUMNS, row_ids=[f"r{i}" for i in range(rows)]
    )
    for source in ("knn", "rules"):
        if not certain and draw(st.booleans()):
            relation = relation.merge_candidates(draw(proposals(rows)), source=source, normalize=True)
        if whole and draw(st.booleans()):
            relation = relation.merge_rows(draw(versions(rows)), source=f"{source} of rows", normalize=True)
    return relation


@st.composite
def versions(draw, rows):
    """Alternatives of some rows over some columns; a cell of an alternative may be missing."""
    names = draw(st.lists(st.sampled_from(sorted(set(VALUES) - {"churned"})), max_size=3, unique=True))
    lines = []
    for row in draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=3, unique=True)):
        for weight in draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)):
            cells = [draw(st.none() | VALUES[name]) for name in names]
            lines.append((f"r{row}", weight, *cells))
    frame = pd.DataFrame(lines, columns=["row_id", "probability", *names], dtype=object)
    return frame.astype({"probability": float})


@st.composite
def proposals(draw, rows):
    cells = draw(
        st.lists(st.tuples(st.integers(0, rows - 1), st.sampled_from(sorted(VALUES))), max_size=5, unique=True)
    )
    lines = []
    for row, column in cells:
        values = draw(st.lists(VALUES[column], min_size=1, max_size=3, unique=True))
        weights = draw(st.lists(st.integers(0, 9), min_size=len(values), max_size=len(values)))
        weights[0] += 1
        lines += [(f"r{row}", column, value, weight) for value, weight in zip(values, weights, strict=True)]
    frame = pd.DataFrame(lines, columns=["row_id", "column", "value", "probability"])
    return frame.astype({"value": object, "probability": float})


def same(left, right):
    pd.testing.assert_frame_equal(left.frame(), right.frame(), check_exact=True)
    pd.testing.assert_frame_equal(left.alternatives(), right.alternatives(), check_exact=True)
    pd.testing.assert_frame_equal(ordered(left.candidates()), ordered(right.candidates()), check_exact=True)
    assert left.columns == right.columns
    assert left.classes == right.classes
    return True


def ordered(candidates):
    key = candidates.assign(text=candidates["value"].map(repr)).sort_values(["row_id", "column", "text", "source"])
    return key.drop(columns="text").reset_index(drop=True)


def travel(batches):
    return [codec.decode(codec.encode(batch)) for batch in batches]


def answer(row_id, text, column=None):
    kind = QuestionKind.LABEL if column is None else QuestionKind.CELL
    return Answer("churn", f"q-{row_id}", kind, Pillar.TRAIN, row_id, 0, text, "tester", 1, column)


def distributions(relation):
    """Distribution per uncertain cell, by dictionary."""
    cells = {}
    for line in relation.candidates().itertuples():
        cell = cells.setdefault((line.row_id, line.column), {})
        cell[line.value] = cell.get(line.value, 0.0) + line.probability
    for row_id, code in zip(relation.row_ids, relation.labels, strict=True):
        if code < 0 and (row_id, "churned") not in cells:
            cells[row_id, "churned"] = dict.fromkeys(CLASSES, 1 / len(CLASSES))
    return cells


def variables(relation):
    """Distribution of every independent variable, by dictionary: cells, labels and whole rows."""
    found = {key: list(values.values()) for key, values in distributions(relation).items()}
    rows = {}
    for line in relation.alternatives().itertuples(index=False):
        content = repr([cell + 0.0 if isinstance(cell, float) else cell for cell in line[4:]])
        row = rows.setdefault(line.row_id, {})
        row[content] = row.get(content, 0.0) + line.probability
    return found | {(row_id, None): list(values.values()) for row_id, values in rows.items()}


def bits(priors):
    return -sum(p * np.log2(p) for p in priors)
