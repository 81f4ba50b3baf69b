"""What holds under either policy: agreement asks nothing, the budget, missing votes, models that come and go."""

from functools import partial

import modelpicker_streams
import numpy as np
import pytest
from modelpicker_streams import play, stream

from easeml.errors import ConflictError, InvalidDataError, NotFoundError
from easeml.modelpicker import ModelPicker

POLICIES = {"portfolio": {}, "modelpicker": {"policy": "modelpicker", "half_life": None}}


@pytest.fixture(params=POLICIES)
def policy(request):
    return request.param


@pytest.fixture
def picker(policy):
    return partial(modelpicker_streams.picker, **POLICIES[policy])


@pytest.mark.parametrize("votes", [np.zeros((200, 1), int), np.tile(np.arange(200)[:, None] % 3, (1, 4))])
def test_agreement_asks_nothing(picker, votes):
    pick = picker(votes.shape[1])
    decision = pick.step_batch(votes, range(200))
    assert decision.query == ()
    assert decision.predictions.tolist() == votes[:, 0].tolist()
    assert pick.labels_used == 0
    assert pick.intervals.tolist() == [[0.0, 1.0]] * votes.shape[1]


def test_withdrawn_questions_return_to_the_budget(picker):
    _, votes = stream(100, [0.6, 0.7, 0.5], seed=3)
    pick = picker(budget=4, horizon=50)
    rows = pick.step_batch(votes, range(100)).query
    assert len(rows) == pick.labels_used == 4
    assert pick.withdraw(rows[0])
    assert not pick.withdraw(rows[0])
    assert pick.labels_used == 3
    with pytest.raises(NotFoundError, match="not asked"):
        pick.answer(rows[0], 0)
    assert len(pick.step_batch(votes, range(100, 200)).query) == 1


@pytest.mark.parametrize(("policy", "budget"), [("portfolio", 200), ("modelpicker", 300)])
def test_missing_votes(picker, budget):
    truth, votes = stream(800, [0.6, 0.8, 0.5], seed=7)
    votes[::2, 1] = -1
    pick = picker(budget=budget, horizon=800)
    served, _ = play(pick, votes, truth)
    assert pick.recommended == 1
    assert (served >= 0).all()
    assert pick.step(np.full(3, -1)).prediction == -1


@pytest.mark.parametrize(("policy", "budget"), [("portfolio", 300), ("modelpicker", 400)])
def test_models_join_and_leave_by_id(picker, budget):
    truth, votes = stream(1500, [0.55, 0.6, 0.9], seed=8)
    pick = picker(2, model_ids=["a", "b"], budget=budget, horizon=1500)
    play(pick, votes[:, :2], truth, range(500))
    pick.add_model("c", votes[list(pick.lookback_rows), 2])
    assert pick.model_ids == ("a", "b", "c")
    play(pick, votes, truth, range(500, 1000))
    assert pick.recommended == "c"
    pick.retire_model("a")
    assert pick.posterior.shape == pick.alive.shape == pick.e_values.shape == (2,)
    assert pick.intervals.shape == (2, 2)
    play(pick, votes[:, 1:], truth, range(1000, 1500))
    assert pick.recommended == "c"
    pick.retire_model("c")
    assert pick.recommended == "b"
    pick.retire_model("b")
    pick = ModelPicker.from_state(pick.state())
    with pytest.raises(NotFoundError, match="add_model"):
        pick.step(np.zeros(0, int))
    pick.add_model("d")
    assert pick.step(np.array([1])).prediction == 1


def test_violations_are_refused(picker):
    pick = picker()
    with pytest.raises(InvalidDataError, match="Class 3"):
        pick.step([0, 1, 3])
    with pytest.raises(InvalidDataError, match="Class -2"):
        pick.step([0, 1, -2])
    with pytest.raises(InvalidDataError, match="retired"):
        pick.step([0, 1])
    with pytest.raises(InvalidDataError, match="twice"):
        pick.step_batch([[0, 1, 2], [0, 1, 2]], ["a", "a"])
    with pytest.raises(InvalidDataError, match="integers"):
        pick.step([0.0, 1.0, 2.0])
    with pytest.raises(InvalidDataError, match="Class 3"):
        pick.answer(0, 3)
    with pytest.raises(NotFoundError, match="not asked"):
        pick.answer("never", 0)
    with pytest.raises(ConflictError, match="takes part"):
        pick.add_model(0)
    with pytest.raises(InvalidDataError, match="lookback rows"):
        pick.add_model("new", [1, 2])
    with pytest.raises(NotFoundError, match="take part"):
        pick.retire_model("gone")
    assert pick.rows_seen == 0


@pytest.mark.parametrize("half_life", ["auto", None, 100.0])
def test_answers_count_after_all_models_have_left(picker, half_life):
    truth, votes = stream(1500, [0.6, 0.7], seed=9)
    pick = picker(2, budget=600, horizon=1500, half_life=half_life)
    asked = []
    for row in range(len(votes)):
        asked += pick.step(votes[row], row).query
        while len(asked) > 40:
            answered = asked.pop(0)
            pick.answer(answered, truth[answered])
    for model in pick.model_ids:
        pick.retire_model(model)
    before = pick.labels_answered
    for place, row in enumerate(asked):
        if place % 10 == 0:
            pick = type(pick).from_state(pick.state())
        pick.answer(row, truth[row])
        assert not pick.valued()[2].any()
    assert pick.labels_answered == before + len(asked)
    pick.add_model("new")
    assert pick.step(np.array([1])).prediction == 1
