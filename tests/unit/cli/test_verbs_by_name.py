"""Verbs come when they are called: help is quick, and tells of each what the verb itself says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from easeml.cli.root import app
from easeml.cli.verbs import VERBS, loaded

SLOW = {"sklearn", "pandas", "scipy", "pyarrow", "faust", "grpc", "river"}


@pytest.mark.parametrize(
    ("module", "slow"),
    [("easeml.cli.root", {*SLOW, "numpy", "confluent_kafka"}), ("easeml.cli.status", SLOW)],
)
def test_what_is_slow_to_import_waits(module, slow):
    told = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.split()
    assert slow.isdisjoint(found)


@pytest.mark.parametrize("name", VERBS)
def test_help_says_of_a_verb_what_the_verb_says(name):
    assert loaded(name).help.split("\n\n")[0].replace("\n", " ") == VERBS[name][1]
    assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


def test_json_may_stand_behind_the_verb(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("a,b\n1,x\n2,y\n")
    runner = CliRunner()
    before = runner.invoke(app, ["--json", "look", str(file)])
    for words in (["look", str(file), "--json"], ["look", "--json", str(file), "--rows", "5"]):
        assert runner.invoke(app, words).output == before.output
    assert json.loads(before.output)["rows"] == 2
    assert runner.invoke(app, ["look", "--", "--json"]).exception.message == "There is no file --json."


def test_a_verb_that_does_not_exist_is_guessed():
    shown = CliRunner().invoke(app, ["statsu"])
    assert shown.exit_code == 2
    assert "Did you mean 'status'?" in shown.output


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("easeml ap", {"apps"}),
        ("easeml apps pa", {"pause"}),
        ("easeml apps delete --e", {"--erase"}),
        ("easeml label ex", {"export"}),
        ("easeml tokens create ada --may m", {"messages", "manage"}),
    ],
)
def test_the_shell_completes_verbs_options_and_words(typed, offered):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1), "_EASEML_COMPLETE": "complete_bash"}
    command = [Path(sys.executable).with_name("easeml")]
    done = subprocess.run(command, env=os.environ | words, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == offered


def test_the_demo_is_told_to_programs_too(monkeypatch):
    class Demo:
        def __init__(self, console, _settings, *, permute_labels):
            self.console, self.closes = console, not permute_labels

        def run(self):
            self.console.print("[dim]   0.0 s[/]  a story\n")
            return self.closes

    monkeypatch.setattr("easeml.demo.run.Demo", Demo)
    for words, code, closed in ((["demo"], 0, True), (["demo", "--permute-labels"], 1, False)):
        shown = CliRunner().invoke(app, ["--json", *words])
        assert shown.exit_code == code
        assert [json.loads(line) for line in shown.output.splitlines()] == [
            {"text": "   0.0 s  a story"},
            {"closed": closed},
        ]
