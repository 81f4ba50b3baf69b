"""Avro records as compiled readers and writers of the payload dataclasses.

A schema and its dataclass are compiled once to plain functions over bytes. A generic Avro library is as fast on control
events and 15 times slower on row batches (``tests/benchmarks/bench_codec.py``), and it cannot say which field is broken
or hold counts against the bytes that are left. The bytes are those of any other Avro writer; tests hold both directions
to fastavro, byte by byte.

Versions: bytes are read with the schema they were written with. Fields that the dataclass no longer has are dropped,
fields it has since gained take their default. The compatibility rule (``schemas/README.md``) allows nothing else.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from easeml.stream.blocks import (
    Malformed,
    Reader,
    Writer,
    read_boolean,
    read_bytes,
    read_double,
    read_integers,
    read_items,
    read_long,
    read_map,
    read_numbers,
    read_string,
    read_strings,
    write_boolean,
    write_bytes,
    write_double,
    write_integers,
    write_items,
    write_long,
    write_map,
    write_numbers,
    write_string,
    write_strings,
)

Pair = tuple[Reader, Writer]
Names = dict[str, dict[str, Any]]

_PLAIN: dict[str, Pair] = {
    "string": (read_string, write_string),
    "long": (read_long, write_long),
    "double": (read_double, write_double),
    "boolean": (read_boolean, write_boolean),
    "bytes": (read_bytes, write_bytes),
}
_FLOATS: dict[str, np.dtype[Any]] = {"double": np.dtype("<f8"), "float": np.dtype("<f4")}
_REMEMBERED, _REMEMBERED_BYTES, _KEY_BYTES = 128, 32_768, 48


def compile_record(schema: dict[str, Any], kind: type) -> Pair:
    """Return reader and writer of a record.

    Parameters
    ----------
    schema : dict
        Avro schema the bytes are written with.
    kind : type
        Dataclass to read into; the writer takes its instances and asks for the newest schema.
    """
    return _record(schema, kind, {})


def _record(schema: dict[str, Any], kind: Any, names: Names) -> Pair:
    """Compile a record; without ``kind`` it is a nested one of an old version, read only to be dropped."""
    names[schema["name"]] = schema
    hints = {} if kind is None else get_type_hints(kind, include_extras=True)
    fields = schema["fields"]
    pairs = [_typed(field["type"], hints.get(field["name"]), names) for field in fields]
    write = _write_record([(field["name"], pair[1]) for field, pair in zip(fields, pairs, strict=True)], kind)
    read = _read_fields(fields, [pair[0] for pair in pairs])
    if kind is None:
        return read, write
    written = [field["name"] for field in fields]
    if written == [member.name for member in dataclasses.fields(kind)]:
        return _read_same(read, kind), write
    return _read_older(read, written, kind), write


def _read_fields(fields: list[dict[str, Any]], reads: list[Reader]) -> Reader:
    """Return the reader of a record's values, in order of the schema.

    What a batch repeats, the texts before its columns and the columns, is remembered together.
    """
    head = next((place for place, field in enumerate(fields) if not _is_small(field["type"])), 0)
    if head == 0 or not _is_remembered(fields[head]["type"]):
        return _read_values(fields, reads)
    read_head = _remember_read(_read_values(fields[: head + 1], reads[: head + 1]))
    read_tail = _read_values(fields[head + 1 :], reads[head + 1 :])

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        first, at = read_head(data, at)
        rest, at = read_tail(data, at)
        return first + rest, at

    return read


def _read_values(fields: list[dict[str, Any]], reads: list[Reader]) -> Reader:
    """Return the reader of fields; a run of empty blocks, one zero byte each, is taken in one step."""
    names = [field["name"] for field in fields]
    empty = [read(b"\0", 0)[0] if _is_block(field["type"]) else None for field, read in zip(fields, reads, strict=True)]
    # How many blocks follow each other from here on.
    blocks = [0] * (len(fields) + 1)
    for place in reversed(range(len(fields))):
        blocks[place] = blocks[place + 1] + 1 if _is_block(fields[place]["type"]) else 0

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        values: list[Any] = []
        try:
            while (place := len(values)) < len(reads):
                if blocks[place] and not data[at]:
                    zeros = data[at : at + blocks[place]]
                    count = len(zeros) - len(zeros.lstrip(b"\0"))
                    values += empty[place : place + count]
                    at += count
                else:
                    value, at = reads[place](data, at)
                    values.append(value)
        except Malformed as error:
            raise Malformed(error.what, f".{names[len(values)]}{error.path}") from error
        except UnicodeDecodeError as error:
            raise Malformed("bytes are not UTF-8", f".{names[len(values)]}") from error
        except (IndexError, struct.error) as error:
            raise Malformed("the message ends here", f".{names[len(values)]}") from error
        return values, at

    return read


def _read_same(read_values: Reader, kind: Any) -> Reader:
    """Return the reader of a dataclass whose fields are those of the schema.

    A frozen dataclass sets each field through ``object.__setattr__``. A plain twin with the same slots is filled five
    times faster and then becomes an instance of ``kind``: Python allows that for classes of one layout.
    """
    names = [member.name for member in dataclasses.fields(kind)]
    twin: Any = dataclasses.make_dataclass(kind.__name__, names, slots=True)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        values, at = read_values(data, at)
        record = twin(*values)
        record.__class__ = kind
        return record, at

    return read


def _read_older(read_values: Reader, written: list[str], kind: Any) -> Reader:
    members = dataclasses.fields(kind)
    known = {member.name for member in members}
    # An optional field without a default in the dataclass has null as its default in the schema.
    nulls = {
        member.name: None
        for member in members
        if member.name not in written
        and member.default is dataclasses.MISSING
        and member.default_factory is dataclasses.MISSING
    }

    def read(data: bytes, at: int) -> tuple[Any, int]:
        values, at = read_values(data, at)
        named = {name: value for name, value in zip(written, values, strict=True) if name in known}
        return kind(**nulls, **named), at

    return read


def _write_record(writes: list[tuple[str, Writer]], kind: Any) -> Writer:
    def write(value: Any) -> bytes:
        if type(value) is not kind:
            raise Malformed(f"{value!r} is not a {kind.__name__}")
        out = []
        for name, write_field in writes:
            try:
                out.append(write_field(getattr(value, name)))
            except Malformed as error:
                raise Malformed(error.what, f".{name}{error.path}") from error
            except (TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
                raise Malformed(str(error), f".{name}") from error
        return b"".join(out)

    return write


def _typed(schema: Any, hint: Any, names: Names) -> Pair:
    """Compile a type; without ``hint`` the value is read only to be dropped."""
    if isinstance(schema, str):
        if schema in names:
            return _record(names[schema], hint, names)
        pair = _PLAIN[schema]
        return _string_enum(hint, pair) if isinstance(hint, type) and issubclass(hint, StrEnum) else pair
    if isinstance(schema, list):
        return _optional(_typed(schema[1], _inner(hint), names))
    kind = schema["type"]
    if kind == "record":
        return _record(schema, hint, names)
    if kind == "enum":
        return _enum(schema["symbols"], hint or str)
    if kind == "map":
        read, write = _typed(schema["values"], _inner(hint), names)
        return read_map(read), write_map(write)
    if kind == "array":
        return _array(schema["items"], _inner(hint), names)
    dtype = np.dtype(schema["dtype"])
    return read_integers(dtype), write_integers(dtype)


def _array(items: Any, hint: Any, names: Names) -> Pair:
    if items == "string":
        return read_strings, write_strings
    if isinstance(items, str) and items in _FLOATS:
        return read_numbers(_FLOATS[items]), write_numbers(_FLOATS[items])
    read, write = _typed(items, hint, names)
    pair = read_items(read), write_items(write)
    if _is_remembered({"type": "array", "items": items}):
        return _remember_read(pair[0]), _remember_write(pair[1])
    return pair


def _is_small(schema: Any) -> bool:
    if isinstance(schema, dict) and schema["type"] == "array":
        return schema["items"] in ("string", "long")
    return schema in ("string", "long")


def _is_remembered(schema: Any) -> bool:
    items = schema["items"] if isinstance(schema, dict) and schema["type"] == "array" else None
    return isinstance(items, dict) and all(_is_small(field["type"]) for field in items.get("fields", ()))


def _is_block(schema: Any) -> bool:
    """Whether a value is a block of items or bytes: empty, it is immutable and one zero byte."""
    return schema == "bytes" or (isinstance(schema, dict) and schema["type"] in ("array", "bytes"))


def _inner(hint: Any) -> Any:
    """Return the item type of ``tuple[X, ...]``, the value type of ``dict[str, X]``, the X of ``X | None``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        return arguments[0]
    if origin is dict:
        return arguments[1]
    if origin in (UnionType, Union):
        return next(argument for argument in arguments if argument is not type(None))
    if origin is Annotated or hint is None:
        return None
    raise TypeError(f"{hint!r} has no Avro form")


def _optional(pair: Pair) -> Pair:
    read_value, write_value = pair

    def read(data: bytes, at: int) -> tuple[Any, int]:
        branch = data[at]
        if branch == 0:
            return None, at + 1
        if branch != 2:
            raise Malformed(f"branch {branch} of an optional value")
        return read_value(data, at + 1)

    def write(value: Any) -> bytes:
        return b"\0" if value is None else b"\2" + write_value(value)

    return read, write


def _string_enum(kind: type[StrEnum], pair: Pair) -> Pair:
    members = {member.value: member for member in kind}

    def read(data: bytes, at: int) -> tuple[Any, int]:
        text, at = read_string(data, at)
        member = members.get(text)
        if member is None:
            raise Malformed(f"{text[:40]!r} is not one of {', '.join(members)}")
        return member, at

    def write(value: Any) -> bytes:
        if value not in members:
            raise Malformed(f"{value!r} is not one of {', '.join(members)}")
        return pair[1](value)

    return read, write


def _enum(symbols: list[str], kind: Callable[[str], Any]) -> Pair:
    members = [kind(symbol) for symbol in symbols]
    codes = {member: write_long(code) for code, member in enumerate(members)}

    def read(data: bytes, at: int) -> tuple[Any, int]:
        code, at = read_long(data, at)
        if not 0 <= code < len(members):
            raise Malformed(f"symbol {code} of an enum of {len(members)}")
        return members[code], at

    def write(value: Any) -> bytes:
        if value not in codes:
            raise Malformed(f"{value!r} is not one of {', '.join(symbols)}")
        return codes[value]

    return read, write


def _remember_read(read: Reader) -> Reader:
    """Remember decoded arrays of small immutable records: every batch of an app repeats its columns.

    An encoded array delimits itself, so bytes that start with one decoded before decode to the same value.
    """
    known: dict[bytes, tuple[bytes, Any]] = {}

    def read_known(data: bytes, at: int) -> tuple[Any, int]:
        key = data[at : at + _KEY_BYTES]
        hit = known.get(key)
        if hit is not None and data.startswith(hit[0], at):
            return hit[1], at + len(hit[0])
        value, end = read(data, at)
        if end - at <= _REMEMBERED_BYTES:
            if len(known) >= _REMEMBERED:
                known.clear()
            known[key] = (data[at:end], value)
        return value, end

    return read_known


def _remember_write(write: Writer) -> Writer:
    """Remember encoded tuples by identity; the reference kept here keeps the identity from being reused."""
    known: dict[int, tuple[Any, bytes]] = {}

    def write_known(value: Any) -> bytes:
        hit = known.get(id(value))
        if hit is not None and hit[0] is value:
            return hit[1]
        raw = write(value)
        if isinstance(value, tuple) and len(raw) <= _REMEMBERED_BYTES:
            if len(known) >= _REMEMBERED:
                known.clear()
            known[id(value)] = (value, raw)
        return raw

    return write_known
