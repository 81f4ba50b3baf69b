"""``easeml look`` shows any file as a relation, without a broker."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from easeml.cli.root import app
from easeml.datamagic.reading import read
from easeml.errors import InvalidDataError
from easeml.relation import Relation

FORMATS = Path(__file__).parents[2] / "data" / "formats"
MESSY = """id;when;paid;plan;left
a;01.02.2024;1,5;basic;no
b;N/A;;basic;yes
c;15.03.2024;2,5;pro;no
d;16.03.2024;9;pro;yes
"""


@pytest.fixture
def messy(tmp_path):
    path = tmp_path / "messy.csv"
    path.write_text(MESSY)
    return path


def look(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_a_person_sees_columns_candidates_and_what_was_found(messy):
    shown = look("look", messy, "--label", "left", "--id-column", "id")
    assert shown.exit_code == 0
    assert "4 rows" in shown.output
    assert "2 uncertain cells" in shown.output
    assert "datamagic.knn" in shown.output
    assert "Found: 2 missing" in shown.output


def test_a_program_gets_the_same_as_json(messy):
    facts = json.loads(look("--json", "look", messy, "--label", "left", "--id-column", "id").output)
    assert facts["columns"] == {"when": "datetime", "paid": "numeric", "plan": "categorical"}
    assert (facts["rows"], facts["classes"], facts["uncertain_cells"]) == (4, ["no", "yes"], 2)
    assert facts["entropy_bits"] > 0
    again = json.loads(look("--json", "look", messy, "--label", "left", "--id-column", "id").output)
    assert again == facts, "the seed decides"


def test_without_repairs_nothing_is_uncertain(messy):
    facts = json.loads(look("--json", "look", messy, "--id-column", "id", "--repairs", 0).output)
    assert facts["uncertain_cells"] == 0


def test_the_parquet_file_holds_every_candidate(messy, tmp_path):
    facts = json.loads(look("--json", "look", messy, "--label", "left", "--output", tmp_path / "m.parquet").output)
    assert Relation.from_parquet(tmp_path / "m.parquet").content_hash() == facts["content_hash"]


def test_a_relations_own_file_keeps_its_candidates(messy, tmp_path):
    file = tmp_path / "m.parquet"
    facts = json.loads(look("--json", "look", messy, "--label", "left", "--output", file).output)
    again = json.loads(look("--json", "look", file).output)
    assert again["content_hash"] == facts["content_hash"]
    assert (again["uncertain_cells"], again["label"]) == (2, "left")
    assert again["read"]["relation"] == "a relation with its candidates"
    assert "m.parquet (parquet, a relation with its candidates)" in look("look", file).output.replace("\n", " ")
    shown = look("look", file, "--label", "plan")
    assert "is a relation whose label column is 'left', not 'plan'" in str(shown.exception)


def test_what_is_uncertain_is_the_same_for_people_and_programs(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("zip,city,left\n" + "1000,A,no\n2000,B,yes\n" * 30 + "1000,,no\n2000,B,\n")
    facts = json.loads(look("--json", "look", path, "--label", "left").output)
    counted = (facts["uncertain_cells"], facts["settled_cells"], facts["unlabelled"])
    said = look("look", path, "--label", "left").output
    assert counted[2] == 1
    assert ("uncertain" in said) == bool(counted[0]) or counted[0] == 0
    assert sum(counted[:2]) == 1


def test_kinds_and_the_order_of_dates_can_be_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("code,when\n" + "".join(f"{place % 3},0{place % 9 + 1}/04/2021\n" for place in range(30)))
    shown = look("look", path)
    assert "may be day first or month first" in str(shown.exception)
    assert "say --day-first or --month-first" in shown.exception.mend
    facts = json.loads(look("--json", "look", path, "--day-first", "--kind", "code=categorical").output)
    assert facts["columns"] == {"code": "categorical", "when": "datetime"}
    assert read(path, day_first=True).frame()["when"].iloc[1].month == 4
    assert read(path, day_first=False).frame()["when"].iloc[1].month == 2
    assert look("look", path, "--kind", "code=number").exit_code == 2
    lost = look("look", path, "--kind", "cod=text", "--day-first").exception
    assert "No column 'cod'" in str(lost)
    assert "Did you mean 'code'?" in lost.mend


def test_the_page_and_the_table_are_written(messy, tmp_path):
    for name, text in (("m.html", "<table"), ("m.csv", "basic")):
        assert look("look", messy, "--output", tmp_path / name).exit_code == 0
        assert text in (tmp_path / name).read_text()


def test_an_output_that_cannot_be_written_is_refused_before_the_work(messy, tmp_path):
    for name in ("m.docx", "nowhere/m.csv"):
        assert look("look", messy, "--output", tmp_path / name).exit_code == 2


@pytest.mark.parametrize("name", ["libreoffice_plain.xlsx", "r_write_csv.csv", "postgres_copy.csv", "sqlite.json"])
def test_files_of_other_programs_are_shown(name):
    assert look("look", FORMATS / name).exit_code == 0


def options_of(verb):
    return set(re.findall(r"--[a-z-]+", look(verb, "--help").output))


def test_look_takes_every_option_of_reading_that_publish_takes(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    reading = {"--format", "--sheet", "--delimiter", "--encoding", "--header", "--no-header", "--size"}
    reading |= {"--strict", "--skip-bad-rows", "--id-column", "--kind", "--day-first", "--repairs"}
    assert reading <= options_of("publish")
    assert reading <= options_of("look")


@pytest.fixture
def odd(tmp_path):
    lines = [f"c{row};{row * 3.5};{'n/a' if row == 4 else row % 3};;{'yes' if row % 2 else 'no'}" for row in range(30)]
    lines[20] = "c20;oops;1;;no"
    path = tmp_path / "odd.csv"
    path.write_text("\n".join(["customer_id;paid;visits;fax;left", *lines]) + "\n")
    return path


def test_look_says_what_publish_says_of_reading(odd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = " ".join(look("look", odd, "--label", "left").output.split())
    assert "Read 30 rows of" in said
    assert "odd.csv (csv, utf-8, semicolon" in said
    assert "1 value clashes with its column and is taken for missing, first line 22, column paid: 'oops'" in said
    assert "written as 'n/a'" in said
    assert "fax: no row has a value" in said
    assert "customer_id tells rows apart: it is the row id and no feature (--id-column names another)" in said
    read = json.loads(look("--json", "look", odd, "--label", "left").output)["read"]
    assert (read["clashing"], read["missing_marks"]) == (1, ["n/a"])
    assert (read["empty"], read["ids"]) == (["fax"], ["customer_id"])


def test_strict_refuses_the_first_clash(odd):
    shown = look("look", odd, "--strict")
    assert isinstance(shown.exception, InvalidDataError)
    assert "line 22, column paid: 'oops' is not a numeric value" in str(shown.exception)


def test_bad_rows_can_be_left_out(tmp_path):
    path = tmp_path / "torn.csv"
    path.write_text("a,b\n" + "1,2\n" * 20 + "one\n" + "3,4\n" * 20)
    assert isinstance(look("look", path).exception, InvalidDataError)
    facts = json.loads(look("--json", "look", path, "--skip-bad-rows").output)
    assert (facts["rows"], facts["read"]["left_out"]) == (40, 1)


@pytest.mark.parametrize(("bound", "size"), [("MOST_BYTES", "bytes: too large"), ("MOST_CELLS", "more than 8 cells")])
def test_what_is_too_large_is_for_upload(messy, monkeypatch, bound, size):
    monkeypatch.setattr(f"easeml.datamagic.reading.{bound}", 8)
    error = look("look", messy).exception
    assert size in error.message
    assert "'easeml upload APP FILE'" in error.mend


def test_the_way_a_table_is_written_can_be_told(tmp_path):
    path = tmp_path / "bare.txt"
    path.write_bytes("Käse|1\nBrot|2\nÖl|3\n".encode("cp1252"))
    options = ("--format", "csv", "--delimiter", "|", "--encoding", "cp1252", "--no-header")
    facts = json.loads(look("--json", "look", path, *options).output)
    assert (facts["rows"], len(facts["columns"])) == (3, 2)
    workbook = FORMATS / "libreoffice_two_sheets.xlsx"
    assert json.loads(look("--json", "look", workbook, "--sheet", "Customers").output)["rows"] == 20


def test_the_rows_are_those_of_the_reader(messy):
    facts = json.loads(look("--json", "look", messy, "--label", "left", "--repairs", 0).output)
    assert facts["content_hash"] == read(messy, label="left").content_hash()


def test_the_page_names_the_file_and_tells_what_was_found(odd, tmp_path):
    assert look("look", odd, "--label", "left", "--output", tmp_path / "odd.html").exit_code == 0
    page = (tmp_path / "odd.html").read_text()
    assert "<title>odd.csv</title>" in page
    assert "<h1>odd.csv</h1>" in page
    assert "first line 22, column paid: &#x27;oops&#x27;" in page
    assert "Found: " in page
    assert "[yellow]" not in page


def test_a_wide_terminal_shows_more_columns(tmp_path, monkeypatch):
    path = tmp_path / "wide.csv"
    names = [f"c{place}" for place in range(13)]
    path.write_text("\n".join(",".join(names if not row else [f"{row}.5"] * 13) for row in range(5)) + "\n")
    monkeypatch.setenv("COLUMNS", "200")
    assert all(f" {name} " in look("look", path).output for name in names[1:-1])
