"""Questions as the page shows them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from easeml.dashboard.asking import ROOM, SHOWN, Desk, cell, shown
from easeml.dashboard.replies import reply
from easeml.errors import InvalidDataError, UnavailableError
from easeml.labels.client import AskedQuestion
from easeml.stream.settings import Settings


def asked(name: str, pillar: str = "pool", **row) -> AskedQuestion:
    return AskedQuestion(
        "churn", name, "label", pillar, "r", "", ("no", "yes"), (0.5, 0.5), 0.5, 1.0, "market", {}, row, 0.0, None, ""
    )


class Labels:
    """A label service that has these questions."""

    def __init__(self, *questions: AskedQuestion) -> None:
        self._questions = questions

    def questions(self, _app, *, annotator):
        yield from self._questions

    def answer(self, *_arguments, **_named):
        pytest.fail("it is refused before")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    made = Desk(Settings(home=tmp_path, labels_port=0))

    def with_questions(*questions):
        monkeypatch.setattr(made, "_call", lambda _owner: Labels(*questions))
        return made

    return with_questions


def test_questions_about_test_rows_are_for_the_owner_of_the_test_set(desk):
    full = desk(asked("secret", "test"), asked("plain"))
    assert [one["question"] for one in full.questions("churn", "ada")] == ["plain"]
    assert [one["question"] for one in full.questions("churn", "ada", owner="token")] == ["plain", "secret"]


def test_many_other_questions_do_not_hide_those_about_test_rows(desk):
    full = desk(*(asked(str(n)) for n in range(100)), asked("secret", "test"))
    assert [one["question"] for one in full.questions("churn", "ada", owner="")][SHOWN:] == ["secret"]


def test_it_is_shown_how_many_of_how_many_people_have_answered():
    assert shown(replace(asked("q"), answers=2, answers_wanted=3))["heard"] == "2 of 3 people have answered"
    assert shown(asked("q"))["heard"] == "", "one person is enough"


def test_large_questions_come_a_few_at_a_time(desk):
    large = [asked(str(n), **{f"x{column}": "x" * 20_000 for column in range(5)}) for n in range(SHOWN)]
    told = desk(*large).questions("churn", "ada")
    assert [one["question"] for one in told] == ["0", "1", "2"]
    assert sum(len(one["row"]) * 20_000 for one in told[:-1]) < ROOM


def test_few_of_many_are_read(desk):
    assert len(desk(*(asked(str(n)) for n in range(100))).questions("churn", "")) == SHOWN


def test_without_a_label_service_there_is_a_mend(tmp_path):
    with pytest.raises(UnavailableError, match="easeml status"):
        Desk(Settings(home=tmp_path, labels_port=0)).questions("churn", "")


@pytest.mark.parametrize(
    "body",
    [{"value": "1"}, {"value": 1.0}, {"value": True}, {"other": 5}, {"value": 1}, {"value": 1, "request_id": ""}],
)
def test_an_answer_that_is_none_is_refused(desk, body):
    with pytest.raises(InvalidDataError):
        desk().act("answer", "churn", "q", "ada", body)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, {"kind": "missing"}),
        (True, {"kind": "text", "value": "yes"}),
        (2.5, {"kind": "number", "value": 2.5}),
        ("x" * 50_000, {"kind": "text", "value": "x" * 20_000}),
        (datetime(2024, 5, 1, 12, tzinfo=UTC), {"kind": "text", "value": "2024-05-01 12:00:00"}),
        ([1.0, 2.0], {"kind": "numbers", "value": [1.0, 2.0], "shape": [2]}),
        ([[0.0, 1.0], [2.0, 3.0]], {"kind": "image", "height": 2, "width": 2, "channels": 1, "values": [0, 1, 2, 3]}),
        (np.zeros((2, 2, 2, 2)).tolist(), {"kind": "text", "value": "2 x 2 x 2 x 2 numbers"}),
        (np.zeros((2, 2, 2)).tolist(), {"kind": "text", "value": "2 x 2 x 2 numbers"}),
        (np.zeros((400, 2)).tolist(), {"kind": "text", "value": "400 x 2 numbers"}),
    ],
)
def test_values_are_shown_by_what_they_are(value, told):
    assert cell(value) == told


def test_a_picture_of_three_channels_is_a_picture():
    assert cell(np.zeros((4, 5, 3)).tolist())["channels"] == 3


def test_numbers_that_are_none_travel_as_null():
    assert b'"value":null' in reply(shown(asked("q", age=math.nan))).body
