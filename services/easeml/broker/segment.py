"""One append-only stretch of a partition: a file (or memory) and the index of its batches.

The index is dense (24 bytes a batch) and rebuilt from the batch headers on start. It ends where the first checksum
fails: a torn tail of the last segment, which a killed machine may leave, is cut; damage in an older one is left to be
looked at.
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from easeml.broker import batch as batches
from easeml.broker.batch import Batch

SUFFIX = ".log"


class Store(Protocol):
    """Bytes that only grow at the end."""

    size: int

    def append(self, *pieces: bytes | memoryview) -> None: ...
    def read(self, position: int, length: int) -> bytes: ...
    def truncate(self, size: int) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...
    def remove(self) -> None: ...


class FileStore:
    """A file. Writes go to the page cache: they survive a killed process, ``sync`` makes them survive more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.size = os.fstat(self._fd).st_size

    def append(self, *pieces: bytes | memoryview) -> None:
        """Append all pieces or, when the disk refuses, none.

        Raises
        ------
        OSError
            If the disk is full or fails; the file is as before.
        """
        wanted = sum(map(len, pieces))
        try:
            if os.writev(self._fd, pieces) != wanted:
                raise OSError(f"Short write to {self.path}: the disk is full.")
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += wanted

    def read(self, position: int, length: int) -> bytes:
        return os.pread(self._fd, length, position)

    def rename(self, path: Path, modified_ms: int) -> None:
        """Move the file to ``path``, over what is there, with the time it was last written to."""
        os.utime(self.path, ns=(modified_ms * 1_000_000, modified_ms * 1_000_000))
        self.path.replace(path)
        self.path = path

    def map(self) -> memoryview:
        """Return the whole file as memory; the file must not be empty."""
        return memoryview(mmap.mmap(self._fd, self.size, access=mmap.ACCESS_READ))

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        self.size = size

    def sync(self) -> None:
        if self._fd >= 0:
            os.fsync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


class MemoryStore:
    """The same in memory."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.size = 0

    def append(self, *pieces: bytes | memoryview) -> None:
        for piece in pieces:
            self._data += piece
        self.size = len(self._data)

    def read(self, position: int, length: int) -> bytes:
        with memoryview(self._data) as view:
            return bytes(view[position : position + length])

    def truncate(self, size: int) -> None:
        del self._data[size:]
        self.size = size

    def sync(self) -> None:
        """Memory has nothing to sync."""

    def close(self) -> None:
        """Memory has nothing to close."""

    def remove(self) -> None:
        self._data = bytearray()
        self.size = 0


class Segment:
    """Batches of consecutive offsets from ``base_offset`` on.

    Parameters
    ----------
    base_offset : int
        First offset the segment may hold.
    store : Store
        Where the bytes lie.
    created_ms : int
        When the segment was begun (ms since the epoch); ``segment.ms`` counts from here.

    Attributes
    ----------
    opaque_from : int or None
        Offset of the first batch whose codec is not at hand.
    is_damaged : bool
        Whether the file holds more than can be read.
    """

    __slots__ = (
        "base_offset",
        "created_ms",
        "is_damaged",
        "last_offsets",
        "max_timestamp",
        "max_timestamps",
        "modified_ms",
        "next_offset",
        "opaque_from",
        "positions",
        "store",
    )

    def __init__(self, base_offset: int, store: Store, created_ms: int) -> None:
        self.base_offset = base_offset
        self.next_offset = base_offset
        self.store = store
        self.created_ms = created_ms
        self.modified_ms = created_ms
        self.max_timestamp = -1
        self.opaque_from: int | None = None
        self.is_damaged = False
        self.last_offsets = array("q")
        self.positions = array("q")
        self.max_timestamps = array("q")

    @property
    def size(self) -> int:
        """Bytes of the segment."""
        return self.store.size

    def append(self, base_offset: int, data: bytes, batch: Batch, now_ms: int) -> None:
        """Place a batch at ``base_offset``; raises ``OSError`` and changes nothing when the disk refuses."""
        position = self.store.size
        prefix = batches.PREFIX.pack(base_offset, batch.length, 0)
        self.store.append(prefix, memoryview(data)[len(prefix) :])
        self._index(position, batch, base_offset)
        self.modified_ms = now_ms

    def _index(self, position: int, batch: Batch, base_offset: int) -> None:
        last_offset = base_offset + batch.last_offset_delta
        self.last_offsets.append(last_offset)
        self.positions.append(position)
        self.max_timestamps.append(batch.max_timestamp)
        self.max_timestamp = max(self.max_timestamp, batch.max_timestamp)
        self.next_offset = last_offset + 1
        if self.opaque_from is None and batch.is_opaque:
            self.opaque_from = base_offset

    def read(self, offset: int, max_bytes: int, *, at_least_one: bool) -> bytes:
        """Return whole batches from the one that holds ``offset`` on.

        Parameters
        ----------
        offset : int
            First offset wanted.
        max_bytes : int
            Most bytes to return.
        at_least_one : bool
            Return the first batch even where it alone is larger.
        """
        first = bisect_left(self.last_offsets, offset)
        if first >= len(self.positions):
            return b""
        start = self.positions[first]
        limit = start + max_bytes
        if limit >= self.size:
            return self.store.read(start, self.size - start)
        end = self.positions[max(bisect_right(self.positions, limit) - 1, first)]
        if end == start:
            if not at_least_one:
                return b""
            end = self.positions[first + 1] if first + 1 < len(self.positions) else self.size
        return self.store.read(start, end - start)

    def batch_bytes(self, index: int) -> bytes:
        """Return the bytes of the batch at ``index`` of the segment."""
        start = self.positions[index]
        end = self.positions[index + 1] if index + 1 < len(self.positions) else self.size
        return self.store.read(start, end - start)

    def recover(self, visit: Callable[[Batch], None], *, cuts: bool) -> int:
        """Rebuild the index from the file; what follows the first unsound batch is not read any more.

        Parameters
        ----------
        visit : callable
            Called with the header of every sound batch.
        cuts : bool
            Cut the file there, so that it can be appended to.

        Returns
        -------
        int
            Bytes that are not read any more.
        """
        store = self.store
        if not isinstance(store, FileStore) or store.size == 0:
            return 0
        position = 0
        view = store.map()
        while position < store.size:
            try:
                batch = batches.peek(view, position)
            except struct.error:
                break
            if batch.base_offset < self.next_offset or not batches.is_sound(view, batch, position):
                break
            visit(batch)
            self._index(position, batch, batch.base_offset)
            position += batch.size
        view.release()
        torn = store.size - position
        if torn and cuts:
            store.truncate(position)
        self.is_damaged = bool(torn) and not cuts
        store.size = position
        return torn

    def holding_since(self, timestamp: int) -> Iterator[int]:
        """Yield the indexes of the batches that hold a record of ``timestamp`` (ms) or later."""
        if self.max_timestamp >= timestamp:
            for index, newest in enumerate(self.max_timestamps):
                if newest >= timestamp:
                    yield index
