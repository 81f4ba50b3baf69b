"""Row digests: equal for equal features, whatever came with them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from easeml.relation import Relation, row_digests
from easeml.stream.payloads import Column, ColumnKind, Pillar

FRAME = pd.DataFrame(
    {
        "x": [1.0, np.nan, 0.0, 1.0],
        "t": ["one", None, "two", "one"],
        "c": pd.Categorical(["a", "b", None, "a"]),
        "b": [True, None, False, True],
        "p": [np.ones(2), np.zeros(2), np.ones(2), np.ones(2)],
        "y": ["no", "yes", "no", "yes"],
    }
)


def test_equal_rows_have_equal_digests_and_others_differ():
    made = Relation.from_frame(FRAME, label="y")
    digests = row_digests(made.block)
    assert digests[0] == digests[3]
    assert len(set(digests.tolist())) == 3
    for name, value in {"x": 2.0, "t": "three", "c": "b", "b": False, "p": np.zeros(2)}.items():
        changed = FRAME.assign(**{name: pd.Series([value, *FRAME[name].iloc[1:]], dtype=object)})
        other = Relation.from_frame(changed, columns=made.columns, label="y", classes=made.classes)
        assert (row_digests(other.block) != digests).tolist() == [True, False, False, False]


def test_digests_survive_the_wire_other_orders_of_categories_and_negative_zero():
    made = Relation.from_frame(FRAME, label="y")
    (batch,) = made.to_batches("churn", Pillar.TEST, "v")
    again = Relation.from_batches([batch])
    assert (row_digests(again.block) == row_digests(made.block)).all()
    columns = [
        Column("c", ColumnKind.CATEGORICAL, ("z", "b", "a")) if column.name == "c" else column
        for column in made.columns
    ]
    turned = Relation.from_frame(FRAME.assign(x=[1.0, None, -0.0, 1.0]), label="y", columns=columns)
    assert (row_digests(turned.block) == row_digests(made.block)).all()


def test_swapped_cells_differ():
    one = Relation.from_frame(pd.DataFrame({"a": [1.0], "b": [2.0]}))
    two = Relation.from_frame(pd.DataFrame({"a": [2.0], "b": [1.0]}))
    assert row_digests(one.block)[0] != row_digests(two.block)[0]


def test_a_million_distinct_rows_have_distinct_digests():
    numbers = np.arange(1_000_000, dtype=np.float64)
    made = Relation.from_frame(
        pd.DataFrame({"a": numbers // 1000, "b": numbers % 1000}), row_ids=list(map(str, range(1_000_000)))
    )
    assert len(np.unique(row_digests(made.block))) == 1_000_000
