"""What an app knows, as cards of a notebook: of the same plain data that the pages show."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from dashboard_day import APP, NOW, day, event

from easeml.dashboard import feasibility, journey, learning, verdicts
from easeml.dashboard.house import House
from easeml.notebook import cards
from easeml.notebook.cards import Card, drawn

HOSTILE = "<script>alert(1)</script>"


def view(events):
    house = House()
    house.fold(events)
    return house.apps["churn"]


def every(seen):
    return [
        cards.journey(journey.journey(seen, NOW)),
        cards.feasibility("churn", feasibility.feasibility(seen, NOW)["study"]),
        cards.models("churn", learning.models(seen, NOW)),
        cards.verdicts("churn", verdicts.verdicts(seen, details=False)),
        cards.picks("churn", learning.picker(seen, NOW)),
    ]


@pytest.mark.parametrize("events", [[event(APP, 0.0)], day()], ids=["new", "a good day"])
def test_every_card_draws_itself_and_needs_nothing_else(events):
    for card in every(view(events)):
        page = card._repr_html_()
        assert "<script" not in page
        assert not re.search(r"https?:|src=|url\(|@import", page)
        body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
        ET.fromstring(body.replace("&nbsp;", " "))  # well formed
        assert repr(card).startswith(f"{card.title}: {card.text}")


def test_cards_say_what_the_pages_say():
    told = {card.title: card.text for card in every(view(day()))}
    assert told["churn: verdicts"].startswith("1 of 2 models passed")
    assert "lda-1 is served" in told["churn: picks"]
    assert told["churn: the eight steps"].endswith("Advised: Collect 50 rows.")


def test_texts_are_escaped_and_levels_drawn():
    lines = [(HOSTILE, [1, 2, 3], [0.5, 0.6, 0.8]), ("one point", [1], [0.5])]
    page = Card(HOSTILE, HOSTILE, {}, (HOSTILE,), [[HOSTILE]], lines, 0.9)._repr_html_()
    assert "<script" not in page
    assert page.count("<polyline") == 2
    assert "90% wanted" in page
    assert "one point" not in page


def test_a_flat_line_is_a_line():
    assert "nan" not in drawn([("flat", [4, 4], [0.5, 0.5])], None, "flat")
