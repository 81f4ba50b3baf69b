"""Arrow tables and Parquet files of relations: what other tools see, what damaged or foreign tables become."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easeml.errors import InvalidDataError, NotFoundError
from easeml.relation import Relation
from easeml.relation.arrow import read_parquet, relation_of, table_of, write_parquet
from easeml.stream.payloads import ColumnKind


@pytest.fixture
def relation():
    moments = ["2024-01-01", None, "2024-02-03 04:05:06.000007", "2020-02-29"]
    frame = pd.DataFrame(
        {
            "age": [31.0, np.nan, 45.5, 60.0],
            "member": pd.array([True, None, False, True], dtype="boolean"),
            "plan": pd.Categorical(["plus", "basic", None, "plus"], categories=["basic", "plus", "premium"]),
            "since": pd.to_datetime(moments, utc=True, format="ISO8601"),
            "note": ["first", None, "", "last"],
            "pixels": [np.arange(4.0).reshape(2, 2), np.full((2, 2), np.nan), np.zeros((2, 2)), np.ones((2, 2))],
            "churned": ["no", None, "yes", None],
        }
    )
    cells = pd.DataFrame(
        [
            ("r2", "age", 40.0, 0.75),
            ("r2", "age", 50.0, 0.25),
            ("r2", "note", "called", 0.5),
            ("r2", "note", "wrote", 0.5),
            ("r3", "plan", "basic", 1.0),
            ("r1", "member", False, 1.0),
            ("r3", "since", pd.Timestamp("2024-02-03", tz="UTC"), 1.0),
            ("r2", "churned", "yes", 0.9),
            ("r2", "churned", "no", 0.1),
        ],
        columns=["row_id", "column", "value", "probability"],
    ).astype({"value": object})
    versions = pd.DataFrame(
        {"row_id": ["r4", "r4"], "age": [60.0, 16.0], "note": ["last", "lost"], "probability": [0.4, 0.6]}
    )
    made = Relation.from_frame(frame, label="churned", row_ids=["r1", "r2", "r3", "r4"])
    return made.merge_candidates(cells, source="knn/1").merge_rows(versions, source="register")


def same(back, relation):
    assert back.content_hash() == relation.content_hash()
    pd.testing.assert_frame_equal(back.frame(), relation.frame())
    pd.testing.assert_frame_equal(back.candidates(), relation.candidates())
    pd.testing.assert_frame_equal(back.alternatives(), relation.alternatives())
    return True


def with_field(table, name, array):
    return table.set_column(table.column_names.index(name), name, array)


def changed(table, **entries):
    metadata = json.loads(table.schema.metadata[b"easeml"])
    return table.replace_schema_metadata({b"easeml": json.dumps({**metadata, **entries}).encode()})


def test_the_table_is_a_plain_one_for_other_tools(relation):
    table = table_of(relation)
    assert table.schema.field("age").type == pa.float64()
    assert table.schema.field("member").type == pa.bool_()
    assert table.schema.field("plan").type == pa.dictionary(pa.int32(), pa.string())
    assert table.schema.field("since").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("note").type == pa.string()
    assert table.schema.field("pixels").type == pa.list_(pa.float64(), 4)
    assert table.column("age").to_pylist() == [31.0, None, 45.5, 60.0]
    assert table.column("member").to_pylist() == [True, None, False, True]
    assert table.column("plan").to_pylist() == ["plus", "basic", None, "plus"]
    assert table.column("since").to_pylist()[0] == datetime(2024, 1, 1, tzinfo=UTC)
    assert table.column("pixels").to_pylist()[:2] == [[0.0, 1.0, 2.0, 3.0], None]
    assert table.column("churned").to_pylist() == ["no", None, "yes", None]
    assert table.column("row_id").to_pylist() == ["r1", "r2", "r3", "r4"]


def test_candidates_stand_beside_their_rows(relation):
    first, second, third, fourth = table_of(relation).column("__candidates__").to_pylist()
    assert first == [{"column": "member", "value": "false", "number": 0.0, "probability": 1.0, "source": "knn/1"}]
    assert {"column": "age", "value": None, "number": 40.0, "probability": 0.75, "source": "knn/1"} in second
    assert {"column": "note", "value": "wrote", "number": 1.0, "probability": 0.5, "source": "knn/1"} in second
    assert {"column": "churned", "value": "yes", "number": None, "probability": 0.9, "source": "knn/1"} in second
    assert {one["column"]: one["value"] for one in third} == {"plan": "basic", "since": "2024-02-03T00:00:00.000000Z"}
    assert fourth is None


def test_alternatives_stand_beside_their_rows(relation):
    *certain, versions = table_of(relation).column("__alternatives__").to_pylist()
    assert certain == [None, None, None]
    assert [(one["probability"], one["source"], one["values"]["age"], one["values"]["note"]) for one in versions] == [
        (0.4, "register", 60.0, "last"),
        (0.6, "register", 16.0, "lost"),
    ]


def test_everything_comes_back(relation, tmp_path):
    assert same(relation_of(table_of(relation)), relation)
    assert same(Relation.from_arrow(relation.to_arrow()), relation)
    relation.to_parquet(tmp_path / "rows.parquet")
    assert same(Relation.from_parquet(tmp_path / "rows.parquet"), relation)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_folder_named_like_a_partition_adds_no_column(relation, tmp_path):
    folder = tmp_path / "year=2024"
    folder.mkdir()
    write_parquet(relation, folder / "rows.parquet", rows_per_group=2)
    assert pq.ParquetFile(folder / "rows.parquet").num_row_groups == 2
    assert same(read_parquet(folder / "rows.parquet"), relation)


def test_another_tool_may_write_the_table_again(relation):
    """Plain strings for dictionaries, large types, other order of fields, several chunks: still the same relation."""
    table = table_of(relation)
    for name, kind in (("plan", pa.string()), ("note", pa.large_string()), ("churned", pa.large_string())):
        table = with_field(table, name, table.column(name).cast(kind))
    table = table.select(sorted(table.column_names))
    assert same(relation_of(pa.concat_tables([table.slice(0, 1), table.slice(1)])), relation)


def test_moments_between_two_microseconds_are_exact(relation):
    numeric = relation.block.numeric.copy()
    numeric[:, 1] = [1.00000025, np.nan, 1e300, -0.0]
    odd = Relation(replace(relation.block, numeric=numeric), label="churned", classes=relation.classes)
    table = table_of(odd)
    assert "__seconds__since" in table.column_names
    back = relation_of(table)
    assert back.block.numeric.tobytes() == odd.block.numeric.tobytes()
    assert back.content_hash() == odd.content_hash()
    later = with_field(table, "since", pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 4, pa.timestamp("us", tz="UTC")))
    assert relation_of(later).block.numeric[:, 1].tolist() == [1704067200.0] * 4, "a changed timestamp counts"


def test_taken_names_get_an_underscore():
    frame = pd.DataFrame({"row_id": [1.0, 2.0], "__candidates__": [3.0, 4.0], "_row_id": [5.0, 6.0]})
    made = Relation.from_frame(frame, row_ids=["a", "b"])
    assert table_of(made).column_names[3:] == ["__row_id", "___candidates__"]
    assert same(relation_of(table_of(made)), made)


def test_no_rows_no_columns():
    made = Relation.from_frame(pd.DataFrame({"age": [1.0]}), row_ids=["a"]).take(np.empty(0, np.int64))
    assert same(relation_of(table_of(made)), made)
    bare = Relation.from_frame(pd.DataFrame(index=pd.Index(["a", "b"])))
    assert relation_of(table_of(bare)).content_hash() == bare.content_hash()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": 2}, "format 2; this release reads format 1"),
        ({"format": "one"}, "damaged: format"),
        ({"columns": [{"name": "age", "kind": "money"}]}, "damaged: columns.0.kind"),
        ({"columns": [{"name": "age", "kind": "tensor", "shape": [-1]}]}, "damaged: columns.0.shape.0"),
        ({"columns": [{"name": "age", "kind": "tensor", "shape": [99999, 99999]}]}, "9999800001 numbers"),
        ({"columns": [{"name": "age", "kind": "numeric"}] * 2}, "field 'age' occurs twice"),
        ({"label": {"name": "churned", "field": "churned", "classes": ["a", "a"]}}, "class 'a' occurs twice"),
        ({"row_id": "id"}, "has 0 fields 'id'"),
        ({"surprise": 1}, "damaged: surprise"),
    ],
)
def test_damaged_metadata_is_refused(relation, entries, message):
    with pytest.raises(InvalidDataError, match=message):
        relation_of(changed(table_of(relation), **entries))


@pytest.mark.parametrize("raw", [b"", b"\x80\x04pickle", b"[]", b"null", b'{"format": 1}', b'{"format": 99, "x": 1}'])
def test_metadata_that_is_none_of_ours_is_refused(relation, raw):
    with pytest.raises(InvalidDataError, match="metadata 'easeml'"):
        relation_of(table_of(relation).replace_schema_metadata({b"easeml": raw}))


def spoilt(table, row, **entries):
    lists = table.column("__candidates__").to_pylist()
    lists[row][0] = {**lists[row][0], **entries}
    return with_field(table, "__candidates__", pa.array(lists, table.schema.field("__candidates__").type))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"probability": 0.5}, "Row 'r1', column 'member': the priors of a cell sum to 0.5"),
        ({"probability": 0.0}, "Row 'r1', column 'member': a prior of 0"),
        ({"probability": None}, "Row 'r1', column 'member': a prior of nan"),
        ({"column": "income"}, "row 'r1': 'income' is not one of age"),
        ({"column": None}, "Row 'r1'.*names no column"),
        ({"column": "pixels"}, "Row 'r1', column 'pixels': a candidate has no value that fits"),
        ({"number": 2.0}, "Row 'r1', column 'member': a candidate has no value that fits"),
        ({"number": None}, "Row 'r1', column 'member': a candidate has no value that fits"),
        ({"column": "plan", "value": "gold"}, "Row 'r1', column 'plan': a candidate has no value that fits"),
        ({"column": "note", "value": None}, "Row 'r1', column 'note': a candidate has no value that fits"),
        ({"column": "age", "number": float("inf")}, "Row 'r1', column 'age': a candidate has no value that fits"),
        ({"source": None}, "Row 'r1', column 'member': a candidate has no source"),
    ],
)
def test_candidates_that_do_not_fit_are_refused(relation, entries, message):
    with pytest.raises(InvalidDataError, match=message):
        relation_of(spoilt(table_of(relation), 0, **entries))


def test_alternatives_that_do_not_fit_are_refused(relation):
    table = table_of(relation)
    kind = table.schema.field("__alternatives__").type
    for entries, message in (
        ({"probability": 0.9}, "Row 'r4': the priors of its alternatives sum to 1.5"),
        ({"source": None}, "Row 'r4': an alternative has no source"),
    ):
        lists = table.column("__alternatives__").to_pylist()
        lists[3][0] = {**lists[3][0], **entries}
        with pytest.raises(InvalidDataError, match=message):
            relation_of(with_field(table, "__alternatives__", pa.array(lists, kind)))
    cell = {"column": "age", "value": None, "number": 1.0, "probability": 1.0, "source": "knn"}
    both = [None, None, None, [cell]]
    both = pa.array(both, table.schema.field("__candidates__").type)
    with pytest.raises(InvalidDataError, match="Row 'r4', column 'age': candidates of a cell, but the row"):
        relation_of(with_field(table, "__candidates__", both))


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("age", pa.array(["a", "b", "c", "d"]), "Column 'age' holds string values, not double"),
        ("age", pa.array([1.0, 2.0, np.inf, 3.0]), "Column 'age', row 'r3': infinite"),
        (
            "plan",
            pa.array(["plus", "basic", "gold", None]),
            "Column 'plan', row 'r3': 'gold' is not one of basic, plus",
        ),
        ("churned", pa.array(["no", "maybe", None, None]), "Label 'churned', row 'r2': 'maybe'"),
        ("pixels", pa.array([[1.0]] * 4), "Column 'pixels', row 'r1': 1 numbers, not 4"),
        ("pixels", pa.array([1, 2, 3, 4]), "Column 'pixels' holds int64 values, not lists of 4"),
        ("since", pa.array([1.5] * 4), "Column 'since' holds double"),
        ("row_id", pa.array(["a", "a", "b", "c"]), "Row 'a' occurs twice"),
        ("row_id", pa.array(["a", None, "b", "c"]), "Field 'row_id', row 1: missing"),
        ("__candidates__", pa.array([1, 2, 3, 4]), "holds int64 values, not lists of candidates"),
        ("__candidates__", pa.array([[{"column": "age"}]] * 4), "have no 'value'"),
    ],
)
def test_cells_that_do_not_fit_are_refused(relation, name, array, message):
    with pytest.raises(InvalidDataError, match=message):
        relation_of(with_field(table_of(relation), name, array))


def test_a_missing_field_is_told(relation):
    with pytest.raises(InvalidDataError, match="0 fields 'plan'"):
        relation_of(table_of(relation).drop_columns(["plan"]))


def test_another_label_than_the_own_is_refused(relation):
    assert relation_of(table_of(relation), label="churned").label == "churned"
    with pytest.raises(InvalidDataError, match="label is 'churned', not 'plan'"):
        relation_of(table_of(relation), label="plan")


def test_broken_unicode_is_told():
    made = Relation.from_frame(pd.DataFrame({"note": ["a", "b\udcff"]}, dtype=object), row_ids=["a", "b"])
    with pytest.raises(InvalidDataError, match="no valid Unicode"):
        table_of(made)


def test_what_is_no_parquet_file_is_told(tmp_path):
    (tmp_path / "rows.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidDataError, match="no readable Parquet file"):
        read_parquet(tmp_path / "rows.parquet")
    with pytest.raises(NotFoundError, match=r"missing\.parquet"):
        read_parquet(tmp_path / "missing.parquet")
    with pytest.raises(InvalidDataError):
        read_parquet(io.BytesIO(b"PAR1 too short PAR1"))


def test_a_foreign_table_becomes_a_plain_relation():
    table = pa.table(
        {
            "row_id": ["a", "b", "c"],
            "whole": pa.array([1, None, 3], pa.int64()),
            "small": pa.array([1.5, None, 3.0], pa.float32()),
            "price": pa.array([Decimal("1.25"), None, Decimal(3)], pa.decimal128(9, 2)),
            "flag": pa.array([True, None, False]),
            "day": pa.array([date(2024, 1, 1), None, date(1969, 7, 20)]),
            "moment": pa.array([datetime(2024, 1, 1, 12), None, datetime(2000, 1, 1)], pa.timestamp("ns")),
            "zoned": pa.array([datetime(2024, 1, 1, 12), None, None], pa.timestamp("s", tz="Europe/Zurich")),
            "plan": pa.array(["plus", None, "basic"]).dictionary_encode(),
            "note": ["x", None, "y"],
            "vector": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float64(), 2)),
            "empty": pa.nulls(3),
            "churned": ["no", "yes", None],
        }
    )
    relation = relation_of(table, label="churned")
    kinds = {column.name: column.kind for column in relation.columns}
    assert kinds == {
        **dict.fromkeys(("whole", "small", "price"), ColumnKind.NUMERIC),
        "flag": ColumnKind.BOOLEAN,
        **dict.fromkeys(("day", "moment", "zoned"), ColumnKind.DATETIME),
        "plan": ColumnKind.CATEGORICAL,
        **dict.fromkeys(("note", "empty"), ColumnKind.TEXT),
        "vector": ColumnKind.TENSOR,
    }
    assert relation.row_ids == ("a", "b", "c")
    assert relation.classes == ("no", "yes")
    assert relation.labels.tolist() == [0, 1, -1]
    frame = relation.frame()
    assert frame["price"].tolist()[0] == 1.25
    assert frame["zoned"].iloc[0] == pd.Timestamp("2024-01-01T12:00", tz="UTC")
    assert frame["moment"].iloc[0] == pd.Timestamp("2024-01-01T12:00", tz="UTC")
    assert frame["day"].iloc[2] == pd.Timestamp("1969-07-20", tz="UTC")
    assert relation.entropy().total == 1.0
    assert same(relation_of(table_of(relation)), relation)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([{"a": 1}, {"a": 2}]), "Column 'x' holds struct"),
        (pa.array([[1.0], [1.0, 2.0]]), "lists of double of several lengths"),
        (pa.array([["a"], ["b"]]), "Column 'x' holds list"),
        (pa.array([b"a", b"b"]), "Column 'x' holds binary"),
        (pa.array([2**60 + 1, None]), "too large to be exact"),
        (pa.array([1.0, np.inf]), "Column 'x', row 1"),
    ],
)
def test_what_no_column_can_hold_is_told(array, message):
    with pytest.raises(InvalidDataError, match=message):
        relation_of(pa.table({"x": array}))


def test_a_foreign_table_with_two_columns_of_one_name_is_refused():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(InvalidDataError, match="'x' occurs twice"):
        relation_of(table)


def test_without_pyarrow_the_extra_is_named():
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import pandas as pd\n"
        "from easeml.errors import ConfigurationError\n"
        "from easeml.relation import Relation\n"
        "try:\n    Relation.from_frame(pd.DataFrame({'a': [1.0]})).to_arrow()\n"
        "except ConfigurationError as error:\n    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "easeml-streaming[files]" in told
