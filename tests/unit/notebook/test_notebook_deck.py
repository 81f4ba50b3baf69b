"""Questions as buttons: what a click sends, and what is shown when it is refused."""

from __future__ import annotations

import sys

import pytest

from easeml.errors import ConfigurationError, ConflictError, InvalidDataError
from easeml.notebook import answering
from easeml.notebook.answering import Deck, drawn
from easeml.stream.settings import Settings

HOSTILE = "<script>alert(1)</script>"


def asked(name, kind="label", candidates=("no", "yes"), **more):
    return {
        "question": name,
        "kind": kind,
        "row_id": f"row-{name}",
        "column": "",
        "candidates": list(candidates),
        "probabilities": [0.75, 0.25],
        "bits": 0.8,
        "asked_by": "market",
        "heard": "",
        "context": {},
        "row": [{"column": "age", "kind": "number", "value": 31.5}],
    } | more


class Desk:
    """A label service that remembers what it is told."""

    def __init__(self, _settings):
        self.open = [asked("q1"), asked("q2", "cell", ("31", "40"), column="age"), asked("q3")]
        self.said = []
        self.refusal = None

    def questions(self, app, annotator):
        assert (app, annotator) == ("churn", "ada")
        return self.open

    def act(self, action, app, question, annotator, body):
        if self.refusal is not None:
            raise self.refusal
        self.said.append((action, app, question, annotator, body))
        return {}


@pytest.fixture
def deck(monkeypatch):
    monkeypatch.setattr(answering, "Desk", Desk)
    return Deck(Settings(), "churn", "ada")


def texts(deck):
    return [button.description for button in deck.buttons]


def test_a_click_answers_and_brings_the_next_question(deck):
    assert texts(deck) == ["no", "yes", "skip"]
    assert "row-q1" in deck._card.value
    deck.buttons[1].click()
    action, app, question, annotator, body = deck._desk.said[0]
    assert (action, app, question, annotator, body["value"]) == ("answer", "churn", "q1", "ada", 1)
    assert texts(deck) == ["31", "40", "skip"]
    deck.press("skip")
    assert deck._desk.said[1][0] == "skip"
    assert deck._desk.said[1][4]["request_id"] != body["request_id"]
    assert (deck.answered, deck.skipped, deck._bar.value, deck._bar.max) == (1, 1, 2, 3)


def test_a_cell_takes_another_value(deck):
    deck.press("no")
    deck.press("33.5")
    assert deck._desk.said[1][4]["other"] == "33.5"
    assert deck._other.value == ""
    with pytest.raises(InvalidDataError, match="no button 'maybe'"):
        deck.press("maybe")


def test_no_question_is_told_and_looked_for_again(deck):
    for _ in range(3):
        deck.press("skip")
    assert deck.question is None
    assert "No question is open" in deck._card.value
    assert repr(deck) == "No question of churn is open now; 0 answered."
    deck._desk.open.append(asked("q4"))
    deck.press("look again")
    assert deck.question["question"] == "q4"
    assert repr(deck) == "What is the label of row row-q4?: no, yes, skip"


def test_a_refusal_is_shown_and_a_retry_keeps_its_request_id(deck):
    deck._desk.refusal = InvalidDataError(f"{HOSTILE} is no number.")
    deck.press("yes")
    assert "&lt;script&gt;" in deck._note.value
    assert (deck.question["question"], deck.answered) == ("q1", 0)
    request = deck._request
    deck._desk.refusal = None
    deck.press("yes")
    assert deck._desk.said[0][4]["request_id"] == request
    deck._desk.refusal = ConflictError("Question 'q2' is answered.")
    deck.press("31")
    assert "Not counted" in deck._note.value
    assert (deck.question["question"], deck.answered) == ("q3", 1)


def test_the_widget_is_what_the_notebook_shows(deck):
    shown = deck._repr_mimebundle_(include=None, exclude=None)
    assert "application/vnd.jupyter.widget-view+json" in shown[0] if isinstance(shown, tuple) else shown


def test_a_question_is_drawn_escaped_with_its_pictures():
    photo = {"column": "photo", "kind": "image", "height": 2, "width": 3, "channels": 1, "values": [0, 1, 2, 3, 4, 5]}
    page = drawn(
        asked(
            HOSTILE,
            row_id=HOSTILE,
            column=HOSTILE,
            asked_by=HOSTILE,
            heard="2 of 3 people have answered",
            candidates=(HOSTILE, "b"),
            context={HOSTILE: HOSTILE},
            row=[
                {"column": HOSTILE, "kind": "text", "value": HOSTILE},
                {"column": "gone", "kind": "missing"},
                {"column": "list", "kind": "numbers", "value": [1.0, 2.0], "shape": [2]},
                photo,
                photo | {"height": 100, "width": 100, "values": [0] * 10_000},
            ],
        )
    )
    assert "<script" not in page
    assert ", 2 of 3 people have answered</span>" in page
    assert page.count("<rect") == 6
    assert 'fill="rgb(255,255,255)"' in page
    assert "100 x 100 pixels" in page
    assert '<span class="d">missing</span>' in page


def test_without_the_extra_the_mend_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ConfigurationError, match="ipywidgets") as caught:
        Deck(Settings(), "churn", "ada")
    assert "easeml-streaming[notebook]" in caught.value.mend
