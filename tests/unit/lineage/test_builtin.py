"""Operators on relations alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from lineage_rows import relation_of

from easeml.errors import InvalidDataError, NotFoundError
from easeml.lineage import hold, ops
from easeml.lineage.builtin import (
    candidates,
    collapse,
    entropy,
    expected_world,
    keep_where,
    labelled,
    merge_candidates,
    most_probable_world,
    sample_world,
    select,
    stacked,
    take,
)
from easeml.lineage.pillars import pillar, split
from easeml.relation import Relation, row_digests
from easeml.stream.payloads import Pillar


def ids(relation) -> str:
    return " ".join(relation.row_ids)


def test_take(relation):
    assert ids(take(relation, first=2)) == "r0 r1"
    assert ids(take(relation, first=2, skip=3)) == "r3 r4"
    assert ids(take(relation, skip=9)) == ""
    assert ids(take(relation, row_ids=["r4", "r0", "r4"])) == "r4 r0"
    with pytest.raises(NotFoundError, match="Row 'r9' is not in the relation"):
        take(relation, row_ids=["r9"])


@pytest.mark.parametrize(
    ("column", "comparison", "value", "kept"),
    [
        ("plan", "==", "pro", "r1 r3 r5"),
        ("plan", "!=", "pro", "r0 r2 r4"),
        ("plan", "in", ["pro", "none"], "r1 r3 r5"),
        ("age", ">", 22, "r4 r5"),
        ("age", "<=", 22, "r1 r2"),
        ("age", "in", [21, 25], "r1 r5"),
        ("age", "missing", None, "r0 r3"),
        ("age", "present", None, "r1 r2 r4 r5"),
        ("churned", "==", "yes", "r1 r4"),
        ("churned", "missing", None, "r2 r5"),
        ("churned", "!=", "yes", "r0 r3"),
    ],
)
def test_filter(relation, column, comparison, value, kept):
    assert ids(keep_where(relation, column=column, comparison=comparison, value=value)) == kept


def test_filter_on_every_kind_of_column():
    frame = pd.DataFrame(
        {
            "paid": pd.array([True, False, None], dtype="boolean"),
            "since": pd.to_datetime(["2020-01-01", None, "2021-01-01"], utc=True),
            "note": ["a long text", None, "another one"],
            "pixels": [np.zeros(2), np.ones(2), np.zeros(2)],
        }
    )
    relation = Relation.from_frame(frame, row_ids=["r0", "r1", "r2"])
    assert ids(keep_where(relation, column="paid", value=True)) == "r0"
    assert ids(keep_where(relation, column="paid", comparison="missing")) == "r2"
    assert ids(keep_where(relation, column="since", comparison=">=", value="2020-06-01")) == "r2"
    assert ids(keep_where(relation, column="note", value="another one")) == "r2"
    assert ids(keep_where(relation, column="note", comparison="missing")) == "r1"
    with pytest.raises(InvalidDataError, match="'pixels' is a tensor"):
        keep_where(relation, column="pixels", value=1)
    with pytest.raises(InvalidDataError, match="'paid' is boolean and has no order"):
        keep_where(relation, column="paid", comparison="<", value=True)
    with pytest.raises(InvalidDataError, match="Unknown column 'colour'"):
        keep_where(relation, column="colour", value=1)


def test_select_keeps_candidates_alternatives_and_label(uncertain):
    kept = select(uncertain, columns=["plan", "age"])
    assert [column.name for column in kept.columns] == ["plan", "age"]
    assert kept.label == "churned"
    key = ["row_id", "column", "probability"]
    assert kept.candidates()[key].sort_values(key).to_numpy().tolist() == (
        uncertain.candidates()[key].sort_values(key).to_numpy().tolist()
    )
    assert set(select(uncertain, columns=["plan"]).candidates()["column"]) == {"churned"}
    assert select(uncertain, columns=[]).features().shape == (6, 0)
    with pytest.raises(InvalidDataError, match=r"Unknown column 'colour'\. Columns are age, plan"):
        select(uncertain, columns=["colour"])
    with pytest.raises(InvalidDataError, match="named twice"):
        select(uncertain, columns=["age", "age"])


def test_select_narrows_whole_row_alternatives(relation):
    rows = pd.DataFrame(
        {"row_id": ["r0", "r0"], "probability": [0.4, 0.6], "age": [1.0, 2.0], "plan": ["pro", "basic"]}
    )
    joint = relation.merge_rows(rows, source="tool/1")
    kept = select(joint, columns=["plan"])
    assert kept.block.alternatives.block.columns == kept.columns
    assert kept.most_probable_world().frame()["plan"].iloc[0] == "basic"


def test_worlds(uncertain):
    assert most_probable_world(uncertain).content_hash() == uncertain.most_probable_world().content_hash()
    assert expected_world(uncertain).frame()["age"].iloc[0] == 35.0
    assert sample_world(uncertain, seed=1).content_hash() == sample_world(uncertain, seed=1).content_hash()
    drawn = {sample_world(uncertain, seed=seed).frame()["age"].iloc[0] for seed in range(20)}
    assert drawn == {30.0, 40.0}


def test_candidates_come_and_go_as_json(relation):
    proposed = [
        {"row_id": "r0", "column": "age", "value": 31, "probability": 0.5},
        {"row_id": "r0", "column": "age", "value": 32, "probability": 0.5},
    ]
    merged = hold(relation).merge_candidates(proposed, source="mine/1")
    assert merged.candidates().eval(cache=False) == [
        {**line, "value": float(line["value"]), "source": "mine/1"} for line in proposed
    ]
    assert entropy(merge_candidates(relation, proposed, source="mine/1"))["total"] == 3.0
    for bad in ({}, [1], [{"row_id": "r0"}]):
        with pytest.raises(InvalidDataError, match="no list of objects with row_id, column, value and probability"):
            merge_candidates(relation, bad, source="mine/1")
    with pytest.raises(InvalidDataError, match="A probability is no number"):
        merge_candidates(relation, [{**proposed[0], "probability": "half"}], source="mine/1")


def test_dates_are_listed_as_text():
    frame = pd.DataFrame({"since": pd.to_datetime(["2020-01-01", None], utc=True)})
    relation = Relation.from_frame(frame, row_ids=["r0", "r1"])
    line = {"row_id": "r1", "column": "since", "value": "2021-02-03", "probability": 1.0}
    assert candidates(merge_candidates(relation, [line], source="x"))[0]["value"].startswith("2021-02-03T")


def test_collapse_and_labelled(uncertain):
    assert ids(labelled(uncertain)) == "r0 r1 r3 r4"
    assert ids(labelled(collapse(uncertain, row_id="r2", column="churned", value="yes"))) == "r0 r1 r2 r3 r4"


def test_stack(relation):
    first, second = take(relation, first=2), take(relation, skip=2)
    assert stacked(first, second).content_hash() == relation.content_hash()
    with pytest.raises(InvalidDataError, match="'r0' occurs twice"):
        stacked(first, first)
    with pytest.raises(InvalidDataError, match="different labels"):
        stacked(first, relation_of(3, None))
    with pytest.raises(InvalidDataError, match="Nothing to stack"):
        ops.stack().eval(cache=False)


def shares(**given):
    return {Pillar(name): share for name, share in given.items()}


def test_a_split_is_stratified_seeded_and_complete():
    frame = pd.DataFrame({"x": np.arange(90.0), "y": ["no", "yes", None] * 30})
    relation = Relation.from_frame(frame, label="y", row_ids=[f"r{i}" for i in range(90)])
    found = split(relation, seed=1)
    assert found == split(relation, seed=1)
    assert found["assigned"] != split(relation, seed=2)["assigned"]
    assert sum(found["rows"].values()) == 90
    parts = {name: pillar(relation, found, pillar=name) for name in Pillar}
    assert len(parts[Pillar.POOL]) == 30
    assert len(parts[Pillar.PRODUCTION]) == 0
    assert (parts[Pillar.POOL].labels < 0).all()
    for name in (Pillar.TRAIN, Pillar.VALIDATION, Pillar.TEST):
        counts = np.bincount(parts[name].labels, minlength=2)
        assert abs(counts[0] - counts[1]) <= 1
    everywhere = [row_id for part in parts.values() for row_id in part.row_ids]
    assert len(everywhere) == len(set(everywhere)) == 90


def test_equal_rows_stay_on_one_side_labelled_or_not():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"x": rng.integers(0, 30, 200).astype(float), "y": rng.choice(["a", "b", None], 200)})
    relation = Relation.from_frame(frame, label="y", row_ids=[f"r{i}" for i in range(200)])
    found = split(relation, seed=3)
    sides = {}
    for content, sign in zip(row_digests(relation.block).tolist(), found["assigned"], strict=True):
        sides.setdefault(content, set()).add("t" if sign == "p" else sign)
    assert all(len(one - {"-"}) <= 1 for one in sides.values())
    assert any("-" in one for one in sides.values())


def test_groups_stay_on_one_side_through_equal_rows():
    frame = pd.DataFrame(
        {
            "patient": [f"p{place // 2}" for place in range(80)],
            "x": [float(place) if place not in (1, 2) else 0.5 for place in range(80)],
            "y": ["a" if place % 2 else "b" for place in range(80)],
        }
    )
    relation = Relation.from_frame(frame, label="y", row_ids=[f"r{i}" for i in range(80)])
    for seed in range(5):
        assigned = split(relation, group_column="patient", seed=seed)["assigned"]
        assert all(assigned[2 * pair] == assigned[2 * pair + 1] for pair in range(40))


def test_a_split_that_cannot_be_is_refused(relation):
    with pytest.raises(InvalidDataError, match="No row has a certain label"):
        split(relation.without_labels())
    with pytest.raises(InvalidDataError, match=r"sum to 0\.5"):
        split(relation, shares=shares(train=0.5))
    with pytest.raises(InvalidDataError, match="Unknown column 'patient'"):
        split(relation, group_column="patient")
    with pytest.raises(InvalidDataError, match="not that of a split of these rows"):
        pillar(relation, {"assigned": "t"}, pillar=Pillar.TRAIN)
    with pytest.raises(InvalidDataError, match="not that of a split of these rows"):
        pillar(relation, [1], pillar=Pillar.TRAIN)
