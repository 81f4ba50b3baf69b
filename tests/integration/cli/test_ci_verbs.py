"""``easeml ci`` on files: the plan in words, the gate, its exit codes and its reports; no broker runs."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from typer.testing import CliRunner

from easeml.cli.root import app as command
from easeml.errors import (
    BudgetExhaustedError,
    ConditionError,
    ConfigurationError,
    ConflictError,
    InvalidDataError,
    NotFoundError,
)

N = 900
RNG = np.random.default_rng(4)
TRUTH = RNG.integers(3, size=N)
CLASSES = np.array(["cat", "dog", "eel"])


def guesses(accuracy):
    wrong = (TRUTH + RNG.integers(1, 3, size=N)) % 3
    return np.where(RNG.random(N) < accuracy, TRUTH, wrong)


OLD, BETTER, WORSE = guesses(0.6), guesses(0.85), guesses(0.5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("labels.csv", "label", TRUTH)
    for name, codes in (("old", OLD), ("better", BETTER), ("worse", WORSE)):
        write(f"{name}.csv", "prediction", codes)
    return tmp_path


def write(path, column, codes, rows=range(N)):
    with open(path, "w", newline="", encoding="utf-8") as file:
        countries = ("CH", "AT")
        writer = csv.writer(file)
        writer.writerow(("id", column, "country"))
        writer.writerows((f"row-{i}", CLASSES[codes[i]], countries[i % 2]) for i in rows)


def easeml(*arguments, code=0, as_json=False):
    shown = CliRunner().invoke(command, [*(["--json"] if as_json else []), "ci", *map(str, arguments)])
    if shown.exception is not None and not isinstance(shown.exception, SystemExit):
        raise shown.exception
    assert shown.exit_code == code, shown.output
    return [json.loads(line) for line in shown.stdout.splitlines()] if as_json else shown.output


GATE = ("--condition", "n - o > 0 +/- 0.05", "--steps", 4, "--labels", "labels.csv", "--seed", 1)


def test_the_plan_answers_the_questions_of_a_newcomer(folder):
    files = ("--html", "plan.html", "--markdown", "plan.md")
    shown = easeml("plan", "n - o > 0.02 +/- 0.01", "--disagreement", 0.1, *files)
    page, markdown = ((folder / name).read_text() for name in files[1::2])
    for question in (
        "How many labels are needed?",
        "Why so many?",
        "What if the reliability changes?",
        "What happens at the end of the test set?",
        "What does a pass mean?",
    ):
        assert question in shown
        assert question in page
        assert f"## {question}\n" in markdown
    assert "poll" in shown
    rows = easeml("plan", "n - o > 0.02 +/- 0.01", "--disagreement", 0.1, as_json=True)
    assert rows[0] == {"method": "reference (Hoeffding, optimal split)", "labels": rows[0]["labels"]}


def test_the_gate_accepts_rejects_and_remembers(folder):
    easeml("check", "better.csv", "old.csv", *GATE)
    easeml("check", "worse.csv", *GATE[4:], code=3)
    # asked again with the same predictions, nothing new is spent
    easeml("check", "better.csv", "--labels", "labels.csv")
    easeml("report", "ci-ledger.npz", "--owner", "--format", "json", "--output", "all.json")
    report = json.loads((folder / "all.json").read_text())
    assert [verdict["passed"] for verdict in report["verdicts"]] == [True, False]
    assert report["steps_used"] == 2
    assert 0 < report["labels_bought"] < 500


def test_without_labels_it_asks_in_order_and_goes_on_where_it_was(folder):
    (asked,) = easeml("check", "better.csv", "old.csv", *GATE[:4], "--seed", 1, "--ahead", 30, code=4, as_json=True)
    assert len(asked["wanted"]) == 30
    assert all(OLD[int(name[4:])] != BETTER[int(name[4:])] for name in asked["wanted"])
    easeml("check", "better.csv", "--questions", "todo.csv", "--ahead", 30, code=4)
    with open("todo.csv", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == asked["wanted"]
    write("some.csv", "label", TRUTH, [int(name[4:]) for name in asked["wanted"][:10]])
    (later,) = easeml("check", "better.csv", "--labels", "some.csv", "--ahead", 20, code=4, as_json=True)
    assert later["wanted"] == asked["wanted"][10:]
    easeml("check", "better.csv", "--labels", "labels.csv")


def test_developers_get_one_bit_and_the_owner_everything(folder):
    (told,) = easeml("check", "better.csv", "old.csv", *GATE, "--model", "m1", as_json=True)
    assert told == {"model": "m1", "passed": True}
    (told,) = easeml("check", "better.csv", "--model", "m1", "--owner", "--labels", "labels.csv", as_json=True)
    assert told["outcome"] == "PASSED"
    assert told["clauses"][0]["interval"][0] > 0
    assert set(told["intervals"]) == {"n", "o", "d"}


def test_reports_in_every_format(folder):
    names = [f"r.{ending}" for ending in ("json", "md", "xml", "html")]
    easeml("check", "better.csv", "old.csv", *GATE, "--model", "a|b")
    options = [part for name in names for part in ("--report", name)]
    easeml("check", "worse.csv", "--labels", "labels.csv", *options, code=3)
    found, markdown, junit, page = ((folder / name).read_text() for name in names)
    assert [set(verdict) for verdict in json.loads(found)["verdicts"]] == [{"model", "passed"}] * 2
    assert "| a\\|b | passed |" in markdown
    assert "labels_bought" not in found
    suite = ET.fromstring(junit).find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [case.find("failure") is None for case in suite] == [True, False]
    assert "<td>rejected</td>" in page
    assert "does not hold" in easeml("report", "ci-ledger.npz", "--format", "junit", "--owner")


def test_slices_come_from_the_columns(folder):
    condition = "n[country=CH] > 0.7 +/- 0.1 and n[country=AT] > 0.7 +/- 0.1"
    easeml("check", "better.csv", "--condition", condition, "--labels", "labels.csv")
    easeml("check", "worse.csv", "--labels", "labels.csv", code=3)
    with pytest.raises(InvalidDataError, match="no column 'town'"):
        easeml("check", "better.csv", "--ledger", "other.npz", "--condition", "n[town=Bern] > 0.7 +/- 0.1")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("better.csv", "--steps", 9), ConflictError, "opened with steps 4, not 9"),
        (("better.csv", "--condition", "n - o > 0.1 +/- 0.05"), ConflictError, "opened with condition"),
        (("worse.csv", "worse.csv"), ConflictError, "differ from the baseline"),
        (("short.csv",), InvalidDataError, "lacks the row"),
        (("absent.csv",), NotFoundError, "no file"),
        (("labels.csv",), InvalidDataError, "no column 'prediction'"),
        (("better.csv", "--report", "r.txt"), ConfigurationError, "which report"),
        (("better.csv", "--ledger", "fresh.npz"), ConfigurationError, "Give --condition"),
        (("better.csv", "--ledger", "labels.csv"), InvalidDataError, "no ledger"),
        (("better.csv", "--ledger", "fresh.npz", "--condition", "m > 1"), ConditionError, "Column 1"),
    ],
)
def test_refusals(folder, arguments, error, says):
    write("short.csv", "prediction", WORSE, range(N - 1))
    easeml("check", "better.csv", "old.csv", *GATE)
    with pytest.raises(error, match=says):
        easeml("check", *arguments)


def test_the_end_of_the_test_set_is_said(folder):
    shown = easeml("check", "better.csv", "old.csv", *GATE, "--passes", 1)
    assert "it has let as many models pass as it may" in shown
    assert "passes_exhausted" not in easeml("report", "ci-ledger.npz", "--owner")
    assert "passes_exhausted" in easeml("report", "ci-ledger.npz", "--owner", "--format", "json")
    with pytest.raises(BudgetExhaustedError, match="fresh test data"):
        easeml("check", "worse.csv", "--labels", "labels.csv")
