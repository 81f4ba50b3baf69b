"""What the command line prints and how it fails, without a broker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from easeml.cli.root import app
from easeml.datamagic.reading import read_frame
from easeml.errors import InvalidDataError

COMMAND = Path(sys.executable).with_name("easeml")


def test_help_names_every_verb():
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0
    for verb in (
        "up",
        "demo",
        "apps",
        "publish",
        "watch",
        "label",
        "status",
        "doctor",
        "topics",
        "dead-letters",
        "ci",
        "look",
        "run",
    ):
        assert verb in shown.output


def test_ci_plan_prints_the_published_figure_as_json():
    shown = CliRunner().invoke(
        app, ["--json", "ci", "plan", "n > 0.8 +/- 0.05", "--reliability", "0.9999", "--steps", "32"]
    )
    rows = {row["method"]: row["labels"] for row in map(json.loads, shown.output.splitlines())}
    assert rows["reference (Hoeffding, optimal split)"] == 6279


def test_errors_say_what_and_how_to_mend(tmp_path):
    done = subprocess.run([COMMAND, "apps", "list"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No Ease.ML runs in .easeml" in done.stderr
    assert "easeml up" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason", "code"),
    [
        (["apps", "list"], "unavailable", 1),
        (["apps", "lost"], "usage", 2),
        (["ci", "plan", "n >"], "condition", 1),
        (["apps", "create", "a", "--label", " "], "invalid_data", 1),
        (["apps", "update", "a"], "usage", 2),
        (["apps", "update", "a", "--add-category", "plan"], "usage", 2),
    ],
)
def test_errors_for_programs_are_one_json_object(tmp_path, arguments, reason, code):
    done = subprocess.run([COMMAND, "--json", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout == ""
    error = json.loads(done.stderr)["error"]
    assert error["reason"] == reason
    assert error["message"]
    assert error.keys() == {"reason", "message", "mend"}


def test_version(tmp_path):
    done = subprocess.run([COMMAND, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"easeml \d+\.\d+\.\d+\S*\n", done.stdout)


def test_bad_settings_name_the_variable(tmp_path):
    done = subprocess.run(
        [COMMAND, "apps", "list"],
        cwd=tmp_path,
        env={"EASEML_PARTITIONS": "many"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "EASEML_PARTITIONS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_condition_points_at_the_column(tmp_path):
    done = subprocess.run([COMMAND, "ci", "plan", "n >"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Column" in done.stderr


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.json", "t.jsonl", "t.parquet"])
def test_files_of_every_kind(tmp_path, name):
    frame = pd.DataFrame({"x": [1.5, 2.5], "kind": ["a", "b"]})
    path = tmp_path / name
    writers = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".json": lambda: frame.to_json(path, orient="records"),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        ".parquet": lambda: frame.to_parquet(path),
    }
    writers[path.suffix]()
    read = read_frame(path)
    assert read.to_dict("list") == frame.to_dict("list")
    place = {".csv": ("line", 2), ".tsv": ("line", 2), ".jsonl": ("line", 1)}.get(path.suffix, ("row", 1))
    assert (read.index.name, read.index[0]) == place


def test_lines_are_known_behind_blank_ones_and_cells_of_several(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('x,y\n1,"two\nlines"\n\n2,b\n')
    read = read_frame(path)
    assert (read.index.name, list(read.index)) == ("line", [2, 5])


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("t.exe", "MZ", "unknown ending"),
        ("gone.csv", None, "no file"),
        ("e.csv", "x,y\n", "no rows"),
        ("b.json", "{", "not readable"),
    ],
)
def test_bad_files(tmp_path, name, content, text):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InvalidDataError, match=text):
        read_frame(tmp_path / name)


def test_an_open_door_without_a_token_is_refused(tmp_path):
    done = subprocess.run(
        [COMMAND, "apps", "list"],
        cwd=tmp_path,
        env={"EASEML_HOST": "0.0.0.0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "EASEML_TOKEN" in done.stderr
