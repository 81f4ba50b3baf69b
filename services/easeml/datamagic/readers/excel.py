"""Workbooks (xlsx, xlsm): one sheet, its table found below titles and beside empty columns.

Source: ECMA-376 as ``openpyxl`` reads it; needs the extra ``documents``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pandas as pd

from easeml.datamagic.readers.account import Account, Options
from easeml.datamagic.readers.naming import named, titled
from easeml.datamagic.readers.objects import column
from easeml.datamagic.readers.sources import Source
from easeml.datamagic.readers.zips import check_document
from easeml.errors import InvalidDataError

MOST_BYTES = 256 << 20
"""Largest workbook as stored."""
MOST_CELLS = 50_000_000
"""Cells of a workbook up to the last one of each row, empty ones too: a few bytes can declare any number of those."""
_LAST_ROW, _LAST_COLUMN = 1_048_576, 16_384
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_TITLES = 30
_Sheet = list[tuple[int, list[Any]]]
"""Row number and cells of every row that has a value."""


def workbook(source: Source, options: Options, account: Account, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the table of one sheet; its index is the row of the sheet.

    Parameters
    ----------
    source : Source
        The workbook.
    options : Options
        ``sheet`` names the sheet where several have rows.
    account : Account
        Filled on the way.
    rows : int
        Most rows of a frame.

    Raises
    ------
    InvalidDataError
        When it is protected, old, damaged or a bomb, when several sheets have rows and none is named, or the sheet
        is no table; names row and column.
    """
    content = source.content(MOST_BYTES)
    check_protection(content, source.name)
    members = check_document(io.BytesIO(content), source.name)
    if "xl/workbook.xml" not in members:
        kind = "an OpenDocument or binary workbook" if {"content.xml", "xl/workbook.bin"} & set(members) else "no xlsx"
        raise InvalidDataError(f"{source.name} is {kind}.", mend="Save it as xlsx or CSV.")
    title, sheet = _chosen(content, source.name, options, account)
    account.facts["sheet"] = title
    frame = _table(sheet, source.name, title, options, account)
    empty = [column for column in frame.columns if frame[column].isna().all()]
    if empty and len(frame):
        _check_results(content, source.name, title, empty)
    account.rows += len(frame)
    for start in range(0, len(frame), rows):
        yield frame.iloc[start : start + rows]


def check_protection(content: bytes, name: str) -> None:
    """Refuse what is no zipped document, telling what it is.

    Raises
    ------
    InvalidDataError
        When the content is protected by a password, of an old format, or nothing known.
    """
    if content.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in content:
            raise InvalidDataError(
                f"{name} is protected by a password.", mend="Open it and save it without one.", reason="password"
            )
        raise InvalidDataError(
            f"{name} is of the old binary format (Excel or Word 97-2003).", mend="Save it as xlsx, docx or CSV."
        )
    if not content.startswith(b"PK"):
        raise InvalidDataError(
            f"{name} is no workbook or document: it begins with {content[:8]!r}.",
            mend="Check the format; a text table is read as csv.",
        )


def _chosen(content: bytes, name: str, options: Options, account: Account) -> tuple[str, _Sheet]:
    """Return the title and the rows of the sheet to read."""
    try:
        import openpyxl  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise InvalidDataError(
            f"{name} needs another package ({error}).", mend="Install easeml-streaming[documents]."
        ) from error
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
    except Exception as error:  # whatever a foreign XML makes the library raise, the file is at fault
        raise InvalidDataError(f"{name} is not readable as xlsx: {error}.", mend="Save it again.") from error
    titles = [sheet.title for sheet in book.worksheets]
    if options.sheet is not None:
        sheet = _named(book.worksheets, titles, options.sheet, name)
        return sheet.title, _rows([sheet], name)[0]
    shown = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"] or book.worksheets
    filled = [(sheet.title, rows) for sheet, rows in zip(shown, _rows(shown, name), strict=True) if rows]
    if len(filled) > 1:
        sizes = ", ".join(f"{title!r} ({len(sheet):,} rows)" for title, sheet in filled)
        raise InvalidDataError(
            f"{name} has {len(filled)} sheets with rows: {sizes}.", mend="Name one with --sheet (in Python sheet=...)."
        )
    if not filled:
        raise InvalidDataError(f"{name} has no rows.", mend="Check the file.")
    if len(titles) > 1:
        account.note(f"other sheets ({len(titles) - 1}) are empty or hidden and left out")
    return filled[0]


def _named(sheets: list[Any], titles: list[str], wanted: str | int, name: str) -> Any:
    if isinstance(wanted, str) and wanted not in titles and wanted.isdecimal():
        wanted = int(wanted)
    place = wanted - 1 if isinstance(wanted, int) else titles.index(wanted) if wanted in titles else -1
    if not 0 <= place < len(sheets):
        listed = ", ".join(f"{number} {title!r}" for number, title in enumerate(titles, 1))
        raise InvalidDataError(f"{name} has no sheet {wanted!r}.", mend=f"Sheets are {listed}.")
    return sheets[place]


def _rows(sheets: list[Any], name: str) -> list[_Sheet]:
    found: list[_Sheet] = []
    cells = 0
    for sheet in sheets:
        rows: _Sheet = []
        for number, row in _numbered(sheet, name):
            cells += max(len(row), 1)
            if cells > MOST_CELLS:
                raise InvalidDataError(
                    f"{name}, sheet {sheet.title!r}: more than {MOST_CELLS:,} cells.", mend="Save it as CSV."
                )
            values = [_value(cell) for cell in row]
            while values and values[-1] is None:
                values.pop()
            if values:
                rows.append((number, values))
        found.append(rows)
    return found


def _numbered(sheet: Any, name: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield row numbers and cells; the library makes up every row and cell that the sheet leaves out."""
    # The size a sheet declares is whatever its writer made of it.
    sheet.reset_dimensions()
    number = 0
    try:
        for number, row in enumerate(sheet.iter_rows(), 1):
            if number > _LAST_ROW or len(row) > _LAST_COLUMN:
                break
            yield number, row
        else:
            return
    except Exception as error:  # whatever a foreign XML makes the library raise, the file is at fault
        raise InvalidDataError(
            f"{name}, sheet {sheet.title!r} is not readable after row {number}: {error}.", mend="Save it again."
        ) from error
    what = f"sheet {sheet.title!r}: a row above {_LAST_ROW:,}"
    if number <= _LAST_ROW:
        what = f"sheet {sheet.title!r}, row {number}: a column above XFD"
    raise InvalidDataError(f"{name}, {what}, which no workbook has.", mend="Save it again, or as CSV.")


def _check_results(content: bytes, name: str, title: str, empty: list[str]) -> None:
    """Refuse columns of formulas whose results nobody stored: to us they would look empty."""
    import openpyxl  # noqa: PLC0415 - an extra

    sheet = openpyxl.load_workbook(io.BytesIO(content), read_only=True)[title]
    titles: dict[int, str] = {}
    for number, row in _numbered(sheet, name):
        for place, cell in enumerate(row):
            if isinstance(cell.value, str) and _title(cell.value) in empty:
                titles.setdefault(place, _title(cell.value))
            if cell.data_type == "f" and place in titles:
                raise InvalidDataError(
                    f"{name}, sheet {title!r}, row {number}, column {titles[place]!r}: a formula without its result.",
                    mend="Open the workbook in a spreadsheet program and save it; that stores the results.",
                )


def _value(cell: Any) -> Any:
    value = cell.value
    if isinstance(value, str):
        return None if cell.data_type == "e" or not value.strip() else value
    return value


def _table(sheet: _Sheet, name: str, title: str, options: Options, account: Account) -> pd.DataFrame:
    if not sheet:
        raise InvalidDataError(f"{name}, sheet {title!r} has no rows.", mend="Name another sheet.")
    width = max(len(cells) for _, cells in sheet)
    if width * len(sheet) > MOST_CELLS:
        raise InvalidDataError(
            f"{name}, sheet {title!r}: {len(sheet):,} rows of up to {width:,} cells.",
            mend="Remove what stands far beside the table, or save it as CSV.",
        )
    start = _header(sheet, width, options)
    if start:
        account.note(f"{start} row{'s' * (start != 1)} before the table left out")
    if start is None:
        header: list[Any] = [f"column_{place + 1}" for place in range(width)]
        body = sheet
        account.note(
            "no header row: columns are called column_1, column_2 and so on; if there is one, say --header "
            "(in Python header=True)"
        )
    else:
        header = [*sheet[start][1], *[None] * (width - len(sheet[start][1]))]
        body = sheet[start + 1 :]
    where = f"{name}, sheet {title!r}"
    naming = named(["" if value is None else _title(value) for value in header], where)
    index = pd.Index([number for number, _ in body], name="row")
    columns = {}
    for place, column_name in enumerate(naming.names):
        values = [cells[place] if place < len(cells) else None for _, cells in body]
        columns[place] = column(values, index, f"{where}, column {column_name!r}", text=column_name in options.text)
    table = pd.DataFrame(columns, index=index)
    left = naming.superfluous(table, account)
    return titled(table, naming, left)


def _title(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return " ".join(str(value).split())


def _header(sheet: _Sheet, width: int, options: Options) -> int | None:
    """Return the place of the row of names: the first one that is as full as the table; None: there is none."""
    if options.header is False:
        return None
    counts = [sum(value is not None for value in cells) for _, cells in sheet[: _TITLES + 20]]
    usual = sorted(counts)[len(counts) // 2]
    place = next((place for place, count in enumerate(counts[:_TITLES]) if count >= min(max(usual * 0.6, 1), width)), 0)
    cells = sheet[place][1]
    if options.header is None and len(sheet) > place + 1 and not any(isinstance(value, str) for value in cells):
        return None
    return place
