"""Parquet, Arrow and Feather, read group by group.

Source: Apache Parquet and Arrow formats as ``pyarrow`` reads them; needs the extra ``files``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import IO, Any

import numpy as np
import pandas as pd

from easeml.datamagic.readers import arrow_sizes, decoding
from easeml.datamagic.readers.account import Account, Options
from easeml.datamagic.readers.naming import named
from easeml.datamagic.readers.objects import column
from easeml.datamagic.readers.sources import Source
from easeml.errors import InvalidDataError
from easeml.relation import Relation

MOST_BYTES = 2 << 30
"""Largest file that is read from a stream without a path, which has to be held."""


def parquet(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames of at most ``rows`` rows of a Parquet file; errors as ``arrow``."""
    _library(source.name, "parquet")

    def batches(stream: IO[bytes], bound: decoding.Bound) -> Iterator[Any]:
        schema = _library(source.name, "parquet").read_schema(stream)
        stream.seek(0)
        yield schema
        opened = decoding.opened(stream, bound)
        for group in range(opened.num_row_groups):
            yield from decoding.batches(opened, group, rows)

    yield from _frames(source, options, account, rows, batches)


def arrow(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames of at most ``rows`` rows of an Arrow file or stream, or of a Feather file.

    Raises
    ------
    InvalidDataError
        When the file is damaged, two columns share a name, or a column is of a type that no relation has.
    """
    ipc = _library(source.name, "ipc")

    def batches(stream: IO[bytes], bound: decoding.Bound) -> Iterator[Any]:
        magic = stream.read(8)
        if not magic.startswith(b"FEA1"):
            for total in accumulate(arrow_sizes.sizes(stream)):
                bound.check(total)
        stream.seek(0)
        if magic.startswith(b"FEA1"):
            table = _library(source.name, "feather").read_table(stream)
            yield table.schema
            yield from table.to_batches(max_chunksize=rows)
        elif magic.startswith(b"ARROW1"):
            opened = ipc.open_file(stream)
            yield opened.schema
            yield from (opened.get_batch(place) for place in range(opened.num_record_batches))
        else:
            opened = ipc.open_stream(stream)
            yield opened.schema
            yield from opened

    yield from _frames(source, options, account, rows, batches)


def relation_in(source: Source) -> Relation | None:
    """Return the relation that a Parquet file holds, with every candidate; None when it is any other table.

    Raises
    ------
    InvalidDataError
        When the file is a relation's, and damaged.
    """
    from easeml.relation.arrow import read_parquet  # noqa: PLC0415 - an extra

    with source.open() as stream:
        if not is_relation(_library(source.name, "parquet").read_schema(stream).metadata):
            return None
    with source.open() as stream:
        return read_parquet(stream)


def is_relation(metadata: Mapping[bytes, bytes] | None) -> bool:
    """Return whether the metadata of a schema says that the table is a relation."""
    return b"easeml" in (metadata or {})


def _library(name: str, module: str) -> Any:
    import importlib  # noqa: PLC0415 - only here

    try:
        return importlib.import_module(f"pyarrow.{module}")
    except ImportError as error:
        raise InvalidDataError(
            f"{name} needs another package ({error}).", mend="Install easeml-streaming[files]."
        ) from error


def _frames(source: Source, options: Options, account: Account, rows: int, batches: Any) -> Iterator[pd.DataFrame]:
    import io  # noqa: PLC0415 - only here

    import pyarrow as pa  # noqa: PLC0415 - an extra

    with source.open() as opened:
        stream: IO[bytes] = opened if opened.seekable() else io.BytesIO(source.content(MOST_BYTES))
        try:
            bound = decoding.Bound(stream.seek(0, io.SEEK_END), options.most_expansion, source.name)
            stream.seek(0)
            content = batches(stream, bound)
            schema = next(content)
            for coded in content:
                bound.add(decoding.size_of(coded))
                batch = decoding.written_out(coded, schema)
                for start in range(0, batch.num_rows, rows):
                    frame = _frame(batch.slice(start, rows), schema, source.name, options, account)
                    account.rows += len(frame)
                    yield frame
                    if options.progress is not None:
                        options.progress(source.read, source.size, "bytes")
        except (pa.ArrowException, OSError, EOFError, ValueError) as error:
            raise InvalidDataError(
                f"{source.name} is not readable as {account.format}: {_first_line(error)}.",
                mend="The file may be cut or damaged: copy or write it again.",
            ) from error


def _frame(batch: Any, schema: Any, name: str, options: Options, account: Account) -> pd.DataFrame:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    table = pa.Table.from_batches([batch])
    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    metadata = (schema.metadata or {}).get(b"pandas")
    left = _row_numbers(metadata)
    if is_relation(schema.metadata):
        left |= {title for title in table.column_names if title.startswith("__")}
        account.note("the file is a relation; this way of reading leaves its candidates behind")
    names = [title for title in table.column_names if title not in left]
    titles = named(names, name).names
    index = pd.RangeIndex(account.rows + 1, account.rows + 1 + table.num_rows, name="row")
    cells = {}
    for title, original in zip(titles, names, strict=True):
        cells[title] = _series(table.column(original), index, f"{name}, column {title!r}", text=title in options.text)
    return pd.DataFrame(cells, index=index)


def _row_numbers(metadata: bytes | None) -> set[str]:
    """Return the columns that hold nothing but the numbers of a pandas frame's rows."""
    import json  # noqa: PLC0415 - only here

    if not metadata:
        return set()
    stored = json.loads(metadata).get("index_columns", [])
    return {title for title in stored if isinstance(title, str) and title.startswith("__index_level_")}


def _series(cells: Any, index: pd.Index, where: str, *, text: bool) -> pd.Series:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    kinds, kind = pa.types, cells.type
    if (
        kinds.is_dictionary(kind)
        and not kinds.is_string(kind.value_type)
        and not kinds.is_large_string(kind.value_type)
    ):
        cells = cells.cast(kind.value_type)
        kind = cells.type
    if text or kinds.is_nested(kind) or kinds.is_time(kind) or kinds.is_date(kind) or kinds.is_duration(kind):
        return column(cells.to_pylist(), index, where, text=text)
    if kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_fixed_size_binary(kind):
        raise InvalidDataError(f"{where} holds bytes.", mend="Leave it out, or decode it to text or numbers.")
    if kinds.is_decimal(kind) or kinds.is_float16(kind):
        cells = cells.cast(pa.float64())
    if kinds.is_null(kind):
        return pd.Series(np.nan, index, dtype=np.float64)
    series: pd.Series = cells.to_pandas()
    if kinds.is_boolean(kind) and series.hasnans:
        series = series.astype("boolean")
    if kinds.is_timestamp(kind) and kind.tz is None:
        series = series.dt.tz_localize("UTC")
    return series.set_axis(index)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
