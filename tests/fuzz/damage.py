"""Ways to damage a sound message: its bytes, its counts, its envelope, or what it says."""

from __future__ import annotations

import dataclasses
import random
import typing
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np
from avro_rules import Unfit, walk

from easeml.errors import SchemaError
from easeml.stream import codec
from easeml.stream.blocks import write_long
from easeml.stream.messages import Record
from easeml.stream.schemas import released

Damage = Callable[[random.Random, Record, Sequence[Record]], Record]

LONGS = (-(2**63), -(2**40), -(2**31), -70, -2, -1, 0, 1, 2, 63, 64, 2**31 - 1, 2**31, 2**40, 2**63 - 1)
DOUBLES = (float("nan"), float("inf"), float("-inf"), -0.0, -1.0, 1e-320, 0.5, 2.0, 1e9, 1e300, -1e300, 1.7e308)
TEXTS = ("", " ", "\0", "a\nb", "x" * 70, "x" * 5000, "ü" * 40, "\u202e", "null", "NaN", "-1", "{}", "[" * 900, "../x")
TIMES = (
    b"0001-01-01T00:00:00+23:59",
    b"9999-12-31T23:59:59.999999-23:59",
    b"1969-12-31T23:59:59Z",
    b"2024-02-30T00:00:00Z",
    b"2024-01-01T24:00:00Z",
    b"20240101T000000Z",
    b"2024-01-01",
    b"now",
    b"",
)
STAMPS = (-(2**63), -1, 0, 1, 253_402_300_800_000, 2**53, 2**62, 2**63 - 1)


# -- bytes -----------------------------------------------------------------------------------------------------------


def scrambled(rng: random.Random, data: bytes) -> bytes:
    """Flip, set, cut out, put in or double some bytes."""
    value = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
        place = rng.randrange(len(value) + 1)
        size = rng.choice((1, 1, 2, 8, 100))
        match rng.randrange(5) if place < len(value) else 3:
            case 0:
                value[place] ^= 1 << rng.randrange(8)
            case 1:
                value[place] = rng.choice((0, 1, 2, 127, 128, 255, rng.randrange(256)))
            case 2:
                del value[place : place + size]
            case 3:
                value[place:place] = rng.randbytes(size)
            case _:
                value[place:place] = value[place : place + size]
    return bytes(value)


def _bytes(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    return replace(record, value=scrambled(rng, record.value or b""))


def _cut(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    value = record.value or b""
    return replace(record, value=value[: rng.randrange(len(value) + 1)])


def _splice(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    """Begin as one message and end as another, with the identity of either."""
    mine, other = record.value or b"", rng.choice(others).value or b""
    value = mine[: rng.randrange(len(mine) + 1)] + other[rng.randrange(len(other) + 1) :]
    return replace(record, value=value)


def _schema_id(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    number = rng.choice((*released(), 0, 2**32 - 1, rng.randrange(2**32)))
    magic = rng.choice((0, 0, 0, 1, 255))
    headers = () if rng.random() < 0.7 else record.headers
    return replace(record, value=bytes([magic]) + number.to_bytes(4) + (record.value or b"")[5:], headers=headers)


def _counts(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    """Let a count or a length claim what is not there."""
    value = record.value or b""
    try:
        places = walk(value, released()[int.from_bytes(value[1:5])].document, 5).counts
    except (Unfit, KeyError):
        return _cut(rng, record, others)
    if not places:
        return _bytes(rng, record, others)
    start, end = rng.choice(places)
    claim = write_long(rng.choice(LONGS))
    if rng.random() < 0.2:
        claim = b"\xff" * rng.choice((9, 10, 40)) + b"\x01"
    return replace(record, value=value[:start] + claim + value[end:])


def _noise(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    body = rng.randbytes(rng.choice((0, 1, 4, 5, 50, 2000)))
    value = rng.choice((body, (record.value or b"")[:5] + body, b"[" * 3000, b'{"a":' * 500, b"\0" * len(body)))
    return replace(record, value=value)


def _too_large(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    return replace(record, value=(record.value or b"") + bytes(1_000_000))


# -- envelope --------------------------------------------------------------------------------------------------------


def _headers(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    pairs = list(record.headers)
    place = rng.randrange(len(pairs)) if pairs else 0
    name = pairs[place][0] if pairs else "ce_id"
    match rng.randrange(7) if pairs else 5:
        case 0:
            del pairs[place]
        case 1:
            pairs[place] = (name, b"")
        case 2:
            pairs[place] = (name, rng.choice((b"\xff\xfe", rng.randbytes(8), b"a\nb", b"x" * 201, b"x" * 100_000)))
        case 3:
            pairs[place] = (name, dict(rng.choice(others).headers).get(name, b"?"))
        case 4:
            pairs = [(key, rng.choice(TIMES)) if key == "ce_time" else (key, text) for key, text in pairs]
        case 5:
            pairs.append((rng.choice((name, name.upper(), "ce_x", "y" * 300, "")), rng.randbytes(rng.choice((0, 9)))))
        case _:
            pairs += [(f"h{number}", b"x" * 50) for number in range(rng.choice((10, 2000)))]
    return replace(record, headers=tuple(pairs))


def _key(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    return replace(record, key=rng.choice((None, b"", b"\xff\xfe", rng.randbytes(12), b"k" * 100_000)))


def _tombstone(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    return replace(record, value=None)


def _place(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    """Bring the message to another partition, or to another topic."""
    if rng.random() < 0.5:
        return replace(record, partition=1 - record.partition)
    return replace(record, topic=rng.choice(others).topic)


def _stamp(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    """Let the producer's clock show anything, in a message that says no time itself."""
    return replace(record, timestamp_ms=rng.choice(STAMPS), headers=())


# -- content ---------------------------------------------------------------------------------------------------------


def _content(rng: random.Random, record: Record, others: Sequence[Record]) -> Record:
    """Let one or two fields hold anything that the schema allows."""
    try:
        data = codec.decode(record.value or b"")
    except SchemaError:
        return _bytes(rng, record, others)
    fields = [member.name for member in dataclasses.fields(data)]
    for name in rng.sample(fields, min(len(fields), rng.choice((1, 1, 2)))):
        hint = _hints(type(data))[name]
        data = replace(data, **{name: _other(rng, getattr(data, name), hint)})
    return replace(record, value=codec.encode(data), headers=_fresh(rng, record.headers))


def _fresh(rng: random.Random, headers: tuple[tuple[str, bytes], ...]) -> tuple[tuple[str, bytes], ...]:
    """Give the message an identity of its own, so that it does not count as a repetition."""
    return tuple((name, b"fuzz-%032x" % rng.getrandbits(128) if name == "ce_id" else text) for name, text in headers)


_known: dict[type, dict[str, typing.Any]] = {}


def _hints(kind: type) -> dict[str, typing.Any]:
    if kind not in _known:
        _known[kind] = typing.get_type_hints(kind, include_extras=True)
    return _known[kind]


def _other(rng: random.Random, value: typing.Any, hint: typing.Any) -> typing.Any:
    if isinstance(value, np.ndarray):
        return _array(rng, value)
    if dataclasses.is_dataclass(value):
        name = rng.choice([member.name for member in dataclasses.fields(value)])
        return replace(value, **{name: _other(rng, getattr(value, name), _hints(type(value))[name])})
    if isinstance(value, tuple):
        return _items(rng, value, hint)
    if isinstance(value, dict):
        return _entries(rng, value, hint)
    inner = next((part for part in typing.get_args(hint) if part is not type(None)), hint)
    if inner is not hint and rng.random() < 0.3:
        return None
    if isinstance(inner, type) and issubclass(inner, StrEnum):
        return rng.choice(list(inner))
    return rng.choice(_anything(rng, value, inner))


def _anything(rng: random.Random, value: typing.Any, kind: type) -> Sequence[typing.Any]:
    """Return values of a plain type, most of them extreme."""
    if kind is bool:
        return (True, False)
    if kind is int:
        near = () if value is None else (max(value - 1, LONGS[0]), min(value + 1, LONGS[-1]))
        return (*LONGS, *near)
    if kind is float:
        return (*DOUBLES, -(value or 1.0), (value or 1.0) * 3)
    if kind is str:
        return (*TEXTS, f"{value}x")
    return (b"", b"\0", rng.randbytes(40), value[: len(value) // 2])


def _array(rng: random.Random, array: np.ndarray) -> np.ndarray:
    """Return an array of the same type: other values, another length, another order."""
    array = array.copy()
    anything = DOUBLES if array.dtype.kind == "f" else [n for n in LONGS if -(2**31) <= n < 2**31]
    match rng.randrange(7) if array.size else 6:
        case 0 | 1:
            with np.errstate(over="ignore"):
                array[rng.randrange(array.size)] = rng.choice(anything)
        case 2:
            array = array[: rng.randrange(array.size + 1)]
        case 3:
            array = array[::-1].copy()
        case 4:
            with np.errstate(over="ignore"):
                array = np.full_like(array, rng.choice(anything))
        case 5:
            array = np.concatenate([array, array])
        case _:
            array = np.full(rng.choice((0, 1, 3, 5000)), rng.choice((0, 1, -1)), array.dtype)
    return array


def _items(rng: random.Random, items: tuple, hint: typing.Any) -> tuple:
    inner = typing.get_args(hint)[0]
    place = rng.randrange(len(items)) if items else 0
    match rng.randrange(6) if items else 5:
        case 0:
            return items[:place]
        case 1:
            return (*items[:place], items[0], *items[place + 1 :])
        case 2:
            return items[::-1]
        case 3:
            return items * 2
        case 4:
            return (*items[:place], _other(rng, items[place], inner), *items[place + 1 :])
        case _:
            return tuple(rng.choice(TEXTS) for _ in range(rng.choice((0, 1, 900)))) if inner is str else ()


def _entries(rng: random.Random, entries: dict, hint: typing.Any) -> dict:
    inner = typing.get_args(hint)[1]
    sample: typing.Any = {int: 0, float: 0.0, str: ""}.get(inner, "")
    name = rng.choice([*entries, *TEXTS])
    if name in entries and rng.random() < 0.3:
        return {key: value for key, value in entries.items() if key != name}
    return entries | {name: _other(rng, entries.get(name, sample), inner)}


DAMAGES: dict[str, tuple[Damage, int]] = {
    "bytes": (_bytes, 30),
    "cut": (_cut, 8),
    "splice": (_splice, 8),
    "schema id": (_schema_id, 8),
    "counts": (_counts, 16),
    "noise": (_noise, 4),
    "too large": (_too_large, 1),
    "headers": (_headers, 12),
    "key": (_key, 3),
    "tombstone": (_tombstone, 1),
    "place": (_place, 4),
    "stamp": (_stamp, 2),
    "content": (_content, 20),
}
"""Name -> how to damage a message, and how often."""


def damaged(rng: random.Random, record: Record, others: Sequence[Record]) -> tuple[str, Record]:
    """Return a kind of damage and the message that suffered it."""
    (kind,) = rng.choices(list(DAMAGES), [weight for _, weight in DAMAGES.values()])
    return kind, DAMAGES[kind][0](rng, record, others)
