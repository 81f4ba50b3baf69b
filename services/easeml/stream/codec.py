"""Payloads to bytes and back, in the Confluent wire format.

A message is byte 0, a schema id in four bytes (big-endian), and the Avro body. ``encode`` writes with the newest
schema of the payload's type; ``decode`` reads any released version into the newest dataclass. Arrays of a decoded
payload are read-only views of the message.

Any bytes that are not such a message raise ``SchemaError``, never another exception.

>>> from easeml.stream.payloads import Tick
>>> encode(Tick(sequence=3, time=0.5)).hex()
'000000001806000000000000e03f'
>>> decode(encode(Tick(sequence=3, time=0.5)))
Tick(sequence=3, time=0.5)
"""

from __future__ import annotations

import base64
import dataclasses
import math
from functools import cache
from typing import Any, cast

import numpy as np

from easeml.errors import SchemaError
from easeml.stream.blocks import Malformed, Reader, Writer
from easeml.stream.compiled import compile_record
from easeml.stream.payloads import Payload
from easeml.stream.schemas import newest, released

HEADER_BYTES = 5


@cache
def _reader(header: bytes) -> tuple[str, int, Reader]:
    """Return record name, schema id and reader; refused headers are not cached."""
    schema_id = int.from_bytes(header[1:])
    if schema_id not in released():
        raise SchemaError(
            f"Schema id {schema_id} is not released.", mend="Use an id of schemas/registry.lock.json, or upgrade."
        )
    schema = released()[schema_id]
    return schema.document["name"], schema_id, compile_record(schema.document, schema.payload)[0]


@cache
def _writer(kind: type) -> tuple[bytes, Writer]:
    schema = newest(kind)
    written = [field["name"] for field in schema.document["fields"]]
    if written != [member.name for member in dataclasses.fields(kind)]:
        raise SchemaError(
            f"{kind.__name__} and schemas/{schema.subject}/{schema.version}.avsc differ in their fields.",
            mend="Add a version as schemas/README.md says.",
        )
    return b"\0" + schema.id.to_bytes(4), compile_record(schema.document, kind)[1]


def encode(payload: Payload) -> bytes:
    """Return the message of a payload.

    Raises
    ------
    SchemaError
        When a value does not fit its field; names the field.
    """
    kind: type = type(payload)
    header, write = _writer(kind)
    try:
        return header + write(payload)
    except Malformed as error:
        raise SchemaError(
            f"{kind.__name__}{error.path}: {error.what}.", mend="Give a value of the field's type."
        ) from error


def decode(data: bytes) -> Payload:
    """Return the payload of a message.

    Raises
    ------
    SchemaError
        When the bytes are not a message of a released schema; names the record and the field.
    """
    if len(data) < HEADER_BYTES or data[0] != 0:
        raise SchemaError(
            f"A message of {len(data)} bytes that starts with {data[:HEADER_BYTES].hex() or 'nothing'} has no header.",
            mend="Frame it: byte 0, schema id in four bytes big-endian, Avro body.",
        )
    name, schema_id, read = _reader(data[:HEADER_BYTES])
    try:
        payload, end = read(data, HEADER_BYTES)
    except Malformed as error:
        raise SchemaError(
            f"{name}{error.path}: {error.what}.", mend=f"Write the body with schema id {schema_id}."
        ) from error
    if end != len(data):
        raise SchemaError(
            f"{name}: {len(data) - end} bytes follow the record.", mend=f"Write the body with schema id {schema_id}."
        )
    return cast("Payload", payload)


def json_of(payload: Payload) -> dict[str, Any]:
    """Return a payload as JSON-able values, for people: NaN is null, bytes are base64.

    >>> from easeml.stream.payloads import Tick
    >>> json_of(Tick(sequence=3, time=float("nan")))
    {'sequence': 3, 'time': None}
    """
    return {field.name: _plain(getattr(payload, field.name)) for field in dataclasses.fields(payload)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | tuple | list):
        return [_plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value):
        return json_of(cast("Payload", value))
    return str(value) if isinstance(value, str) else value
