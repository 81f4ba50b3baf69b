"""What an app's test labels may cost, checked when it is created or changed."""

import dataclasses

import pandas as pd
import pytest

from easeml import definition
from easeml.errors import BudgetExhaustedError, ConditionError, ConfigurationError, InvalidDataError
from easeml.stream.payloads import Score

CONDITION = "n - o > 0.02 +/- 0.05"


def made(**options):
    return definition.defined("churn", "churned", {"condition": CONDITION, "steps": 8} | options)


def test_a_budget_that_pays_a_verdict_is_taken():
    needed = definition.plan_of(made()).labels_worst
    assert made(test_label_budget=needed).test_label_budget == needed
    assert made(test_label_budget=0).test_label_budget == 0, "labels may come with the data"


def test_a_budget_that_cannot_pay_is_refused_and_told_what_would_fit():
    needed = definition.plan_of(made()).labels_worst
    granted = definition.plan_of(made(steps=2)).labels_worst
    with pytest.raises(BudgetExhaustedError) as caught:
        made(test_label_budget=granted)
    mend = caught.value.mend
    assert f"--test-label-budget {needed}" in mend
    assert "--steps 2" in mend
    wider = mend.partition("--condition '")[2].partition("'")[0]
    assert made(test_label_budget=granted, condition=wider)
    assert made(test_label_budget=granted, steps=2)
    with pytest.raises(BudgetExhaustedError) as caught:
        made(test_label_budget=1)
    assert "--steps" not in caught.value.mend
    assert "--condition" not in caught.value.mend


def test_a_condition_of_several_clauses_gets_no_advice_on_its_tolerance():
    with pytest.raises(BudgetExhaustedError) as caught:
        made(condition="n > 0.8 +/- 0.05 and d < 0.1 +/- 0.05", test_label_budget=10)
    assert "--condition" not in caught.value.mend


def test_passes_and_the_meter_change_what_a_verdict_costs():
    plain = definition.plan_of(made()).labels_worst
    assert definition.plan_of(made(passes=1)).labels_worst < plain
    assert definition.plan_of(made(meter=True)).labels_worst > plain


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"test_label_budget": -1}, InvalidDataError),
        ({"scores": (Score("yes", "no", 1.5),)}, InvalidDataError),
        ({"passes": 9}, ConfigurationError),
        ({"passes": 2, "adaptivity": "none"}, ConfigurationError),
        ({"meter": True, "steps": 5000}, ConfigurationError),
        ({"condition": "n[country=CH] > 0.8"}, ConditionError),
    ],
)
def test_what_cannot_be_is_refused(options, error):
    with pytest.raises(error) as caught:
        made(**options)
    assert caught.value.mend


def test_scores_must_be_of_classes_that_the_app_has():
    app = dataclasses.replace(made(), classes=("no", "yes"))
    assert definition.checked(dataclasses.replace(app, scores=(Score("yes", "no", 0.5),)))
    with pytest.raises(ConfigurationError, match="maybe"):
        definition.checked(dataclasses.replace(app, scores=(Score("maybe", "no", 0.5),)))


def test_the_plan_is_told_in_words():
    how_many, why = definition.plan_explained(made())
    assert (how_many.question, why.question) == ("How many labels are needed?", "Why so many?")


def test_a_slice_is_checked_as_soon_as_the_columns_are_known():
    app = made(condition="n[country=CH] > 0.8 +/- 0.1")
    frame = pd.DataFrame({"country": ["CH", "DE"] * 20, "churned": ["yes", "no"] * 20})
    assert definition.with_schema(app, frame).columns[0].categories == ("CH", "DE")
    with pytest.raises(ConditionError, match="'country' has no value 'CH'"):
        definition.with_schema(app, frame.replace("CH", "AT"))
    with pytest.raises(ConditionError, match="'country' is not there"):
        definition.with_schema(app, frame.rename(columns={"country": "land"}))
