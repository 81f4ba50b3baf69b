"""Workbooks with what people do to them; the ordinary ones are in test_foreign_files."""

from __future__ import annotations

import io

import openpyxl
import pytest

from easeml.datamagic.reading import read_frame, read_table
from easeml.errors import InvalidDataError


def book(*rows, **cells):
    sheet = (made := openpyxl.Workbook()).active
    for row in rows:
        sheet.append(row)
    for place, value in cells.items():
        sheet[place] = value
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (book(["a", "b", "a"], [1, 2, 3]), r"sheet 'Sheet': columns 1 and 3 are both named 'a'"),
        (book(["a", "b"], [1, "=A2*2"]), r"row 2, column 'b': a formula without its result"),
        (book(*([n, n] for n in range(4000)), XFD1=1), r"4,000 rows of up to 16,384 cells"),
        (book(), r"no rows"),
        (book(["a", "b"]), r"no rows"),
    ],
)
def test_bad_workbooks(content, match):
    with pytest.raises(InvalidDataError, match=match):
        read_frame(content, name="t.xlsx")


def test_a_cell_far_below_and_beside():
    table = read_table(book(["a", "b"], [1, 2], XFD100000=5), name="t.xlsx")
    assert table.frame.index.tolist() == [2, 100_000]
    assert list(table.frame.columns) == ["a", "b", "column_16384"]


def test_columns_of_several_types_are_texts_as_in_a_csv():
    frame = read_frame(book(["a", "b"], [1, "x"], ["n/a", 2], [3.5, True]), name="t.xlsx")
    assert frame["a"].tolist() == ["1", "n/a", "3.5"]
    assert frame["b"].tolist() == ["x", "2", "True"]


def test_headers_that_are_years_and_none_at_all():
    assert list(read_frame(book(["c", 2019], ["CH", 1]), name="t.xlsx").columns) == ["c", "2019"]
    assert list(read_frame(book([1, 2], [3, 4]), name="t.xlsx").columns) == ["column_1", "column_2"]
    assert list(read_frame(book([1, 2], [3, 4]), name="t.xlsx", header=True).columns) == ["1", "2"]
