"""Messages of other writers: Avro lets an array or map be cut into blocks, with or without their byte length."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from payload_strategies import PAYLOADS, as_avro, payloads, same

from easeml.errors import SchemaError
from easeml.stream import codec, schemas
from easeml.stream.blocks import (
    Malformed,
    read_items,
    read_string,
    read_strings,
    write_boolean,
    write_bytes,
    write_double,
    write_long,
    write_string,
    write_strings,
)

PLAIN = {
    "string": write_string,
    "long": write_long,
    "double": write_double,
    "float": lambda value: struct.pack("<f", value),
    "boolean": write_boolean,
    "bytes": write_bytes,
}


RECORDS = {
    field["type"]["items"]["name"]: field["type"]["items"]
    for schema in schemas.released().values()
    for field in schema.document["fields"]
    if isinstance(field["type"], dict) and isinstance(field["type"].get("items"), dict)
}
"""Records within others by name: a schema writes each out once and names it from then on."""


def other_writer(schema, value, cut):
    """Write a value as a schema says; ``cut`` gives the size of the next block and whether its length is written."""
    if isinstance(schema, str):
        return PLAIN[schema](value) if schema in PLAIN else other_writer(RECORDS[schema], value, cut)
    if isinstance(schema, list):
        return b"\0" if value is None else b"\2" + other_writer(schema[1], value, cut)
    kind = schema["type"]
    if kind == "record":
        return b"".join(other_writer(field["type"], value[field["name"]], cut) for field in schema["fields"])
    if kind == "enum":
        return write_long(schema["symbols"].index(value))
    if kind == "bytes":
        return write_bytes(value)
    if kind == "map":
        items = [write_string(key) + other_writer(schema["values"], item, cut) for key, item in value.items()]
    else:
        items = [other_writer(schema["items"], item, cut) for item in value]
    out = b""
    while items:
        size, announced = cut()
        block, items = items[:size], items[size:]
        raw = b"".join(block)
        out += write_long(-len(block)) + write_long(len(raw)) + raw if announced else write_long(len(block)) + raw
    return out + b"\0"


@pytest.mark.parametrize("kind", PAYLOADS, ids=lambda kind: kind.__name__)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), random=st.randoms(use_true_random=False))
def test_blocks_of_any_size_decode_to_the_same(kind, data, random):
    payload = data.draw(payloads(kind))
    schema = schemas.newest(kind)
    body = other_writer(schema.document, as_avro(payload), lambda: (random.randint(1, 5), random.random() < 0.5))
    assert same(codec.decode(b"\0" + schema.id.to_bytes(4) + body), payload)


def test_a_block_that_lies_about_its_length_is_refused():
    schema = schemas.newest(codec.decode(golden()).__class__)
    body = other_writer(schema.document, as_avro(codec.decode(golden())), lambda: (9, True))
    message = b"\0" + schema.id.to_bytes(4) + body
    place = message.index(write_long(-2) + write_long(19) + write_string("row_ids"))
    with pytest.raises(SchemaError, match=r"RelationBatch\.row_ids: a block of 17 bytes holds 19"):
        codec.decode(message[: place + 1] + write_long(17) + message[place + 2 :])


# Runs of strings of one length, of characters that are also length bytes: "\n" of 5, "4" of 26, "@" of 32.
RUNS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 5, 9, 10, 26, 32, 63, 64]), st.integers(1, 40)), min_size=1, max_size=7
)


@st.composite
def strings_in_runs(draw):
    alphabet = draw(st.sampled_from(["a", "abc", "a\n", "a4@", "\0\2\4", "aü"]))
    return tuple(
        "".join(draw(st.lists(st.sampled_from(alphabet), min_size=size, max_size=size)))
        if place < 3
        else f"{place:0{size}d}"[:size]
        for size, count in draw(RUNS)
        for place in range(count)
    )


def outcome(read, raw):
    try:
        return read(raw, 1)
    except (Malformed, IndexError, UnicodeDecodeError) as error:
        return type(error) if not isinstance(error, IndexError | Malformed) else Malformed


@settings(max_examples=200, deadline=None)
@given(strings=strings_in_runs(), data=st.data())
def test_strings_read_in_runs_are_those_read_one_by_one(strings, data):
    raw = b"x" + write_strings(strings)
    assert read_strings(raw + b"tail", 1) == (strings, len(raw))
    one_by_one = read_items(read_string)
    end = data.draw(st.integers(1, len(raw)))
    assert outcome(read_strings, raw[:end]) == outcome(one_by_one, raw[:end])
    place, byte = data.draw(st.integers(1, len(raw) - 1)), data.draw(st.integers(0, 255))
    damaged = raw[:place] + bytes([byte]) + raw[place + 1 :] + b"\0"
    assert outcome(read_strings, damaged) == outcome(one_by_one, damaged)


def golden():
    return schemas.folder().joinpath("golden", "relation-batch-1-2.bin").read_bytes()
