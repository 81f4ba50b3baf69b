"""The records of a delimited text as checked pieces of plain CSV: every row as wide as the table, every line known.

Blocks without quotes are checked by counting delimiters, the others by a CSV parser; both give the same pieces.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from easeml.datamagic.readers.account import Account, Dialect, Options

LARGEST_FIELD = 16 << 20
"""Characters of one field."""
MOST_LINES = 10_000
"""Lines of one record."""
_NEWLINE, _RETURN = 10, 13
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0", "N": ""}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows as CSV of one dialect.

    Parameters
    ----------
    content : bytes
        UTF-8, one record after the other, fields quoted by ``"`` where they must be.
    lines : int64[n]
        Line of the file on which each of the n rows begins.
    """

    content: bytes
    lines: NDArray[np.int64]


class Lines:
    """Blocks of lines that can be taken as a whole or line by line, and pushed back."""

    def __init__(self, blocks: Iterator[bytes], skip: int) -> None:
        self._blocks = blocks
        self._open: deque[str] = deque()
        self.line = 1
        while skip > 0 and (block := next(blocks, None)) is not None:
            cut, held = 0, block.count(b"\n")
            for _ in range(min(skip, held)):
                cut = block.index(b"\n", cut) + 1
            self.line += min(skip, held)
            skip -= held
            if skip <= 0 and cut < len(block):
                self._blocks = _chain(block[cut:], blocks)

    def block(self) -> bytes | None:
        """Return the next whole block; only where no line of the last one is left."""
        return next(self._blocks, None)

    def open(self, block: bytes) -> None:
        """Go on line by line through a block."""
        lines = block.decode("utf-8", "surrogatepass").split("\n")
        if not lines[-1]:
            lines.pop()
        self._open.extend(lines)

    @property
    def is_open(self) -> bool:
        """Whether lines of an opened block are left."""
        return bool(self._open)

    def push_back(self, lines: list[str]) -> None:
        """Give lines back, to be taken once more."""
        self._open.extendleft(reversed(lines))
        self.line -= len(lines)

    def next(self) -> str | None:
        """Return the next line without its end, None at the end of the file."""
        if not self._open:
            block = self.block()
            if block is None:
                return None
            self.open(block)
        self.line += 1
        return self._open.popleft()


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


class Records:
    """The rows of a delimited text.

    Parameters
    ----------
    blocks : iterator of bytes
        UTF-8 blocks of whole lines.
    dialect : Dialect
        How it is written.
    options : Options
        What becomes of rows that are not as wide as the table.
    account : Account
        Where they are told.
    """

    def __init__(self, blocks: Iterator[bytes], dialect: Dialect, options: Options, account: Account) -> None:
        self._lines = Lines(blocks, dialect.skip)
        self._dialect = dialect
        self._options = options
        self._account = account
        # The limit is the process's; nobody reads less for it.
        csv.field_size_limit(max(csv.field_size_limit(), LARGEST_FIELD))

    def __iter__(self) -> Iterator[Piece]:
        """Yield pieces.

        Raises
        ------
        InvalidDataError
            When a row has another number of fields, or a quote does not end; names the line.
        """
        dialect = self._dialect
        while (block := self._lines.block()) is not None:
            odd = b'"' in block or dialect.spaced or block.count(b"\r") != block.count(b"\r\n")
            if dialect.escaped:
                piece = self._from_rows(block, self._escaped_rows())
            elif odd:
                piece = self._from_rows(block, self._quoted_rows())
            else:
                piece = self._plain(block)
            if len(piece.lines):
                yield piece

    def _plain(self, block: bytes) -> Piece:
        """Return a block without quotes; its lines are its rows."""
        content = block if block.endswith(b"\n") else block + b"\n"
        data = np.frombuffer(content, np.uint8)
        ends = np.flatnonzero(data == _NEWLINE)
        starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
        stops = ends - (data[np.maximum(ends - 1, 0)] == _RETURN)
        cuts = np.flatnonzero(data == ord(self._dialect.delimiter))
        fields = np.diff(np.searchsorted(cuts, ends), prepend=0) + 1
        lines = self._lines.line + np.arange(len(ends))
        self._lines.line += len(ends)
        rows = stops > starts
        if self._dialect.comment:
            rows &= data[starts] != ord(self._dialect.comment)
        wrong = rows & (fields != self._dialect.width)
        for place in np.flatnonzero(wrong):
            text = content[starts[place] : stops[place]].decode("utf-8", "replace")
            if text.strip():
                self._ragged(int(lines[place]), int(fields[place]), text)
        rows &= ~wrong
        if rows.all():
            return Piece(content, lines)
        kept = np.flatnonzero(rows)
        return Piece(b"".join(content[starts[row] : ends[row] + 1] for row in kept), lines[kept])

    def _from_rows(self, block: bytes, rows: Iterator[tuple[int, list[str]]]) -> Piece:
        self._lines.open(block)
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self._dialect.delimiter, lineterminator="\n")
        lines: list[int] = []
        for line, fields in rows:
            if len(fields) != self._dialect.width:
                if any(field.strip() for field in fields):
                    self._ragged(line, len(fields), self._dialect.delimiter.join(fields))
                continue
            writer.writerow(fields)
            lines.append(line)
        return Piece(out.getvalue().encode("utf-8", "surrogatepass"), np.array(lines, np.int64))

    def _quoted_rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the records of the opened block; one that goes on in the next block opens that one too."""
        taken: list[str] = []
        reader = csv.reader(
            self._feed(taken),
            delimiter=self._dialect.delimiter,
            skipinitialspace=self._dialect.spaced,
            strict=True,
        )
        comment = self._dialect.comment
        while self._lines.is_open:
            taken.clear()
            line = self._lines.line
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._broken(line, taken, error)
                # The reader's state is of no use after an error inside quotes.
                reader = csv.reader(
                    self._feed(taken),
                    delimiter=self._dialect.delimiter,
                    skipinitialspace=self._dialect.spaced,
                    strict=True,
                )
                continue
            if fields and not (comment and taken[0].startswith(comment)):
                yield line, fields

    def _feed(self, taken: list[str]) -> Iterator[str]:
        """Yield lines to a CSV reader, which takes the next one only inside a record; ends in a runaway quote."""
        held = 0
        while (line := self._lines.next()) is not None:
            held = len(line) if not taken else held + len(line)
            taken.append(line)
            if len(taken) > MOST_LINES or held > LARGEST_FIELD:
                raise csv.Error("unexpected end of data")
            yield f"{line}\n"

    def _broken(self, line: int, taken: list[str], error: csv.Error) -> None:
        why = str(error)
        if "end of data" in why or "field larger" in why:
            why = "a quote opens here and never closes"
        elif "expected after" in why:
            why = f"a letter follows a closing quote; {_one_line(why)}"
        else:
            why = _one_line(why)
        self._account.refuse(
            self._options,
            f"line {line}",
            why,
            text=taken[0] if taken else "",
            mend='Close the quote, and write a quote inside quotes twice ("").',
        )
        self._lines.push_back(taken[1:])

    def _escaped_rows(self) -> Iterator[tuple[int, list[str]]]:
        r"""Yield the records of a database's text copy: backslash escapes, ``\N`` for missing, no quotes."""
        delimiter = self._dialect.delimiter
        while self._lines.is_open:
            line = self._lines.line
            record = (self._lines.next() or "").removesuffix("\r")
            # MySQL writes a line end inside a value as a backslash before a real one.
            while _continues(record) and (more := self._lines.next()) is not None:
                record += "\n" + more
            if record == r"\." or not record:
                continue
            if "\\" not in record:
                yield line, record.split(delimiter)
            else:
                yield line, [_ESCAPED.sub(_unescaped, field) for field in _cut(record, delimiter)]

    def _ragged(self, line: int, found: int, text: str) -> None:
        width, names = self._dialect.width, self._dialect.names
        expected = f"the header has {width}" if names else f"the rows above have {width}"
        self._account.refuse(
            self._options,
            f"line {line}",
            f"{found} field{'s' * (found != 1)}, but {expected}",
            text=text,
            mend=f"Quote a value that holds {_shown(self._dialect.delimiter)}, or add what is missing.",
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _shown(delimiter: str) -> str:
    return {"\t": "a tab"}.get(delimiter, f"'{delimiter}'")


def _continues(record: str) -> bool:
    return (len(record) - len(record.rstrip("\\"))) % 2 == 1


def _cut(record: str, delimiter: str) -> list[str]:
    """Return the fields of a record; a delimiter behind a backslash belongs to its value."""
    fields: list[str] = []
    open_field = ""
    for part in record.split(delimiter):
        open_field += part
        if _continues(open_field):
            open_field += delimiter
            continue
        fields.append(open_field)
        open_field = ""
    return fields if not open_field else [*fields, open_field]


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[1])
