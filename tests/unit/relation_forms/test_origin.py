"""Frames that remember their relation: what is changed in pandas counts, all else stays."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from easeml.errors import InvalidDataError
from easeml.relation import Relation
from easeml.relation.origin import from_pandas, to_pandas


@pytest.fixture
def relation():
    frame = pd.DataFrame(
        {
            "age": [31.0, np.nan, 45.0, 7.0],
            "plan": pd.Categorical(["a", "b", None, "a"]),
            "since": pd.to_datetime(["2024-01-01"] * 4, utc=True),
            "note": ["v", "w", "x", "y"],
            "churned": ["no", None, None, "yes"],
        }
    )
    lines = [
        ("r2", "age", 40.0, 0.5),
        ("r2", "age", 41.0, 0.5),
        ("r3", "plan", "a", 1.0),
        ("r3", "churned", "yes", 1.0),
    ]
    cells = pd.DataFrame(lines, columns=["row_id", "column", "value", "probability"]).astype({"value": object})
    versions = pd.DataFrame({"row_id": ["r4", "r4"], "age": [7.0, 70.0], "note": ["y", "z"], "probability": 0.5})
    made = Relation.from_frame(frame, label="churned", row_ids=["r1", "r2", "r3", "r4"])
    return made.merge_candidates(cells, source="knn").merge_rows(versions, source="register")


def told(relation):
    return sorted({(line.row_id, line.column) for line in relation.candidates().itertuples()})


def test_nothing_changed_nothing_lost(relation):
    frame = to_pandas(relation)
    assert from_pandas(frame).content_hash() == relation.content_hash()
    assert from_pandas(frame.copy()).content_hash() == relation.content_hash()
    assert from_pandas(relation.frame(), like=relation).content_hash() == relation.content_hash()


def test_rows_may_go_and_move(relation):
    back = from_pandas(to_pandas(relation).loc[["r4", "r2"]])
    assert back.content_hash() == relation.take(np.array([3, 1])).content_hash()
    assert from_pandas(to_pandas(relation).query("note == 'x'")).row_ids == ("r3",)


def test_a_changed_cell_is_certain(relation):
    frame = to_pandas(relation)
    frame.loc["r2", "age"] = 39.0
    frame.loc["r3", "churned"] = "no"
    back = from_pandas(frame)
    assert told(back) == [("r3", "plan")]
    assert back.block.numeric[1, 0] == 39.0
    assert back.classes[back.labels[2]] == "no"
    frame.loc["r4", "plan"] = "b"
    assert len(from_pandas(frame).alternatives()) == 0


def test_columns_may_come_and_go(relation):
    frame = to_pandas(relation).drop(columns=["plan"]).assign(double=lambda rows: rows["age"] * 2)
    back = from_pandas(frame)
    assert [column.name for column in back.columns] == ["age", "since", "note", "double"]
    assert told(back) == [("r2", "age"), ("r3", "churned")]
    assert back.alternatives()["double"].tolist() == [14.0, 14.0]
    assert back.alternatives()["age"].tolist() == [7.0, 70.0]
    bare = from_pandas(frame.drop(columns="churned"))
    assert bare.label is None
    assert told(bare) == [("r2", "age")]


def test_new_rows_categories_and_classes_follow_the_old_ones(relation):
    frame = to_pandas(relation).astype({"plan": object, "churned": object})
    frame.loc["r5"] = [1.0, "0-new", pd.Timestamp("2025-01-01", tz="UTC"), "z", "maybe"]
    back = from_pandas(frame, like=relation)
    assert back.columns[1].categories == ("a", "b", "0-new")
    assert back.classes == ("no", "yes", "maybe")
    assert told(back) == told(relation)
    assert back.row_ids[-1] == "r5"


def test_exact_moments_stay(relation):
    relation.block.numeric[:, 1] += 0.25e-6
    assert from_pandas(to_pandas(relation)).block.numeric.tobytes() == relation.block.numeric.tobytes()


def test_attributes_are_light(relation, tmp_path):
    frame = to_pandas(relation)
    assert frame.head(1).attrs["easeml"] is frame.attrs["easeml"]
    assert json.loads(json.dumps(frame.attrs)) == {"easeml": {"label": "churned", "rows": 4}}
    frame.to_parquet(tmp_path / "rows.parquet")
    assert len(pd.concat([frame.head(1), frame.tail(1)])) == 2


def test_a_frame_of_nobody_is_read_as_any_other():
    made = from_pandas(pd.DataFrame({"age": [1.0]}))
    assert made.content_hash() == Relation.from_frame(pd.DataFrame({"age": [1.0]})).content_hash()


def test_what_does_not_fit_is_told(relation):
    frame = to_pandas(relation).astype({"age": object})
    frame.loc["r3", "age"] = "old"
    with pytest.raises(InvalidDataError, match="Column 'age', row 'r3'"):
        from_pandas(frame)
    with pytest.raises(InvalidDataError, match="Row 'r1' occurs twice"):
        from_pandas(to_pandas(relation).iloc[[0, 0]])
    with pytest.raises(InvalidDataError, match="'age' occurs twice"):
        from_pandas(to_pandas(relation).iloc[:, [0, 0]])
