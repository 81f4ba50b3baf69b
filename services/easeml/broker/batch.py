"""Record batches (magic 2) as opaque bytes: the header is peeked at, the records are left alone.

Only the base offset and the leader epoch lie outside the checksum, so a broker can place a batch in the log
by overwriting the first 16 bytes. Source: Kafka documentation, "Message Format", "Record Batch".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from crc32c import crc32c

HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE = HEADER.size
PREFIX = struct.Struct(">qii")
"""Base offset, batch length, partition leader epoch: all that a broker may overwrite."""
LENGTH_OVERHEAD = 12
"""Bytes of the base offset and the length field, which the batch length does not count."""
_CRC_START = 21
_CODEC_MASK, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
CODEC_NONE, CODEC_GZIP = 0, 1
MOST_INFLATED = 100 * 1024 * 1024
"""Bytes of uncompressed records that a batch is unpacked to, as much as the largest request."""
_LONGEST_VARINT = 10


class Batch(NamedTuple):
    """Header of a record batch, in wire order."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return self.length + LENGTH_OVERHEAD

    @property
    def next_offset(self) -> int:
        """Offset that follows the batch."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def codec(self) -> int:
        """Number of the compression codec; 0 is none."""
        return self.attributes & _CODEC_MASK

    @property
    def is_opaque(self) -> bool:
        """Whether the records are compressed by a codec that is not at hand."""
        return self.codec not in {CODEC_NONE, CODEC_GZIP}

    @property
    def is_control(self) -> bool:
        """Whether the batch holds transaction markers instead of data."""
        return bool(self.attributes & _CONTROL)

    @property
    def is_transactional(self) -> bool:
        """Whether the batch belongs to a transaction."""
        return bool(self.attributes & _TRANSACTIONAL)


def peek(data: bytes | memoryview, position: int = 0) -> Batch:
    """Read the header at ``position``; raises ``struct.error`` where the bytes end too early."""
    return Batch._make(HEADER.unpack_from(data, position))


def is_sound(data: bytes | memoryview, batch: Batch, position: int = 0) -> bool:
    """Whether the bytes at ``position`` are one whole batch with the right checksum."""
    end = position + batch.size
    return (
        batch.magic == 2
        and batch.size >= HEADER_SIZE
        and end <= len(data)
        and crc32c(memoryview(data)[position + _CRC_START : end]) == batch.crc
    )


def with_append_time(data: bytes, now_ms: int) -> bytes:
    """Return the batch stamped with the broker's clock (``message.timestamp.type=LogAppendTime``)."""
    fields = list(peek(data))
    fields[5] |= _LOG_APPEND_TIME
    fields[8] = now_ms
    return _sealed(fields, data[HEADER_SIZE:])


def _sealed(fields: list[int], payload: bytes) -> bytes:
    fields[1] = HEADER_SIZE + len(payload) - LENGTH_OVERHEAD
    draft = HEADER.pack(*fields) + payload
    fields[4] = crc32c(memoryview(draft)[_CRC_START:])
    return HEADER.pack(*fields) + payload


class MalformedRecordsError(ValueError):
    """The records of a batch do not parse."""


class RecordSpan(NamedTuple):
    """Where one record lies in the uncompressed records of its batch."""

    start: int
    end: int
    offset: int
    timestamp: int
    key: bytes | None
    is_tombstone: bool


def payload_of(data: bytes | memoryview, batch: Batch) -> bytes | None:
    """Return the records of a batch uncompressed, or None where the codec is not at hand.

    Raises
    ------
    MalformedRecordsError
        If they do not decompress, or to more than :data:`MOST_INFLATED` bytes.
    """
    raw = bytes(memoryview(data)[HEADER_SIZE : batch.size])
    if batch.codec == CODEC_NONE:
        return raw
    if batch.codec == CODEC_GZIP:
        try:
            return _inflated(raw)
        except zlib.error as error:
            raise MalformedRecordsError(str(error)) from error
    return None


def _inflated(raw: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    payload = unpacker.decompress(raw, MOST_INFLATED)
    if not unpacker.eof:
        raise MalformedRecordsError(f"The records end early, or are more than {MOST_INFLATED} bytes uncompressed.")
    return payload


def spans(payload: bytes, batch: Batch) -> Iterator[RecordSpan]:
    """Walk over the records of a batch without copying their values.

    Parameters
    ----------
    payload : bytes
        Uncompressed records, see :func:`payload_of`.
    batch : Batch
        Header of the batch.

    Raises
    ------
    MalformedRecordsError
        If the records do not fill the payload exactly.
    """
    position = 0
    try:
        for _ in range(batch.records):
            span = _span(payload, position, batch)
            position = span.end
            yield span
    except IndexError as error:
        raise MalformedRecordsError("A record ends beyond its batch.") from error
    if position != len(payload):
        raise MalformedRecordsError(f"The records fill {position} of {len(payload)} bytes.")


def _span(payload: bytes, start: int, batch: Batch) -> RecordSpan:
    length, position = _varint(payload, start)
    end = position + length
    delta_time, position = _varint(payload, position + 1)
    delta_offset, position = _varint(payload, position)
    key_length, position = _varint(payload, position)
    key = None
    if key_length >= 0:
        key = payload[position : position + key_length]
        position += key_length
    value_length, position = _varint(payload, position)
    if length < 0 or position + max(value_length, 0) > end or end > len(payload):
        raise MalformedRecordsError("The parts of a record do not fit its length.")
    stamped = batch.attributes & _LOG_APPEND_TIME
    timestamp = batch.max_timestamp if stamped else batch.base_timestamp + delta_time
    return RecordSpan(start, end, batch.base_offset + delta_offset, timestamp, key, value_length < 0)


def rebatch(batch: Batch, payload: bytes, kept: list[RecordSpan]) -> bytes:
    """Return the batch with only the ``kept`` records, uncompressed.

    The base offset, base timestamp and last offset delta stay, so the bytes of each record stay too.
    """
    fields = list(batch)
    fields[5] &= ~_CODEC_MASK
    fields[12] = len(kept)
    return _sealed(fields, b"".join(payload[span.start : span.end] for span in kept))


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(_LONGEST_VARINT):
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), position + index + 1
    raise MalformedRecordsError("A number has more than 64 bits.")
