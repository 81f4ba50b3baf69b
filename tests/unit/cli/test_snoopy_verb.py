"""``easeml snoopy`` judges a file without a broker."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from easeml.cli.root import app
from easeml.errors import InvalidDataError


@pytest.fixture
def customers(tmp_path):
    rng = np.random.default_rng(0)
    left = rng.integers(0, 2, 200)
    frame = pd.DataFrame(
        {
            "age": rng.normal(size=200) + 3 * left,
            "plan": np.array(["basic", "pro"])[rng.integers(0, 2, 200)],
            "left": np.array(["no", "yes"])[left],
        }
    )
    frame.loc[::9, "age"] = np.nan
    path = tmp_path / "customers.csv"
    frame.to_csv(path, index=False)
    return path


def snoopy(*arguments):
    return CliRunner().invoke(app, ["snoopy", *map(str, arguments)])


def test_a_person_reads_the_signal_the_curve_and_what_to_do(customers, tmp_path):
    page = tmp_path / "report.html"
    shown = snoopy(customers, "--label", "left", "--target", 0.7, "--html", page)
    assert shown.exit_code == 0, shown.output
    for told in ("Read 200 rows", "REALISTIC  The target of 70.0 %", "─ target", "Next: train", "Wrote "):
        assert told in shown.output
    written = page.read_text()
    assert written.startswith("<!doctype html>")
    assert "Can customers.csv reach 70.0 %?" in written
    assert "<svg" in written


def test_a_program_gets_the_same_as_json(customers):
    facts = json.loads(snoopy(customers, "--label", "left", "--target", 0.999, "--noise", 0.1, "--json").output)
    assert facts["signal"] == "unrealistic"
    assert facts["read"]["rows"] == facts["rows"] == 200
    assert facts["clean_bayes_error"] <= facts["bayes_error"]["lower"]
    again = json.loads(snoopy(customers, "--label", "left", "--target", 0.999, "--noise", 0.1, "--json").output)
    assert again == facts, "the seed decides"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--label", "left", "--target", 1.2), "target accuracy"),
        (("--label", "lift", "--target", 0.9), "Did you mean 'left'"),
        (("--target", 0.9), "no label"),
        (("--label", "left", "--target", 0.9, "--noise", 1.0), "noise rate"),
    ],
)
def test_what_cannot_be_judged_is_refused(customers, options, says):
    result = snoopy(customers, *options)
    assert isinstance(result.exception, InvalidDataError)
    assert says in str(result.exception)


def test_a_page_that_cannot_be_written_is_refused_before_the_work(customers, tmp_path):
    result = snoopy(customers, "--label", "left", "--target", 0.9, "--html", tmp_path / "none" / "a.html")
    assert result.exit_code == 2
    assert "no folder" in result.output
