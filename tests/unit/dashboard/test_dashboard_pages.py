"""Models, picks, feasibility and verdicts as their pages are told of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from dashboard_day import APP, NOW, day, event, feasibility, model

from easeml.dashboard import feasibility as study
from easeml.dashboard import learning, verdicts
from easeml.dashboard.house import House
from easeml.stream import payloads as p


def view(*said):
    house = House()
    house.fold(event(data, float(at)) for at, data in enumerate((APP, *said)))
    return house.apps["churn"]


@pytest.fixture
def lived():
    house = House()
    house.fold(day())
    return house.apps["churn"]


def detail(name: str, epoch: int = 1, labels: int = 5, **more) -> p.VerdictDetail:
    outcome = p.VerdictOutcome.PASSED
    ends = np.array([0.7, 0.9, np.nan, np.nan, 0.1, 0.2])
    return replace(
        p.VerdictDetail("churn", name, None, outcome, True, "n > 0.7 +/- 0.1", epoch, labels, 2, 14.0, intervals=ends),
        **more,
    )


@pytest.mark.parametrize("page", [learning.models, learning.picker, study.feasibility])
def test_a_new_app_has_empty_pages_that_are_plain_data(page):
    json.dumps(page(view(), NOW), allow_nan=False)


def test_models_tell_the_best_so_far_their_verdict_and_who_is_served(lived):
    rows = learning.models(lived, NOW)["models"]
    assert [(one["model"], one["accuracy"], one["best"]) for one in rows] == [
        ("lda-1", 0.8, 0.8),
        ("tree-2", 0.85, 0.85),
    ]
    assert [one["verdict"] for one in rows] == ["baseline", "not passed"]
    assert [one["served"] for one in rows] == [True, False]


def test_a_worse_model_leaves_the_best_where_it_was():
    rows = learning.models(view(model("a-1", 0.9), model("b-2", 0.5, "a-1")), NOW)["models"]
    assert [one["best"] for one in rows] == [0.9, 0.9]
    assert rows[1]["parents"] == ["a-1"]
    assert rows[1]["verdict"] == "not judged"


def test_a_retired_model_says_so():
    found = learning.models(view(model("a-1", 0.9), p.ModelRetired("churn", "a-1", "too slow")), NOW)["models"]
    assert (found[0]["verdict"], found[0]["retired"]) == ("retired", "too slow")


def test_picks_tell_belief_labels_and_drift(lived):
    told = learning.picker(lived, NOW)
    assert [(one["model"], one["belief"], one["drift"]) for one in told["picks"]] == [
        ("lda-1", 1.0, False),
        ("lda-1", 0.9, True),
    ]
    assert told["lines"] == [{"model": "lda-1", "belief": [1.0, 0.9]}, {"model": "tree-2", "belief": [0.0, 0.1]}]
    assert told["granted"] == APP.label_budget


def test_only_the_models_that_matter_have_a_line():
    belief = {f"m-{n}": (n + 1) / 78 for n in range(12)}
    told = learning.picker(view(p.ModelPicked("churn", "m-0", 1, 1, False, 1, belief)), NOW)
    assert told["others"] == 4
    assert told["lines"][0]["model"] == "m-0"  # it is served
    assert [line["model"] for line in told["lines"][1:]] == [f"m-{n}" for n in (11, 10, 9, 8, 7, 6, 5)]


def test_feasibility_has_a_curve_per_transformation_the_best_first(lived):
    told = study.feasibility(lived, NOW)["study"]
    assert told["signal"] == "realistic"
    assert [told["best"], told["best_low"], told["best_high"]] == pytest.approx([0.95, 0.93, 0.97])
    assert [arm["transformation"] for arm in told["curves"]] == ["raw", "pca"]
    assert told["curves"][0]["rows"] == [50.0, 100.0]
    assert told["curves"][0]["accuracies"] == pytest.approx([0.9, 0.92])


def test_a_long_curve_keeps_its_ends():
    many = np.arange(1.0, 5001.0)
    report = replace(
        feasibility(p.FeasibilitySignal.UNDECIDED),
        curve_arm=np.zeros(5000, np.int32),
        curve_rows=many,
        curve_error=1 / many,
    )
    rows = study.curves(report)[0]["rows"]
    assert len(rows) == 200
    assert (rows[0], rows[-1]) == (1.0, 5000.0)


def test_verdicts_keep_details_for_the_owner_of_the_test_set():
    said = (
        model("a-1", 0.8),
        p.TestSetOpened("churn", 1, 300, 280, 16),
        p.Verdict("churn", "a-1", True, True),
        detail("a-1"),
        model("b-2", 0.8),
    )
    hidden = verdicts.verdicts(view(*said), details=False)
    assert set(hidden["verdicts"][0]) == {"model", "at", "verdict", "signal", "baseline"}
    public = {"epoch", "since", "examples", "planned", "steps", "worn", "used_steps", "passed", "passes", "readings"}
    assert set(hidden["testsets"][0]) == public
    assert hidden["waiting"] == 1
    told = verdicts.verdicts(view(*said), details=True)
    assert told["verdicts"][0]["intervals"]["new"] == [0.7, 0.9]
    assert set(told["testsets"][0]) == public | {"labels"}
    assert (told["testsets"][0]["labels"], told["testsets"][0]["used_steps"]) == (5, 1)


def test_the_meter_and_the_passes_left_are_told_to_everybody_in_whatever_order_they_came():
    readings = [
        p.MeterReading("churn", 1, f"m-{step}", step, level, low, high, high + 0.02)
        for step, level, low, high in ((1, 0, 0.0, 0.01), (2, 2, 0.02, 0.05))
    ]
    others = (
        model("a-1", 0.8),
        p.TestSetOpened("churn", 1, 300, 280, 16),
        p.Verdict("churn", "a-1", True, True),
        detail("a-1", clauses=(p.ClauseFound("n > 0.7 +/- 0.1", "true", 0.71, 0.9),)),
        detail("b-2", signal=False),
        p.TestSetExhausted("churn", 1, "passes_exhausted"),
    )
    for said in ((*others, *readings), (*readings[::-1], *others, readings[0])):
        seen = view(*said)
        seen.app = replace(seen.app, passes=1)
        (told,) = verdicts.verdicts(seen, details=False)["testsets"]
        assert [(one["step"], one["model"], one["level"]) for one in told["readings"]] == [(1, "m-1", 0), (2, "m-2", 2)]
        assert (told["readings"][1]["low"], told["readings"][1]["at_most"]) == (0.02, pytest.approx(0.07))
        assert (told["used_steps"], told["passed"], told["passes"]) == (2, 1, 1)
        assert told["worn"] == "It has let as many models pass as it may."
    (row,) = verdicts.verdicts(seen, details=True)["verdicts"]
    assert row["clauses"] == [{"clause": "n > 0.7 +/- 0.1", "truth": "true", "interval": [0.71, 0.9]}]


def test_a_worn_test_set_says_why_and_what_is_needed():
    said = (
        p.TestSetOpened("churn", 1, 300, 280, 16),
        p.TestSetExhausted("churn", 1, "steps_exhausted"),
        p.TestSetNeeded("churn", 2, 587, "used up"),
    )
    told = verdicts.verdicts(view(*said), details=False)
    assert told["testsets"][0]["worn"] == "It has judged as many models as it may."
    assert told["needed"] == {
        "examples": 587,
        "reason": "Test set 1 is used up. It has judged as many models as it may.",
    }
    (told,) = (verdicts.verdicts(view(p.TestSetNeeded("churn", 1, 587, "none is there")), details=False),)
    assert told["needed"] == {"examples": 587, "reason": "none is there"}


def test_the_plan_is_told_or_what_is_wrong_with_it():
    told = verdicts.plan(APP)
    assert told["labels_worst"] > 0
    assert f"One decision takes at most {told['labels_worst']:,} labels" in told["page"][1]["text"][0]
    json.dumps(told, allow_nan=False)
    assert "error" in verdicts.plan(replace(APP, condition="n > "))
