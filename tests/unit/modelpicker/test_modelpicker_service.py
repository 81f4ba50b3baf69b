"""The model picker service on the in-memory kernel."""

import dataclasses
import random

import numpy as np
import pytest

from easeml.ids import EventId
from easeml.modelpicker.desk import Desk
from easeml.modelpicker.service import ModelPickerService
from easeml.stream.memory import POINTS, MemoryCluster
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    Column,
    ColumnKind,
    ModelPublished,
    ModelRetired,
    Pillar,
    PredictionBatch,
    QuestionKind,
    Verdict,
)
from easeml.stream.topics import ANSWERS, APPS, MODELS, PICKS, PREDICTIONS, QUESTIONS, VERDICTS

CLASSES = ("a", "b", "c")
APP = AppDefined(
    "churn", "y", CLASSES, (Column("x", ColumnKind.NUMERIC),), label_budget=60, horizon=600, picker_half_life=150.0
)
TRUTH = np.random.default_rng(0).integers(3, size=2000).astype(np.int32)


def guesses(accuracy, seed):
    rng = np.random.default_rng(seed)
    wrong = (TRUTH + rng.integers(1, 3, size=len(TRUTH))) % 3
    return np.where(rng.random(len(TRUTH)) < accuracy, TRUTH, wrong).astype(np.int32)


class House:
    """A cluster with the picker, and an oracle that answers its questions."""

    def __init__(self, app=APP, models=("weak", "strong"), **options):
        self.cluster = MemoryCluster([ModelPickerService()], **options)
        self.cluster.publish(APPS, app)
        self.votes = {"weak": guesses(0.55, 1), "strong": guesses(0.85, 2), "late": guesses(0.97, 3)}
        self.models = list(models)
        self.answered = set()
        for model in models:
            self.passed(model)
        self.cluster.run()

    def passed(self, model, signal=True):
        self.cluster.publish(VERDICTS, Verdict("churn", model, signal, guaranteed=True))

    def predictions(self, model, start, stop, codes=None):
        rows = tuple(f"r{i}" for i in range(start, stop))
        labels = self.votes[model][start:stop] if codes is None else codes
        self.cluster.publish(PREDICTIONS, PredictionBatch("churn", model, Pillar.PRODUCTION, rows, labels))

    def answer(self, question, code=None, **changes):
        code = int(TRUTH[int(question.row_id[1:])]) if code is None else code
        answer = Answer(
            "churn",
            question.question,
            QuestionKind.LABEL,
            Pillar.PRODUCTION,
            question.row_id,
            code,
            CLASSES[code],
            "modelpicker",
            1,
        )
        self.cluster.publish(ANSWERS, dataclasses.replace(answer, **changes))

    def answer_all(self):
        for question in self.questions():
            if question.question not in self.answered:
                self.answered.add(question.question)
                self.answer(question)
        self.cluster.run()

    def stream(self, start, stop, step=20):
        for at in range(start, stop, step):
            for model in self.models:
                self.predictions(model, at, min(at + step, stop))
            self.cluster.run()
            self.answer_all()

    def told(self):
        """All that was asked, again or not."""
        return [event.data for event in self.cluster.events(QUESTIONS)]

    def questions(self):
        """Every question once, as it was asked first."""
        return list({asked.question: asked for asked in reversed(self.told())}.values())[::-1]

    def picks(self):
        return [event.data for event in self.cluster.events(PICKS)]

    @property
    def picker(self):
        return self.cluster.state("modelpicker", "churn").picker


@pytest.mark.parametrize("policy", ["portfolio", "modelpicker"])
def test_questions_answers_and_picks(policy):
    house = House(dataclasses.replace(APP, picker_policy=policy))
    assert [pick.model for pick in house.picks()] == ["weak"]
    assert house.picks()[0].posterior == {"weak": 1.0}
    house.stream(0, 600)
    questions = house.questions()
    assert 40 <= len(questions) <= 60
    first = questions[0]
    assert first.question == EventId.derive("question", "churn", first.row_id)
    assert first.candidates == CLASSES
    assert first.information_gain > 0
    np.testing.assert_allclose(first.probabilities.sum(), 1.0)
    last = house.picks()[-1]
    assert last.model == "strong"
    assert last.period == len(house.picks())
    assert set(last.posterior) == {"weak", "strong"}
    assert house.picker.labels_answered == len(questions)
    assert house.picker.rows_seen == 600


@pytest.mark.parametrize("policy", ["portfolio", "modelpicker"])
def test_open_questions_are_asked_again_when_they_tell_otherwise(policy):
    house = House(dataclasses.replace(APP, picker_policy=policy))
    for model in house.models:
        house.predictions(model, 0, 400)
    house.cluster.run()
    asked = house.told()
    assert len(asked) == len(house.questions()) > 10, "nothing is asked again before there are answers"
    worth = {one.question: one.information_gain for one in asked}
    for one in asked[:5]:
        house.answer(one)
        house.cluster.run()
    again = house.told()[len(asked) :]
    answered = {one.question for one in asked[:5]}
    for one in again:
        before, worth[one.question] = worth[one.question], one.information_gain
        assert abs(one.information_gain - before) > 0.2 * max(one.information_gain, before)
        np.testing.assert_allclose(one.probabilities.sum(), 1.0)
    assert {one.question for one in again} >= set(worth) - answered, "five answers tell much about two models"
    assert max(worth[name] for name in set(worth) - answered) < 0.5 * max(one.information_gain for one in asked)
    told = len(house.told())
    house.cluster.tick(2)
    assert len(house.told()) == told, "nothing new is known"


def test_only_models_that_passed_take_part():
    house = House(models=("weak",))
    house.passed("strong", signal=False)
    for model in ("weak", "strong"):
        house.predictions(model, 0, 200)
    house.cluster.run()
    assert house.questions() == []
    assert house.picker.model_ids == ("weak",)
    assert house.picker.rows_seen == 200


def test_nothing_passes_nothing_happens():
    house = House(models=())
    house.predictions("weak", 0, 100)
    house.cluster.tick(4)
    assert (house.questions(), house.picks()) == ([], [])


def test_a_row_waits_two_seconds_for_a_silent_model():
    house = House()
    house.predictions("weak", 0, 50)
    house.cluster.tick(2)
    assert house.picker.rows_seen == 0
    house.cluster.tick(1)
    assert house.picker.rows_seen == 50
    house.predictions("strong", 0, 50)
    house.cluster.run()
    assert house.picker.rows_seen == 50
    assert house.questions() == []


@pytest.mark.parametrize("policy", ["portfolio", "modelpicker"])
def test_the_state_is_packed_anew_when_it_changed_and_only_then(monkeypatch, policy):
    plain, kept, anew = Desk.pack, [], []

    def checked(desk):
        before = desk.packed
        packed = plain(desk)
        fresh = plain(dataclasses.replace(desk, packed=None))
        assert packed.document == fresh.document
        assert packed.arrays.keys() == fresh.arrays.keys()
        for name, array in fresh.arrays.items():
            np.testing.assert_array_equal(packed.arrays[name], array, err_msg=name)
        (kept if packed is before else anew).append(packed)
        return packed

    monkeypatch.setattr(Desk, "pack", checked)
    house = House(dataclasses.replace(APP, picker_policy=policy))
    house.models.append("late")
    house.stream(0, 200, step=1)
    house.passed("late")
    house.stream(200, 300, step=1)
    house.cluster.publish(MODELS, ModelRetired("churn", "weak", "worse"))
    house.cluster.publish(APPS, dataclasses.replace(APP, picker_policy=policy, label_budget=APP.label_budget + 5))
    house.cluster.tick(4)
    house.stream(300, 330, step=1)
    # one of two or three models completes a row
    assert len(kept) > 300
    assert len(anew) > 300


def test_a_late_model_joins_with_its_votes_on_recent_rows():
    house = House()
    house.models.append("late")  # it predicts before its verdict is out
    house.stream(0, 300)
    house.passed("late")
    house.cluster.run()
    assert house.picker.model_ids == ("weak", "strong", "late")
    window = house.picker.state()["memory"]["window_votes"]
    rows = [int(row[1:]) for row in house.picker.lookback_rows[-len(window) :]]
    np.testing.assert_array_equal(window[:, 2], house.votes["late"][rows])
    house.stream(300, 900)
    assert house.picks()[-1].model == "late"


def test_a_retired_model_leaves_and_does_not_come_back():
    house = House()
    house.stream(0, 200)
    picked = house.picks()[-1].model
    other = {"weak": "strong", "strong": "weak"}[picked]
    house.cluster.publish(MODELS, ModelRetired("churn", picked, "withdrawn"))
    house.passed(picked)
    house.cluster.run()
    assert house.picker.model_ids == (other,)
    assert house.picks()[-1].model == other
    house.cluster.publish(MODELS, ModelRetired("churn", other, "withdrawn"))
    house.stream(200, 260)
    assert house.picker.k == 0
    assert house.picks()[-1].model == other


def test_answers_count_although_all_models_have_left():
    house = House()
    for at in range(0, 100, 20):
        for model in house.models:
            house.predictions(model, at, at + 20)
    house.cluster.run()
    for model in house.models:
        house.cluster.publish(MODELS, ModelRetired("churn", model, "withdrawn"))
    house.answer_all()
    assert house.questions()
    assert house.picker.labels_answered == len(house.questions())
    house.passed("late")
    house.stream(100, 120)
    assert house.picker.model_ids == ("late",)
    assert house.cluster.restarts == 0
    assert house.cluster.dead_letters(ANSWERS) == []


def test_repeated_answers_and_predictions_count_once():
    house = House()
    house.stream(0, 200)
    before = house.picker.posterior
    for question in house.questions():
        house.answer(question)
    for model in house.models:
        house.predictions(model, 0, 200)
    house.cluster.tick(3)
    np.testing.assert_array_equal(house.picker.posterior, before)
    assert house.picker.rows_seen == 200
    assert house.cluster.dead_letters(ANSWERS) == []


@pytest.mark.parametrize(
    ("spoil", "topic", "reason"),
    [
        (lambda h: h.answer(h.questions()[0], row_id="never"), ANSWERS, "not_asked"),
        (lambda h: h.answer(h.questions()[0], (h.label() + 1) % 3), ANSWERS, "conflict"),
        (lambda h: h.answer(h.questions()[0], 0, value=7), ANSWERS, "invalid_data"),
        (lambda h: h.predictions("weak", 200, 203, np.array([0, 1, 3], np.int32)), PREDICTIONS, "unknown_class"),
        (lambda h: h.predictions("weak", 200, 203, np.array([0, 1], np.int32)), PREDICTIONS, "width"),
    ],
)
def test_bad_messages_go_to_the_dead_letters(spoil, topic, reason):
    house = House()
    house.label = lambda: int(TRUTH[int(house.questions()[0].row_id[1:])])
    house.stream(0, 200)
    spoil(house)
    house.cluster.run()
    assert [letter.reason for letter in house.cluster.dead_letters(topic)] == [reason]
    house.stream(220, 400)
    house.cluster.tick(3)
    assert house.picker.rows_seen >= 380


def test_a_policy_that_does_not_exist_is_a_dead_letter():
    house = House(dataclasses.replace(APP, picker_policy="magic"))
    reasons = {letter.reason for letter in house.cluster.dead_letters(VERDICTS)}
    assert reasons == {"configuration"}
    assert house.picks() == []


def test_answers_to_others_are_ignored():
    house = House()
    house.stream(0, 100)
    house.answer(house.questions()[0], asked_by="market", row_id="elsewhere")
    house.cluster.run()
    assert house.cluster.dead_letters(ANSWERS) == []


def test_a_raised_budget_counts_at_once():
    house = House(dataclasses.replace(APP, label_budget=0))
    house.stream(0, 100)
    assert house.questions() == []
    house.cluster.publish(APPS, APP)
    house.stream(100, 300)
    assert house.questions()


@pytest.mark.parametrize("policy", ["portfolio", "modelpicker"])
@pytest.mark.parametrize("point", POINTS)
def test_kills_and_restarts_lose_and_double_nothing(point, policy):
    def play(kill):
        house = House(dataclasses.replace(APP, picker_policy=policy))
        for at in range(0, 300, 50):
            if kill:
                house.cluster.kill("modelpicker", point)
            house.stream(at, at + 50)
        if kill:
            house.cluster.restart("modelpicker")
            house.cluster.tick(1)
        asked = {q.question for q in house.questions()}
        return asked, [p.model for p in house.picks()][-1], house.picker.posterior.tolist(), house.picker.rows_seen

    killed = play(kill=True)
    assert killed == play(kill=False)
    assert killed[3] == 300


@pytest.mark.parametrize("policy", ["portfolio", "modelpicker"])
@pytest.mark.parametrize("seed", range(6))
def test_any_interleaving_with_a_crash_keeps_budget_and_rows(seed, policy):
    app = dataclasses.replace(APP, picker_policy=policy)
    house = House(app, rng=random.Random(seed), crash_at=POINTS[seed % len(POINTS)])
    for at in range(0, 400, 25):
        for model in house.models:
            house.predictions(model, at, at + 25)
    house.cluster.tick(6)
    house.answer_all()
    house.cluster.tick(1)
    questions = {q.question for q in house.questions()}
    assert len(questions) == house.picker.labels_used == house.picker.labels_answered <= APP.label_budget
    assert house.picker.rows_seen == 400
    assert house.picker.pending == ()


def published(model, **metrics):
    return ModelPublished(
        "churn", model, "knn", "file:///m", "0" * 64, 9, "skops", ("x",), CLASSES, "v1", "automl", metrics
    )


@pytest.mark.parametrize("policy", ["portfolio", "modelpicker"])
def test_models_join_with_what_validation_said_of_them(policy):
    cluster = MemoryCluster([ModelPickerService()])
    cluster.publish(APPS, dataclasses.replace(APP, picker_policy=policy))
    for model, accuracy in (("fair", 0.8), ("good", 0.9), ("poor", 0.6)):
        cluster.publish(MODELS, published(model, accuracy=accuracy, validation_rows=150.0))
        cluster.publish(VERDICTS, Verdict("churn", model, signal=True, guaranteed=True))
        cluster.run()
    assert [event.data.model for event in cluster.events(PICKS)] == ["fair", "good"]


@pytest.mark.parametrize("figures", [(1.5, 10.0), (float("nan"), 10.0), (0.9, 0.0), (0.9, -3.0)])
def test_a_validation_that_cannot_be_is_refused_and_its_model_joins_all_the_same(figures):
    house = House(models=("weak",))
    accuracy, rows = figures
    house.cluster.publish(MODELS, published("strong", accuracy=accuracy, validation_rows=rows))
    house.passed("strong")
    house.cluster.run()
    (letter,) = house.cluster.dead_letters(MODELS)
    assert letter.message.startswith("Model strong: An accuracy of")
    assert house.picker.model_ids == ("weak", "strong")
