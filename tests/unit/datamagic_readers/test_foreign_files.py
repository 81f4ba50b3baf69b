"""Files that other programs wrote (tests/data/formats/README.md) say what those programs were given."""

from __future__ import annotations

import pandas as pd
import pytest

from easeml.datamagic.reading import read, read_frame, read_table
from easeml.errors import InvalidDataError
from easeml.stream.payloads import ColumnKind

CITIES = ["Zürich", "Genève", "Bern", "Basel; old town", "Luzern", None]
NOTES = ['said "hi", left', None, "two\nlines", "tab\tinside", "back\\slash", None]
BALANCES = [12.5, -3.25, None, 0.1, 1_000_000, 7]


def plain(cells: pd.Series) -> list:
    return [None if pd.isna(cell) else cell for cell in cells]


@pytest.mark.parametrize(
    ("name", "named", "places"),
    [
        ("sqlite_header.csv", True, [2, 3, 4, 6, 7, 8]),
        ("sqlite_mode_csv.csv", False, [1, 2, 3, 5, 6, 7]),
        ("sqlite.json", True, [1, 2, 3, 4, 5, 6]),
        ("postgres_copy.tsv", False, [1, 2, 3, 4, 5, 6]),
        ("postgres_copy_header.tsv", True, [2, 3, 4, 5, 6, 7]),
        ("postgres_copy.csv", True, [2, 3, 4, 6, 7, 8]),
        ("mariadb_tab.txt", False, [1, 2, 3, 5, 6, 7]),
    ],
)
def test_databases(formats, name, named, places):
    frame = read_frame(formats / name)
    names = ["id", "name", "city", "balance", "active", "note"] if named else [f"column_{n}" for n in range(1, 7)]
    assert list(frame.columns) == names
    assert list(frame.index) == places
    assert frame.iloc[0, 1] == 'Ann "The Boss" Lee'
    assert plain(frame.iloc[:, 2]) == CITIES
    assert plain(frame.iloc[:, 3]) == BALANCES
    assert plain(frame.iloc[:, 5]) == NOTES


def test_a_bar_and_letters_that_look_like_quotes(formats):
    table = read_table(formats / "sqlite_list.psv")
    assert table.account.facts["delimiter"] == "bar"
    assert table.frame["name"].iloc[0] == 'Ann "The Boss" Lee'


def test_row_numbers_of_r_are_left_out_and_told(formats):
    table = read_table(formats / "r_write_csv.csv")
    assert table.frame.columns[0] == "Sepal.Length"
    assert table.account.notes == ["row numbers in a first column without a name left out"]
    relation = read(formats / "r_write_csv.csv", label="Species")
    assert relation.classes == ("setosa", "versicolor")
    assert int((relation.labels < 0).sum()) == 1
    kinds = {column.name: column.kind for column in relation.columns}
    assert kinds["Sepal.Length"] is ColumnKind.NUMERIC
    assert kinds["big"] is ColumnKind.BOOLEAN


@pytest.mark.parametrize("name", ["r_write_table.tsv", "r_mtcars.csv.gz"])
def test_row_names_of_r_are_a_column(formats, name):
    frame = read_frame(formats / name)
    assert frame.shape == (12, 12)
    assert frame["row_name"].iloc[0] == "Mazda RX4"
    assert frame["mpg"].iloc[2] == 22.8


def test_decimal_commas_of_r_and_the_same_data_are_the_same_relation(formats):
    assert read(formats / "r_write_csv2.csv").content_hash() == read(formats / "r_write_csv.csv").content_hash()


@pytest.mark.parametrize(("name", "encoding"), [("r_latin1.csv", "cp1252"), ("r_utf16.csv", "utf-16-le")])
def test_encodings_of_r(formats, name, encoding):
    table = read_table(formats / name)
    assert table.frame["stadt"].tolist() == ["Zürich", "Genève", "Bern"]
    assert table.account.facts["encoding"] == encoding


def test_a_browser_export(formats):
    table = read_table(formats / "chromium_export.csv")
    assert list(table.frame.columns) == ["Kunde", "Umsatz", "Bemerkung", "gekündigt"]
    assert table.frame["Umsatz"].tolist()[:3] == [10.25, 20.5, 30.75]
    assert table.frame["Bemerkung"].iloc[3] == 'sagte "ja; bald"\nund ging'
    assert table.account.facts == {"encoding": "utf-8", "delimiter": "semicolon", "decimal mark": "comma"}
    assert read(formats / "chromium_export.csv", label="gekündigt").classes == ("ja", "nein")


def test_a_spreadsheet_in_all_its_forms(formats):
    book = read_frame(formats / "libreoffice_plain.xlsx")
    assert (book.index.name, book.index[0]) == ("row", 2)
    assert book["total"].iloc[0] == 176.0
    for name in ("libreoffice_export.csv", "libreoffice_utf16.csv"):
        text = read_frame(formats / name)
        assert text.reset_index(drop=True).equals(book.reset_index(drop=True))


def test_titles_above_a_table_and_dates_and_errors_in_it(formats):
    table = read_table(formats / "libreoffice_titles.xlsx")
    assert list(table.frame.columns) == ["customer", "region", "revenue", "since", "active", "churned"]
    assert table.frame.index[0] == 5
    assert table.frame["since"].iloc[0] == pd.Timestamp("2023-03-15", tz="UTC")
    assert pd.isna(table.frame.loc[9, "revenue"])
    assert "2 rows before the table left out" in table.account.notes


def test_one_sheet_of_several(formats):
    path = formats / "libreoffice_two_sheets.xlsx"
    with pytest.raises(InvalidDataError, match=r"2 sheets with rows: 'Customers' \(23 rows\), 'Products' \(3 rows\)"):
        read_frame(path)
    assert read_frame(path, sheet="Products")["sku"].tolist() == ["0012", "0100"]
    assert len(read_frame(path, sheet=1)) == 20
    with pytest.raises(InvalidDataError, match=r"no sheet 'Prices'.*1 'Customers', 2 'Products'"):
        read_frame(path, sheet="Prices")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("libreoffice_protected.xlsx", "protected by a password"),
        ("libreoffice_old.xls", "old binary format"),
        ("libreoffice.ods", "OpenDocument"),
    ],
)
def test_workbooks_that_are_not_read_say_why(formats, name, text):
    with pytest.raises(InvalidDataError, match=text):
        read_frame(formats / name)


def test_documents(formats):
    pages = read_frame(formats / "chromium_two_pages.pdf")
    assert (pages.index.name, pages["text"].tolist()) == ("page", ["The service was quick.", "The second page."])
    (text,) = read_frame(formats / "libreoffice_writer.docx")["text"]
    assert text == "The service was quick.\nWe come again to Zürich."


def test_reference_tables_of_every_format(reference_data):
    ci = read(reference_data / "ci" / "sample_sizes.csv")
    assert len(ci) == 373
    commits = read(reference_data / "ci" / "emocontext_commits.csv", label="label")
    assert (len(commits), commits.classes) == (5509, ("0", "1", "2", "3"))
    nursery = read(reference_data / "cpclean" / "nursery_systematic" / "train_dirty.parquet", label="label")
    assert len(nursery) == 8092
    youtube = read(reference_data / "weak" / "youtube" / "test_text.csv")
    assert len(youtube) == 250
    assert {column.name for column in youtube.columns} >= {"text"}
