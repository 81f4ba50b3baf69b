"""Events in plain words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from easeml.cli import story
from easeml.stream.events import Event
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    Column,
    ColumnKind,
    FeasibilityReport,
    FeasibilitySignal,
    Pillar,
    QuestionKind,
    TestSetExhausted,
    TestSetNeeded,
)

APP = AppDefined("churn", "left", (), (), life="ab")
FIXED = replace(APP, classes=("no", "yes"), columns=(Column("age", ColumnKind.NUMERIC),))


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, APP, "app defined  churn: label left, condition n > 0.5 +/- 0.1"),
        (APP, FIXED, "columns fixed  1 column, classes no, yes"),
        (FIXED, replace(FIXED, steps=12, label_budget=5), "app changed  steps 12, label budget 5"),
        (FIXED, replace(FIXED, classes=("no", "yes", "maybe")), "app changed  classes"),
        (FIXED, FIXED, None),
        (FIXED, replace(APP, life="cd"), "app defined  churn: label left, condition n > 0.5 +/- 0.1"),
    ],
)
def test_an_app_is_defined_once_and_changed_afterwards(before, after, told):
    said = story.line(Event("1", "test", 0.0, "churn", "churn", after, "apps", 0, 0), before)
    assert said is None if told is None else set(told.split(", ")) == set(said.split(", "))


@pytest.mark.parametrize(
    ("column", "text", "told"),
    [
        (None, "yes", "[dim]answer  r17: yes[/]"),
        ("age", "33.0", "[dim]answer  r17 age: 33.0[/]"),
        ("note", "two\nlines " + "x" * 500, f"[dim]answer  r17 note: two lines {'x' * 70}[/]"),
    ],
)
def test_an_answer_names_its_cell_in_one_line(column, text, told):
    kind = QuestionKind.LABEL if column is None else QuestionKind.CELL
    answer = Answer("churn", "q", kind, Pillar.TRAIN, "r17", -2, text, "cpclean", 1, column)
    assert story.line(Event("1", "test", 0.0, "churn", "churn", answer, "answers", 0, 0)) == told


def test_a_study_is_told_when_it_is_done():
    report = FeasibilityReport(
        "churn",
        "v1",
        1200,
        final=True,
        target_accuracy=0.9,
        signal=FeasibilitySignal.REALISTIC,
        bayes_error=0.04,
        bayes_error_upper=0.07,
        interval_low=0.03,
        interval_high=0.05,
        best_transformation="min-max",
        distinct_row_ratio=1.0,
        begun_at=0.0,
    )
    said = story.line(Event("1", "test", 0.0, "churn", "churn", report, "feasibility", 0, 0))
    assert said == ("target 0.9 [green]realistic[/]  best accuracy about 0.960 (0.950 to 0.970), 1,200 rows")
    under_way = replace(report, final=False)
    assert story.line(Event("1", "test", 0.0, "churn", "churn", under_way, "feasibility", 0, 0)) is None


@pytest.mark.parametrize("reason", story.WORN)
def test_why_a_test_set_is_worn_out_is_told_in_plain_words(reason):
    needed = TestSetNeeded("churn", 2, 500, f"Test set 1 is used up ({reason}); publish fresh test rows.")
    for said in (TestSetExhausted("churn", 1, reason), needed):
        told = story.line(Event("1", "test", 0.0, "churn", "churn", said, "testsets", 0, 0))
        assert story.WORN[reason] in told
        assert "_" not in told
