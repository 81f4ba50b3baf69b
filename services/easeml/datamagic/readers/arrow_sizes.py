"""What the batches of an Arrow file become when they are decompressed, told by the file before any of them is.

A compressed buffer begins with its length when decompressed; the metadata of its message says where it lies.
Source: Apache Arrow columnar format, IPC: encapsulated messages, ``RecordBatch.buffers``, file footer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

_CONTINUATION = 0xFFFFFFFF
_DICTIONARY, _BATCH = 2, 3
_FOOTER = struct.Struct("<i6s")


def sizes(stream: IO[bytes]) -> Iterator[int]:
    """Yield the bytes that each batch and dictionary becomes; the stream is read from its start.

    Raises
    ------
    EOFError
        When the file is cut or damaged.
    """
    try:
        stream.seek(0)
        if stream.read(6) == b"ARROW1":
            yield from _of_file(stream)
        else:
            stream.seek(0)
            yield from _of_stream(stream)
    except (struct.error, IndexError, ValueError) as error:
        raise EOFError(f"its messages are damaged ({error})") from error


def _of_file(stream: IO[bytes]) -> Iterator[int]:
    end = stream.seek(0, 2)
    stream.seek(end - _FOOTER.size)
    size, _ = _FOOTER.unpack(stream.read(_FOOTER.size))
    stream.seek(end - _FOOTER.size - size)
    footer = _Table.root(stream.read(size))
    for field in (2, 3):  # dictionaries, record batches
        for place in footer.structs(field, 24):
            (offset,) = struct.unpack_from("<q", footer.data, place)
            stream.seek(offset)
            yield _message(stream)[0]


def _of_stream(stream: IO[bytes]) -> Iterator[int]:
    while head := stream.read(4):
        if head == bytes(4):
            return
        stream.seek(-4, 1)
        size, end = _message(stream)
        yield size
        stream.seek(end)


def _message(stream: IO[bytes]) -> tuple[int, int]:
    """Return what the body of the message that begins here becomes, and where the message ends."""
    (size,) = struct.unpack("<I", stream.read(4))
    if size == _CONTINUATION:
        (size,) = struct.unpack("<I", stream.read(4))
    if not size:
        return 0, stream.seek(0, 2)  # the end of the stream
    message = _Table.root(stream.read(size))
    body = stream.tell()
    kind, length = message.number(1, "<B"), message.number(3, "<q")
    if length < 0:
        raise ValueError(f"a body of {length} bytes")
    if kind not in (_DICTIONARY, _BATCH):
        return 0, body + length
    batch = message.table(2)
    if kind == _DICTIONARY:
        batch = batch.table(1)
    if not batch.place(3):
        return length, body + length  # nothing is compressed
    total = 0
    for place in batch.structs(2, 16):
        offset, stored = struct.unpack_from("<qq", batch.data, place)
        if stored:
            stream.seek(body + offset)
            (becomes,) = struct.unpack("<q", stream.read(8))
            total += max(becomes, stored)  # -1: this one is not compressed
    return total, body + length


class _Table:
    """A table of a flatbuffer."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]

    @classmethod
    def root(cls, data: bytes) -> _Table:
        """Return the outermost table of a message."""
        return cls(data, struct.unpack_from("<I", data)[0])

    def place(self, field: int) -> int:
        """Return where a field lies, 0: it is not there."""
        (size,) = struct.unpack_from("<H", self.data, self._fields)
        entry = 4 + 2 * field
        offset: int = struct.unpack_from("<H", self.data, self._fields + entry)[0] if entry < size else 0
        return self._at + offset if offset else 0

    def number(self, field: int, form: str) -> int:
        """Return a number, 0 where it is not there."""
        place = self.place(field)
        return int(struct.unpack_from(form, self.data, place)[0]) if place else 0

    def table(self, field: int) -> _Table:
        """Return a table within this one."""
        return _Table(self.data, self._target(field))

    def structs(self, field: int, size: int) -> range:
        """Return where the items of a vector of structs lie."""
        if not self.place(field):
            return range(0)
        start = self._target(field)
        (count,) = struct.unpack_from("<I", self.data, start)
        return range(start + 4, start + 4 + count * size, size)

    def _target(self, field: int) -> int:
        place = self.place(field)
        if not place:
            raise ValueError(f"field {field} is missing")
        return place + int(struct.unpack_from("<I", self.data, place)[0])
