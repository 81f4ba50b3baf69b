"""``easeml acls`` without a cluster: what it lists, and what it says where nobody runs."""

import json

from typer.testing import CliRunner

from easeml.cli.root import app
from easeml.errors import UnavailableError


def test_the_rights_are_listed_for_programs():
    shown = CliRunner().invoke(app, ["--json", "acls"])
    rules = [json.loads(line) for line in shown.output.splitlines()]
    assert shown.exit_code == 0
    assert {"account": "easeml-ci", "may": "read", "kind": "topic", "name": "easeml.data.test-labels.v1"} in rules
    assert {"account": "easeml-house", "may": "all", "kind": "group", "name": "easeml-*"} in rules


def test_without_a_cluster_nothing_is_given(tmp_path, monkeypatch):
    monkeypatch.delenv("EASEML_BOOTSTRAP_SERVERS", raising=False)
    shown = CliRunner().invoke(app, ["--home", str(tmp_path), "acls", "--apply"])
    assert shown.exit_code != 0
    assert isinstance(shown.exception, UnavailableError)
