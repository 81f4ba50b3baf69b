"""Small files that say they are huge: each is read, or refused, in a time that fits its size."""

from __future__ import annotations

import io
import re
import zipfile

import docx
import openpyxl
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from easeml.datamagic.readers import excel
from easeml.datamagic.reading import read_frame
from easeml.errors import InvalidDataError

pytestmark = pytest.mark.timeout(20)  # far more than any of them takes, far less than what they ask for


def sheet_of(*rows, sheets=1):
    """Return a workbook whose sheets hold this XML instead of rows."""
    made, out, wanted = openpyxl.Workbook(), io.BytesIO(), io.BytesIO()
    for number in range(sheets - 1):
        made.create_sheet(f"more {number}")
    made.save(out)
    data = "<sheetData>" + "".join(rows) + "</sheetData>"
    with zipfile.ZipFile(out) as old, zipfile.ZipFile(wanted, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name).decode()
            new.writestr(name, re.sub(r"<sheetData ?/>|<sheetData></sheetData>", data, content))
    return wanted.getvalue()


def row(number, *cells):
    return f'<row r="{number}">' + "".join(f'<c r="{place}"><v>{value}</v></c>' for place, value in cells) + "</row>"


@pytest.mark.parametrize("number", ["1048577", "1000000000000000", "1e15"])
def test_a_row_that_no_sheet_has(number):
    content = sheet_of(row(1, ("A1", 1)), f'<row r="{number}"><c><v>1</v></c></row>')
    assert len(content) < 6000
    with pytest.raises(InvalidDataError, match="sheet 'Sheet': a row above 1,048,576"):
        read_frame(content, name="t.xlsx")


def test_a_column_that_no_sheet_has():
    with pytest.raises(InvalidDataError, match="sheet 'Sheet', row 2: a column above XFD"):
        read_frame(sheet_of(row(1, ("A1", 1)), row(2, ("A2", 1), ("XFE2", 1))), name="t.xlsx")


def test_the_last_row_is_read():
    frame = read_frame(sheet_of(row(1, ("A1", 1)), row(1_048_576, ("A1048576", 5))), name="t.xlsx")
    assert frame.index.tolist() == [1, 1_048_576]


@pytest.mark.parametrize("sheets", [1, 4])
def test_empty_cells_are_counted_over_all_sheets(monkeypatch, sheets):
    monkeypatch.setattr(excel, "MOST_CELLS", 100_000)
    wide = [f'<row r="{number}"><c r="XFD{number}"/></row>' for number in range(1, 1 + 8 // sheets)]
    with pytest.raises(InvalidDataError, match="more than 100,000 cells"):
        read_frame(sheet_of(*wide, sheets=sheets), name="t.xlsx")


def test_empty_rows_are_counted_over_all_sheets(monkeypatch):
    monkeypatch.setattr(excel, "MOST_CELLS", 3_000)
    with pytest.raises(InvalidDataError, match="sheet 'more 2': more than 3,000 cells"):
        read_frame(sheet_of('<row r="1000"/>', sheets=6), name="t.xlsx")


def table_of(spans, *, rows=1):
    """Return a document with a table whose cells say over how many columns they go."""
    made, out = docx.Document(), io.BytesIO()
    made.add_paragraph("before")
    cells = "".join(
        f'<w:tc><w:tcPr><w:gridSpan w:val="{span}"/></w:tcPr><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>'
        for text, span in spans
    )
    body = f"<w:tr>{cells}</w:tr>" * rows
    made.element.body.insert(1, parse_xml(f"<w:tbl {nsdecls('w')}><w:tblGrid/>{body}</w:tbl>"))
    made.save(out)
    return out.getvalue()


@pytest.mark.parametrize("span", [20_000, 1_000_000_000])
def test_a_cell_over_many_columns_is_read_once(span):
    (text,) = read_frame(table_of([("wide", span), ("next", 1)], rows=300), name="t.docx")["text"]
    assert text.splitlines() == ["before", *["wide\tnext"] * 300]


def test_a_cell_over_many_rows_is_read_once():
    made, out = docx.Document(), io.BytesIO()
    table = made.add_table(1500, 2)
    table.cell(0, 0).text, table.cell(1499, 1).text = "tall", "last"
    first, *others = [line.tc_lst[0] for line in table._tbl.tr_lst]
    first.vMerge = "restart"
    for cell in others:
        cell.vMerge = "continue"
    made.save(out)
    (text,) = read_frame(out.getvalue(), name="t.docx")["text"]
    assert text.split() == ["tall", "last"]


@pytest.mark.parametrize("form", ["{%s}", "[{%s}]", "[1, {%s}]"])
def test_a_key_twice_among_many(form):
    keys = ", ".join(f'"key{number}": 1' for number in range(400_000))
    with pytest.raises(InvalidDataError, match="the key 'key0' occurs twice"):
        read_frame((form % f'{keys}, "key0": 2').encode(), name="t.json", on_error="collect")
