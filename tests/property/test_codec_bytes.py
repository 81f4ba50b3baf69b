"""The codec against fastavro, byte by byte, and against damaged messages."""

from __future__ import annotations

import io

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payload_strategies import PAYLOADS, as_avro, payloads, same

from easeml.errors import SchemaError
from easeml.stream import codec, schemas

GOLDEN = sorted(path for path in schemas.folder().joinpath("golden").iterdir() if path.name.endswith(".bin"))


def by_fastavro(payload):
    schema = schemas.newest(type(payload))
    out = io.BytesIO(b"\0" + schema.id.to_bytes(4))
    out.seek(5)
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema.document), as_avro(payload))
    return out.getvalue()


@pytest.mark.parametrize("kind", PAYLOADS, ids=lambda kind: kind.__name__)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_bytes_are_those_of_fastavro_and_decode_to_the_same(kind, data):
    payload = data.draw(payloads(kind))
    raw = codec.encode(payload)
    assert raw == by_fastavro(payload)
    assert same(codec.decode(raw), payload)
    read = fastavro.schemaless_reader(
        io.BytesIO(raw[5:]), fastavro.parse_schema(schemas.newest(kind).document), None, return_record_name=False
    )
    assert repr(read) == repr(as_avro(codec.decode(raw)))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_a_message_cut_anywhere_is_a_schema_error(path):
    raw = path.read_bytes()
    for end in range(len(raw)):
        with pytest.raises(SchemaError):
            codec.decode(raw[:end])
    with pytest.raises(SchemaError, match="1 bytes follow"):
        codec.decode(raw + b"\0")


@settings(max_examples=400, deadline=None)
@given(
    path=st.sampled_from(GOLDEN),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
    insert=st.tuples(st.integers(0, 400), st.binary(max_size=12)),
)
def test_a_damaged_message_is_a_schema_error_or_a_payload(path, changes, insert):
    raw = bytearray(path.read_bytes())
    for place, byte in changes:
        raw[place % len(raw)] = byte
    place = insert[0] % len(raw)
    raw[place:place] = insert[1]
    decodes_or_refuses(bytes(raw))


@settings(max_examples=300, deadline=None)
@given(schema=st.sampled_from(sorted(schemas.released())), body=st.binary(max_size=200))
def test_any_bytes_are_a_schema_error_or_a_payload(schema, body):
    decodes_or_refuses(b"\0" + schema.to_bytes(4) + body)


def decodes_or_refuses(raw):
    try:
        payload = codec.decode(raw)
    except SchemaError:
        return
    assert same(codec.decode(codec.encode(payload)), payload)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), max_size=5), sized=st.lists(st.booleans(), min_size=5, max_size=5))
def test_arrays_in_several_blocks_are_joined(sizes, sized):
    """Other writers may cut an array into blocks, and put the byte length before each."""
    numbers = np.arange(float(sum(sizes)))
    raw, at = bytearray(golden_prefix()), 0
    for size, announced in zip(sizes, sized, strict=False):
        items = numbers[at : at + size].astype("<f8").tobytes()
        raw += zigzag(-size) + zigzag(len(items)) + items if announced else zigzag(size) + items
        at += size
    payload = codec.decode(bytes(raw) + b"\0")
    assert payload.intervals.tolist() == numbers.tolist()
    assert not payload.intervals.flags.writeable


def golden_prefix():
    raw = schemas.folder().joinpath("golden", "verdict-detail-1-1.bin").read_bytes()
    assert raw[-1] == 0  # the empty array of intervals
    return raw[:-1]


def zigzag(value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", value)
    return out.getvalue()
