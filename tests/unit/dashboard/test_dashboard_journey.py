"""The eight steps in plain words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dashboard_day import APP, NOW, advised, day, event, feasibility, model, question, version

from easeml.dashboard.house import House
from easeml.dashboard.journey import journey
from easeml.stream import payloads as p

STEPS = ["datamagic", "snoopy", "cpclean", "market", "automl", "ci", "modelpicker", "advisor"]


def steps(*said, now: float = NOW + 50, app: p.AppDefined = APP):
    house = House()
    house.fold(event(data, float(at)) for at, data in enumerate((app, *said)))
    return {step["id"]: step for step in journey(house.apps["churn"], now)["steps"]}


def test_a_new_app_waits_for_data():
    found = steps()
    assert list(found) == STEPS
    assert {step["state"] for step in found.values()} == {"waiting"}
    assert found["datamagic"]["do"] == "easeml publish churn FILE"


def test_a_good_day():
    house = House()
    house.fold(day())
    told = journey(house.apps["churn"], NOW + 50)
    found = {step["id"]: step for step in told["steps"]}
    assert {name: step["state"] for name, step in found.items()} == {
        "datamagic": "done",
        "snoopy": "done",
        "cpclean": "done",
        "market": "waiting",
        "automl": "done",
        "ci": "done",
        "modelpicker": "attention",  # a question about a production row is open
        "advisor": "attention",
    }
    assert found["ci"]["headline"] == "1 of 2 models passed the condition."
    assert ("failed trainings", "1") in found["automl"]["facts"]
    assert found["modelpicker"]["headline"] == "lda-1 is served after a drift alarm."
    assert told["advice"][0]["title"] == "Collect 50 rows"


def test_expired_questions_wait_for_nobody():
    house = House()
    house.fold(day())
    found = {step["id"]: step for step in journey(house.apps["churn"], NOW + 101)["steps"]}
    assert found["modelpicker"]["state"] == "done"


@pytest.mark.parametrize(
    ("signal", "final", "state", "words"),
    [
        (p.FeasibilitySignal.REALISTIC, True, "done", "is realistic"),
        (p.FeasibilitySignal.UNREALISTIC, True, "attention", "is not realistic"),
        (p.FeasibilitySignal.UNDECIDED, True, "done", "not decided"),
        (p.FeasibilitySignal.UNDECIDED, False, "working", "1 of 2 transformations"),
    ],
)
def test_feasibility(signal, final, state, words):
    found = steps(feasibility(signal, final=final))["snoopy"]
    assert found["state"] == state
    assert words in found["headline"]


def test_models_wait_for_test_rows_until_they_come():
    waiting = steps(model("lda-1", 0.8))["ci"]
    assert (waiting["state"], waiting["do"]) == ("attention", "easeml publish churn FILE --pillar test")
    needed = p.TestSetNeeded("churn", 2, 587, "the old one is used up")
    assert "587 rows" in steps(version(p.Pillar.TEST, 10), model("lda-1", 0.8), needed)["ci"]["headline"]
    came = steps(model("lda-1", 0.8), needed, version(p.Pillar.TEST, 600))["ci"]
    assert came["state"] == "waiting"


def test_a_spent_budget_says_how_to_raise_it():
    report = p.ValuesReport("churn", "v1", True, NOW, 100, 5)
    spent = p.Budget("churn", "market", 0.0, 10.0)
    found = steps(report, question("a"), spent, app=replace(APP, acquisition_budget=10))["market"]
    assert found["state"] == "done"
    assert found["do"] == "easeml apps update churn --acquisition-budget N"
    found = steps(report, question("a"), spent)["market"]
    assert (found["state"], found["do"]) == ("attention", "1 question waits for an answer.")


def test_idle_advice_needs_nobody():
    step = replace(advised(p.AdviceAction.NOTHING), title="Nothing to mend")
    found = steps(p.Advice("churn", p.AdvicePhase.DATA, "v1", None, (), (step,)))["advisor"]
    assert (found["state"], found["headline"]) == ("done", "Nothing to mend.")
