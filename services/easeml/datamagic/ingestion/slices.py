"""A large file in slices: each is read by itself, from where the former ended, in bounded memory.

Text tables are cut between records (``records``), and how they are written is decided once, for the whole file;
Parquet is cut at its row groups, and large ones of them within. Other formats are read as a whole.
"""

from __future__ import annotations

import io
from collections import deque
from dataclasses import dataclass, replace
from typing import IO

import pandas as pd

from easeml.datamagic.ingestion import row_groups
from easeml.datamagic.ingestion.records import last_end
from easeml.datamagic.readers import delimited
from easeml.datamagic.readers.account import Dialect
from easeml.datamagic.readers.encodings import Text
from easeml.errors import InvalidDataError

TEXTS = frozenset({"csv", "tsv", "jsonl"})
COLUMNAR = frozenset({"parquet"})
SLICE_BYTES = 8 * 2**20
"""Bytes of text in a slice."""
_WIDE = ("utf-16", "utf-32")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a slice begins.

    Parameters
    ----------
    offset : int
        Bytes before it; for Parquet, rows.
    rows, lines : int
        Rows and lines before it.
    encoding : str
        Encoding of the whole text; empty: not known yet.
    stamp : str
        What the file was when its digest was checked (``Sources.stamp``); empty: not known yet.
    """

    offset: int = 0
    rows: int = 0
    lines: int = 0
    encoding: str = ""
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of a file, as a file of its own.

    Parameters
    ----------
    content : bytes
        What is read: whole records of a text in its own encoding, or a Parquet file; only the first slice of a text
        table has its header.
    end : Place
        Where the next one begins, with the lines of this one counted and its rows not.
    last : bool
        Whether nothing follows.
    share : float
        Share of the file that it is, in (0, 1].
    skipped : int
        Lines of the file before it; 0 for Parquet.
    """

    content: bytes
    end: Place
    last: bool
    share: float
    skipped: int


def encoding_of(file: IO[bytes], name: str) -> str:
    """Return the encoding of a whole text, read from its start block by block. Cost O(bytes), memory O(1).

    Parameters
    ----------
    file : binary file
        The file, seekable.
    name : str
        How errors call it.

    Returns
    -------
    str
        A name that ``bytes.decode`` knows.

    Raises
    ------
    InvalidDataError
        When it mixes encodings (``encoding``), is no text, has lines that are far too long, or is encoded in two bytes
        a character or more.
    """
    file.seek(0)
    text = Text(file, name)
    if text.encoding.startswith(_WIDE):
        raise InvalidDataError(
            f"The text is encoded in {text.encoding}, which large files cannot be.", mend="Save it as UTF-8."
        )
    deque(text, maxlen=0)
    return text.encoding


def dialect_of(file: IO[bytes], form: str, name: str, encoding: str) -> Dialect | None:
    """Return how a text table is written, None where every line is a record.

    Parameters
    ----------
    file : binary file
        The file, seekable; its first ``delimited.HEAD`` bytes are read.
    form : str
        One of ``TEXTS``.
    name : str
        Name of the file; its ending may tell the delimiter.
    encoding : str
        As ``encoding_of``.
    """
    if form == "jsonl":
        return None
    file.seek(0)
    return delimited.dialect_of(file.read(delimited.HEAD), name, encoding)


def cut(
    file: IO[bytes],
    size: int,
    form: str,
    place: Place,
    most: int = SLICE_BYTES,
    *,
    dialect: Dialect | None = None,
) -> Slice:
    """Return the slice that begins at a place: whole records, at least one where any is left.

    Parameters
    ----------
    file : binary file
        The file, seekable.
    size : int
        Its bytes.
    form : str
        One of ``TEXTS`` or ``COLUMNAR``.
    place : Place
        Where it begins: the start of the file, or the end of the slice before.
    most : int
        Bytes of a text read at once, so of a slice at most; a slice of Parquet has about
        ``decoding.BATCH_BYTES`` when it is decoded.
    dialect : Dialect, optional
        How a text table is written; None: its lines are its records.

    Raises
    ------
    InvalidDataError
        When a single line of a text is longer than ``most``, or a Parquet file is damaged or would become far larger
        than it is (``expansion``).
    """
    if form in COLUMNAR:
        return _rows(file, size, place)
    file.seek(place.offset)
    body = file.read(most)
    last = place.offset + len(body) >= size
    if not last:
        head = _head(body, dialect.skip) if dialect is not None and place.offset == 0 else 0
        end = head + last_end(body[head:], dialect)
        # A record as large as a slice has a quote that does not close: its first line is for the reader to refuse.
        end = end if end > head else body.find(b"\n", head) + 1
        if end == 0:
            raise InvalidDataError(
                f"Line {place.lines + 1:,} is longer than {most:,} bytes.", mend="Check the format of the file."
            )
        body = body[:end]
    after = replace(place, offset=place.offset + len(body), lines=place.lines + body.count(b"\n"))
    return Slice(body, after, last, max(len(body) / max(size, 1), 1e-9), place.lines)


def _head(text: bytes, lines: int) -> int:
    """Return the byte after so many lines, where the rows begin; 0 where there are fewer."""
    end = 0
    for _ in range(lines):
        end = text.find(b"\n", end) + 1
        if end == 0:
            return 0
    return end


def _rows(file: IO[bytes], size: int, place: Place) -> Slice:
    """Return the rows of a row group from a place on, as many as make a slice of bounded size."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    try:
        with row_groups.opened(file, size, place.stamp) as rows:
            part = rows.part(place.offset)
    except (OSError, ValueError) as error:
        raise InvalidDataError(f"The Parquet file is not readable: {error}.", mend="Write it again.") from error
    target = io.BytesIO()
    pq.write_table(part, target)
    end = place.offset + part.num_rows
    share = part.num_rows / max(rows.total, 1)
    return Slice(target.getvalue(), replace(place, offset=end), end >= rows.total, max(share, 1e-9), 0)


def shifted(frame: pd.DataFrame, piece: Slice, place: Place) -> pd.DataFrame:
    """Return a slice's frame with an index that counts from the beginning of the file.

    Parameters
    ----------
    frame : DataFrame
        Rows of the slice. An index of integers counts lines where it is called ``line``, else rows, within the slice;
        any other names its rows and stays.
    piece : Slice
        The slice.
    place : Place
        Where it began.
    """
    if not pd.api.types.is_integer_dtype(frame.index.dtype):
        return frame
    by = piece.skipped if frame.index.name == "line" else place.rows
    return frame.set_axis(frame.index + by, axis=0)


def counted(end: Place, rows: int) -> Place:
    """Return the end of a slice with its rows counted, those that could not be read among them."""
    return replace(end, rows=end.rows + rows)
