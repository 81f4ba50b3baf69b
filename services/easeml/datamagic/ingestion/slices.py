"""A large file in slices: each is read by itself, from where the former ended, in bounded memory.

Text tables are cut between records, at line ends outside quotes, and each slice is read behind the file's first line;
Parquet is cut at its row groups. Other formats are read as a whole.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import IO

import pandas as pd

from easeml.errors import InvalidDataError

TEXTS = frozenset({"csv", "tsv", "jsonl"})
COLUMNAR = frozenset({"parquet"})
SLICE_BYTES = 8 * 2**20
"""Bytes of text in a slice."""
MOST_HEAD = 2**20
_WIDE = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a slice begins.

    Parameters
    ----------
    offset : int
        Bytes before it; for Parquet, row groups.
    rows, lines : int
        Rows and lines before it.
    """

    offset: int = 0
    rows: int = 0
    lines: int = 0


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of a file, as a file of its own.

    Parameters
    ----------
    content : bytes
        What is read; a text table begins with the file's first line.
    end : Place
        Where the next one begins, with the lines of this one counted and its rows not.
    last : bool
        Whether nothing follows.
    share : float
        Share of the file that it is, in (0, 1].
    skipped : int
        Lines of the file before the line that follows the repeated header.
    """

    content: bytes
    end: Place
    last: bool
    share: float
    skipped: int


def cut(file: IO[bytes], size: int, form: str, place: Place, most: int = SLICE_BYTES) -> Slice:
    """Return the slice that begins at a place.

    Parameters
    ----------
    file : binary file
        The file, seekable.
    size : int
        Its bytes.
    form : str
        One of ``TEXTS`` or ``COLUMNAR``.
    place : Place
        Where it begins.
    most : int
        Bytes of a slice, about.

    Raises
    ------
    InvalidDataError
        When a single record is larger than a slice, or the text is of a wide encoding.
    """
    if form in COLUMNAR:
        return _row_group(file, place)
    header = b"" if form == "jsonl" else _first_line(file)
    begin = max(place.offset, len(header))
    file.seek(begin)
    body = file.read(most)
    last = begin + len(body) >= size
    if not last:
        end = _record_end(body, quotes=form != "jsonl")
        if end == 0:
            raise InvalidDataError(
                f"The record after line {place.lines + 1:,} is larger than {most:,} bytes.",
                mend="Look for a quote that is not closed.",
            )
        body = body[:end]
    lines = max(place.lines, header.count(b"\n"))
    after = Place(begin + len(body), place.rows, lines + body.count(b"\n"))
    return Slice(header + body, after, last, max(len(body) / max(size, 1), 1e-9), lines - header.count(b"\n"))


def _first_line(file: IO[bytes]) -> bytes:
    file.seek(0)
    head = file.read(MOST_HEAD)
    if head[:2] in _WIDE or b"\0" in head[:1000]:
        raise InvalidDataError(
            "The text is encoded in two bytes a character, which large files cannot be.", mend="Save it as UTF-8."
        )
    end = _record_end(head, quotes=True, first=True)
    if end == 0:
        raise InvalidDataError(f"The first line is longer than {MOST_HEAD:,} bytes.", mend="Is this a text table?")
    return head[:end]


def _record_end(text: bytes, *, quotes: bool, first: bool = False) -> int:
    """Return the end of the last (or first) whole record, 0 when there is none."""
    if not quotes:
        return (text.find(b"\n") if first else text.rfind(b"\n")) + 1
    if first:
        end = -1
        while (end := text.find(b"\n", end + 1)) >= 0:
            if text.count(b'"', 0, end) % 2 == 0:
                return end + 1
        return 0
    end = len(text)
    while (end := text.rfind(b"\n", 0, end)) >= 0:
        if text.count(b'"', 0, end) % 2 == 0:
            return end + 1
    return 0


def _row_group(file: IO[bytes], place: Place) -> Slice:
    import pyarrow.parquet as pq  # noqa: PLC0415 - an extra

    try:
        table = pq.ParquetFile(file)
        groups = table.num_row_groups
        part = table.read_row_group(place.offset)
    except (OSError, ValueError) as error:
        raise InvalidDataError(f"The Parquet file is not readable: {error}.", mend="Write it again.") from error
    target = io.BytesIO()
    pq.write_table(part, target)
    after = Place(place.offset + 1, place.rows, 0)
    share = part.num_rows / max(table.metadata.num_rows, 1)
    return Slice(target.getvalue(), after, place.offset + 1 >= groups, max(share, 1e-9), 0)


def shifted(frame: pd.DataFrame, piece: Slice, place: Place) -> pd.DataFrame:
    """Return a slice's frame with an index that counts from the beginning of the file."""
    if not pd.api.types.is_integer_dtype(frame.index.dtype):
        return frame
    by = piece.skipped if frame.index.name == "line" else place.rows
    return frame.set_axis(frame.index + by, axis=0)


def counted(end: Place, rows: int) -> Place:
    """Return a place with the rows of a slice counted."""
    return replace(end, rows=end.rows + rows)
