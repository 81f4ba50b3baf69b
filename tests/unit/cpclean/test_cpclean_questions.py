"""What a person is asked about a row: its variables, their values as answers name them, what is not shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from easeml.cpclean import Encoding
from easeml.cpclean.questions import Belief, belief_of, is_outside, variables
from easeml.relation import Relation
from easeml.stream.payloads import Column, ColumnKind

COLUMNS = (
    Column("age", ColumnKind.NUMERIC),
    Column("paid", ColumnKind.BOOLEAN),
    Column("town", ColumnKind.CATEGORICAL, ("Bern", "Zug")),
    Column("since", ColumnKind.DATETIME),
    Column("note", ColumnKind.TEXT),
    Column("image", ColumnKind.TENSOR, shape=(2,)),
)


def people():
    frame = pd.DataFrame(
        {
            "age": [31.0, 40.0, 52.0],
            "paid": [True, False, True],
            "town": ["Zug", "Bern", "Zug"],
            "since": pd.to_datetime(["2024-01-02", "2024-05-17T08:30", "2023-12-31"], format="ISO8601"),
            "note": ["late", "calls often", "new"],
            "image": [np.zeros(2), np.ones(2), np.zeros(2)],
            "kind": ["no", "yes", "no"],
        },
        index=["r0", "r1", "r2"],
    )
    return Relation.from_frame(frame, label="kind", classes=("no", "yes"), columns=COLUMNS, row_ids=tuple(frame.index))


CELLS = {
    "age": (31.0, 40.5),
    "paid": (True, False),
    "town": ("Zug", "Bern"),
    "since": (pd.Timestamp("2024-01-02"), pd.Timestamp("2024-05-17T08:30")),
    "note": ("late", "paid in cash"),
    "kind": ("no", "yes"),
}


def doubtful(row_id="r1", source="tool@1"):
    lines = [
        (row_id, column, value, (0.25, 0.75)[n]) for column, given in CELLS.items() for n, value in enumerate(given)
    ]
    table = pd.DataFrame(lines, columns=["row_id", "column", "value", "probability"])
    return people().merge_candidates(table.astype({"value": object}), source=source)


def alone(relation, row_id="r1"):
    return relation.take(np.array([relation.row_ids.index(row_id)]))


@pytest.mark.parametrize("column", CELLS)
def test_every_value_is_named_so_that_an_answer_means_it(column):
    row = alone(doubtful())
    belief = belief_of(row, None if column == "kind" else column)
    assert belief.sources == ("tool@1",)
    assert list(belief.weights.values()) == pytest.approx(
        [0.25, 0.75] if list(belief.weights) == sorted(belief.weights, key=belief.weights.get) else [0.75, 0.25]
    )
    for text in belief.weights:
        known = row.collapse("r1", column, text)
        assert not is_outside(row, None if column == "kind" else column, text)
        assert belief_of(known, None if column == "kind" else column).weights == {}


def test_a_row_has_its_uncertain_cells_and_label_as_variables():
    relation = doubtful()
    encoding = Encoding(relation, most=64)
    told = encoding.rows(alone(relation))
    found = variables(told)
    assert list(found) == ["age", "paid", "town", "since", "note", None]
    assert all(np.bincount(group).tolist() == [32, 32] for group in found.values())
    assert variables(encoding.rows(alone(relation, "r0"))) == {}


def test_tensors_and_cells_that_may_only_be_missing_are_no_variables():
    table = pd.DataFrame(
        {
            "row_id": ["r1"] * 3,
            "probability": [0.5, 0.25, 0.25],
            "age": [None, 40.0, 40.0],
            "town": ["Zug", None, "Bern"],
            "image": [np.zeros(2), np.ones(2), np.full(2, 3.0)],
        }
    )
    relation = people().merge_rows(table, source="tool@2")
    found = variables(Encoding(people()).rows(alone(relation)))
    assert list(found) == ["town"]
    assert len(np.unique(found["town"])) == 3, "missing is a group of its own"
    assert belief_of(alone(relation), "town").weights == {"Zug": 0.5, "Bern": 0.25}
    assert belief_of(alone(relation), "town").shown()[:2] == (("Zug", "Bern"), pytest.approx((2 / 3, 1 / 3)))


def test_the_most_probable_values_are_shown():
    belief = Belief({f"v{place}": (place + 1) / 820 for place in range(40)}, ())
    shown, probabilities, others = belief.shown()
    assert (shown[0], len(shown), others) == ("v39", 32, 8)
    assert sum(probabilities) == pytest.approx(1)
    long = Belief({"a" * 5000: 0.4, "b" * 2000: 0.3, "c" * 2000: 0.3}, ())
    assert [len(value) for value in long.shown()[0]] == [5000, 2000]


@pytest.mark.parametrize(
    ("column", "text", "outside"),
    [
        ("age", "40.5", False),
        ("age", " 31 ", False),
        ("age", "12", True),
        ("age", "many", False),
        ("town", "Genf", True),
        ("note", "other", True),
        ("colour", "red", False),
        (None, "yes", False),
    ],
)
def test_a_value_is_outside_when_it_fits_and_was_no_candidate(column, text, outside):
    assert is_outside(alone(doubtful()), column, text) is outside


def test_an_answer_about_a_certain_cell_is_not_outside():
    assert not is_outside(alone(people()), "age", "12")
