"""``easeml tokens`` and ``easeml dashboard``."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from easeml.cli.root import app
from easeml.errors import NotFoundError, UnavailableError
from easeml.stream.runfiles import run_folder, write_run_file
from easeml.tokens import Right, TokenFile


@pytest.fixture
def easeml(tmp_path):
    def call(*words: str):
        return CliRunner().invoke(app, ["--home", str(tmp_path), "--json", *words])

    return call


def test_a_token_is_made_shown_once_listed_and_taken_away(easeml, tmp_path):
    words = ("create", "ada", "--app", "churn", "--may", "answer", "--may", "messages")
    made = json.loads(easeml("tokens", *words).output)
    holder = TokenFile(tmp_path).holder(made["token"])
    assert (holder.name, holder.apps) == ("ada", {"churn"})
    assert holder.rights == {Right.ANSWER, Right.MESSAGES}
    easeml("tokens", "create", "bob")
    listed = [json.loads(line) for line in easeml("tokens", "list").output.splitlines()]
    assert listed == [
        {"name": "ada", "apps": "churn", "may": "answer, messages"},
        {"name": "bob", "apps": "all", "may": "see"},
    ]
    easeml("tokens", "revoke", "ada")
    assert TokenFile(tmp_path).holder(made["token"]) is None
    assert isinstance(easeml("tokens", "revoke", "ada").exception, NotFoundError)
    assert easeml("tokens", "create", "eve", "--may", "fly").exit_code == 2


def test_the_dashboard_is_where_its_run_file_says(easeml, tmp_path):
    assert isinstance(easeml("dashboard").exception, UnavailableError)
    write_run_file(tmp_path, "dashboard", health_port=1, ports={"dashboard": 4711}, ready=True)
    assert json.loads(easeml("dashboard").output) == {"address": "http://127.0.0.1:4711/"}
    (run_folder(tmp_path) / "dashboard.json").unlink()
    write_run_file(tmp_path, "dashboard", health_port=1, ports={}, ready=False)
    assert isinstance(easeml("dashboard").exception, UnavailableError)
