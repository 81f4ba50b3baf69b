"""What the codec says about good, bad and old messages."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import pickle

import fastavro
import numpy as np
import pytest

from easeml.errors import SchemaError
from easeml.stream import codec, schemas
from easeml.stream.blocks import Malformed, read_long, write_long
from easeml.stream.compiled import compile_record
from easeml.stream.payloads import (
    Column,
    ColumnKind,
    ModelPicked,
    ModelPublished,
    Pillar,
    PredictionBatch,
    RelationBatch,
    Tick,
    TrialFinished,
    TrialOutcome,
    Verdict,
)

COLUMNS = tuple(Column(f"c{i}", ColumnKind.NUMERIC) for i in range(30))
BATCH = RelationBatch(
    app="churn",
    pillar=Pillar.TRAIN,
    version="v1",
    columns=COLUMNS,
    row_ids=tuple(f"row-{i}" for i in range(100)),
    numeric=np.arange(3000.0),
)


def body(kind, raw):
    return b"\0" + schemas.newest(kind).id.to_bytes(4) + raw


def test_numbers_are_views_of_the_message():
    raw = codec.encode(BATCH)
    numeric = codec.decode(raw).numeric
    assert numeric.tolist() == BATCH.numeric.tolist()
    assert not numeric.flags.owndata
    assert not numeric.flags.writeable


def test_the_columns_of_one_app_are_decoded_once():
    first, second = (codec.decode(codec.encode(BATCH)) for _ in range(2))
    assert first.columns is second.columns
    other = RelationBatch("churn", Pillar.TRAIN, "v1", (*COLUMNS[:29], Column("c29", ColumnKind.TEXT)), ())
    assert codec.decode(codec.encode(other)).columns == other.columns
    assert codec.decode(codec.encode(BATCH)).columns == COLUMNS


def test_what_is_remembered_of_a_message_is_not_shared_with_another():
    first = codec.decode(codec.encode(BATCH))
    assert codec.decode(codec.encode(dataclasses.replace(BATCH, version="v2"))).version == "v2"
    assert codec.decode(codec.encode(dataclasses.replace(BATCH, columns=COLUMNS[:3]))).columns == COLUMNS[:3]
    # The start of the message up to the columns is longer than the key it is remembered by.
    for columns in (COLUMNS, COLUMNS[::-1], COLUMNS):
        batch = dataclasses.replace(BATCH, version="v" * 90, columns=columns)
        assert codec.decode(codec.encode(batch)).columns == columns
    assert first.version == "v1"
    assert first.row_ids == BATCH.row_ids


def test_a_decoded_payload_is_as_frozen_as_any_other():
    batch = codec.decode(codec.encode(BATCH))
    assert type(batch) is RelationBatch
    with pytest.raises(dataclasses.FrozenInstanceError):
        batch.version = "v2"
    assert type(copy.copy(batch)) is RelationBatch
    assert pickle.loads(pickle.dumps(batch)).row_ids == BATCH.row_ids
    assert not batch.labels.flags.writeable


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "0 bytes"),
        (b'{"app": "churn"}', "7b22617070"),
        (b"\0\0\0", "3 bytes"),
        (b"\1\0\0\0\1\0", "0100000001"),
        (b"\0\0\0\xff\xff", "Schema id 65535 is not released"),
        (body(Verdict, b"\x0achurn\x02m\x01\x00"), "Verdict.baseline: the message ends here"),
        (body(Verdict, b"\x0achurn\x02m\x01\x05\x00"), "Verdict.guaranteed: 5 is not a boolean"),
        (body(Verdict, b"\x0achurn\x02m\x01\x00\x07"), "Verdict.baseline: branch 7"),
        (body(Verdict, b"\x02\xff"), "Verdict.app: bytes are not UTF-8"),
        (body(Verdict, b"\x01"), "Verdict.app: a length of -1 bytes, but 0 are left"),
        (body(Verdict, write_long(2**62) + b"x"), f"Verdict.app: a length of {2**62} bytes, but 1 are left"),
        (body(Tick, b"\xff" * 11), "Tick.sequence: an integer is longer than 64 bits"),
        (body(RelationBatch, b"\x02a\x08soup"), "RelationBatch.pillar: 'soup' is not one of train, pool"),
        (body(RelationBatch, b"\x02a\x08pool\x02v" + write_long(2**60)), f"columns: a count of {2**60} items"),
        (body(RelationBatch, b"\x02a\x08pool\x02v\x02\x02c\x08soup"), "RelationBatch.columns[0].kind: 'soup' is not"),
        (body(RelationBatch, b"\x02a\x08pool\x02v\x02\x02c\x04\xff\xff"), "columns[0].kind: bytes are not UTF-8"),
    ],
)
def test_a_bad_message_says_what_and_where(raw, what):
    with pytest.raises(SchemaError) as caught:
        codec.decode(raw)
    assert what in str(caught.value)
    assert caught.value.mend


def test_counts_of_number_blocks_are_held_against_the_message():
    prefix = codec.encode(PredictionBatch("a", "m", Pillar.TEST, ("r",)))[:-1]
    for count in (2**61, -(2**61), -(2**63)):
        with pytest.raises(SchemaError, match=r"PredictionBatch\.probabilities: "):
            codec.decode(prefix + write_long(count) + b"\x02" + bytes(40))


def test_an_integer_block_must_hold_whole_items():
    raw = codec.encode(PredictionBatch("a", "m", Pillar.TEST, ("r",), labels=np.array([1], np.int32)))
    with pytest.raises(SchemaError, match=r"PredictionBatch\.labels: 3 bytes are not a whole number of <i4 items"):
        codec.decode(raw.replace(b"\x08\x01\0\0\0", b"\x06\x01\0\0"))


def test_a_wrong_enum_symbol_is_named():
    raw = codec.encode(TrialFinished("a", "t", "x", TrialOutcome.FAILED, 0.5, 1.0))
    place = raw.index(b"\x02a\x02t\x02x") + 6
    with pytest.raises(SchemaError, match=r"TrialFinished\.outcome: symbol 4 of an enum of 2"):
        codec.decode(raw[:place] + b"\x08" + raw[place + 1 :])


@pytest.mark.parametrize(
    ("payload", "what"),
    [
        (Tick(sequence=2**63, time=0.0), r"Tick\.sequence: .* needs more than 64 bits"),
        (Tick(sequence="3", time=0.0), r"Tick\.sequence: 'str' object"),
        (Tick(sequence=3, time="now"), r"Tick\.time: "),
        (Verdict("a", "m", 1, True), r"Verdict\.signal: 1 is not a boolean"),
        (Verdict("a", None, True, True), r"Verdict\.model: None is not a string"),
        (Verdict("\ud800", "m", True, True), r"Verdict\.app: .*surrogates"),
        (ModelPicked("a", "m", 1, 1, False, 1, {"m": "much"}), r"ModelPicked\.posterior: "),
        (
            ModelPublished("a", "m", "x", "", "", 0, "skops", "age", ("no",), "v", "automl"),
            r"columns: 'age' is not",
        ),
        (RelationBatch("a", "soup", "v", (), ()), r"RelationBatch\.pillar: 'soup' is not one of train"),
        (RelationBatch("a", Pillar.TRAIN, "v", ("age",), ()), r"columns: 'age' is not a Column"),
        (RelationBatch("a", Pillar.TRAIN, "v", (), (), labels=np.array([2**31])), r"labels: integers from 2147483648"),
        (RelationBatch("a", Pillar.TRAIN, "v", (), (), labels=np.array([0.5])), r"labels: an array of float64"),
        (RelationBatch("a", Pillar.TRAIN, "v", (), (), numeric=np.array(["x"])), r"numeric: an array of <U1"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused(payload, what):
    with pytest.raises(SchemaError, match=what):
        codec.encode(payload)


def test_arrays_of_other_number_types_are_converted():
    batch = PredictionBatch("a", "m", Pillar.TEST, ("r", "s"), labels=[0, 1], probabilities=np.eye(2))
    read = codec.decode(codec.encode(batch))
    assert read.labels.dtype == np.int32
    assert read.labels.tolist() == [0, 1]
    assert read.probabilities.dtype == np.float32
    assert read.probabilities.tolist() == [1, 0, 0, 1]


def test_an_unknown_type_is_refused():
    with pytest.raises(SchemaError, match="Column is not a payload"):
        codec.encode(Column("c", ColumnKind.TEXT))


def test_json_is_for_people():
    shown = codec.json_of(
        RelationBatch("churn", Pillar.TEST, "v", (Column("c", ColumnKind.NUMERIC),), ("r", "s", "t"),
                      numeric=np.array([1.5, np.nan, np.inf]))
    )  # fmt: skip
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert shown["pillar"] == "test"
    assert shown["columns"] == [{"name": "c", "kind": "numeric", "categories": [], "shape": []}]
    assert shown["numeric"] == [1.5, None, "inf"]


@pytest.mark.parametrize("value", [0, -1, 63, 64, -64, -65, 2**31, 2**63 - 1, -(2**63)])
def test_integers_are_zigzag(value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", value)
    assert write_long(value) == out.getvalue()
    assert read_long(out.getvalue(), 0) == (value, len(out.getvalue()))


def test_an_integer_of_more_than_64_bits_is_refused():
    with pytest.raises(Malformed):
        read_long(b"\xff" * 9 + b"\x02", 0)


def older(document):
    """A version before the newest one: some fields not yet there, some that were given up since."""
    old = json.loads(json.dumps(document))
    old["fields"] = [field for field in old["fields"] if field["name"] not in ("classes", "labels", "numeric", "texts")]
    column = next(field for field in old["fields"] if field["name"] == "columns")["type"]["items"]
    column["fields"] = [field for field in column["fields"] if field["name"] != "shape"]
    column["fields"].insert(1, {"name": "unit", "type": ["null", "string"], "default": None})
    inner = {"type": "record", "name": "Origin", "fields": [
        {"name": "host", "type": "string"}, {"name": "ports", "type": {"type": "array", "items": "long"}}]}  # fmt: skip
    old["fields"].insert(2, {"name": "origin", "type": inner, "default": {"host": "", "ports": []}})
    old["fields"].insert(3, {"name": "tags", "type": {"type": "map", "values": "double"}, "default": {}})
    old["fields"].insert(4, {"name": "level", "type": {"type": "enum", "name": "Level", "symbols": ["low", "high"]},
                             "default": "low"})  # fmt: skip
    old["fields"].insert(5, {"name": "more", "type": {"type": "array", "items": "Origin"}, "default": []})
    return old


def test_an_older_version_is_read_like_fastavro_resolves_it():
    newest = schemas.newest(RelationBatch).document
    old = older(newest)
    origin = {"host": "h", "ports": [1, 2]}
    record = {
        "app": "churn", "pillar": "train", "origin": origin, "tags": {"x": 1.0}, "level": "high", "more": [origin] * 2,
        "version": "v1", "columns": [{"name": "c", "unit": "kg", "kind": "text", "categories": ["a"]}],
        "row_ids": ["r"], "codes": b"\1\0\0\0", "tensor": [1.0],
        **{field["name"]: b"" for field in newest["fields"] if isinstance(field["type"], dict)
           and field["type"]["type"] == "bytes" and field["name"] not in ("labels", "codes")},
    }  # fmt: skip
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(old), record)
    read, end = compile_record(old, RelationBatch)[0](out.getvalue(), 0)
    assert end == len(out.getvalue())
    resolved = fastavro.schemaless_reader(
        io.BytesIO(out.getvalue()), fastavro.parse_schema(old), fastavro.parse_schema(newest)
    )
    shown = codec.json_of(read)
    for name, value in resolved.items():
        expected = np.frombuffer(value, "<i4").tolist() if isinstance(value, bytes) else value
        if value == "":  # fastavro does not turn the default of bytes into bytes
            expected = []
        assert shown[name] == expected, name


def test_an_older_version_without_an_optional_field_reads_null():
    old = json.loads(json.dumps(schemas.newest(Verdict).document))
    old["fields"] = [field for field in old["fields"] if field["name"] != "baseline"]
    assert compile_record(old, Verdict)[0](b"\x0achurn\x02m\x01\x00", 0)[0] == Verdict("churn", "m", True, False, None)
