"""CSV, TSV and their relatives: any delimiter, encoding, quoting and preamble; database copies; R; browser exports.

Source: RFC 4180; PostgreSQL, COPY, text format; MySQL, SELECT ... INTO OUTFILE.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from easeml.datamagic.readers.account import Account, Dialect, Options
from easeml.datamagic.readers.dialect import sniff
from easeml.datamagic.readers.encodings import Text
from easeml.datamagic.readers.naming import Naming, named, titled
from easeml.datamagic.readers.records import Piece, Records
from easeml.datamagic.readers.sources import Source
from easeml.datamagic.readers.torn import joined, torn_columns
from easeml.errors import InvalidDataError

MISSING = ("", r"\N")
"""What every text table means by a missing value; other tokens are for the schema to judge."""
MOST_BYTES = 16 << 20
"""Bytes of text that become one frame at most."""
HEAD = 256 << 10
"""Letters from which the dialect is told."""
_PADDED = re.compile(r"[+-]?0\d")
# From 3.1 on pandas rounds every number correctly, and warns of the wish.
_EXACT: dict[str, Any] = (
    {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
)


def chunks(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames of at most ``rows`` rows; memory is bounded by the largest of them.

    Parameters
    ----------
    source : Source
        The text, perhaps compressed.
    options : Options
        What the caller knows of it.
    account : Account
        Filled on the way.
    rows : int
        Most rows of a frame.

    Raises
    ------
    InvalidDataError
        When the text is no table; names the line.
    """
    with source.open() as stream:
        text = Text(stream, source.name, options.encoding)
        blocks = iter(text)
        first = next(blocks, b"")
        dialect = options.dialect or _sniffed(first[:HEAD].decode("utf-8", "replace"), source.plain_name, options)
        if not dialect.width:
            return
        naming = named(dialect.names or tuple(f"column_{place + 1}" for place in range(dialect.width)), source.name)
        _tell(account, dialect, text.encoding)
        table = _Table(dialect, naming, options, account)
        for pieces in _grouped(Records(_again(first, blocks), dialect, options, account), rows):
            account.facts["encoding"] = text.encoding
            frame = table.frame(pieces)
            account.rows += len(frame)
            if options.progress is not None:
                options.progress(source.read, source.size, "bytes")
            if len(frame):
                yield frame


def dialect_of(head: bytes, name: str, encoding: str) -> Dialect:
    """Return how a text table is written.

    Parameters
    ----------
    head : bytes
        Its first 256 KiB.
    name : str
        Its name.
    encoding : str
        Its encoding.
    """
    return _sniffed(head.decode(encoding, "replace").removeprefix("\ufeff"), PurePosixPath(name).name, Options())


def _sniffed(head: str, name: str, options: Options) -> Dialect:
    return sniff(head[:HEAD], options, ending=PurePosixPath(name).suffix.lower())


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _tell(account: Account, dialect: Dialect, encoding: str) -> None:
    delimiter = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma"}.get(dialect.delimiter, dialect.delimiter)
    account.facts |= {"encoding": encoding, "delimiter": delimiter}
    if dialect.decimal == ",":
        account.facts["decimal mark"] = "comma"
    if dialect.escaped:
        account.facts["written as"] = "database copy (backslash escapes)"
    if dialect.before:
        account.note(f"{dialect.before} line{'s' * (dialect.before != 1)} before the table left out")
    if not dialect.names:
        account.note(
            "no header line: columns are called column_1, column_2 and so on; if there is one, say --header "
            "(in Python header=True)"
        )


def _grouped(pieces: Records, rows: int) -> Iterator[list[Piece]]:
    """Yield pieces together, of at most ``rows`` rows and about 16 MiB."""
    held: list[Piece] = []
    count = size = 0
    for piece in pieces:
        rest = piece
        while count + len(rest.lines) >= rows:
            part, rest = _split(rest, rows - count)
            yield [*held, part]
            held, count, size = [], 0, 0
        if not len(rest.lines):
            continue
        held.append(rest)
        count += len(rest.lines)
        size += len(rest.content)
        if size >= MOST_BYTES:
            yield held
            held, count, size = [], 0, 0
    if held:
        yield held


def _split(piece: Piece, rows: int) -> tuple[Piece, Piece]:
    """Return the first rows of a piece and the others."""
    if rows >= len(piece.lines):
        return piece, Piece(b"", piece.lines[:0])
    if b'"' in piece.content:
        # A quoted value may hold line ends, so rows are counted where the number of quotes so far is even.
        data = np.frombuffer(piece.content, np.uint8)
        inside = np.cumsum(data == ord('"')) % 2
        ends = np.flatnonzero((data == ord("\n")) & (inside == 0))
    else:
        ends = np.flatnonzero(np.frombuffer(piece.content, np.uint8) == ord("\n"))
    cut = int(ends[rows - 1]) + 1
    return Piece(piece.content[:cut], piece.lines[:rows]), Piece(piece.content[cut:], piece.lines[rows:])


class _Table:
    """Pieces as frames; remembers what the first rows have decided."""

    def __init__(self, dialect: Dialect, naming: Naming, options: Options, account: Account) -> None:
        self._dialect = dialect
        self._naming = naming
        self._account = account
        self._text = {place for place, name in enumerate(naming.names) if options.as_text or name in options.text}
        self._left: set[int] | None = None

    def frame(self, pieces: list[Piece]) -> pd.DataFrame:
        """Return the rows of some pieces; its index is their lines.

        Parsed piece by piece, for the parser takes several times the memory of what it reads.
        """
        tables: list[pd.DataFrame] = []
        for piece in pieces:
            table = self._parse(piece.content, self._text)
            padded = self._padded(piece.content, table)
            if padded:
                self._text |= padded
                table = self._parse(piece.content, self._text)
            tables.append(table)
        torn = {int(title) for title in torn_columns(tables)}
        for place, piece in enumerate(pieces if torn else ()):
            tables[place] = self._parse(piece.content, self._text | torn)
        table = joined(tables)
        table.index = pd.Index(np.concatenate([piece.lines for piece in pieces]), name="line")
        empty = table.isna().all(axis=1) if len(self._naming.names) > 1 else pd.Series(data=False, index=table.index)
        if empty.any():
            table = table[~empty]
            self._account.note("rows without any value left out")
        if self._left is None:
            self._left = self._naming.superfluous(table, self._account)
        return titled(table, self._naming, self._left)

    def _parse(self, content: bytes, text: set[int]) -> pd.DataFrame:
        try:
            table: pd.DataFrame = pd.read_csv(
                io.BytesIO(content),
                sep=self._dialect.delimiter,
                header=None,
                names=range(self._dialect.width),
                index_col=False,
                dtype=dict.fromkeys(text, str),
                keep_default_na=False,
                na_values=list(MISSING),
                decimal=self._dialect.decimal,
                quoting=csv.QUOTE_MINIMAL,
                skip_blank_lines=False,
                encoding="utf-8",
                encoding_errors="surrogatepass",
                low_memory=False,
                engine="c",
                **_EXACT,
            )
        except ValueError as error:
            raise InvalidDataError(
                f"{self._account.name} is not readable as {self._account.format}: {error}.", mend="Check the file."
            ) from error
        return table

    def _padded(self, content: bytes, table: pd.DataFrame) -> set[int]:
        """Return the columns of numbers that are written with leading zeros: codes, which numbers would spoil."""
        data = np.frombuffer(content, np.uint8)
        zero = np.flatnonzero(data[:-1] == ord("0"))
        digit = (data[zero + 1] >= ord("0")) & (data[zero + 1] <= ord("9"))
        before = data[np.maximum(zero - 1, 0)]
        opens = (zero == 0) | np.isin(before, np.frombuffer(f'{self._dialect.delimiter}\n"'.encode(), np.uint8))
        if not (digit & opens).any():
            return set()
        kinds = dict(enumerate(table.dtypes))
        numbers = {place for place, kind in kinds.items() if kind.kind in "iuf" and place not in self._text}
        if not numbers:
            return set()
        raw = self._parse(content, numbers)
        return {place for place in numbers if raw.iloc[:, place].str.match(_PADDED).fillna(value=False).any()}
