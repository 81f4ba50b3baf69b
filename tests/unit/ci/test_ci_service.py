"""The CI service on the in-memory kernel."""

import dataclasses
import random

import numpy as np
import pytest
from ci_house import APP, TRUTH, House, N, guesses

from easeml.ci import plan
from easeml.stream.memory import POINTS
from easeml.stream.payloads import (
    ModelRetired,
    Pillar,
    TestSetExhausted,
    TestSetNeeded,
    TestSetOpened,
    VerdictOutcome,
)
from easeml.stream.topics import APPS, DATA_TEST_LABELS, MODELS, PREDICTIONS, TESTSETS, VERDICTS, VERDICTS_DETAIL

ABSOLUTE = dataclasses.replace(APP, condition="n > 0.7 +/- 0.1")


def judged(house):
    return [(v.model, v.signal, v.guaranteed, v.baseline) for v in house.said(VERDICTS)]


def test_the_first_model_is_the_baseline_and_better_ones_pass():
    house = House()
    house.labels()
    for name, accuracy in (("first", 0.6), ("worse", 0.4), ("better", 0.85)):
        house.model(name, 0.5)
        house.predictions(name, guesses(accuracy, seed=hash(accuracy) % 100))
    house.cluster.run()
    assert judged(house) == [
        ("first", False, False, None),
        ("worse", False, True, "first"),
        ("better", True, True, "first"),
    ]
    worse, better = house.said(VERDICTS_DETAIL)
    assert (worse.outcome, better.outcome) == (VerdictOutcome.FAILED, VerdictOutcome.PASSED)
    assert 0 < better.labels_used < N
    assert better.labels_reused > 0
    assert better.epoch == 1
    assert better.histories_left == 1
    low, high = better.intervals[:2]
    assert low < 0.85 < high
    (opened,) = house.said(TESTSETS)
    figures = plan(APP.condition, reliability=0.9, steps=3, adaptivity="full")
    assert opened == TestSetOpened("churn", 1, N, figures.labels_worst, 3)


def test_planted_improvements_and_regressions_get_the_right_verdicts_with_the_planned_labels():
    app = dataclasses.replace(APP, steps=8, condition="n - o > 0.02 +/- 0.06", reliability=0.95)
    house = House(app)
    house.labels(range(3 * N))
    plays = {"first": 0.5, "better": 0.7, "worse": 0.55, "same": 0.7, "best": 0.9, "poor": 0.4, "twin": 0.9}
    for step, (name, accuracy) in enumerate(plays.items()):
        house.model(name)
        house.predictions(name, guesses(accuracy, seed=step), range(3 * N))
        house.cluster.run()
    assert judged(house) == [
        ("first", False, False, None),
        ("better", True, True, "first"),
        ("worse", False, True, "better"),
        ("same", False, True, "better"),
        ("best", True, True, "better"),
        ("poor", False, True, "best"),
        ("twin", False, True, "best"),
    ]
    planned = house.said(TESTSETS)[0].planned
    details = house.said(VERDICTS_DETAIL)
    assert all(0 < detail.labels_used + detail.labels_reused <= planned for detail in details)
    decided = {detail.model: detail.outcome for detail in details}
    assert [name for name, outcome in decided.items() if outcome is VerdictOutcome.UNDECIDED] == ["same", "twin"]
    # clear cases are cheap, and labels are bought once
    assert sum(detail.labels_used for detail in details) < 0.8 * 3 * N
    assert {d.model: d.labels_used + d.labels_reused for d in details}["best"] < planned / 5


def test_the_verdict_topic_carries_one_bit():
    house = House()
    house.labels()
    for name, accuracy in (("first", 0.6), ("second", 0.85)):
        house.model(name)
        house.predictions(name, guesses(accuracy))
    house.cluster.run()
    names = {field.name for field in dataclasses.fields(house.said(VERDICTS)[1])}
    assert names == {"app", "model", "signal", "guaranteed", "baseline"}


def test_an_absolute_condition_tests_the_first_model_too():
    house = House(ABSOLUTE)
    house.labels()
    house.model("good", 0.9)
    house.predictions("good", guesses(0.9))
    house.model("bad", 0.9)
    house.predictions("bad", guesses(0.4))
    house.cluster.run()
    assert judged(house) == [("good", True, True, None), ("bad", False, True, "good")]
    detail = house.said(VERDICTS_DETAIL)[0]
    assert np.isnan(detail.intervals[2:]).all()


def test_any_order_of_topics_gives_the_same_verdicts():
    def publish(house, order):
        steps = {
            "labels": house.labels,
            "models": lambda: [house.model(m) for m in ("first", "second")],
            "first": lambda: house.predictions("first", guesses(0.6)),
            "second": lambda: house.predictions("second", guesses(0.85)),
        }
        for step in order:
            steps[step]()
            house.cluster.run()
        house.cluster.tick(2)
        return judged(house)

    expected = publish(House(), ["labels", "models", "first", "second"])
    assert len(expected) == 2
    assert publish(House(), ["second", "models", "first", "labels"]) == expected
    assert publish(House(), ["second", "first", "labels", "models"]) == expected


def test_a_test_set_does_not_open_on_half_of_its_labels():
    house = House(ABSOLUTE)
    house.model("good")
    house.predictions("good", guesses(0.9))
    house.labels(range(200))
    house.cluster.run()
    assert house.said(TESTSETS) == []
    house.labels(range(200, N))
    house.cluster.run()
    assert house.said(TESTSETS)[0].examples == N
    assert len(judged(house)) == 1


def test_rows_without_labels_do_not_hold_it_up_for_ever():
    house = House(ABSOLUTE)
    house.model("good")
    house.predictions("good", guesses(0.9))
    house.labels(range(400))
    house.cluster.tick(9)
    assert judged(house) == []
    house.cluster.tick(3)
    assert house.said(TESTSETS)[0].examples == 400


def test_a_used_up_set_waits_for_fresh_rows_and_keeps_the_baseline():
    house = House(dataclasses.replace(APP, steps=1))
    house.labels()
    for name, accuracy in (("first", 0.5), ("second", 0.8), ("third", 0.95)):
        house.model(name)
        house.predictions(name, guesses(accuracy), range(2 * N))
    house.cluster.tick(12)
    assert [v[0] for v in judged(house)] == ["first", "second"]
    opened, exhausted, needed = house.said(TESTSETS)
    assert opened.epoch == 1
    assert exhausted == TestSetExhausted("churn", 1, "steps_exhausted")
    assert isinstance(needed, TestSetNeeded)
    assert needed.epoch == 2
    assert needed.examples > 0
    house.labels(range(N, 2 * N))
    house.cluster.run()
    assert judged(house)[-1][0] == "third"
    assert judged(house)[-1][3] == "second"
    assert house.said(VERDICTS_DETAIL)[-1].epoch == 2
    assert house.said(VERDICTS_DETAIL)[-1].labels_reused == 0


def test_a_changed_condition_demands_fresh_rows():
    house = House(ABSOLUTE)
    house.labels()
    house.model("good")
    house.predictions("good", guesses(0.9))
    house.cluster.run()
    house.cluster.publish(APPS, dataclasses.replace(ABSOLUTE, condition="n > 0.2 +/- 0.1"))
    house.model("other")
    house.predictions("other", guesses(0.5))
    house.cluster.run()
    assert len(judged(house)) == 1
    assert house.said(TESTSETS)[1].reason == "condition_changed"


def test_a_condition_that_does_not_parse_is_said_once_and_can_be_mended():
    house = House(dataclasses.replace(APP, condition="accuracy > 80%"))
    house.labels()
    house.model("good")
    house.predictions("good", guesses(0.9))
    house.cluster.tick(3)
    (needed,) = house.said(TESTSETS)
    assert "Column 1" in needed.reason
    house.cluster.publish(APPS, ABSOLUTE)
    house.cluster.tick(1)
    assert judged(house) == [("good", True, True, None)]


def test_the_gate_keeps_steps_for_promising_models():
    house = House(dataclasses.replace(APP, gate_min_gain=0.05, gate_per_day=1))
    house.labels()
    for name, accuracy in (("first", 0.6), ("same", 0.62), ("better", 0.8), ("best", 0.9)):
        house.model(name, accuracy)
        house.predictions(name, guesses(accuracy))
    house.cluster.run()
    assert [v[0] for v in judged(house)] == ["first", "better"]
    house.cluster.now += 86_400
    house.cluster.tick(1)
    assert [v[0] for v in judged(house)] == ["first", "better", "best"]


def test_a_model_that_never_predicts_does_not_block_the_others():
    house = House(ABSOLUTE)
    house.labels()
    house.model("silent")
    house.model("good")
    house.predictions("good", guesses(0.9))
    house.cluster.run()
    assert judged(house) == []
    house.publish(MODELS, ModelRetired("churn", "silent", "broken"))
    house.cluster.run()
    assert [v[0] for v in judged(house)] == ["good"]
    house.model("silent too")
    house.model("good too")
    house.predictions("good too", guesses(0.9, seed=3))
    house.cluster.tick(30)
    assert len(judged(house)) == 1
    house.cluster.tick(2)
    assert [v[0] for v in judged(house)] == ["good", "good too"]


def test_repeated_events_change_nothing():
    house = House(ABSOLUTE)
    for _ in range(2):
        house.labels()
        house.model("good")
        house.predictions("good", guesses(0.9))
    house.predictions("good", guesses(0.1), pillar=Pillar.PRODUCTION)
    house.cluster.run()
    assert len(judged(house)) == 1
    assert house.cluster.dead_letters(PREDICTIONS) == []


@pytest.mark.parametrize(
    ("spoil", "topic", "reason"),
    [
        (lambda h: h.labels(range(N, N + 5), classes=("a", "b", "z")), DATA_TEST_LABELS, "unknown_class"),
        (lambda h: h.labels(range(5), codes=np.full(5, 3, np.int32)), DATA_TEST_LABELS, "unknown_class"),
        (lambda h: h.labels(range(5), codes=np.full(4, 1, np.int32)), DATA_TEST_LABELS, "width"),
        (lambda h: h.labels(range(5), codes=(TRUTH + 1) % 3), DATA_TEST_LABELS, "conflict"),
        (lambda h: h.predictions("m", np.full(5, 3, np.int32), range(5)), PREDICTIONS, "unknown_class"),
        (lambda h: h.predictions("m", np.full(4, 1, np.int32), range(5)), PREDICTIONS, "width"),
    ],
)
def test_bad_messages_go_to_the_dead_letters(spoil, topic, reason):
    house = House(ABSOLUTE)
    house.labels()
    house.cluster.run()
    spoil(house)
    house.model("good")
    house.predictions("good", guesses(0.9))
    house.cluster.run()
    assert [letter.reason for letter in house.cluster.dead_letters(topic)] == [reason]
    assert [v[0] for v in judged(house)] == ["good"]


@pytest.mark.parametrize("point", POINTS)
def test_kills_and_restarts_lose_and_double_nothing(point):
    def play(kill):
        house = House()
        house.labels()
        for step, (name, accuracy) in enumerate((("first", 0.6), ("second", 0.62), ("third", 0.85))):
            house.model(name)
            if kill:
                house.cluster.kill("ci", point)
            house.predictions(name, guesses(accuracy, seed=step))
            house.cluster.run()
        if kill:
            house.cluster.restart("ci")
            house.cluster.tick(1)
        details = {(d.model, d.outcome, d.labels_used, d.labels_reused) for d in house.said(VERDICTS_DETAIL)}
        return details, {event.id for event in house.cluster.events(VERDICTS)}

    details, ids = play(kill=True)
    assert len(details) == 2
    assert (details, ids) == play(kill=False)


def test_the_state_is_small_and_survives_a_restart_in_the_middle():
    house = House()
    house.labels()
    house.model("first")
    house.predictions("first", guesses(0.6))
    house.cluster.run()
    before = house.cluster.state("ci", "churn").pack()
    house.cluster.restart("ci")
    after = house.cluster.state("ci", "churn").pack()
    assert before.document == after.document
    assert all(np.array_equal(before.arrays[name], after.arrays[name]) for name in before.arrays)
    assert sum(array.nbytes for array in before.arrays.values()) < 20 * N
    house.model("second")
    house.predictions("second", guesses(0.85))
    house.cluster.run()
    assert [v[0] for v in judged(house)] == ["first", "second"]


@pytest.mark.parametrize("seed", range(6))
def test_any_interleaving_with_a_crash_judges_every_model_once(seed):
    house = House(rng=random.Random(seed), crash_at=POINTS[seed % len(POINTS)])
    house.labels()
    for name, accuracy in (("first", 0.5), ("second", 0.9), ("third", 0.3)):
        house.model(name)
        house.predictions(name, guesses(accuracy))
    house.cluster.tick(15)
    verdicts = {event.id: event.data for event in house.cluster.events(VERDICTS)}
    assert [(v.model, v.signal) for v in verdicts.values()] == [("first", False), ("second", True), ("third", False)]
    assert house.cluster.state("ci", "churn").ledger.steps_used == 2
