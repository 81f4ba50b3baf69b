"""Planned sample sizes against the published ones, row by row."""

import csv
import os
import pathlib

import pytest

from easeml.ci import parse, plan
from easeml.errors import ConfigurationError

ROOT = pathlib.Path(__file__).parents[3]
DATA = pathlib.Path(os.environ.get("EASEML_REFERENCE_DATA", ROOT.parent / "shared" / "data")) / "ci"


def test_every_published_row():
    if not DATA.is_dir():
        pytest.skip(f"no reference data in {DATA}")
    with (DATA / "sample_sizes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 373
    wrong = []
    for row in rows:
        adaptivity = {"hybrid": "first_change"}.get(row["adaptivity"], row["adaptivity"])
        figures = plan(
            parse(row["condition"]),
            reliability=float(row["reliability"]),
            steps=int(row["steps"]),
            adaptivity=adaptivity,
        ).references
        ours, theirs = figures.get(row["source"], -1), int(row["n_reference"])
        if "rounded" in row["source"]:  # printed as e.g. 46K, cut off
            fits = theirs - 1 <= ours < theirs + 1000
        elif row["source"] == "exact_binomial_worst_case":
            fits = abs(ours - theirs) <= 0.005 * theirs
        else:
            fits = abs(ours - theirs) <= 1
        if not fits:
            wrong.append((row, ours))
    assert not wrong


def test_reference_is_hoeffding_with_the_optimal_split():
    assert plan("n > 0.8 +/- 0.05", reliability=0.9999, steps=32).reference == 6279
    assert plan("n - o > 0.1 +/- 0.1", reliability=0.99, steps=32).reference == 5496


def test_histories():
    sizes = {
        a: plan("n > 0.8 +/- 0.05", reliability=0.99, steps=8, adaptivity=a) for a in ("none", "first_change", "full")
    }
    assert [p.histories for p in sizes.values()] == [8, 8, 256]
    assert sizes["none"].reference == sizes["first_change"].reference < sizes["full"].reference


def test_the_engine_needs_fewer_labels_than_the_reference():
    text = "n - o > 0.02 +/- 0.01"
    figures = plan(text, reliability=0.999, steps=1, adaptivity="none", disagreement=0.1)
    assert figures.labels_expected < 600
    assert figures.labels_expected < figures.labels_worst < 2200
    assert figures.labels_worst < figures.unlabelled < figures.reference
    assert figures.references["formula_bennett_known_p=0.1"] < figures.reference


def test_a_clause_on_d_bounds_the_labels():
    alone = plan("n - o > 0 +/- 0.05", reliability=0.95, steps=8)
    filtered = plan("n - o > 0 +/- 0.05 and d < 0.2 +/- 0.05", reliability=0.95, steps=8)
    assert filtered.labels_worst < alone.labels_worst / 4


def test_a_clause_on_d_alone_is_free():
    figures = plan("d < 0.1 +/- 0.05", reliability=0.99, steps=4)
    assert figures.labels_worst == figures.labels_expected == 0
    assert figures.unlabelled > 500


def test_many_steps_do_not_leave_the_floats():
    figures = plan("n > 0.9 +/- 0.05", reliability=0.999, steps=5000)
    assert figures.reference > 600_000
    assert "exact_binomial_worst_case" not in figures.references
    assert figures.labels_worst <= 1.1 * figures.reference


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"reliability": 1.0}, "reliability"),
        ({"reliability": 99}, "reliability"),
        ({"reliability": float("nan")}, "reliability"),
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"adaptivity": "hybrid"}, "first_change"),
        ({"mode": "free"}, "fp-free"),
        ({"disagreement": 10.0}, "disagreement"),
    ],
)
def test_refusals(wrong, says):
    with pytest.raises(ConfigurationError, match=says):
        plan("n > 0.8 +/- 0.05", **{"reliability": 0.99, "steps": 4} | wrong)
