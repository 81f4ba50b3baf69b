"""``easeml look`` shows any file as a relation, without a broker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from easeml.cli.root import app
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
