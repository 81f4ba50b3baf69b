"""The Avro specification read literally: whether bytes are a record of a schema, and where its counts stand.

Independent of ``easeml.stream.blocks``: no numpy, no shortcuts, one value after the other. fastavro alone cannot be the
judge, as it lets pass what the specification does not allow: a branch of a union counted from the end, a length below
zero, booleans other than 0 and 1.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from enum import StrEnum

from easeml.stream.schemas import PAYLOADS


class Unfit(Exception):
    """The bytes are not a record of the schema."""


@dataclass
class Found:
    """What a walk saw.

    Parameters
    ----------
    end : int
        Position after the record.
    counts : list of (int, int)
        Start and end of every count and length.
    texts : dict of str to str
        Strings of the outermost record.
    unusual : bool
        Whether an integer takes more bytes than it must: no rule forbids it, and nobody writes it.
    """

    end: int = 0
    counts: list[tuple[int, int]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    unusual: bool = False


def _words(kind, found):
    """Add (record, field) -> the words that its schema's documentation allows."""
    for name, hint in typing.get_type_hints(kind).items():
        inner = next((part for part in typing.get_args(hint) if isinstance(part, type)), hint)
        if isinstance(inner, type) and issubclass(inner, StrEnum):
            found[kind.__name__, name] = frozenset(inner)
        elif dataclasses.is_dataclass(inner):
            _words(inner, found)


WORDS: dict[tuple[str, str], frozenset[str]] = {}
for _kind in PAYLOADS.values():
    _words(_kind, WORDS)


def _named(schema: typing.Any) -> typing.Iterator[tuple[str, dict]]:
    """Yield the records of a schema by name: one is written out where it comes first, and named from then on."""
    if isinstance(schema, dict):
        if schema.get("type") == "record":
            yield schema["name"], schema
        for inner in schema.values():
            yield from _named(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _named(inner)


_known: dict[int, tuple[dict, dict[str, dict]]] = {}
"""Identity of a schema -> the schema, which keeps the identity its own, and its records by name."""


def _names(schema: dict) -> dict[str, dict]:
    if id(schema) not in _known:
        _known[id(schema)] = schema, dict(_named(schema))
    return _known[id(schema)][1]


class Walk:
    """One walk over a record's bytes."""

    def __init__(self, data: bytes, schema: dict, at: int = 0) -> None:
        self.data = data
        self.names = _names(schema)
        self.found = Found()
        self.found.end = self._value(schema, at, "")

    def _number(self, at: int) -> tuple[int, int]:
        code, shift, start = 0, 0, at
        while True:
            if at >= len(self.data) or at - start == 10:
                raise Unfit("an integer does not end")
            byte = self.data[at]
            code |= (byte & 127) << shift
            shift, at = shift + 7, at + 1
            if byte < 128:
                break
        if code >> 64:
            raise Unfit("an integer of more than 64 bits")
        self.found.unusual |= at - start > 1 and byte == 0
        return (code >> 1) ^ -(code & 1), at

    def _count(self, at: int) -> tuple[int, int]:
        number, end = self._number(at)
        self.found.counts.append((at, end))
        return number, end

    def _value(self, schema: typing.Any, at: int, name: str) -> int:
        if isinstance(schema, list):
            branch, at = self._number(at)
            if not 0 <= branch < len(schema):
                raise Unfit("a branch that is none")
            return self._value(schema[branch], at, name)
        kind = schema if isinstance(schema, str) else schema["type"]
        if kind in self.names:
            return self._value(self.names[kind], at, name)
        return getattr(self, f"_{kind}")(schema, at, name)

    def _null(self, schema: typing.Any, at: int, name: str) -> int:
        return at

    def _boolean(self, schema: typing.Any, at: int, name: str) -> int:
        if self._fixed(at, 1)[0] > 1:
            raise Unfit("a boolean that is none")
        return at + 1

    def _double(self, schema: typing.Any, at: int, name: str) -> int:
        self._fixed(at, 8)
        return at + 8

    def _float(self, schema: typing.Any, at: int, name: str) -> int:
        self._fixed(at, 4)
        return at + 4

    def _fixed(self, at: int, size: int) -> bytes:
        if at + size > len(self.data):
            raise Unfit("the bytes end")
        return self.data[at : at + size]

    def _bytes(self, schema: typing.Any, at: int, name: str) -> int:
        size, at = self._count(at)
        if size < 0:
            raise Unfit("a length below zero")
        self._fixed(at, size)
        if isinstance(schema, dict) and "dtype" in schema and size % int(schema["dtype"][-1]):
            raise Unfit("bytes that are no whole number of integers")
        return at + size

    def _string(self, schema: typing.Any, at: int, name: str) -> int:
        end = self._bytes("bytes", at, name)
        start = self.found.counts[-1][1]
        try:
            text = self.data[start:end].decode()
        except UnicodeDecodeError as error:
            raise Unfit("a string that is not UTF-8") from error
        if name:
            record, _, member = name.rpartition(".")
            if text not in WORDS.get((record, member), (text,)):
                raise Unfit("a word that the schema does not know")
            self.found.texts.setdefault(member, text)
        return end

    def _long(self, schema: typing.Any, at: int, name: str) -> int:
        return self._number(at)[1]

    def _enum(self, schema: typing.Any, at: int, name: str) -> int:
        place, at = self._number(at)
        if not 0 <= place < len(schema["symbols"]):
            raise Unfit("a symbol that is none")
        return at

    def _record(self, schema: typing.Any, at: int, name: str) -> int:
        for member in schema["fields"]:
            at = self._value(member["type"], at, f"{schema['name']}.{member['name']}")
        return at

    def _array(self, schema: typing.Any, at: int, name: str) -> int:
        return self._blocks(at, lambda place: self._value(schema["items"], place, name))

    def _map(self, schema: typing.Any, at: int, name: str) -> int:
        return self._blocks(at, lambda place: self._value(schema["values"], self._string("string", place, ""), ""))

    def _blocks(self, at: int, item: typing.Callable[[int], int]) -> int:
        while True:
            count, at = self._count(at)
            if count == 0:
                return at
            end = None
            if count < 0:
                count = -count
                size, at = self._count(at)
                end = at + size
            if count > len(self.data) - at:
                raise Unfit("more items than bytes")
            for _ in range(count):
                at = item(at)
            if end is not None and end != at:
                raise Unfit("a block of another size")


def walk(data: bytes, schema: dict, at: int = 0) -> Found:
    """Return what a record holds.

    Raises
    ------
    Unfit
        When the bytes from ``at`` on are not a record of the schema.
    """
    return Walk(data, schema, at).found
