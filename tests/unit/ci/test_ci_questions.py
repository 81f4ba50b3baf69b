"""Labels of test rows that nobody gave: asked for in the order of the ledger, and never told to developers."""

import dataclasses
import random

import ci_house
import numpy as np
import pytest
from ci_house import CLASSES, TRUTH, guesses

from easeml.ci import plan
from easeml.ci.gate import OPEN_QUESTIONS
from easeml.stream.memory import POINTS
from easeml.stream.payloads import (
    Answer,
    MeterReading,
    Pillar,
    Question,
    Score,
    TestLabels,
    TestSetExhausted,
    TestSetNeeded,
    TestSetOpened,
)
from easeml.stream.topics import (
    APPS,
    BY_NAME,
    CI_ANSWERS,
    CI_QUESTIONS,
    TESTSETS,
    VERDICTS,
    VERDICTS_DETAIL,
)

APP = dataclasses.replace(ci_house.APP, test_label_budget=1000)
PLAN = plan(APP.condition, reliability=APP.reliability, steps=APP.steps)
N = PLAN.unlabelled


FIRST = guesses(0.6)
BETTER = np.where(np.random.default_rng(2).random(len(TRUTH)) < 0.5, TRUTH, FIRST).astype(np.int32)
WORSE = np.where(np.random.default_rng(3).random(len(TRUTH)) < 0.4, (TRUTH + 1) % 3, BETTER).astype(np.int32)


class House(ci_house.House):
    """A test set of which somebody knows the labels, and is asked for them."""

    def __init__(self, app=APP, **options):
        super().__init__(app, **options)
        self.answered = []

    def model(self, name, codes, rows=N, accuracy=None):
        super().model(name, accuracy)
        self.predictions(name, codes, range(rows))
        self.cluster.run()

    def labels(self, rows):
        super().labels(rows)
        self.cluster.run()

    def said(self, topic, kind=object):
        """Return what was said, each event once: a service that was killed may say it again."""
        return list({e.id: e.data for e in self.cluster.events(topic) if isinstance(e.data, kind)}.values())

    def open(self):
        """Return the questions that wait for an answer, in the order asked."""
        waiting = {}
        for asked in self.said(CI_QUESTIONS):
            waiting[asked.question] = asked
            if asked.expires_at is not None or asked.question in self.answered:
                del waiting[asked.question]
        return list(waiting.values())

    def answer(self, asked, *, code=None):
        value = int(TRUTH[int(asked.row_id)]) if code is None else code
        self.answered.append(asked.question)
        answer = Answer("churn", asked.question, asked.kind, asked.pillar, asked.row_id, value, CLASSES[value], "ci", 1)
        self.publish(CI_ANSWERS, answer)
        return answer

    def answer_all(self):
        """Answer until nothing is asked; return how many labels that took."""
        before = len(self.answered)
        while asked := self.open():
            self.answer(asked[0])
            self.cluster.run()
        return len(self.answered) - before

    def verdicts(self):
        return [(v.model, v.signal) for v in self.said(VERDICTS)]


@pytest.fixture
def begun():
    """A house with a baseline, whose second model waits for labels."""
    house = House()
    house.model("first", FIRST)
    house.cluster.tick(12)
    house.model("better", BETTER)
    return house


def test_planted_improvements_and_regressions_get_the_right_verdicts_with_the_planned_labels(begun):
    assert begun.said(TESTSETS) == [TestSetOpened("churn", 1, N, PLAN.labels_worst, 3)]
    for name, codes in (("better", BETTER), ("worse", WORSE)):
        if name != "better":
            begun.model(name, codes)
        assert begun.answer_all() <= PLAN.labels_worst
    assert begun.verdicts() == [("first", False), ("better", True), ("worse", False)]
    details = begun.said(VERDICTS_DETAIL)
    assert [detail.alarm for detail in details] == [None, None]
    assert sum(detail.labels_used for detail in details) == len(begun.answered)


def test_only_disagreements_are_asked_and_only_a_few_at_a_time(begun):
    asked = begun.open()
    assert len(asked) == OPEN_QUESTIONS
    for one in asked:
        row = int(one.row_id)
        assert BETTER[row] != FIRST[row]
        assert (one.pillar, one.asked_by, one.candidates) == (Pillar.TEST, "ci", CLASSES)
        assert one.information_gain == pytest.approx(1 / PLAN.labels_worst)
    names = [one.question for one in asked]
    assert names == sorted(names), "lists keep the order of the ledger"
    begun.answer(asked[3])
    begun.cluster.run()
    assert len(begun.open()) == OPEN_QUESTIONS


def test_questions_that_the_verdict_does_not_need_are_taken_back(begun):
    begun.answer_all()
    assert begun.verdicts()[-1] == ("better", True)
    back = {one.question for one in begun.said(CI_QUESTIONS) if one.expires_at is not None}
    assert 0 < len(back) < OPEN_QUESTIONS
    assert back.isdisjoint(begun.answered)


def test_a_label_bought_is_asked_for_no_more(begun):
    begun.answer_all()
    bought = len(begun.answered)
    begun.model("as before", FIRST)
    begun.answer_all()
    rows = [one.row_id for one in begun.said(CI_QUESTIONS) if one.question in begun.answered]
    assert len(set(rows)) == len(rows)
    assert begun.said(VERDICTS_DETAIL)[-1].labels_reused == bought > 0
    assert begun.verdicts()[-1] == ("as before", False)


def test_labels_that_were_given_are_used_in_their_turn():
    house = House()
    house.labels(range(N // 2))
    house.model("first", FIRST)
    house.cluster.tick(12)
    house.model("better", BETTER)
    house.answer_all()
    assert house.verdicts()[-1] == ("better", True)
    assert all(int(one.row_id) >= N // 2 for one in house.said(CI_QUESTIONS))
    (detail,) = house.said(VERDICTS_DETAIL)
    assert detail.labels_used > len(house.answered) > 0


def test_labels_that_come_after_all_end_the_asking(begun):
    begun.labels(range(N))
    assert begun.verdicts()[-1] == ("better", True)
    assert begun.open() == []


def test_without_a_budget_nobody_is_asked():
    house = House(dataclasses.replace(APP, test_label_budget=0))
    house.model("first", FIRST)
    house.cluster.tick(40)
    assert house.said(TESTSETS) == []
    assert house.said(CI_QUESTIONS) == []


def test_fewer_rows_than_planned_wait_for_more_and_then_open():
    house = House()
    house.model("first", FIRST, rows=100)
    house.cluster.tick(20)
    assert house.said(TESTSETS) == []
    house.cluster.tick(12)
    assert house.said(TESTSETS)[0].examples == 100


def test_rows_beyond_the_plan_are_kept_for_the_next_test_set():
    house = House(dataclasses.replace(APP, steps=1))
    size = plan(APP.condition, reliability=APP.reliability, steps=1).unlabelled
    for name, codes in (("first", FIRST), ("better", BETTER), ("worse", WORSE), ("late", TRUTH)):
        house.model(name, codes, rows=2 * size + 20)
    house.cluster.tick(12)
    house.answer_all()
    house.cluster.tick(12)
    assert house.verdicts() == [("first", False), ("better", True)]
    house.answer_all()
    assert house.verdicts()[-1] == ("worse", False)
    opened = house.said(TESTSETS, TestSetOpened)
    assert [(one.epoch, one.examples) for one in opened] == [(1, size), (2, size)]
    epochs = house.cluster.state("ci", "churn").epochs
    assert [(epochs == epoch).sum() for epoch in (1, 2)] == [size, size]
    assert house.said(VERDICTS_DETAIL)[-1].labels_reused == 0
    house.cluster.tick(40)
    assert len(house.said(TESTSETS, TestSetOpened)) == 2, "twenty rows that are left over are no test set"


def test_a_changed_condition_takes_the_questions_back_and_keeps_the_model(begun):
    begun.publish(APPS, dataclasses.replace(APP, condition="n - o > 0.05 +/- 0.1"))
    begun.cluster.tick(1)
    assert begun.open() == []
    assert begun.said(TESTSETS, TestSetExhausted)[0].reason == "condition_changed"
    assert begun.said(TESTSETS, TestSetNeeded)[0].epoch == 2
    gate = begun.cluster.state("ci", "churn")
    assert [candidate.model for candidate in gate.queue] == ["better"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"value": 9}, "unknown_class"), ({"text": "b", "value": 0}, "unknown_class")],
)
def test_answers_that_are_no_label_go_to_the_dead_letters(begun, change, reason):
    asked = begun.open()[0]
    good = Answer("churn", asked.question, asked.kind, asked.pillar, asked.row_id, 0, "a", "ci", 1)
    begun.publish(CI_ANSWERS, dataclasses.replace(good, **change))
    begun.cluster.run()
    assert [letter.reason for letter in begun.cluster.dead_letters(CI_ANSWERS)] == [reason]
    begun.answer_all()
    assert begun.verdicts()[-1] == ("better", True)


def test_a_second_label_of_a_row_goes_to_the_dead_letters(begun):
    asked = begun.open()[0]
    right = int(TRUTH[int(asked.row_id)])
    begun.answer(asked)
    begun.answer(asked, code=(right + 1) % 3)
    begun.cluster.run()
    assert [letter.reason for letter in begun.cluster.dead_letters(CI_ANSWERS)] == ["conflict"]


@pytest.mark.parametrize(
    "impossible",
    [
        {"condition": "n[x=1] > 0.8 +/- 0.1"},
        {"scores": (Score("a", "nobody", 0.5),)},
        {"passes": 9},
        {"meter": True, "steps": 5000},
    ],
)
def test_what_cannot_be_tested_is_said_once_and_the_service_goes_on(impossible):
    house = House(dataclasses.replace(APP, **impossible))
    house.model("first", FIRST)
    house.labels(range(N))
    house.cluster.tick(12)
    (needed,) = house.said(TESTSETS)
    assert needed.reason.startswith("No test set can be opened: ")
    assert house.cluster.restarts == 0
    house.publish(APPS, dataclasses.replace(APP, condition="n > 0.4 +/- 0.1"))
    house.cluster.tick(1)
    assert house.verdicts() == [("first", True)]


def test_scores_and_a_budget_of_passes_count():
    app = dataclasses.replace(
        APP,
        condition="n > 0.75 +/- 0.1",
        passes=1,
        scores=tuple(Score(label, other, 0.6) for label in CLASSES for other in CLASSES if label != other),
    )
    house = House(app)
    house.labels(range(N))
    house.model("first", FIRST)
    house.model("second", BETTER)
    # the mean score is 0.6 + 0.4 * 0.6, its accuracy only 0.6
    assert house.verdicts() == [("first", True)]
    assert house.said(TESTSETS, TestSetExhausted)[0].reason == "passes_exhausted"


def test_the_meter_shows_after_each_step_how_far_validation_and_test_lie_apart():
    house = House(dataclasses.replace(APP, meter=True))
    house.labels(range(4 * N))
    house.model("first", FIRST, rows=4 * N, accuracy=0.6)
    house.model("better", BETTER, rows=4 * N, accuracy=float((BETTER == TRUTH).mean()))
    house.model("overfit", WORSE, rows=4 * N, accuracy=0.95)
    honest, fitted = house.said(TESTSETS, MeterReading)
    assert (honest.model, honest.step, honest.level) == ("better", 1, 0)
    assert (fitted.model, fitted.step, fitted.level) == ("overfit", 2, 4)
    assert fitted.low < abs(0.05 - (WORSE != TRUTH).mean()) < fitted.high
    assert honest.at_most > honest.high
    plain = House()
    plain.labels(range(4 * N))
    plain.model("first", FIRST, rows=4 * N, accuracy=0.6)
    plain.model("better", BETTER, rows=4 * N, accuracy=0.8)
    assert plain.said(TESTSETS, MeterReading) == []
    planned = [one.said(TESTSETS, TestSetOpened)[0].planned for one in (house, plain)]
    assert planned[0] > planned[1], "what the meter tells developers is paid in labels"


def play(change=lambda house: None, *, twice=False, shuffle=None, **options):
    """Let two models be judged, with disturbances; return what came out."""
    house = House(**options)
    house.model("first", FIRST)
    house.cluster.tick(12)
    for name, codes in (("better", BETTER), ("worse", WORSE)):
        house.model(name, codes)
        while asked := house.open():
            if shuffle is not None:
                shuffle.shuffle(asked)
            change(house)
            for one in asked[:5]:
                for _ in range(1 + twice):
                    house.answer(one)
            house.cluster.run()
    details = [(d.model, d.outcome, d.labels_used, d.labels_reused) for d in house.said(VERDICTS_DETAIL)]
    ledger = house.cluster.state("ci", "churn").ledger
    return details, house.verdicts(), ledger.order.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_the_order_and_repetition_of_answers_change_no_verdict(seed):
    details, verdicts, order = play()
    mixed, same, other = play(twice=True, shuffle=random.Random(seed))
    assert (verdicts, order) == (same, other)
    # answers out of turn may buy labels that count only later, so that more of them are reused, and no other counts
    assert [(d[0], d[1], d[2] + d[3]) for d in details] == [(d[0], d[1], d[2] + d[3]) for d in mixed]


@pytest.mark.parametrize("point", POINTS)
def test_kills_and_restarts_change_nothing(point):
    def kill(house):
        house.cluster.kill("ci", point)

    assert play(kill) == play()


def test_restarts_between_answers_change_nothing():
    assert play(lambda house: house.cluster.restart("ci")) == play()


def test_no_topic_of_developers_tells_a_label(begun):
    begun.answer_all()
    told = {record.topic for record in begun.cluster._order if record.topic in BY_NAME}
    assert {CI_QUESTIONS.name, CI_ANSWERS.name} <= told
    for name in told:
        if not BY_NAME[name].restricted:
            assert {type(data) for data in begun.said(BY_NAME[name])}.isdisjoint({Question, Answer, TestLabels})
