"""Parquet from any row on: decoded on from where the slice before has ended.

A row group can be decoded from its start alone, and a huge one has many slices. So a process keeps the decoders of the
last files that it has cut, and begins a group anew only after a restart, or where it was cut elsewhere. The files
themselves are closed between slices; what stays are the decoders' buffers (``decoding.opened``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from easeml.datamagic.readers import decoding
from easeml.datamagic.readers.account import Options

DECODED_ROWS = 50_000
"""Rows that are decoded at once."""
_KEPT = 2


class Rows:
    """The rows of a Parquet file, in parts of bounded size.

    Parameters
    ----------
    stream : binary file
        The file, seekable; must be what it was whenever a part is read.
    size : int
        Its bytes.

    Attributes
    ----------
    total : int
        Rows of the file, >= 0.

    Raises
    ------
    InvalidDataError
        When it would become far larger than it is (``expansion``).
    OSError, ValueError
        When its metadata is damaged.
    """

    def __init__(self, stream: Any, size: int) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

        self._schema = pq.read_schema(stream)
        stream.seek(0)
        self._file = decoding.opened(stream, decoding.Bound(size, Options().most_expansion, "The Parquet file"))
        metadata = self._file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self.total: int = metadata.num_rows
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self._group, self._at = -1, 0
        self._batches: Iterator[Any] = iter(())

    def part(self, offset: int) -> Any:
        """Return the rows from an offset on, all of one row group and about ``BATCH_BYTES`` of them.

        Parameters
        ----------
        offset : int
            Rows of the file before the part, >= 0.

        Returns
        -------
        pyarrow.Table
            One row or more, in the order of the file and with its columns; no rows when the offset is ``total``.

        Raises
        ------
        OSError, ValueError
            When the row group is damaged, or has fewer rows than the file says.

        Notes
        -----
        Cost: O(rows of the part) where it follows the part before; else the row group is decoded from its start.
        """
        import pyarrow as pa  # noqa: PLC0415 - an extra

        kept: list[Any] = []
        taken = 0
        if offset < self.total:
            self._find(offset)
            for batch in self._batches:
                rest = batch.slice(max(0, offset - self._at))
                self._at += batch.num_rows
                if rest.num_rows:
                    kept.append(decoding.written_out(rest, self._schema))
                    taken += decoding.size_of(rest)
                if taken >= decoding.BATCH_BYTES:
                    break
            if not kept:
                raise ValueError(f"row {offset + 1:,} of {self.total:,} is missing")
        return pa.Table.from_batches(kept, schema=self._schema)

    def _find(self, offset: int) -> None:
        """Begin the row group of a row, unless what has been decoded of that group ends before the row."""
        group = int(np.searchsorted(self._ends, offset, side="right"))
        if group != self._group or offset < self._at:
            self._batches = decoding.batches(self._file, group, DECODED_ROWS)
            self._group, self._at = group, int(self._ends[group - 1]) if group else 0


class _Stream:
    """A file that is closed and opened again between reads, of which its decoder knows nothing."""

    closed = False

    def __init__(self) -> None:
        self.file: IO[bytes]

    def read(self, size: int = -1) -> bytes:
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


_kept: OrderedDict[str, tuple[_Stream, Rows]] = OrderedDict()


@contextmanager
def opened(file: IO[bytes], size: int, stamp: str) -> Iterator[Rows]:
    """Yield the rows of a file, as a process has left them where it knows the file by its stamp.

    They are kept for the next part when the block ends well; an error in it forgets them.

    Parameters
    ----------
    file : binary file
        The file, seekable.
    size : int
        Its bytes.
    stamp : str
        What changes when it is written or replaced (``Sources.stamp``); empty: not known, nothing is kept.

    Yields
    ------
    Rows
        Readable within the block only, while the file is open.

    Raises
    ------
    InvalidDataError, OSError, ValueError
        As ``Rows``.
    """
    stream, rows = _kept.pop(stamp, (_Stream(), None))
    stream.file = file
    if rows is None:
        file.seek(0)
        rows = Rows(stream, size)
    yield rows
    if stamp:
        _kept[stamp] = stream, rows
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)


def forget() -> None:
    """Forget what has been decoded, as a new process has."""
    _kept.clear()
