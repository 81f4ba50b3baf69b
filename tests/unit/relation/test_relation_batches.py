"""Batches from outside: every defect has its reason and names its place; views over them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from easeml.errors import InvalidDataError, NotFoundError, Poison
from easeml.relation import Relation, RelationView, validate_batch
from easeml.stream.payloads import Answer, AppDefined, Column, ColumnKind, Pillar, QuestionKind, RelationBatch

COLUMNS = (
    Column("age", ColumnKind.NUMERIC),
    Column("plan", ColumnKind.CATEGORICAL, ("basic", "plus")),
    Column("paid", ColumnKind.BOOLEAN),
    Column("note", ColumnKind.TEXT),
    Column("pixels", ColumnKind.TENSOR, shape=(2,)),
)
APP = AppDefined("churn", "churned", ("no", "yes"), COLUMNS)
BATCH = RelationBatch(
    app="churn",
    pillar=Pillar.TRAIN,
    version="v1",
    columns=COLUMNS,
    row_ids=("a", "b"),
    classes=("no", "yes"),
    texts=("hi", ""),
    sources=("knn",),
    candidate_texts=("x", "y"),
    labels=np.array([0, -1], np.int32),
    codes=np.array([0, 1, 1, -1], np.int32),
    candidate_ptr=np.array([0, 2, 4], np.int32),
    candidate_column=np.array([0, 0, 3, 3], np.int32),
    candidate_source=np.zeros(4, np.int32),
    missing_texts=np.array([1], np.int32),
    tensor=np.array([1.0, 2.0, 3.0, 4.0]),
    candidate_value=np.array([1.0, 2.0, 0.0, 1.0]),
    candidate_probability=np.array([0.5, 0.5, 0.25, 0.75]),
    numeric=np.array([31.0, np.nan]),
)


def column(place, **changes):
    columns = list(COLUMNS)
    columns[place] = replace(columns[place], **changes)
    return {"columns": tuple(columns)}


def test_a_good_batch_passes():
    validate_batch(BATCH, APP)
    validate_batch(replace(BATCH, **column(1, categories=("plus",)), codes=np.array([0, 1, 0, -1], np.int32)), APP)


@pytest.mark.parametrize(
    ("changes", "reason", "match"),
    [
        (column(0, name="height"), "unknown_column", "'height'"),
        ({"columns": COLUMNS[:4], "tensor": np.empty(0)}, "missing_column", "'pixels'"),
        ({"columns": COLUMNS[::-1]}, "wrong_kind", "order"),
        (column(0, kind=ColumnKind.DATETIME), "wrong_kind", "'age' is datetime"),
        (column(4, shape=(3,)), "wrong_kind", "'pixels'"),
        (column(1, categories=("basic", "gold")), "unknown_category", "'gold'"),
        ({"classes": ("no", "maybe")}, "unknown_class", "'maybe'"),
        ({"labels": np.array([0, 2], np.int32)}, "unknown_class", "'b', label: code 2"),
        ({"labels": np.array([0], np.int32)}, "wrong_width", "1 labels for 2 rows"),
        ({"numeric": np.zeros(3)}, "wrong_width", "numeric holds 3 cells, not 2 rows x 1"),
        ({"codes": np.zeros(2, np.int32)}, "wrong_width", "codes holds 2"),
        ({"texts": ("hi",)}, "wrong_width", "texts holds 1"),
        ({"tensor": np.zeros(2)}, "wrong_width", "tensor holds 2"),
        ({"missing_texts": np.array([2], np.int32)}, "wrong_width", "missing_texts"),
        ({"numeric": np.array([1.0, np.inf])}, "not_finite", "'b', column 'age'"),
        ({"tensor": np.array([1.0, -np.inf, 1.0, 1.0])}, "not_finite", "'a', column 'pixels'"),
        ({"codes": np.array([0, 1, 2, -1], np.int32)}, "bad_code", "'b', column 'plan': code 2"),
        ({"codes": np.array([0, 2, 1, -1], np.int32)}, "bad_code", "'a', column 'paid': code 2"),
        ({"codes": np.array([0, 1, -2, -1], np.int32)}, "bad_code", "'b', column 'plan': code -2"),
        ({"row_ids": ("a", "a")}, "duplicate_row", "'a' occurs twice"),
        ({"row_ids": ("a", "")}, "bad_row_id", "''"),
        ({"row_ids": ("a", "b\0")}, "bad_row_id", "RowId"),
        ({"row_ids": ("a", "b" * 201)}, "bad_row_id", "RowId"),
        ({"candidate_ptr": np.array([0, 2], np.int32)}, "bad_candidates", "candidate_ptr"),
        ({"candidate_ptr": np.array([0, 5, 4], np.int32)}, "bad_candidates", "candidate_ptr"),
        ({"candidate_ptr": np.empty(0, np.int32)}, "bad_candidates", "candidate_ptr"),
        ({"candidate_value": np.zeros(3)}, "bad_candidates", "candidate_ptr"),
        ({"candidate_column": np.array([0, 0, 3, 5], np.int32)}, "bad_candidates", "beyond the columns"),
        ({"candidate_column": np.array([0, 0, 4, 4], np.int32)}, "bad_candidates", "Tensor column 'pixels'"),
        ({"candidate_source": np.ones(4, np.int32)}, "bad_candidates", "beyond the sources"),
        ({"candidate_value": np.array([1.0, np.nan, 0.0, 1.0])}, "bad_candidates", "'a', column 'age': a candidate"),
        ({"candidate_value": np.array([1.0, 2.0, 0.0, 2.0])}, "bad_candidates", "'b', column 'note': candidate 2.0"),
        ({"candidate_column": np.array([-1, -1, 3, 3], np.int32)}, "bad_candidates", "'a', the label: candidate 2.0"),
        ({"candidate_probability": np.array([0.5, 0.4, 0.25, 0.75])}, "bad_candidates", "'a', column 'age': .* sum"),
        ({"candidate_probability": np.array([1.0, 0.0, 0.25, 0.75])}, "bad_candidates", r"not in \(0, 1\]"),
        ({"candidate_probability": np.array([0.5, 0.5, np.nan, 0.75])}, "bad_candidates", r"not in \(0, 1\]"),
    ],
)
def test_a_bad_batch_is_poison(changes, reason, match):
    with pytest.raises(Poison, match=match) as caught:
        validate_batch(replace(BATCH, **changes), APP)
    assert caught.value.reason == reason
    assert "train batch 'v1' of churn" in str(caught.value)


def test_labels_are_not_allowed_on_test_and_production():
    plain = replace(BATCH, labels=np.empty(0, np.int32), classes=())
    guess = replace(BATCH, labels=np.empty(0, np.int32), candidate_column=np.array([-1, -1, 3, 3], np.int32),
                    candidate_value=np.array([0.0, 1.0, 0.0, 1.0]))  # fmt: skip
    for pillar in (Pillar.TEST, Pillar.PRODUCTION):
        validate_batch(replace(plain, pillar=pillar), APP)
        for bad in (BATCH, guess):
            with pytest.raises(Poison, match="features only") as caught:
                validate_batch(replace(bad, pillar=pillar), APP)
            assert caught.value.reason == "labels_not_allowed"


def test_odd_but_printable_row_ids_pass():
    validate_batch(replace(BATCH, row_ids=("a b", "ü\u00a0")), APP)


def rows(ids, values, **changes):
    return RelationBatch(
        "churn", Pillar.PRODUCTION, "v", (COLUMNS[0],), tuple(ids), numeric=np.array(values, float), **changes
    )


def test_the_last_publication_of_a_row_wins():
    view = RelationView()
    view.fold(rows("abc", [1, 2, 3]))
    view.fold(rows("bd", [20, 40]))
    assert len(view) == 4
    assert "d" in view
    assert view.row_ids == ("a", "b", "c", "d")
    assert view.frame()["age"].tolist() == [1, 20, 3, 40]
    assert view.frame(["d", "b"])["age"].tolist() == [40, 20]
    assert view.features(["c"])["age"].tolist() == [3]
    with pytest.raises(NotFoundError, match="'x'"):
        view.frame(["x"])


def test_a_bounded_view_keeps_the_last_rows():
    view = RelationView(keep_last=3)
    view.fold(rows("ab", [1, 2]))
    view.fold(rows("cd", [3, 4]))
    assert view.row_ids == ("b", "c", "d")
    view.fold(rows("bcd", [2, 3, 4]))
    assert view.row_ids == ("b", "c", "d")
    view.fold(rows("efghi", [5, 6, 7, 8, 9]))
    assert view.frame()["age"].tolist() == [7, 8, 9]


def test_storage_of_a_bounded_view_stays_bounded():
    view = RelationView(keep_last=100)
    for start in range(0, 20_000, 500):
        view.fold(rows([f"r{i}" for i in range(start, start + 500)], range(start, start + 500)))
    assert sum(len(block) for block, _ in view._blocks) < 6000
    assert view.frame()["age"].tolist() == list(range(19_900, 20_000))


def test_views_unite_categories_and_classes():
    def batch(row, categories, code, classes, label):
        return RelationBatch("churn", Pillar.TRAIN, "v", (Column("plan", ColumnKind.CATEGORICAL, categories),), (row,),
                             classes=classes, codes=np.array([code], np.int32), labels=np.array([label], np.int32),
                             sources=("s",), candidate_ptr=np.array([0, 1], np.int32),
                             candidate_column=np.array([-1], np.int32), candidate_source=np.zeros(1, np.int32),
                             candidate_value=np.array([float(label)]),
                             candidate_probability=np.ones(1))  # fmt: skip

    view = RelationView("churned", ("no", "yes"))
    view.fold(batch("a", ("basic", "plus"), 1, ("yes", "no"), 0))
    view.fold(batch("b", ("gold", "basic"), 0, ("yes",), 0))
    view.fold(batch("c", ("gold",), -1, ("no",), 0))
    made = view.relation()
    assert made.frame()["plan"].astype(object).where(made.frame()["plan"].notna(), None).tolist() == [
        "plus",
        "gold",
        None,
    ]
    assert made.classes == ("no", "yes")
    assert made.frame()["churned"].tolist() == ["yes", "yes", "no"]
    assert made.candidates()["value"].tolist() == ["yes", "yes", "no"]
    assert view.columns[0].categories == ("basic", "plus", "gold")
    with pytest.raises(InvalidDataError, match="different columns"):
        view.fold(rows("z", [1]))


def answer(row_id, text, column=None, kind=None):
    kind = kind or (QuestionKind.LABEL if column is None else QuestionKind.CELL)
    return Answer("churn", "q", kind, Pillar.TRAIN, row_id, 0, text, "knn", 1, column)


def test_answers_wait_for_their_rows_and_stay():
    view = RelationView("churned", APP.classes)
    view.fold(answer("b", "yes"))
    view.fold(answer("a", "7.5", "age"))
    assert view.rows == 0
    view.fold(BATCH)
    view.fold(answer("b", "plus", "plan"))
    view.fold(answer("b", "said so", "note"))
    for _ in range(2):
        made = view.relation()
        assert made.labels.tolist() == [0, 1]
        assert made.frame()["age"].tolist()[0] == 7.5
        assert made.frame().loc["b", ["plan", "note"]].tolist() == ["plus", "said so"]
        assert len(made.candidates()) == 0
        view.fold(replace(BATCH, version="v2"))
    assert view.labelled().row_ids == ("a", "b")
    with pytest.raises(InvalidDataError, match="whole row"):
        view.fold(answer("a", "x", kind=QuestionKind.ROW))


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("maybe", None),
        ("old", "age"),
        ("inf", "age"),
        (" ", "plan"),
        ("a\nb", "plan"),
        ("1", "pixels"),
        ("1", "height"),
    ],
)
def test_answers_that_do_not_fit_are_refused(text, column):
    view = RelationView("churned", APP.classes, COLUMNS)
    with pytest.raises(InvalidDataError, match=r"does not fit|no column"):
        view.fold(answer("a", text, column))
    early = RelationView("churned")
    early.fold(answer("a", text, column))
    early.fold(BATCH)
    assert early.relation().content_hash() == Relation.from_batches([BATCH], label="churned").content_hash()


def test_a_person_may_know_a_category_that_nobody_thought_of():
    view = RelationView("churned", APP.classes)
    view.fold(answer("b", "silver", "plan"))
    view.fold(answer("z", "iron", "plan"))
    view.fold(BATCH)
    view.fold(answer("a", " gold ", "plan"))
    made = view.relation()
    assert made.columns[1].categories == ("basic", "plus", "gold", "silver")
    assert made.frame()["plan"].tolist() == ["gold", "silver"]
    one = view.relation(["b"])
    assert (one.columns, one.frame()["plan"].tolist()) == (made.columns, ["silver"])
    view.fold(replace(BATCH, version="v2", **column(1, categories=("iron", "basic", "plus"))))
    assert view.relation().columns[1].categories == ("basic", "plus", "iron", "gold", "silver")
    view.fold(answer("a", "plus", "plan"))
    assert view.relation().columns[1].categories == ("basic", "plus", "iron", "silver")
    assert view.columns[1].categories == ("basic", "plus", "iron")


def test_many_answers_are_applied_at_once():
    view = RelationView("churned", APP.classes)
    ids = [f"r{i:04}" for i in range(5000)]
    view.fold(rows(ids, range(5000)))
    for place in range(0, 5000, 2):
        view.fold(answer(ids[place], "yes"))
    assert view.relation().labels.tolist() == [1, -1] * 2500


def test_a_view_gives_worlds():
    view = RelationView("churned", APP.classes)
    with pytest.raises(NotFoundError, match="no rows"):
        view.relation()
    assert view.columns == ()
    view.fold(BATCH)
    world = view.most_probable_world().frame()
    assert world["age"].tolist()[0] == 1.0
    assert world.loc["b", "note"] == "y"
    pd.testing.assert_frame_equal(Relation.from_batches([BATCH], label="churned").most_probable_world().frame(), world)


def test_relations_refuse_broken_or_repeated_batches():
    with pytest.raises(InvalidDataError, match="'a' occurs twice"):
        Relation.from_batches([BATCH, BATCH])
    with pytest.raises(InvalidDataError, match="numeric holds"):
        Relation.from_batches([replace(BATCH, numeric=np.zeros(9))])
    with pytest.raises(InvalidDataError, match="different columns"):
        Relation.from_batches([BATCH, rows("z", [1])])
