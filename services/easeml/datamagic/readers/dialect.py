"""How a text table is written, found out from its first lines: delimiter, decimal mark, header, what stands before.

Rules
-----
*Delimiter*: of tab, semicolon, bar and comma the one that cuts the first lines most evenly; of equally even ones the
first of this order, for a decimal comma cuts evenly too. *Header*: the first line of the table names the columns,
unless it has a number, or nothing, wherever the lines below have numbers (consecutive whole numbers, such as years, are
names all the same). *Before the table*: lines that begin with
``#``, lines without a delimiter, and rows of a table of three columns or more whose first cell alone is filled (titles
of merged cells) are left out.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from easeml.datamagic.readers.account import Dialect, Options

DELIMITERS = ("\t", ";", "|", ",")
_LINES = 200
_MOST_BEFORE = 30
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+")
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+")
_SAID = re.compile(r"sep=(.)")
"""First line by which Excel is told the delimiter."""
_ESCAPE = re.compile(r"\\[Nbfnrtv\\0]")


def sniff(head: str, options: Options, *, ending: str = "") -> Dialect:
    """Return how a text table is written.

    Parameters
    ----------
    head : str
        Its first lines; the last one may be cut.
    options : Options
        What the caller knows.
    ending : str
        Ending of the file's name, ``.tsv`` says tab.
    """
    comment = options.comment or ""
    lines = head.split("\n")
    said = _SAID.fullmatch(lines[0].rstrip("\r"))
    delimiter = (
        options.delimiter or (said[1] if said else "") or _delimiter(lines, "\t" if ending in {".tsv", ".tab"} else "")
    )
    escaped = delimiter == "\t" and _is_escaped(lines)
    spaced = not escaped and delimiter in ",;" and _is_spaced(head, delimiter)
    records = _records(lines, delimiter, escaped=escaped, spaced=spaced)
    if not records and head.strip():
        # Even the first record is broken: whoever reads it will say how.
        return Dialect(delimiter, ".", spaced, escaped, (), 1, 0, 0, comment)
    width = _usual_width(records)
    start, named = _start(records, width, comment)
    table = [fields for fields, _ in records[start:] if any(fields)]
    decimal = options.decimal or _decimal(table[1:], delimiter)
    has_header = bool(table) and (named or _has_header(table, escaped=escaped))
    if options.header is not None:
        has_header = options.header and bool(table)
    before = records[start - 1][1] if start else 0
    if not has_header:
        widths = Counter(len(fields) for fields in table)
        width = widths.most_common(1)[0][0] if widths else 0
        return Dialect(delimiter, decimal, spaced, escaped, (), width, before, before, comment)
    first = table[0]
    place = next(place for place in range(start, len(records)) if any(records[place][0]))
    names = [first[0].lstrip("# "), *first[1:]] if named else first
    below = Counter(len(fields) for fields in table[1:])
    usual = below.most_common(1)[0][0] if below else len(names)
    if usual == len(names) + 1 and below[usual] == below.total() > 1:
        # R leaves the name of the row names out; a trailing delimiter makes a last field that is always empty.
        trailing = all(not fields[-1] for fields in table[1:])
        names = [*names, ""] if trailing else ["", *names]
    return Dialect(delimiter, decimal, spaced, escaped, tuple(names), len(names), records[place][1], before, comment)


def _delimiter(lines: Sequence[str], hint: str) -> str:
    if hint and any(hint in line for line in lines):
        return hint
    best, found = 0.0, ","
    for delimiter in DELIMITERS:
        records = [fields for fields, _ in _records(lines, delimiter, escaped=False, spaced=False) if any(fields)]
        counts = Counter(len(fields) for fields in records if len(fields) > 1)
        if not counts:
            continue
        width, many = max(counts.items(), key=lambda item: (item[1], item[0]))
        even = many / len(records)
        first = next(len(fields) for fields in records if len(fields) > 1)
        even -= 0.0 if abs(first - width) <= 1 else 0.2
        if even > best + 1e-9:
            best, found = even, delimiter
    return found


def _records(lines: Sequence[str], delimiter: str, *, escaped: bool, spaced: bool) -> list[tuple[list[str], int]]:
    """Return the fields of the first records and the number of the line on which each ends."""
    clean = [line.rstrip("\r") for line in lines]
    if escaped:
        return [(line.split(delimiter), place) for place, line in enumerate(clean[:_LINES], 1) if line]
    reader = csv.reader((f"{line}\n" for line in clean), delimiter=delimiter, skipinitialspace=spaced, strict=True)
    records: list[tuple[list[str], int]] = []
    try:
        for fields in reader:
            records.append(([field.strip() for field in fields], reader.line_num))
            if len(records) > _LINES:
                break
    except csv.Error:  # a broken record ends the look; reading it will say what is wrong with it
        pass
    return records[:-1] if len(records) > 1 and records[-1][1] >= len(clean) else records


def _usual_width(records: Sequence[tuple[list[str], int]]) -> int:
    counts = Counter(len(fields) for fields, _ in records if any(fields))
    return max(counts.items(), key=lambda item: (item[1], item[0]))[0] if counts else 1


def _start(records: Sequence[tuple[list[str], int]], width: int, comment: str) -> tuple[int, bool]:
    """Return the place of the first record of the table, and whether it is a header behind a ``#``."""
    for place, (fields, _) in enumerate(records[:_MOST_BEFORE]):
        filled = [bool(field) for field in fields]
        if not any(filled):
            continue
        first = fields[0]
        if first.startswith(("#", comment or "#")):
            below = next((fields for fields, _ in records[place + 1 :] if any(fields)), [])
            if len(fields) == len(below) > 1 and not below[0].startswith("#"):
                return place, True
            continue
        if (width > 1 and len(fields) == 1) or (place == 0 and first == "sep="):
            continue
        if width > 2 and sum(filled) == 1 and filled[0]:
            continue
        return place, False
    return 0, False


def _has_header(table: Sequence[list[str]], *, escaped: bool) -> bool:
    first, below = table[0], table[1:51]
    if escaped and r"\N" in first:
        return False
    if not below:
        return not any(_NUMBER.fullmatch(field) for field in first)
    numeric = []
    for place in range(len(first)):
        cells = [fields[place] for fields in below if place < len(fields) and fields[place]]
        if cells and sum(bool(_NUMBER.fullmatch(cell)) for cell in cells) >= 0.9 * len(cells):
            numeric.append(place)
    if not numeric:
        return not any(_NUMBER.fullmatch(field) for field in first) and all(first[1:])
    if _counts_up([first[place] for place in numeric]) and not _counts_up(
        [row[place] for row in below[:1] for place in numeric if place < len(row)]
    ):
        return True
    return any(first[place] and not _NUMBER.fullmatch(first[place]) for place in numeric)


def _counts_up(cells: Sequence[str]) -> bool:
    """Whether cells are consecutive whole numbers: years, or the names of columns that nobody named."""
    numbers = [int(cell) for cell in cells if cell.isdecimal()]
    return len(numbers) == len(cells) > 1 and all(after - one == 1 for one, after in pairwise(numbers))


def _decimal(table: Sequence[list[str]], delimiter: str) -> str:
    cells = [field for fields in table for field in fields]
    commas = sum(bool(_COMMA_NUMBER.fullmatch(cell)) for cell in cells)
    points = sum(bool(_POINT_NUMBER.fullmatch(cell)) for cell in cells)
    return "," if commas > points and delimiter != "," else "."


def _is_escaped(lines: Sequence[str]) -> bool:
    seen = [line for line in lines[:_LINES] if _ESCAPE.search(line)]
    return bool(seen) and not any(re.search(r'(^|\t)"[^\t]*"(\t|\r?$)', line) for line in lines[:_LINES])


def _is_spaced(head: str, delimiter: str) -> bool:
    many = head.count(delimiter)
    return many > 0 and head.count(f"{delimiter} ") >= 0.9 * many
