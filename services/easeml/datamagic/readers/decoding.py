"""What a columnar file becomes when it is decoded: known before it is, and bounded, so that a small file stays small.

A word that is stored once and named by every row is what makes gigabytes of kilobytes. Such columns are read as words
and codes, their size is counted, and only then the words are written out.
Source: Apache Parquet, RLE_DICTIONARY; Apache Arrow, dictionary-encoded layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from easeml.errors import InvalidDataError

FREE = 256 << 20
"""Bytes that a columnar file may always become; the bounds begin above."""
MOST = 2 << 30
"""Bytes that it may become, unless it is large itself."""
MOST_RATIO = 20
"""Times its own size that a large file may become."""
BATCH_BYTES = 64 << 20
"""Bytes of a batch, about."""
_NESTED_ROWS = 1024


class Bound:
    """The bytes that a file becomes, refused when they grow out of proportion.

    Parameters
    ----------
    stored : int
        Bytes of the file.
    ratio : float
        Most bytes that one of its bytes may become.
    name : str
        How errors call it.
    """

    def __init__(self, stored: int, ratio: float, name: str) -> None:
        self._stored = stored
        self._most = max(FREE, min(ratio * stored, max(MOST, MOST_RATIO * stored)))
        self._name = name
        self._out = 0

    def add(self, size: int) -> None:
        """Count bytes; errors as ``check``."""
        self._out += size
        self.check(self._out)

    def check(self, size: int) -> None:
        """Check a number of bytes.

        Raises
        ------
        InvalidDataError
            When they are too many (``expansion``).
        """
        if size > self._most:
            raise InvalidDataError(
                f"{self._name}: {self._stored:,} bytes become more than {int(self._most):,}; it may be a bomb.",
                mend="If you trust the file, write it again with shorter values, in several files.",
                reason="expansion",
            )


def opened(stream: IO[bytes], bound: Bound) -> Any:
    """Return a Parquet file whose repeated words are read as words and codes; errors as ``Bound.check``.

    Row groups larger than a batch are read as they are decoded, through buffers of ``BATCH_BYTES`` in all.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    metadata = pq.read_metadata(stream)
    sizes = [metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups)]
    bound.check(sum(sizes))
    words = {
        column.path_in_schema
        for place in range(metadata.num_row_groups)
        for column in map(metadata.row_group(place).column, range(metadata.num_columns))
        if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page
    }
    stream.seek(0)
    buffer = BATCH_BYTES // metadata.num_columns if max(sizes, default=0) > BATCH_BYTES else 0
    return pq.ParquetFile(stream, read_dictionary=sorted(words), buffer_size=buffer, pre_buffer=False)


def batches(file: Any, group: int, rows: int) -> Iterator[Any]:
    """Yield the rows of a row group in batches that the metadata, or what is read, keeps small."""
    metadata = file.metadata.row_group(group)
    a_row = max(1, metadata.total_byte_size // max(metadata.num_rows, 1))
    nested = any("." in metadata.column(place).path_in_schema for place in range(metadata.num_columns))
    most = max(1, min(rows, BATCH_BYTES // a_row, _NESTED_ROWS if nested else rows))
    for batch in file.iter_batches(batch_size=most, row_groups=[group]):
        step = max(1, min(batch.num_rows, BATCH_BYTES * batch.num_rows // max(size_of(batch), 1)))
        for start in range(0, batch.num_rows, step):
            yield batch.slice(start, step)


def size_of(batch: Any) -> int:
    """Return the bytes of a batch with its words written out."""
    return sum(_size(cells) for cells in batch.columns)


def _size(cells: Any) -> int:
    import pyarrow as pa  # noqa: PLC0415 - an extra
    import pyarrow.compute as pc  # noqa: PLC0415 - an extra

    kinds = pa.types
    if not kinds.is_dictionary(cells.type):
        return int(cells.nbytes)
    value = cells.type.value_type
    if not any(is_kind(value) for is_kind in (kinds.is_string, kinds.is_large_string, kinds.is_binary)):
        return len(cells) * 8
    lengths = pc.binary_length(cells.dictionary).cast(pa.int64())
    return int(pc.sum(lengths.take(cells.indices)).as_py() or 0) + 4 * len(cells)


def written_out(batch: Any, schema: Any) -> Any:
    """Return a batch whose columns are of the types of its file's schema."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    cells = [
        column.cast(field.type) if column.type != field.type else column
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(cells, schema=schema)
