"""Proposals of tools: what is refused and how it is named; alternatives in batches, views and settled answers."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from easeml.errors import InvalidDataError, NotFoundError, Poison
from easeml.relation import Block, Candidates, Relation, RelationView, batch_of, validate_batch, validate_candidates
from easeml.relation.candidates import narrow
from easeml.stream import codec
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    CandidateBatch,
    CandidateKind,
    Column,
    ColumnKind,
    Pillar,
    QuestionKind,
)

COLUMNS = (
    Column("age", ColumnKind.NUMERIC),
    Column("plan", ColumnKind.CATEGORICAL, ("basic", "plus")),
    Column("paid", ColumnKind.BOOLEAN),
    Column("since", ColumnKind.DATETIME),
    Column("note", ColumnKind.TEXT),
    Column("pixels", ColumnKind.TENSOR, shape=(2,)),
)
CLASSES = ("no", "yes")
APP = AppDefined("churn", "churned", CLASSES, COLUMNS)


def relation():
    frame = pd.DataFrame(
        {
            "age": [31.0, None, 20.0],
            "plan": ["basic", "plus", None],
            "paid": [True, None, False],
            "since": pd.to_datetime(["2020-01-01", None, "2021-01-01"]),
            "note": ["x", None, "z"],
            "pixels": [np.ones(2), np.zeros(2), np.ones(2)],
            "churned": ["no", None, "yes"],
        }
    )
    return Relation.from_frame(frame, label="churned", classes=CLASSES, columns=COLUMNS, row_ids=["a", "b", "c"])


def cells(column, values, priors=None, row="b"):
    priors = np.full(len(values), 1 / len(values)) if priors is None else priors
    value = pd.Series(list(values), dtype=object)
    return pd.DataFrame({"row_id": row, "column": column, "value": value, "probability": priors})


def rows(**columns):
    return pd.DataFrame({"row_id": ["b", "b"], "probability": [0.75, 0.25], **columns})


def message(columns, values, priors, **changes):
    """One row's candidates, a cell per column unless told otherwise."""
    lines = np.arange(len(priors), dtype=np.int32)
    plain = CandidateBatch("churn", Pillar.TRAIN, "llm", tuple(columns), ("b",), tuple(values), row=lines * 0,
                           column=lines * 0, probability=np.array(priors, float))  # fmt: skip
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("table", "kind", "match"),
    [
        (cells("age", [1, 2], [0.5, 0.4]), InvalidDataError, "Row 'b', column 'age': the priors sum to 0.9"),
        (cells("age", [1, 2], [0.0, 0.0]), InvalidDataError, "Row 'b', column 'age': the priors sum to 0"),
        (cells("age", [1, 2], [1.5, -0.5]), InvalidDataError, "Row 'b', column 'age': a prior of"),
        (cells("churned", ["no", "yes"], [0.5, None]), InvalidDataError, "Row 'b', label 'churned': a prior of"),
        (cells("age", [1.0], row="z"), NotFoundError, "Row 'z' is not in the relation"),
        (cells("height", [1.0]), InvalidDataError, "Row 'b': unknown column 'height'"),
        (cells("age", ["old"]), InvalidDataError, "Column 'age', row 'b': 'old' is not a numeric value"),
        (cells("age", [np.inf]), InvalidDataError, "Column 'age', row 'b'"),
        (cells("age", [None]), InvalidDataError, "Row 'b', column 'age': a candidate is missing"),
        (cells("note", [None]), InvalidDataError, "Row 'b', column 'note': a candidate is missing"),
        (cells("plan", ["basic", None]), InvalidDataError, "Row 'b', column 'plan': a candidate is missing"),
        (cells("plan", ["gold"]), InvalidDataError, "Column 'plan', row 'b': 'gold' is not one of basic, plus"),
        (cells("paid", ["perhaps"]), InvalidDataError, "Column 'paid', row 'b': 'perhaps' is not a boolean"),
        (cells("since", ["2020-01-01", "soon"]), InvalidDataError, "Column 'since', row 'b': 'soon' is not a date"),
        (cells("churned", ["maybe"]), InvalidDataError, "Label 'churned', row 'b': 'maybe' is not one of no, yes"),
        (cells("pixels", [np.ones(2)]), InvalidDataError, "Row 'b': tensor column 'pixels' cannot have candidates"),
        (cells("age", [1.0]).drop(columns="value"), InvalidDataError, "no column 'value'"),
    ],
)
def test_cells_that_do_not_fit_are_named(table, kind, match):
    with pytest.raises(kind, match=match):
        relation().merge_candidates(table, source="knn")


@pytest.mark.parametrize(
    ("table", "kind", "match"),
    [
        (rows(age=[1, 2]).assign(probability=0.4), InvalidDataError, "Row 'b': the priors of its alternatives sum"),
        (rows(age=[1, 2]).assign(probability=-1), InvalidDataError, "Row 'b': a prior of"),
        (rows(age=[1, 2]).assign(row_id="z"), NotFoundError, "Row 'z'"),
        (rows(height=[1, 2]), InvalidDataError, "Unknown column 'height'"),
        (rows(churned=["no", "yes"]), InvalidDataError, "hold the label 'churned'"),
        (rows(plan=["gold", "plus"]), InvalidDataError, "Column 'plan', row 'b': 'gold'"),
        (rows(pixels=[np.ones(2), np.ones(3)]), InvalidDataError, "Column 'pixels', row 'b'"),
    ],
)
def test_rows_that_do_not_fit_are_named(table, kind, match):
    with pytest.raises(kind, match=match):
        relation().merge_rows(table, source="knn")


def test_coded_candidates_are_merged_like_those_of_a_frame():
    frame = pd.concat(
        [cells("age", [3.0, 1.0], [0.25, 0.75]), cells("note", ["y", "w"]), cells("churned", ["yes"], row="c")]
    )
    coded = Candidates(
        np.array([2, 1, 1, 1, 1, 1]), np.array([-1, 0, 0, 4, 4, 0]), np.array([1.0, 3.0, 1.0, 1.0, 0.0, 9.0]),
        np.array([1.0, 0.25, 0.75, 0.5, 0.5, 0.0]), np.zeros(6, np.int64), ("w", "y"), ("knn",),
    )  # fmt: skip
    made = relation().propose(coded)
    assert made.content_hash() == relation().merge_candidates(frame, source="knn").content_hash()
    assert made.propose(coded).content_hash() == made.content_hash()
    assert made.sources == ("knn",)
    assert relation().propose(Candidates()).content_hash() == relation().content_hash()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"row": np.array([3, 3])}, "Candidates of row 3; there are 3"),
        ({"column": np.array([6, 6])}, "Candidates of column 6"),
        ({"column": np.array([-2, -2])}, "Candidates of column -2"),
        ({"source": np.array([0, 1])}, "Candidates of source 1"),
        ({"value": np.zeros(1)}, "differ in length"),
        ({"value": np.array([1.0, np.nan])}, "Row 'b', column 'age': a candidate is not finite"),
        ({"column": np.array([1, 1]), "value": np.array([0.0, 2.0])}, "Row 'b', column 'plan': candidate 2.0"),
        ({"column": np.array([5, 5])}, "Tensor column 'pixels' cannot have candidates; row 'b' has"),
        ({"probability": np.array([0.5, 0.4])}, "Row 'b', column 'age': the priors of a cell sum to 0.9"),
        ({"probability": np.array([1.5, -0.5])}, "Row 'b', column 'age': a prior of"),
        ({"probability": np.array([0.5, np.nan])}, "Row 'b', column 'age': a prior of nan"),
    ],
)
def test_coded_candidates_that_do_not_fit_are_named(changes, match):
    plain = {"row": np.array([1, 1]), "column": np.array([0, 0]), "value": np.array([1.0, 2.0]),
             "probability": np.array([0.5, 0.5]), "source": np.zeros(2, int), "sources": ("knn",)}  # fmt: skip
    with pytest.raises(InvalidDataError, match=match):
        relation().propose(Candidates(**plain | changes))


def test_candidate_tables_are_small():
    many = 1000
    plain = Candidates(np.arange(many), np.zeros(many, np.int64), np.zeros(many), np.ones(many), np.zeros(many, int))
    assert (plain.row.dtype, plain.column.dtype) == (np.int32, np.int8)
    assert plain.source.strides == (0,)
    assert plain.select(np.arange(10)).source.strides == (0,)
    assert [narrow(np.array([n])).dtype for n in (126, 127, 2**15 - 1, 2**31, -129)] == [
        np.int8, np.int16, np.int32, np.int64, np.int16,
    ]  # fmt: skip
    assert plain.keys(2**33)[-1] == (many - 1) * 2**33 + 1


def test_alternatives_keep_what_they_do_not_tell_and_the_order_of_their_tool():
    made = relation().merge_rows(rows(plan=["plus", None], pixels=[np.ones(2), None]), source="llm")
    table = made.alternatives()
    assert table["alternative"].tolist() == [0, 1]
    assert table["probability"].tolist() == [0.75, 0.25]
    assert table["plan"].isna().tolist() == [False, True]
    assert table["note"].tolist() == [None, None]
    assert np.isnan(table["pixels"][1]).all()
    assert "1 rows with alternatives" in repr(made)
    assert made.sources == ("llm",)
    assert made.collapse_row("b", 1).frame()["plan"].isna().tolist() == [False, True, True]
    with pytest.raises(InvalidDataError, match="Row 'b' has no alternative 2"):
        made.collapse_row("b", 2)
    with pytest.raises(NotFoundError, match="Row 'a' has no alternatives"):
        made.collapse_row("a", 0)
    assert len(relation().merge_rows(rows(age=[1, 2]).iloc[:0], source="llm").alternatives()) == 0


def test_a_cell_that_no_alternative_agrees_with_is_put_into_all():
    made = relation().merge_rows(rows(age=[1.0, 2.0], plan=["basic", "plus"]), source="llm")
    settled = made.settle([("b", "age", 9.0), ("b", "churned", "yes"), ("a", "age", 7.0)])
    table = settled.alternatives()
    assert table["age"].tolist() == [9.0, 9.0]
    assert table["probability"].tolist() == [0.75, 0.25]
    assert settled.labels.tolist() == [0, 1, 1]
    town = made.collapse("b", "plan", "plus")
    assert town.alternatives()["age"].tolist() == [2.0]
    assert town.entropy().rows[1] == 1.0, "the label is still open"


def test_alternatives_of_messages_are_checked():
    made = relation().merge_rows(rows(age=[1, 2], note=["p", None]), source="llm")
    (good,) = made.to_batches("churn", Pillar.TRAIN, "v1")
    validate_batch(good, APP)
    for changes, match in (
        ({"alternative_ptr": np.array([0, 2], np.int32)}, "alternative_ptr does not fit"),
        ({"alternative_ptr": np.empty(0, np.int32)}, "alternative_ptr does not fit"),
        ({"alternative_source": np.array([0, 1], np.int32)}, "beyond the sources"),
        ({"alternative_source": np.array([0], np.int32)}, "alternative_ptr does not fit"),
        ({"alternative_probability": np.array([0.5, 0.4])}, "Row 'b': the priors of its alternatives sum to 0.9"),
        ({"alternative_probability": np.array([np.nan, 1.0])}, "Row 'b': a prior of nan"),
        ({"alternative_numeric": np.zeros(3)}, "alternative_numeric holds 3 cells"),
        ({"alternative_numeric": np.array([0, 0, np.inf, 0.0])}, "'b', alternative 1, column 'age': infinite"),
        ({"alternative_codes": np.array([0, 0, 2, 0], np.int32)}, "'b', alternative 1, column 'plan': code 2"),
        ({"alternative_missing_texts": np.array([2], np.int32)}, "alternative_missing_texts points beyond"),
        ({"candidate_ptr": np.array([0, 0, 1, 1], np.int32), "candidate_column": np.zeros(1, np.int32),
          "candidate_source": np.zeros(1, np.int32), "candidate_value": np.ones(1),
          "candidate_probability": np.ones(1)}, "Row 'b' has alternatives and candidates of feature cells"),
    ):  # fmt: skip
        with pytest.raises(Poison, match=match) as caught:
            validate_batch(replace(good, **changes), APP)
        assert caught.value.reason == "bad_alternatives"
    assert len(Block.from_batch(codec.decode(codec.encode(good))).alternatives) == 2


def test_alternatives_follow_the_categories_of_a_view():
    view = RelationView("churned", CLASSES)
    other = replace(COLUMNS[1], categories=("gold", "plus", "basic"))
    (batch,) = relation().merge_rows(rows(plan=["plus", "basic"]), source="llm").to_batches("churn", Pillar.TRAIN, "v")
    frame = relation().take(np.array([0])).frame()
    first = Relation.from_frame(
        frame.drop(columns="churned"), columns=[other if c.name == "plan" else c for c in COLUMNS], row_ids=["z"]
    )
    for message in (*first.to_batches("churn", Pillar.TRAIN, "v"), batch):
        view.fold(message)
    assert view.relation().alternatives()["plan"].tolist() == ["plus", "basic"]


@pytest.mark.parametrize(
    ("batch", "match"),
    [
        (message(["age"], ["1", "2"], [0.5, 0.4]), "Row 'b', column 'age': the priors sum to 0.9"),
        (message(["height"], ["1"], [1.0]), "Row 'b': unknown column 'height'"),
        (message(["age"], ["old"], [1.0]), "Column 'age', row 'b': 'old'"),
        (message(["churned"], ["maybe"], [1.0]), "Label 'churned', row 'b': 'maybe'"),
        (message(["age"], ["1", ""], [0.5, 0.5], missing=np.array([1], np.int32)), "'b', column 'age': a candidate is"),
        (message(["age", "age"], ["1"], [1.0]), "named twice"),
        (message(["age"], ["1"], [1.0], source=""), "without a source"),
        (message(["age"], ["1", "2"], [1.0]), "values holds 2 items"),
        (message(["age"], ["1"], [1.0], column=np.empty(0, np.int32)), "column holds 0 items"),
        (message(["age"], ["1"], [1.0], column=np.ones(1, np.int32)), "column points beyond"),
        (message(["age"], ["1"], [1.0], row=np.ones(1, np.int32)), "row points beyond"),
        (message(["age"], ["1"], [1.0], row_ids=("b", "b")), "'b' occurs twice"),
        (message(["age"], ["1"], [1.0], kind=CandidateKind.ROWS), "column holds 1 items"),
        (
            message(["pixels"], ["[1"], [1.0], kind=CandidateKind.ROWS, column=np.empty(0, np.int32)),
            "'pixels', row 'b'",
        ),
        (message(["churned"], ["no"], [1.0], kind=CandidateKind.ROWS, column=np.empty(0, np.int32)), "the label"),
    ],
)
def test_messages_of_candidates_that_do_not_fit_change_nothing(batch, match):
    view = RelationView("churned", CLASSES, COLUMNS)
    for one in relation().to_batches("churn", Pillar.TRAIN, "v1"):
        view.fold(one)
    before = view.relation().content_hash()
    with pytest.raises(InvalidDataError, match=match):
        view.fold(batch)
    assert view.relation().content_hash() == before
    with pytest.raises(Poison, match=match) as caught:
        validate_candidates(batch, APP)
    assert caught.value.reason in ("bad_candidates", "unknown_column", "invalid_data", "duplicate_row")
    with pytest.raises(InvalidDataError, match=match):
        relation().fold_candidates(batch)


def test_candidates_of_unknown_rows_wait_in_a_view_and_are_refused_by_a_relation():
    stranger = message(["age"], ["5"], [1.0], row_ids=("z",))
    with pytest.raises(NotFoundError, match="'z'"):
        relation().fold_candidates(stranger)
    view = RelationView("churned", CLASSES)
    view.fold(stranger)
    view.fold(message(["age"], ["old"], [1.0]))
    for one in relation().to_batches("churn", Pillar.TRAIN, "v1"):
        view.fold(one)
    assert len(view.relation().candidates()) == 0, "what came too early to be checked says nothing if it does not fit"
    frame = relation().take(np.array([0])).frame()
    late = Relation.from_frame(frame.set_axis(["z"]), label="churned", classes=CLASSES, columns=COLUMNS)
    view.fold(late.to_batches("churn", Pillar.TRAIN, "v2")[0])
    assert view.relation().candidates()["row_id"].tolist() == ["z"]
    assert view.relation(["a"]).sources == ()


def test_answers_win_over_candidates_and_the_last_word_of_a_source_over_its_former():
    view = RelationView("churned", CLASSES, COLUMNS)
    view.fold(message(["age"], ["1"], [1.0]))
    view.fold(message(["age"], ["2", "3"], [0.5, 0.5]))
    view.fold(relation().to_batches("churn", Pillar.TRAIN, "v1")[0])
    assert view.relation().candidates()["value"].tolist() == [2.0, 3.0]
    view.fold(Answer("churn", "q", QuestionKind.CELL, Pillar.TRAIN, "b", 0, "7", "cpclean", 1, "age"))
    view.fold(message(["age"], ["4"], [1.0], source="other"))
    assert len(view.relation().candidates()) == 0
    assert view.frame()["age"].tolist() == [31.0, 7.0, 20.0]


def test_a_view_forgets_what_is_replaced():
    view = RelationView("churned", CLASSES, COLUMNS)
    ids = tuple(f"r{place}" for place in range(1000))
    many = message(["age"], ["1"] * 1000, [1.0] * 1000, row_ids=ids, row=np.arange(1000, dtype=np.int32))
    for _ in range(200):
        view.fold(many)
    assert len(view._overlay) < 70
    with pytest.raises(NotFoundError):
        view.relation()


def test_messages_of_candidates_keep_to_the_size_limit():
    made = relation().merge_candidates(
        pd.concat([cells("note", ["p" * 400], row="a"), cells("note", ["q" * 400], row="b")]), source="llm"
    )
    parts = batch_of(made, "llm", "churn", Pillar.TRAIN, max_bytes=700)
    assert [part.row_ids for part in parts] == [("a",), ("b",)]
    assert max(len(codec.encode(part)) for part in parts) <= 700
    with pytest.raises(InvalidDataError, match="The candidates of row 'a' take"):
        batch_of(made, "llm", "churn", Pillar.TRAIN, max_bytes=300)
    with pytest.raises(NotFoundError, match="No candidates of 'knn'"):
        batch_of(made, "knn", "churn", Pillar.TRAIN)


def test_joint_needs_a_number_and_leaves_certain_relations_alone():
    assert relation().joint(3).content_hash() == relation().content_hash()
    with pytest.raises(InvalidDataError, match="0 alternatives"):
        relation().joint(0)


def test_a_relation_with_candidates_takes_at_most_twice_the_memory_of_its_frame():
    """20,000 rows x 30 numbers, 5 % of the cells uncertain with 5 candidates each; row ids count as well."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20_000, 30)), columns=[f"c{place}" for place in range(30)])
    cells = np.sort(rng.choice(600_000, 30_000, replace=False))
    made = Relation.from_frame(frame).propose(
        Candidates(np.repeat(cells // 30, 5), np.repeat(cells % 30, 5), rng.normal(size=150_000),
                   np.tile([0.3, 0.3, 0.2, 0.1, 0.1], 30_000), np.zeros(150_000, np.int64), (), ("knn",))
    )  # fmt: skip
    block, table = made.block, made.block.candidates
    arrays = (block.numeric, block.labels, table.row, table.column, table.value, table.probability, table.source)
    held = sum(own.nbytes for own in arrays if own.strides != (0,))
    ids = sys.getsizeof(block.row_ids) + sum(map(sys.getsizeof, block.row_ids))
    assert held + ids <= 2 * frame.memory_usage(deep=True).sum()
    assert int(made.uncertain_rows().sum()) == len(np.unique(cells // 30))


def test_candidates_of_the_first_rows_leave_the_later_batches_without():
    frame = pd.DataFrame({"age": np.arange(3000.0)}, index=[f"r{place}" for place in range(3000)])
    plain = Relation.from_frame(frame)
    small = Candidates(np.array([3, 3], np.int8), np.zeros(2, np.int8), np.arange(2.0), np.full(2, 0.5),
                       np.zeros(2, np.int8), (), ("knn",))  # fmt: skip
    for made in (plain, plain.propose(small), plain.propose(small).joint()):
        batches = made.to_batches("churn", Pillar.TRAIN, "v1")
        assert [len(batch.row_ids) for batch in batches] == [1000] * 3
        assert Relation.from_batches(batches).content_hash() == made.content_hash()


def test_an_empty_frame_is_an_empty_relation():
    empty = Relation.from_frame(relation().frame().iloc[:0], label="churned", classes=CLASSES, columns=COLUMNS)
    assert (
        len(empty) == len(empty.uncertain_cells()) == len(empty.alternatives()) == len(empty.joint().candidates()) == 0
    )
    assert empty.merge_candidates(cells("age", [1.0]).iloc[:0], source="knn").sources == ()
    assert len(empty.sample_world(np.random.default_rng(0))) == len(empty.expected_world()) == 0
