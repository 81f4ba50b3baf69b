"""What the dashboard remembers: the same whatever order topics come in, however often, and never of a former life."""

from __future__ import annotations

import random

import pytest
from dashboard_day import APP, NOW, answer, day, event, model, question, version

from easeml.dashboard.house import APPS_PART, FOLLOWED, House
from easeml.dashboard.journey import journey
from easeml.dashboard.views import Asked
from easeml.labels.queue import MAX_OPEN
from easeml.stream import payloads as p
from easeml.stream.topics import BY_NAME

LATER = NOW + 50


def lived(events) -> House:
    house = House()
    house.fold(e for e in events if isinstance(e.data, p.AppDefined))
    for one in events:
        house.fold([one])
    return house


def shown(house: House):
    return journey(house.apps["churn"], LATER)


def test_nobody_reads_rows_predictions_or_test_labels():
    carried = {payload for name in FOLLOWED for payload in BY_NAME[name].payloads}
    assert carried.isdisjoint({p.RelationBatch, p.PredictionBatch, p.TestLabels, p.Tick})


@pytest.mark.parametrize("seed", range(20))
def test_order_and_repetition_do_not_matter(seed):
    events = [e for e in day() if not isinstance(e.data, p.AppDefined)]
    mixed = events * 2
    random.Random(seed).shuffle(mixed)
    assert shown(lived([*day()[:1], *mixed])) == shown(lived(day()))


def test_an_event_may_overtake_the_definition_of_its_app():
    house = House()
    for one in reversed(day()):
        house.fold([one])
    assert shown(house) == shown(lived(day()))


def test_a_former_life_counts_for_nothing():
    house = lived(day())
    assert house.fold([event(p.AppDeleted("churn"), 100)]) == {("churn", APPS_PART)}
    assert "churn" not in house.apps
    house.fold(day())  # read late
    assert "churn" not in house.apps
    house.fold([event(APP, 200)])
    house.fold(day()[1:])
    assert {step["state"] for step in shown(house)["steps"]} == {"waiting"}
    assert [line.text for line in house.recent("churn")] == [
        "app defined  churn: label churned, condition n > 0.7 +/- 0.1"
    ]
    house.fold([event(version(p.Pillar.TRAIN, 7), 201)])
    assert house.apps["churn"].rows == {p.Pillar.TRAIN: 7}


@pytest.mark.parametrize("seed", range(5))
def test_recent_lines_do_not_depend_on_the_order_of_reading(seed):
    said = [event(model(f"lda-{n}", 0.5), 100 + n / 10, n) for n in range(200)]
    mixed = said * 2
    random.Random(seed).shuffle(mixed)
    assert lived([*day()[:1], *mixed]).recent("churn") == lived([*day()[:1], *said]).recent("churn")


def test_what_changed_is_told_by_part():
    house = lived(day()[:1])
    assert ("churn", "data") in house.fold([day()[1]])
    assert house.fold([event(question("z"), 90)]) == {("churn", "questions")}
    assert house.fold([event(p.Tick(1, 2.0), 91)]) == set()


def test_recent_lines_are_plain_words_and_few():
    house = lived([*day(), *(event(model(f"lda-{n}", 0.5), 100 + n / 10, n) for n in range(200))])
    lines = house.recent("churn")
    assert len(lines) == 60
    assert lines[0].text.startswith("model  lda-199:")
    assert lines == sorted(lines, key=lambda line: -line.at)


def test_memory_of_names_is_bounded():
    asked = Asked()
    for number in range(30_000):
        asked.ask(question(str(number), bits=0.5), NOW)
        asked.answer(answer(str(number)))
    assert asked.answers == 30_000
    assert asked.bits == pytest.approx(15_000)
    assert len(asked.answered) == 20_000
    for number in range(30_000):
        asked.ask(question(f"open {number}"), NOW)
    assert len(asked.open) <= 2 * MAX_OPEN
    assert asked.waiting(NOW) == MAX_OPEN
