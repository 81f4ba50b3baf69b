"""Events in plain words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from easeml.cli import story
from easeml.stream.events import Event
from easeml.stream.payloads import AppDefined, Column, ColumnKind

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
