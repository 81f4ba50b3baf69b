"""A client in another language, ``proto/examples/node``, against a real label service that asks for everything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from labels_stack import LabelStack

from easeml.labels.client import LabelClient
from easeml.stream.payloads import AppDefined, Column, ColumnKind, Pillar, Question, QuestionKind
from easeml.stream.settings import Settings
from easeml.stream.topics import ANSWERS, APPS, QUESTIONS

ROOT = Path(__file__).parents[3]
LOCK = "examples/node/package-lock.json"


@pytest.fixture(scope="module")
def example():
    """Path of the program, beside its packages; they are fetched once per lock file."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no node and npm here")
    copy = ROOT / "build" / "node" / "proto"
    installed = copy / LOCK
    fresh = not installed.exists() or installed.read_bytes() != (ROOT / "proto" / LOCK).read_bytes()
    shutil.copytree(ROOT / "proto", copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    if fresh or not (installed.parent / "node_modules" / ".package-lock.json").exists():
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"]
        done = subprocess.run([npm, "ci", *quiet], cwd=installed.parent, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    return node, installed.parent / "label.js"


@pytest.fixture(scope="module")
def stack(tmp_path_factory, shows):
    with LabelStack(tmp_path_factory.mktemp("node"), token="secret", tls=shows("server")) as stack:
        stack.start()
        app = AppDefined("churn", "churned", ("no", "yes"), (Column("age", ColumnKind.NUMERIC),), redundancy=2)
        stack.publish(APPS, app)
        asked = ("churn", "q1", QuestionKind.LABEL, Pillar.PRODUCTION, "r1", ("no", "yes"), 1.0, "modelpicker")
        stack.publish(QUESTIONS, Question(*asked))
        with LabelClient(stack.target, "secret", tls=Settings(**shows("ada"))) as labels:
            stack.until(lambda: list(labels.questions("churn")))
        yield stack


@pytest.fixture
def run(example, stack, shows):
    """Run the program with arguments as somebody with a certificate and a token; return its status and its words."""

    def call(*arguments, who="ada", token="secret"):
        own = {f"EASEML_{name.upper()}": value for name, value in shows(who).items()} | {"EASEML_TOKEN": token}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("EASEML_")}
        command = [*map(str, example), f"localhost:{stack.port}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=clean | own, check=False)
        return done.returncode, done.stdout, done.stderr

    return call


def test_it_lists_and_answers_and_two_people_make_an_answer(run, stack, shows):
    assert run("churn") == (0, "q1: row r1: no | yes (1.00 bits)\n", "")
    status, said, _ = run("churn", "ada", "yes")
    assert (status, said.splitlines()[1][:17]) == (0, "answered q1: yes ")
    with LabelClient(stack.target, "secret", tls=Settings(**shows("ada"))) as labels:
        stack.until(lambda: not list(labels.questions("churn", annotator="ada")))
        assert run("churn", "ada", "yes") == (0, "", "")  # nobody is asked twice
        (question,) = labels.questions("churn", annotator="bob")
        labels.answer(question, "yes", annotator="bob")
    (answer,) = stack.until(lambda: [event.data for event in stack.events(ANSWERS)])
    assert (answer.question, answer.text, answer.annotators) == ("q1", "yes", 2)


def test_it_says_why_it_was_refused(run):
    status, _, said = run("churn", "ada", "perhaps", token="wrong")
    assert status == 1
    what, _, mend = said.partition(". ")
    assert what == "The call carries no token of this server"
    assert mend.endswith("other programs send the metadata 'authorization: Bearer TOKEN'.\n")
    assert run("churn", "ada")[2] == "Usage: node label.js HOST:PORT APP [NAME ANSWER]\n"


@pytest.mark.parametrize(
    ("who", "why"), [("", "PEER_DID_NOT_RETURN_A_CERTIFICATE"), ("old", "certificate has expired")]
)
def test_without_a_good_certificate_it_does_not_get_in_and_the_log_of_the_service_says_why(run, stack, who, why):
    status, listed, _ = run("churn", who=who)
    assert (status, listed) == (1, "")
    stack.until(lambda: why in stack.log())
