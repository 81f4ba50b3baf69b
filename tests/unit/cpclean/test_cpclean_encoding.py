"""From relations to candidates and points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from easeml.cpclean import CertainPredictions, Encoding
from easeml.errors import InvalidDataError
from easeml.relation import Relation


def relation(size=12):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, size=size),
            "town": [("Zug", "Bern")[place % 2] for place in range(size)],
            "label": [("no", "yes")[place % 2] for place in range(size)],
        }
    )
    return Relation.from_frame(frame, label="label", row_ids=[f"r{place}" for place in range(size)])


def candidates(*lines):
    return pd.DataFrame(lines, columns=["row_id", "column", "value", "probability"])


def test_uncertain_cells_become_joint_candidates():
    train = relation().merge_candidates(
        candidates(
            ("r1", "age", 30.0, 0.25),
            ("r1", "age", 50.0, 0.75),
            ("r1", "town", "Zug", 0.6),
            ("r1", "town", "Bern", 0.4),
            ("r4", "age", 20.0, 0.5),
            ("r4", "age", 60.0, 0.5),
        ),
        source="donor",
    )
    rows = Encoding(train).rows(train)
    assert np.diff(rows.train.row_ptr).tolist() == [1, 4, 1, 1, 2, *[1] * 7]
    np.testing.assert_allclose(rows.train.prior[1:5], [0.45, 0.3, 0.15, 0.1])
    assert rows.alternative[:7].tolist() == [-1, 0, 1, 2, 3, -1, -1]
    assert rows.labels[1:5].tolist() == [1, 1, 1, 1]
    shown = rows.relation.alternatives()
    assert shown[shown.row_id == "r1"].age.tolist() == [50.0, 50.0, 30.0, 30.0]
    assert len(np.unique(rows.train.features[1:5], axis=0)) == 4


def test_uncertain_labels_become_labels_of_candidates_and_unknown_ones_are_left_out():
    frame = relation().frame().reset_index(drop=True)
    frame.loc[[2, 3], "label"] = None
    train = Relation.from_frame(frame, label="label", row_ids=[f"r{place}" for place in range(12)])
    train = train.merge_candidates(
        candidates(
            ("r2", "label", "no", 0.2),
            ("r2", "label", "yes", 0.8),
            ("r2", "age", 20.0, 0.5),
            ("r2", "age", 60.0, 0.5),
        ),
        source="voters",
    )
    rows = Encoding(train).rows(train)
    assert rows.left_out == ("r3",)
    assert rows.row_ids[2:4] == ("r2", "r4")
    np.testing.assert_allclose(rows.train.prior[2:6], [0.1, 0.4, 0.1, 0.4])
    assert rows.labels[2:6].tolist() == [0, 1, 0, 1]
    assert rows.alternative[2:6].tolist() == [0, 0, 1, 1]


def test_the_arrays_answer_questions():
    train = relation().merge_candidates(candidates(("r0", "age", 0.0, 0.5), ("r0", "age", 90.0, 0.5)), source="donor")
    encoding = Encoding(train)
    rows, points = encoding.rows(train), encoding.points(relation(4))
    made = CertainPredictions(
        rows.train,
        rows.labels,
        points.points,
        n_classes=2,
        rng=np.random.default_rng(0),
        validation_labels=points.labels,
    )
    assert made.certain.shape == (4,)
    assert 0 <= made.potential().accuracy <= 1
    settled = encoding.rows(train.collapse("r0", "age", 41.0).take(np.array([0])))
    assert made.answer(0, settled.train.features[0], 0).value == "outside"
    assert made.done


def test_what_cannot_be_encoded_is_told():
    with pytest.raises(InvalidDataError, match="none or have no labels"):
        Encoding(Relation.from_frame(relation().frame().drop(columns="label")))
    other = Relation.from_frame(relation().frame(), label="label", classes=("yes", "no"))
    with pytest.raises(InvalidDataError, match="The classes are yes, no"):
        Encoding(relation()).points(other)


def test_a_cell_keeps_all_its_candidates_and_rows_alone_are_encoded_alike():
    wide = [("r4", "age", float(place), 1 / 40) for place in range(40)]
    several = [("r1", "age", float(place), 1 / 10) for place in range(10)]
    towns = [("r1", "town", town, 0.5) for town in ("Zug", "Bern")]
    train = relation().merge_candidates(candidates(*wide, *several, *towns), source="donor")
    encoding = Encoding(train)
    rows = encoding.rows(train)
    sizes = dict(zip(rows.row_ids, np.diff(rows.train.row_ptr).tolist(), strict=True))
    assert rows.row_ids == train.row_ids
    assert (sizes["r4"], sizes["r1"], sizes["r0"]) == (40, 16, 1)
    for place in range(len(train)):
        alone = encoding.rows(train.take(np.array([place])))
        own = slice(*rows.train.row_ptr[place : place + 2])
        np.testing.assert_array_equal(alone.train.features, rows.train.features[own])
        np.testing.assert_array_equal(alone.train.prior, rows.train.prior[own])
        np.testing.assert_array_equal(alone.labels, rows.labels[own])
