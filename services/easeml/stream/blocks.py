"""Avro primitives and blocks of numbers and strings, read from and written to bytes.

A reader takes ``(data, position)`` and returns ``(value, position after it)``; a writer takes a value and returns
its bytes. An Avro array is a sequence of blocks: a zig-zag count and that many items, closed by a count of 0; a
negative count is followed by the byte length of its block. Items of ``array<double>`` are raw little-endian, so numpy
takes the whole block as it lies (a read-only view, possibly unaligned: copy it once before heavy computation).

Counts and lengths are held against the bytes that are left before anything is allocated. Readers raise ``Malformed``,
``IndexError``, ``struct.error`` or ``UnicodeDecodeError``; the record around them says where.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Reader = Callable[[bytes, int], tuple[Any, int]]
Writer = Callable[[Any], bytes]

_DOUBLE = struct.Struct("<d")
_SHORT = [bytes([code]) for code in range(128)]
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
# A string shorter than 64 bytes has a length of one byte; only long lists repay the set-up of a block.
_SHORT_STRING, _MANY = 64, 8
# Counted ids change their length at 9, 99, 999: more runs of one length than this are no counter.
_RUNS = 4


class Malformed(ValueError):  # noqa: N818 - becomes a SchemaError, which says where
    """Bytes or a value that do not fit their Avro type.

    Parameters
    ----------
    what : str
        What is wrong.
    path : str
        Field path below the record, e.g. ``.columns[2].name``.
    """

    def __init__(self, what: str, path: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.path = path


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Read a zig-zag varint of at most 64 bits."""
    code = data[at]
    at += 1
    if code > 127:
        shift, code = 7, code & 127
        while (byte := data[at]) > 127:
            code |= (byte & 127) << shift
            shift += 7
            at += 1
            if shift > 63:
                raise Malformed("an integer is longer than 64 bits")
        code |= byte << shift
        at += 1
        if code >> 64:
            raise Malformed("an integer is longer than 64 bits")
    return (code >> 1) ^ -(code & 1), at


def write_long(value: Any) -> bytes:
    """Write an integer as zig-zag varint."""
    number = operator.index(value)
    if -64 <= number < 64:
        return _SHORT[(number << 1) ^ (number >> 63)]
    if not _LONG_MIN <= number <= _LONG_MAX:
        raise Malformed(f"{number} needs more than 64 bits")
    code = (number << 1) ^ (number >> 63)
    out = bytearray()
    while code > 127:
        out.append(code & 127 | 128)
        code >>= 7
    out.append(code)
    return bytes(out)


def read_double(data: bytes, at: int) -> tuple[float, int]:
    """Read eight bytes, little-endian."""
    return _DOUBLE.unpack_from(data, at)[0], at + 8


def write_double(value: Any) -> bytes:
    """Write eight bytes, little-endian."""
    return _DOUBLE.pack(value)


def read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    """Read one byte, 0 or 1."""
    code = data[at]
    if code > 1:
        raise Malformed(f"{code} is not a boolean")
    return code == 1, at + 1


def write_boolean(value: Any) -> bytes:
    """Write one byte, 0 or 1."""
    if not isinstance(value, bool | np.bool_):
        raise Malformed(f"{value!r} is not a boolean")
    return _SHORT[bool(value)]


def _span(data: bytes, at: int) -> tuple[int, int]:
    length, at = read_long(data, at)
    end = at + length
    if length < 0 or end > len(data):
        raise Malformed(f"a length of {length} bytes, but {len(data) - at} are left")
    return at, end


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Read a length and that many bytes."""
    start, end = _span(data, at)
    return data[start:end], end


def write_bytes(value: Any) -> bytes:
    """Write a length and the bytes."""
    raw = bytes(memoryview(value))
    return write_long(len(raw)) + raw


def read_string(data: bytes, at: int) -> tuple[str, int]:
    """Read a length and that many bytes of UTF-8."""
    code = data[at]
    end = at + 1 + (code >> 1)
    if not code & 129 and end <= len(data):
        return data[at + 1 : end].decode(), end
    start, end = _span(data, at)
    return data[start:end].decode(), end


def write_string(value: Any) -> bytes:
    """Write a length and the UTF-8 bytes."""
    if not isinstance(value, str):
        raise Malformed(f"{value!r} is not a string")
    raw = value.encode()
    return write_long(len(raw)) + raw


def read_counts(data: bytes, at: int, item_bytes: int) -> Generator[tuple[int, int], int, None]:
    """Yield item count and start of every block; the caller sends the end of the block's items.

    Ends by yielding a count of 0 with the position after the array. ``item_bytes`` is the least an item can take.
    """
    while True:
        count, at = read_long(data, at)
        length = None
        if count < 0:
            count = -count
            length, at = read_long(data, at)
        if count * item_bytes > len(data) - at:
            raise Malformed(f"a count of {count} items, but {len(data) - at} bytes are left")
        end = yield count, at
        if count == 0:
            return
        if length is not None and end != at + length:
            raise Malformed(f"a block of {length} bytes holds {end - at}")
        at = end


def read_items(read: Reader) -> Reader:
    """Return the reader of an array of items, as a tuple."""

    def read_array(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        items: list[Any] = []
        blocks = read_counts(data, at, 1)
        count, at = next(blocks)
        while count:
            for _ in range(count):
                try:
                    item, at = read(data, at)
                except Malformed as error:
                    raise Malformed(error.what, f"[{len(items)}]{error.path}") from error
                items.append(item)
            count, at = blocks.send(at)
        return tuple(items), at

    return read_array


def write_items(write: Writer) -> Writer:
    """Return the writer of an array of items."""

    def write_array(value: Iterable[Any]) -> bytes:
        if isinstance(value, str | bytes | Mapping):
            raise Malformed(f"{value!r} is not a sequence of items")
        items = [write(item) for item in value]
        return b"".join((write_long(len(items)), *items, b"\0")) if items else b"\0"

    return write_array


def read_strings(data: bytes, at: int) -> tuple[tuple[str, ...], int]:
    """Read an array of strings.

    Row ids are a hundred short strings a message, most of one length. Where a string with length byte ``c`` starts and
    another ``c`` follows after every ``1 + length`` bytes, those are the length bytes of strings of that length: such
    a run is split at ``c`` in one go, up to six times faster than one by one.
    """
    count, end = read_long(data, at)
    if count < _MANY or count > len(data) - end:
        return _read_strings(data, at)
    strings: list[str] = []
    left = count
    for _ in range(_RUNS):
        code = data[end]
        stride = 1 + (code >> 1)
        lengths = data[end : end + stride * left : stride]
        run = len(lengths) - len(lengths.lstrip(lengths[:1]))
        stop = end + stride * run
        if code & 129 or stop >= len(data):
            break
        part = data[end + 1 : stop].decode().split(chr(code), run)
        if len(part) != run:  # a string holds the character of its length byte
            break
        strings = strings + part if strings else part
        left -= run
        end = stop
        if not left:
            return (tuple(strings), end + 1) if not data[end] else _read_strings(data, at)
    return _read_lines(data, at)


def _read_lines(data: bytes, at: int) -> tuple[tuple[str, ...], int]:
    """Read an array of short strings: length bytes are turned into line feeds, the block is decoded and split."""
    count, start = read_long(data, at)
    block = bytearray(data[start : start + count * _SHORT_STRING])
    end = 0
    for _ in range(count):
        if end >= len(block) or (code := block[end]) & 129:
            return _read_strings(data, at)
        block[end] = 10
        end += 1 + (code >> 1)
    strings = block[1:end].decode().split("\n")
    if len(strings) != count or start + end >= len(data) or data[start + end]:
        return _read_strings(data, at)
    return tuple(strings), start + end + 1


_read_strings = read_items(read_string)
_write_strings = write_items(write_string)


def write_strings(value: Any) -> bytes:
    """Write an array of strings; short ones in one go."""
    if not isinstance(value, tuple | list) or not all(isinstance(item, str) for item in value):
        return _write_strings(value)
    items = [item.encode() for item in value]
    if not items or max(map(len, items)) >= _SHORT_STRING:
        return _write_strings(value)
    return b"".join((write_long(len(items)), *[_SHORT[2 * len(item)] + item for item in items], b"\0"))


def read_map(read: Reader) -> Reader:
    """Return the reader of a map from strings."""

    def read_entries(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        entries: dict[str, Any] = {}
        blocks = read_counts(data, at, 2)
        count, at = next(blocks)
        while count:
            for _ in range(count):
                key, at = read_string(data, at)
                try:
                    entries[key], at = read(data, at)
                except Malformed as error:
                    raise Malformed(error.what, f"[{key!r}]{error.path}") from error
            count, at = blocks.send(at)
        return entries, at

    return read_entries


def write_map(write: Writer) -> Writer:
    """Return the writer of a map from strings."""

    def write_entries(value: Mapping[str, Any]) -> bytes:
        entries = [write_string(key) + write(item) for key, item in value.items()]
        return b"".join((write_long(len(entries)), *entries, b"\0")) if entries else b"\0"

    return write_entries


def read_numbers(dtype: np.dtype[Any]) -> Reader:
    """Return the reader of ``array<double>`` or ``array<float>``: a read-only view of the message."""
    size = dtype.itemsize
    empty = np.frombuffer(b"", dtype)

    def read_array(data: bytes, at: int) -> tuple[NDArray[Any], int]:
        count, start = read_long(data, at)
        end = start + count * size
        if count > 0 and end < len(data) and not data[end]:
            return np.frombuffer(data, dtype, count, start), end + 1
        parts = []
        blocks = read_counts(data, at, size)
        count, at = next(blocks)
        while count:
            parts.append(np.frombuffer(data, dtype, count, at))
            count, at = blocks.send(at + count * size)
        if len(parts) == 1:
            return parts[0], at
        joined = np.concatenate(parts) if parts else empty
        joined.flags.writeable = False
        return joined, at

    return read_array


def write_numbers(dtype: np.dtype[Any]) -> Writer:
    """Return the writer of ``array<double>`` or ``array<float>``: one block."""

    def write_array(value: Any) -> bytes:
        array = _cast(value, dtype, "iuf")
        return b"".join((write_long(array.size), array.tobytes(), b"\0")) if array.size else b"\0"

    return write_array


def read_integers(dtype: np.dtype[Any]) -> Reader:
    """Return the reader of integers in ``bytes``: a read-only view of the message."""
    size = dtype.itemsize

    def read_array(data: bytes, at: int) -> tuple[NDArray[Any], int]:
        start, end = _span(data, at)
        count, rest = divmod(end - start, size)
        if rest:
            raise Malformed(f"{end - start} bytes are not a whole number of {dtype.str} items")
        return np.frombuffer(data, dtype, count, start), end

    return read_array


def write_integers(dtype: np.dtype[Any]) -> Writer:
    """Return the writer of integers in ``bytes``."""

    def write_array(value: Any) -> bytes:
        return write_bytes(_cast(value, dtype, "iu").tobytes())

    return write_array


def _cast(value: Any, dtype: np.dtype[Any], kinds: str) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype == dtype:
        return array
    if array.size == 0:
        return np.empty(0, dtype)
    if array.dtype.kind not in kinds:
        raise Malformed(f"an array of {array.dtype} is not one of {dtype}")
    if "f" not in kinds:
        limits = np.iinfo(dtype)
        low, high = array.min(), array.max()
        if low < limits.min or high > limits.max:
            raise Malformed(f"integers from {low} to {high} do not fit {dtype}")
    return array.astype(dtype)
