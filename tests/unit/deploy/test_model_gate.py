"""The gate for GitHub Actions: its commands exist, and what a pull request brings runs apart from the test labels."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess

import pytest
import yaml
from deploy_files import DEPLOY
from typer.testing import CliRunner

from easeml.cli.root import app

JOBS = yaml.safe_load((DEPLOY / "github-actions" / "model-gate.yml").read_text())["jobs"]
SHELL = {step["name"]: step["run"] for step in JOBS["judge"]["steps"] if "name" in step and "run" in step}
AWS = """#!/usr/bin/env bash
echo "$@" >> calls
case "$1 $2" in
  "s3api head-object") [ "$ANSWER" = there ] && echo '"tag"' || { echo "An error occurred ($ANSWER)" >&2; exit 254; } ;;
  "s3api get-object") echo ledger > ci-ledger.npz ;;
esac
"""


def test_the_job_that_sees_the_labels_runs_nothing_of_the_pull_request():
    used = [step.get("uses", "").partition("@")[0] for step in JOBS["judge"]["steps"]]
    assert "actions/checkout" not in used
    assert not any("predict.py" in command for command in SHELL.values())
    assert JOBS["judge"]["environment"]
    assert "id-token" not in JOBS["predict"]["permissions"]
    assert not re.search("secrets|aws", yaml.safe_dump(JOBS["predict"]))


def test_its_commands_are_ours():
    lines = "\n".join(SHELL.values()).replace("\\\n", " ").splitlines()
    asked = [shlex.split(line) for line in lines if line.strip().startswith("easeml ")]
    assert [words[1:3] for words in asked] == [["ci", "check"], ["ci", "report"]]
    for words in asked:
        known = CliRunner().invoke(app, [*words[1:3], "--help"]).output
        assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", known))


@pytest.fixture
def bash(tmp_path):
    """Run a step's commands, with an object store that answers as it is told."""
    program = tmp_path / "bin" / "aws"
    program.parent.mkdir()
    program.write_text(AWS)
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    path = f"{program.parent}:{os.environ['PATH']}"

    def run(step, answer="there"):
        environment = {"PATH": path, "ANSWER": answer, "BUCKET": "b", "FOLDER": "f", "GITHUB_STEP_SUMMARY": "/dev/null"}
        # As GitHub runs it.
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", SHELL[step].replace("easeml", "true")]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True).returncode

    run.folder = tmp_path
    return run


def test_a_ledger_is_begun_only_where_the_store_says_that_there_is_none(bash):
    ledger = bash.folder / "ci-ledger.npz"
    assert bash("Fetch the ledger and the labels", "403") != 0
    assert bash("Fetch the ledger and the labels", "404") == 0
    assert not ledger.exists()
    assert bash("Fetch the ledger and the labels") == 0
    assert ledger.read_text() == "ledger\n"


@pytest.mark.parametrize(("answer", "condition"), [("there", '--if-match "tag"'), ("404", "--if-none-match *")])
def test_a_ledger_replaces_the_one_that_it_came_from_and_no_other(bash, answer, condition):
    assert bash("Fetch the ledger and the labels", answer) == 0
    (bash.folder / "ci-ledger.npz").write_text("newer")
    assert bash("Keep the ledger, whatever the verdict") == 0
    assert condition in (bash.folder / "calls").read_text().splitlines()[-1]
