"""Hypothesis strategies for every payload, derived from the dataclasses, and a comparison bit by bit."""

from __future__ import annotations

import dataclasses
import struct
import types
import typing
from enum import StrEnum

import numpy as np
from hypothesis import strategies as st

from easeml.stream.payloads import Payload

PAYLOADS = typing.get_args(Payload)
FLOATS = st.floats() | st.sampled_from([0.0, -0.0, float("nan"), float("inf"), float("-inf")])
LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70)
TEXTS = st.text(max_size=80) | st.sampled_from(["", "row-1", "line\nfeed", "ü", "x" * 63, "x" * 64, "\n" * 5])
STRINGS = st.lists(TEXTS, max_size=20).map(tuple) | st.lists(
    st.text("abc\n", min_size=5, max_size=5), min_size=8, max_size=30
).map(tuple)


def strategy(hint):
    if hasattr(hint, "__metadata__"):
        return arrays(hint.__metadata__[0])
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return STRINGS if arguments[0] is str else st.lists(strategy(arguments[0]), max_size=4).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXTS, strategy(arguments[1]), max_size=4)
    if origin in (types.UnionType, typing.Union):
        return st.none() | strategy(next(a for a in arguments if a is not type(None)))
    if dataclasses.is_dataclass(hint):
        return payloads(hint)
    if issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    return {str: TEXTS, bool: st.booleans(), int: LONGS, float: FLOATS, bytes: st.binary(max_size=40)}[hint]


def arrays(kind):
    if kind == "array<double>":
        return st.lists(FLOATS, max_size=20).map(lambda items: np.array(items, np.float64))
    if kind == "array<float>":
        return st.lists(st.floats(width=32), max_size=20).map(lambda items: np.array(items, np.float32))
    dtype = np.dtype(kind[6:-1])
    limits = np.iinfo(dtype)
    return st.lists(st.integers(int(limits.min), int(limits.max)), max_size=20).map(lambda i: np.array(i, dtype))


def payloads(kind):
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: strategy(hint) for name, hint in hints.items()})


def same(left, right):
    """Whether two values are equal bit by bit: NaN equals NaN, 0.0 does not equal -0.0."""
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.tobytes() == right.tobytes()
    if dataclasses.is_dataclass(left):
        names = [field.name for field in dataclasses.fields(left)]
        return type(left) is type(right) and all(same(getattr(left, n), getattr(right, n)) for n in names)
    if isinstance(left, tuple):
        return type(right) is tuple and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, float):
        return struct.pack("<d", left) == struct.pack("<d", right)
    return type(left) is type(right) and left == right


def as_avro(value):
    """The value as a generic Avro library takes it."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype.kind == "f" else value.tobytes()
    if dataclasses.is_dataclass(value):
        return {field.name: as_avro(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [as_avro(item) for item in value]
    if isinstance(value, dict):
        return {key: as_avro(item) for key, item in value.items()}
    return str(value) if isinstance(value, str) else value
