"""JSON in its forms, and Parquet, Arrow and Feather."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from easeml.datamagic.reading import Account, chunks, read, read_frame, sniff
from easeml.errors import InvalidDataError
from easeml.relation import Relation
from easeml.stream.payloads import ColumnKind

RECORDS = [{"a": 1, "b": "x"}, {"a": 2, "b": None}, {"a": 3, "b": "z"}]


def frame_of(document, name="t.json", **options):
    content = document if isinstance(document, str) else json.dumps(document)
    return read_frame(content.encode(), name=name, **options)


@pytest.mark.parametrize(
    "document",
    [
        RECORDS,
        json.dumps(RECORDS, indent=2),
        {"a": [1, 2, 3], "b": ["x", None, "z"]},
        {"a": {"0": 1, "1": 2, "2": 3}, "b": {"0": "x", "1": None, "2": "z"}},
        {"columns": ["a", "b"], "index": [0, 1, 2], "data": [[1, "x"], [2, None], [3, "z"]]},
        {"schema": {"fields": [], "pandas_version": "1"}, "data": RECORDS},
        {"0": RECORDS[0], "1": RECORDS[1], "2": RECORDS[2]},
        {"status": "ok", "results": RECORDS, "next": None},
        "\n".join(map(json.dumps, RECORDS)),
    ],
)
def test_forms_of_json(document):
    frame = frame_of(document)
    assert frame["a"].tolist() == [1, 2, 3]
    assert frame["b"].fillna("-").tolist() == ["x", "-", "z"]
    assert frame.index[0] == 1


def test_pandas_own_json():
    frame = pd.DataFrame(RECORDS)
    for orient in ("records", "columns", "index", "split", "table"):
        read = frame_of(frame.to_json(orient=orient))
        assert read["a"].tolist() == [1, 2, 3]


def test_nested_objects_are_flat_and_lists_of_numbers_tensors():
    lines = [
        {"u": {"age": 3, "at": {"city": "Bern"}}, "v": [1, 2.5], "tags": ["p", "q"]},
        {"u": {"age": 4}, "v": [3, 4]},
    ]
    frame = frame_of("\n".join(map(json.dumps, lines)), name="t.jsonl")
    assert list(frame.columns) == ["u.age", "u.at.city", "v", "tags"]
    assert frame["tags"].iloc[0] == '["p", "q"]'
    np.testing.assert_array_equal(np.stack(frame["v"].to_list()), [[1, 2.5], [3, 4]])
    relation = read(json.dumps([{"v": [[1, 2], [3, 4]], "y": "a"}, {"v": [[1, 2], [3, 5]], "y": "b"}]).encode())
    assert relation.columns[0].kind is ColumnKind.TENSOR
    assert relation.columns[0].shape == (2, 2)


@pytest.mark.parametrize(
    ("document", "name", "match"),
    [
        ('{"a": 1}\n{"a": 2,}\n', "t.jsonl", r"line 2: not readable as JSON"),
        ('{"a": 1}\n[2]\n', "t.jsonl", r"line 2: an array, not an object"),
        ('{"a": 1}\n{"a": 2, "a": 3}\n', "t.jsonl", r"line 2: the key 'a' occurs twice"),
        ('{"a": {"b": 1}, "a.b": 2}\n', "t.jsonl", r"line 1: two fields are both named 'a\.b'"),
        ('{"v": [1, 2]}\n{"v": [1]}\n', "t.jsonl", r"column 'v', line 2: 1 numbers, and 2 in the rows before"),
        ('[{"a": 1},\n {"a": 2}\n {"a": 3}]', "t.json", r"line 3, character 2: not readable as JSON: a comma"),
        ('[{"a": 1},\n {"a": 2', "t.json", r"line 2, character \d+: not readable"),
        ('[{"a": 1}, 5]', "t.json", r"row 2 \(line 1\): a number, not an object"),
        ('{"a": [1, 2], "b": [1]}', "t.json", r"column 'b' has 1 values and 'a' has 2"),
        ("{", "t.json", r"not readable"),
        ("5", "t.json", r"a number, and no table"),
        ("[]", "t.json", r"no rows"),
    ],
)
def test_bad_json_is_named_by_line(document, name, match):
    with pytest.raises(InvalidDataError, match=match):
        frame_of(document, name=name)


def test_lines_that_can_be_read_go_on():
    account = Account("t")
    content = b'{"a": 1}\n{"a": \n{"a": 3}\n'
    (frame,) = chunks(content, name="t.jsonl", on_error="collect", account=account)
    assert frame["a"].tolist() == [1, 3]
    assert [reject.place for reject in account.rejects] == ["line 2"]


def test_an_array_of_records_is_read_in_parts():
    content = json.dumps([{"n": n, "t": "x" * 50} for n in range(30_000)], indent=1).encode()
    parts = list(chunks(io.BytesIO(content), name="t.json", rows=10_000))
    assert [len(part) for part in parts] == [10_000] * 3
    assert parts[2]["n"].iloc[-1] == 29_999
    assert parts[2].index[-1] == 30_000


def written(kind: str, table: pa.Table) -> bytes:
    out = io.BytesIO()
    if kind == "parquet":
        pa.parquet.write_table(table, out, row_group_size=2)
    elif kind == "feather":
        pa.feather.write_feather(table, out)
    else:
        open_ = pa.ipc.new_stream if kind == "arrows" else pa.ipc.new_file
        with open_(out, table.schema) as writer:
            writer.write_table(table)
    return out.getvalue()


TABLE = pa.table(
    {
        "n": pa.array([1, 2, None], pa.int32()),
        "ok": pa.array([True, None, False]),
        "c": pa.array(["x", "y", "x"]).dictionary_encode(),
        "v": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
        "s": pa.array([{"p": 1, "q": "a"}, {"p": 2, "q": "b"}, {"p": 3, "q": None}]),
        "when": pa.array([0, 1, None], pa.timestamp("us")),
        "day": pa.array([0, 1, None], pa.date32()),
        "money": pa.array([1, 2, 3], pa.decimal128(5, 2)),
    }
)


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrow", "arrows"])
def test_columnar_files(kind):
    content = written(kind, TABLE)
    frame = read_frame(content, name=f"t.{kind}")
    assert list(frame.columns) == ["n", "ok", "c", "v", "s.p", "s.q", "when", "day", "money"]
    relation = read(content, name=f"t.{kind}")
    kinds = {column.name: column.kind.value for column in relation.columns}
    assert (kinds["n"], kinds["ok"], kinds["v"], kinds["when"]) == ("numeric", "boolean", "tensor", "datetime")
    assert len(relation) == 3


def test_columnar_files_that_are_damaged_or_ambiguous():
    content = written("parquet", TABLE)
    with pytest.raises(InvalidDataError, match="not readable as parquet"):
        read_frame(content[:-20], name="t.parquet")
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(InvalidDataError, match="columns 1 and 2 are both named 'a'"):
        read_frame(written("arrow", twice), name="t.arrow")
    with pytest.raises(InvalidDataError, match="column 'b' holds bytes"):
        read_frame(written("arrow", pa.table({"b": [b"x"]})), name="t.arrow")


def test_row_numbers_of_pandas_are_no_column(tmp_path):
    frame = pd.DataFrame({"a": [1, 2, 3]})[lambda f: f["a"] > 1]
    frame.to_parquet(tmp_path / "t.parquet")
    assert list(read_frame(tmp_path / "t.parquet").columns) == ["a"]


@pytest.mark.parametrize(
    ("name", "head", "form"),
    [
        ("a.csv", b"PAR1", "parquet"),
        ("a", b"{\n", "json"),
        ("a", b'{"x": 1}\n{"x": 2}\n', "jsonl"),
        ("a.json", b'{"x": 1}\n{"x": 2}\n', "jsonl"),
        ("a", b"x,y\n", "csv"),
        ("a.tab", b"x\ty\n", "tsv"),
        ("a", b"%PDF-1.4", "pdf"),
        ("a.feather", b"ARROW1", "arrow"),
    ],
)
def test_formats_are_told_apart(name, head, form):
    assert sniff(name, head) == form


def kept(tmp_path):
    frame = pd.DataFrame({"age": [31.0, np.nan], "left": ["no", "yes"]})
    table = pd.DataFrame({"row_id": ["b", "b"], "column": "age", "value": [20.0, 40.0], "probability": [0.25, 0.75]})
    relation = Relation.from_frame(frame, label="left", row_ids=("a", "b")).merge_candidates(table, source="mine")
    relation.to_parquet(tmp_path / "kept.parquet")
    return relation, tmp_path / "kept.parquet"


def test_a_file_of_a_relation_is_that_relation(tmp_path):
    relation, path = kept(tmp_path)
    for source in (path, str(path), path.read_bytes()):
        assert read(source).content_hash() == relation.content_hash()
    assert read(path, label="left").label == "left"
    assert read(path, id_column="row_id").row_ids == ("a", "b")


def test_a_file_of_a_relation_is_not_read_as_another(tmp_path):
    _, path = kept(tmp_path)
    with pytest.raises(InvalidDataError, match="label column is 'left', not 'age'"):
        read(path, label="age")
    with pytest.raises(InvalidDataError, match="id column is 'row_id', not 'age'"):
        read(path, id_column="age")


def test_a_relation_read_as_a_table_leaves_its_candidates_and_says_so(tmp_path):
    _, path = kept(tmp_path)
    account = Account("kept")
    (frame,) = chunks(path, account=account)
    assert list(frame.columns) == ["age", "left", "row_id"]
    assert "leaves its candidates behind" in account.notes[0]
