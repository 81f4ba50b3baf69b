"""Frames in: inferred columns and clear errors; frames out: what people and models get."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from easeml.errors import InvalidDataError, NotFoundError
from easeml.relation import Relation, RelationView, features
from easeml.stream import codec
from easeml.stream.payloads import Column, ColumnKind, Pillar

FRAME = pd.DataFrame(
    {
        "age": [31, None, 45, 28],
        "visits": [1, 2, 3, 4],
        "paid": [True, False, None, True],
        "flag": [True, False, True, True],
        "plan": ["basic", "plus", "basic", "plus"],
        "tier": pd.Categorical(["b", None, "a", "b"], categories=["b", "a"]),
        "since": pd.to_datetime(["2020-01-01", None, "2021-06-01", "2022-01-01"]),
        "note": ["first", "second", None, "fourth"],
        "pixels": [np.eye(2)] * 4,
        "churned": ["no", "yes", None, "no"],
    }
)
ROWS = ["a", "b", "c", "d"]


def relation(**changes):
    return Relation.from_frame(FRAME.assign(**changes), label="churned", row_ids=ROWS)


def test_columns_are_inferred():
    made = relation()
    assert {column.name: column.kind.value for column in made.columns} == {
        "age": "numeric",
        "visits": "numeric",
        "paid": "boolean",
        "flag": "boolean",
        "plan": "categorical",
        "tier": "categorical",
        "since": "datetime",
        "note": "text",
        "pixels": "tensor",
    }
    by_name = {column.name: column for column in made.columns}
    assert by_name["plan"].categories == ("basic", "plus")
    assert by_name["tier"].categories == ("b", "a")
    assert by_name["pixels"].shape == (2, 2)
    assert made.classes == ("no", "yes")
    assert made.labels.tolist() == [0, 1, -1, 0]
    assert "4 rows x 9 columns, label='churned', 1 unlabelled" in repr(made)


def test_features_are_typed_for_models():
    frame = features(relation())
    assert list(frame.index) == ROWS
    assert list(frame.columns) == [name for name in FRAME.columns if name != "churned"]
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        **dict.fromkeys(("age", "visits", "paid", "flag", "since"), "float64"),
        **dict.fromkeys(("plan", "tier", "note", "pixels"), "object"),
    }
    assert frame.loc["a", "since"] == pd.Timestamp("2020-01-01", tz="UTC").timestamp()
    assert frame["paid"].tolist()[:2] == [1.0, 0.0]
    assert np.isnan(frame.loc["c", "paid"])
    assert frame["tier"].tolist() == ["b", None, "a", "b"]
    assert frame["note"].tolist() == ["first", "second", None, "fourth"]
    assert frame.loc["a", "pixels"].tolist() == [[1, 0], [0, 1]]


def test_features_are_the_same_from_batch_relation_and_view():
    made = relation()
    (batch,) = made.to_batches("churn", Pillar.PRODUCTION, "v1")
    view = RelationView()
    view.fold(batch)
    expected = features(made)
    for source in (batch, view, made.block):
        pd.testing.assert_frame_equal(features(source), expected)
    pd.testing.assert_frame_equal(made.features(), expected)
    numbers = Relation.from_frame(FRAME[["age", "visits"]], row_ids=ROWS)
    own = features(numbers.to_batches("churn", Pillar.TEST, "v")[0])
    assert own.to_numpy(copy=False).flags.aligned
    own.iloc[0, 0] = 7.0


def test_matrix_has_one_column_per_category():
    table = relation().matrix(["age", "plan", "paid", "pixels"])
    assert table.shape == (4, 1 + 2 + 1 + 4)
    assert table[0].tolist() == [31, 1, 0, 1, 1, 0, 0, 1]
    assert relation(tier=FRAME["tier"]).matrix(["tier"])[1].tolist() == [0, 0]
    assert Relation.from_frame(FRAME[["age"]]).matrix().shape == (4, 1)
    with pytest.raises(InvalidDataError, match="'note' is text"):
        relation().matrix()
    with pytest.raises(InvalidDataError, match="Unknown column 'height'"):
        relation().matrix(["height"])


def test_strings_with_many_values_are_text():
    frame = pd.DataFrame(
        {"id": [f"user {i}" for i in range(100)], "city": ["Bern", "Zürich"] * 50, "none": [None] * 100}
    )
    kinds = [column.kind for column in Relation.from_frame(frame).columns]
    assert kinds == [ColumnKind.TEXT, ColumnKind.CATEGORICAL, ColumnKind.TEXT]


def test_dates_and_decimals_in_object_columns_are_inferred():
    frame = pd.DataFrame({"d": [date(2020, 1, 1), None], "n": [Decimal("0.5"), None]})
    made = Relation.from_frame(frame)
    assert [column.kind for column in made.columns] == [ColumnKind.DATETIME, ColumnKind.NUMERIC]
    assert made.block.numeric[0].tolist() == [1577836800.0, 0.5]
    assert np.isnan(made.block.numeric[1]).all()


def test_classes_of_numbers_and_booleans_are_names():
    assert Relation.from_frame(pd.DataFrame({"y": [1.0, 0.0, None]}), label="y").classes == ("0", "1")
    assert Relation.from_frame(pd.DataFrame({"y": [True, False]}), label="y").classes == ("False", "True")


def test_row_ids_come_from_the_index_or_the_content():
    assert Relation.from_frame(FRAME.set_axis(ROWS), label="churned").row_ids == tuple(ROWS)
    named = FRAME.set_axis(pd.Index([10, 20, 30, 40], name="id"))
    assert Relation.from_frame(named, label="churned").row_ids == ("10", "20", "30", "40")
    twice = pd.concat([FRAME, FRAME.head(1)], ignore_index=True)
    first, again = (Relation.from_frame(twice, label="churned").row_ids for _ in range(2))
    assert first == again
    assert first[4] == f"{first[0]}-1"
    assert len(set(first)) == 5


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"age": [1.0, 2.0, np.inf, 4.0]}, "'age', row 'c': 'inf'"),
        ({"age": [2**53 + 1, 2, 3, 4]}, "'age', row 'a': 9007199254740993 is too large"),
        ({"pixels": [np.eye(2), np.eye(3), np.eye(2), np.eye(2)]}, r"'pixels', row 'b': 'array of shape \(3, 3\)'"),
        ({"pixels": [np.eye(2), None, np.full((2, 2), np.inf), None]}, "'pixels', row 'c'"),
        ({"note": [1, "a", 2.5, None]}, "'note' holds mixed-integer values"),
    ],
)
def test_bad_values_are_named(changes, match):
    with pytest.raises(InvalidDataError, match=match):
        relation(**{name: pd.Series(values, dtype=object) for name, values in changes.items()})


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        (Column("x", ColumnKind.NUMERIC), ["1", "old"], "'x', row 'b': 'old' is not a numeric value"),
        (Column("x", ColumnKind.NUMERIC), pd.to_datetime(["2020-01-01"] * 2), "is not a numeric value"),
        (Column("x", ColumnKind.BOOLEAN), ["true", "maybe"], "'x', row 'b': 'maybe' is not a boolean value"),
        (Column("x", ColumnKind.CATEGORICAL, ("p", "q")), ["p", "r"], "'x', row 'b': 'r' is not one of p, q"),
        (Column("x", ColumnKind.DATETIME), ["2020-01-01", "soon"], "Column 'x'"),
    ],
)
def test_values_must_fit_the_columns_of_the_app(column, values, match):
    with pytest.raises(InvalidDataError, match=match):
        Relation.from_frame(pd.DataFrame({"x": values}), columns=[column], row_ids=["a", "b"])


def test_unknown_categories_are_missing_where_wanted():
    columns = [Column("c", ColumnKind.CATEGORICAL, ("p", "q")), Column("d", ColumnKind.CATEGORICAL, ("1",))]
    frame = pd.DataFrame({"d": [1, 2, None], "c": ["r", "q", "s"]})
    made = Relation.from_frame(frame, columns=columns, unseen="missing")
    assert made.unseen == ((0, "c", "r"), (1, "d", "2"), (2, "c", "s"))
    assert made.block.codes.tolist() == [[-1, 0], [1, -1], [-1, -1]]
    assert made.take(np.array([0])).unseen == ()
    assert frame["c"].tolist() == ["r", "q", "s"], "the caller's frame stays as it is"
    fixed = frame.assign(c=pd.Categorical(frame["c"]))
    assert Relation.from_frame(fixed, columns=columns, unseen="missing").unseen == made.unseen
    with pytest.raises(InvalidDataError, match="'r' is not one of p, q"):
        Relation.from_frame(frame, columns=columns)


def test_rows_without_an_id_of_their_own_are_named_by_their_place():
    columns = [Column("x", ColumnKind.NUMERIC)]
    frame = pd.DataFrame({"x": ["1", "oops"]})
    with pytest.raises(InvalidDataError, match=r"Column 'x', row 1 \(of the frame\): 'oops'"):
        Relation.from_frame(frame, columns=columns)
    with pytest.raises(InvalidDataError, match=r"Column 'x', row 1 \(of the frame\): 'oops'"):
        Relation.from_frame(frame, columns=columns, row_ids=["h-0", "h-1"], ids_generated=True)
    lines = frame.set_axis(pd.RangeIndex(2, 4, name="line"))
    with pytest.raises(InvalidDataError, match="Column 'x', line 3: 'oops'"):
        Relation.from_frame(lines, columns=columns, row_ids=["h-0", "h-1"], ids_generated=True)
    with pytest.raises(InvalidDataError, match="Column 'x', row 'h-1': 'oops'"):
        Relation.from_frame(frame, columns=columns, row_ids=["h-0", "h-1"])


@pytest.mark.parametrize("empty", [None, np.nan])
def test_a_word_among_numbers_is_refused_before_the_column_becomes_text(empty):
    values = [str(value) for value in range(30)]
    values[7], values[9] = "oops", empty
    with pytest.raises(InvalidDataError, match=r"'x': 28 of 29 values are numbers; row 7 \(of the frame\) is 'oops'"):
        Relation.from_frame(pd.DataFrame({"x": values}))
    with pytest.raises(InvalidDataError, match="28 of 29 values are numbers"):
        Relation.from_frame(pd.DataFrame({"x": pd.Series([*range(28), "oops", None], dtype=object)}))
    half = Relation.from_frame(pd.DataFrame({"x": ["1", "2", "a", "b"] * 3}))
    assert half.columns[0].kind is ColumnKind.CATEGORICAL
    digits = Relation.from_frame(pd.DataFrame({"x": ["007", "008"] * 3}))
    assert digits.columns[0].kind is ColumnKind.CATEGORICAL


@pytest.mark.parametrize("values", [np.arange(60.0), [str(i) for i in range(60)], np.tile(np.arange(30) / 7, 4)])
def test_quantities_are_no_labels(values):
    with pytest.raises(InvalidDataError, match=r"different values .* version 1 is for classification"):
        Relation.from_frame(pd.DataFrame({"y": values}), label="y")


def test_many_classes_and_half_points_are_labels():
    assert len(Relation.from_frame(pd.DataFrame({"y": list(range(60)) * 2}), label="y").classes) == 60
    assert Relation.from_frame(pd.DataFrame({"y": [0.5, 1.0, 1.5]}), label="y").classes == ("0.5", "1", "1.5")


@pytest.mark.parametrize("rows", [[1, 2], {"x": [1]}, None])
def test_only_frames_are_read(rows):
    with pytest.raises(InvalidDataError, match="not a data frame"):
        Relation.from_frame(rows)


def test_values_are_converted_to_the_columns_of_the_app():
    columns = [
        Column("n", ColumnKind.NUMERIC),
        Column("b", ColumnKind.BOOLEAN),
        Column("c", ColumnKind.CATEGORICAL, ("1", "2")),
        Column("d", ColumnKind.DATETIME),
        Column("t", ColumnKind.TEXT),
    ]
    frame = pd.DataFrame(
        {
            "t": [1, 2],
            "d": ["2020-01-01 00:00:00.5", "2020-01-01"],
            "c": [2.0, None],
            "b": ["True", "false"],
            "n": ["1", "2.5"],
        }
    )
    made = Relation.from_frame(frame, columns=columns)
    assert made.columns == tuple(columns)
    assert made.block.numeric[0].tolist() == [1.0, 1577836800.5]
    assert made.block.codes.tolist() == [[1, 1], [0, -1]]
    assert made.block.texts.ravel().tolist() == ["1", "2"]


@pytest.mark.parametrize("columns", [None, relation().columns])
def test_a_frame_without_the_label_column_is_of_unlabelled_rows_where_the_classes_are_told(columns):
    arguments = {"label": "churned", "classes": ("no", "yes"), "columns": columns}
    made = Relation.from_frame(FRAME.drop(columns="churned"), **arguments)
    assert (made.label, made.classes, made.labels.tolist()) == ("churned", ("no", "yes"), [-1] * 4)
    assert made.row_ids == Relation.from_frame(FRAME.assign(churned=None), **arguments).row_ids
    assert made.entropy().rows.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"label": "gone"}, "No label column 'gone'"),
        ({"label": "gone", "classes": ()}, "No label column 'gone'"),
        ({"label": "gone", "classes": ("no", "yes"), "require_labels": True}, "No label column 'gone'"),
        ({"label": "churned", "classes": ("no", "maybe")}, "Label 'churned', row 'b': 'yes' is not one of no, maybe"),
        ({"label": "churned", "require_labels": True}, "Label 'churned', row 'c': missing"),
        ({"require_labels": True}, "need labels"),
        ({"row_ids": ["a", "b", "a", "c"]}, "Row 'a' occurs twice"),
        ({"row_ids": ["a", "b", "c\n", "d"]}, "is not a RowId"),
        ({"row_ids": ["a"]}, "1 row ids for 4 rows"),
        ({"label": "churned", "columns": [Column("age", ColumnKind.NUMERIC)]}, "Unknown column 'visits'"),
    ],
)
def test_frames_that_do_not_fit_are_refused(arguments, match):
    with pytest.raises(InvalidDataError, match=match):
        Relation.from_frame(FRAME, **{"row_ids": ROWS} | arguments)


def test_missing_and_repeated_columns_are_refused():
    with pytest.raises(InvalidDataError, match="Missing column 'height'"):
        Relation.from_frame(FRAME[["age"]], columns=[Column(n, ColumnKind.NUMERIC) for n in ("age", "height")])
    with pytest.raises(InvalidDataError, match="'age' occurs twice"):
        Relation.from_frame(FRAME[["age", "age"]])


def test_labels_stay_behind_on_test_and_production():
    made = relation().merge_candidates(
        pd.DataFrame(
            {"row_id": ["c", "c"], "column": ["churned", "age"], "value": ["no", 3], "probability": [1.0, 1.0]}
        ),
        source="llm",
    )
    for pillar in (Pillar.TEST, Pillar.PRODUCTION):
        (batch,) = made.to_batches("churn", pillar, "v1")
        assert batch.classes == ()
        assert batch.labels.size == 0
        assert batch.candidate_column.tolist() == [0]
    (labels,) = made.test_labels("churn", "v1")
    assert (labels.row_ids, labels.labels.tolist(), labels.classes) == (("a", "b", "d"), [0, 1, 0], ("no", "yes"))
    assert [len(part.row_ids) for part in made.test_labels("churn", "v1", rows_per_batch=2)] == [2, 1]
    assert made.without_labels().labels.tolist() == [-1] * 4


def test_label_messages_keep_to_the_size_limit():
    ids = [f"{'i' * 190}{row}" for row in range(100)]
    made = Relation.from_frame(pd.DataFrame({"x": range(100), "y": ["no", "yes"] * 50}), label="y", row_ids=ids)
    parts = made.test_labels("churn", "v1", max_bytes=5_000)
    assert max(len(codec.encode(part)) for part in parts) <= 5_000
    assert [row for part in parts for row in part.row_ids] == ids
    assert np.concatenate([part.labels for part in parts]).tolist() == made.labels.tolist()
    with pytest.raises(InvalidDataError, match="The label of row 'iii"):
        made.test_labels("churn", "v1", max_bytes=200)


def test_batches_keep_to_the_size_limit():
    frame = pd.DataFrame({"text": [str(i) * 1000 for i in range(64)]})
    made = Relation.from_frame(frame, columns=[Column("text", ColumnKind.TEXT)])
    batches = made.to_batches("churn", Pillar.TRAIN, "v1", max_bytes=20_000)
    assert len(batches) == 8
    assert [row for batch in batches for row in batch.row_ids] == list(made.row_ids)
    with pytest.raises(InvalidDataError, match="a message may hold 500"):
        made.to_batches("churn", Pillar.TRAIN, "v1", max_bytes=500)


def test_an_empty_relation_has_no_batches():
    made = relation().take(np.zeros(4, bool))
    assert made.to_batches("churn", Pillar.TRAIN, "v1") == []
    assert made.entropy().total == 0.0
    with pytest.raises(InvalidDataError, match="No batch"):
        Relation.from_batches([])


def test_labelled_rows():
    made = relation().merge_candidates(
        pd.DataFrame({"row_id": ["a"] * 2, "column": "churned", "value": ["no", "yes"], "probability": [0.5, 0.5]}),
        source="llm",
    )
    assert made.labelled().row_ids == ("b", "d")
    assert made.collapse("a", "churned", "no").labelled().row_ids == ("a", "b", "d")


@pytest.mark.parametrize(
    ("row", "column", "value", "kind"),
    [
        ("z", "age", 1, NotFoundError),
        ("a", "height", 1, InvalidDataError),
        ("a", "age", "old", InvalidDataError),
        ("a", "age", None, InvalidDataError),
        ("a", "plan", "gold", InvalidDataError),
        ("a", "churned", "maybe", InvalidDataError),
        ("a", "churned", None, InvalidDataError),
        ("a", "pixels", np.eye(2), InvalidDataError),
    ],
)
def test_collapse_refuses_what_does_not_fit(row, column, value, kind):
    with pytest.raises(kind):
        relation().collapse(row, column, value)


@pytest.mark.parametrize(
    "changes",
    [{"probability": [-0.1, 1.1]}, {"probability": [np.nan, 1.0]}, {"probability": [0.0, 0.0]}, {"value": [1, np.inf]}],
)
def test_bad_priors_are_refused(changes):
    lines = {"row_id": ["a", "a"], "column": "age", "value": [1, 2], "probability": [0.5, 0.5]} | changes
    with pytest.raises(InvalidDataError):
        relation().merge_candidates(pd.DataFrame(lines), source="knn")


def test_candidates_of_prior_zero_are_dropped_and_weights_normalised():
    lines = {"row_id": ["a"] * 3, "column": "plan", "value": ["basic", "plus", "plus"], "probability": [0, 1, 3]}
    made = relation().merge_candidates(pd.DataFrame(lines), source="knn", normalize=True)
    assert made.candidates()["probability"].tolist() == [0.25, 0.75]
    assert made.entropy().cells.query("column == 'plan'")["bits"].tolist() == [0.0]


@pytest.mark.parametrize("weights", [[1e308, 1e308], [0.0, 0.0]])
def test_weights_that_cannot_be_normalised_are_refused_rather_than_dropped(weights):
    cells = {"row_id": ["a"] * 2, "column": "age", "value": [1, 2], "probability": weights}
    with pytest.raises(InvalidDataError, match="column 'age': the priors sum to"):
        relation().merge_candidates(pd.DataFrame(cells), source="knn", normalize=True)
    rows = {"row_id": ["a"] * 2, "age": [1, 2], "probability": weights}
    with pytest.raises(InvalidDataError, match="the priors of its alternatives sum to"):
        relation().merge_rows(pd.DataFrame(rows), source="knn", normalize=True)


def test_generated_ids_are_those_of_the_content_whatever_the_index_counts():
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    lines = frame.set_axis(pd.Index([2, 3], name="line"))
    assert Relation.from_frame(lines, ids_generated=True).row_ids == Relation.from_frame(frame).row_ids
