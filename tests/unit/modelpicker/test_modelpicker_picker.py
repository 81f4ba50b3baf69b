"""The model picker: the published algorithm, its budget, and everything that may happen to a stream."""

import json
import math
from functools import partial

import modelpicker_streams
import numpy as np
import pytest
from modelpicker_streams import identifies, play, reference, stream

from easeml.errors import ConfigurationError, ConflictError
from easeml.modelpicker import ModelPicker, information_gain
from easeml.modelpicker.drift import Adwin, VoteWatch
from easeml.modelpicker.information import Known

PUBLISHED = {"policy": "modelpicker", "half_life": None}
picker = partial(modelpicker_streams.picker, **PUBLISHED)


def published(votes, truth, scale, seed):
    """Algorithm 1 of the paper, row by row in plain Python."""
    rng, k, losses, asked = np.random.default_rng(seed), votes.shape[1], [0.0] * votes.shape[1], []
    for t, row in enumerate(votes.tolist(), start=1):
        eta = math.sqrt(math.log(k) / (2 * t))
        raw = [math.exp(-eta * (loss - min(losses))) for loss in losses]
        weights = [w / sum(raw) for w in raw]
        mass = {c: sum(w for w, vote in zip(weights, row, strict=True) if vote == c) for c in row}
        v = max(m * (1 - m) for m in mass.values())
        u = 0.0 if len(mass) == 1 else min(1.0, max(scale * v, eta))
        if rng.random() < u:
            asked.append(t - 1)
            losses = [loss + (vote != truth[t - 1]) / u for loss, vote in zip(losses, row, strict=True)]
    eta = math.sqrt(math.log(k) / (2 * len(votes)))
    raw = [math.exp(-eta * (loss - min(losses))) for loss in losses]
    return asked, np.array(raw) / sum(raw)


@pytest.mark.parametrize("seed", range(5))
def test_the_published_algorithm(seed):
    truth, votes = stream(400, [0.6, 0.7, 0.5, 0.65], seed=seed)
    pick = picker(4, seed=seed, budget=10**6, scale=0.4)
    _, asked = play(pick, votes, truth)
    expected, posterior = published(votes, truth, 0.4, seed)
    assert [row for _, row in asked] == expected
    np.testing.assert_allclose(pick.posterior, posterior, rtol=1e-9)
    assert pick.recommended == int(posterior.argmax())


def test_batches_decide_as_single_steps_do():
    _, votes = stream(300, [0.6, 0.7, 0.5], seed=4)
    single, batched = (picker(half_life=h) for h in ("auto", "auto"))
    one = [row for i, v in enumerate(votes) for row in single.step(v, i).query]
    many = [row for i in range(0, 300, 50) for row in batched.step_batch(votes[i : i + 50], range(i, i + 50)).query]
    assert one == many
    assert single.labels_used == batched.labels_used > 0


def test_the_posterior_concentrates_on_long_streams():
    truth, votes = stream(10_000, [0.6, 0.7, 0.65], seed=2)
    pick = picker(budget=300, horizon=10_000)
    play(pick, votes, truth)
    assert pick.posterior.max() > 0.8
    assert pick.recommended == 1
    assert 250 <= pick.labels_used <= 300


def test_answers_late_repeated_and_out_of_order():
    truth, votes = stream(400, [0.6, 0.75, 0.5], seed=3)
    now, late = picker(budget=10**6, scale=0.0), picker(budget=10**6, scale=0.0)
    play(now, votes, truth)
    rows = late.step_batch(votes, range(400)).query
    for row in np.random.default_rng(0).permutation(rows):
        assert late.answer(int(row), int(truth[row]))
        assert not late.answer(int(row), int(truth[row]))
    # at scale 0 the inclusion probability does not depend on answers, so the same rows are asked
    assert set(rows) == set(now.state()["memory"]["answered_ids"])
    np.testing.assert_allclose(late.posterior, now.posterior)
    np.testing.assert_allclose(late.intervals, now.intervals, atol=1e-6)
    with pytest.raises(ConflictError, match="first one stands"):
        late.answer(rows[0], int(truth[rows[0]] + 1) % 3)


def test_duplicates_of_a_model_leave_the_pick():
    truth, votes = stream(600, [0.5, 0.85, 0.6], seed=6)
    plain, doubled = picker(budget=200), picker(6, budget=200)
    play(plain, votes, truth)
    play(doubled, np.hstack([votes, votes[:, :1], votes[:, :1], votes[:, 2:]]), truth)
    assert plain.recommended == doubled.recommended == 1


def test_a_zero_budget_serves_without_asking():
    _, votes = stream(100, [0.6, 0.7, 0.5], seed=3)
    assert picker(budget=0).step_batch(votes, range(100)).query == ()


def test_a_join_keeps_open_questions():
    truth, votes = stream(300, [0.55, 0.6, 0.9], seed=9)
    pick = picker(2, budget=100, horizon=300)
    rows = pick.step_batch(votes[:, :2], range(300)).query
    pick.add_model("late", votes[list(pick.lookback_rows), 2])
    for row in rows:
        pick.answer(row, int(truth[row]))
    assert pick.recommended == "late"


def test_a_model_that_joins_is_known_by_the_rows_answered():
    truth, votes = stream(190, [0.55, 0.6, 0.9], seed=9)
    pick = picker(2, budget=60, horizon=190)
    rows = pick.step_batch(votes[:, :2], range(190)).query
    for row in rows[::2]:
        pick.answer(row, int(truth[row]))
    unknown = pick.valued()[2].sum()
    pick.add_model("late", votes[list(pick.lookback_rows), 2])
    pick.retire_model(pick.model_ids[0])
    again = ModelPicker.from_state(pick.state())
    assert again.valued()[2].tolist() == pick.valued()[2].tolist()
    assert pick.valued()[2].sum() < unknown, "the late one is so good that little is left to tell"


@pytest.mark.parametrize("half_life", [None, 150.0, "auto"])
def test_the_state_replays_bit_for_bit(half_life):
    truth, votes = stream(400, [0.6, 0.7, 0.5], seed=10)
    pick = picker(half_life=half_life, model_ids=["x", "y", "z"])
    open_rows = []
    for i in range(200):
        open_rows += pick.step(votes[i], f"r{i}").query
        if i % 7 == 0 and open_rows:
            row = open_rows.pop(0)
            pick.answer(row, int(truth[int(row[1:])]))
    state = pick.state()
    plain = json.loads(json.dumps(state, default=lambda array: array.tolist()))
    for again in (ModelPicker.from_state(state), ModelPicker.from_state(plain)):
        twin = ModelPicker.from_state(pick.state())
        for i in range(200, 400):
            left, right = again.step(votes[i], f"r{i}"), twin.step(votes[i], f"r{i}")
            assert (left.query, left.served, left.prediction) == (right.query, right.served, right.prediction)
            assert np.array_equal(left.gains, right.gains)
            for row in left.query:
                assert again.answer(row, 1) == twin.answer(row, 1)
        assert np.array_equal(again.posterior, twin.posterior)
        assert json.dumps(again.state(), default=np.ndarray.tolist) == json.dumps(
            twin.state(), default=np.ndarray.tolist
        )
    assert pick.rows_seen == 200


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"policy": "magic"}, "portfolio"),
        ({"half_life": "soon"}, "auto"),
        ({"half_life": -1.0}, "auto"),
        ({"budget": -1}, "budget"),
        ({"horizon": 0}, "horizon"),
        ({"model_ids": ["a", "a", "b"]}, "distinct"),
        ({"c": 1}, "two"),
    ],
)
def test_wrong_settings(wrong, says):
    with pytest.raises(ConfigurationError, match=says):
        picker(**wrong)


def test_a_sudden_change_raises_the_alarm_and_the_pick_follows():
    truth, votes = stream(4000, [0.9, 0.5], seed=11)
    votes[2000:] = votes[2000:, ::-1]
    pick = picker(2, half_life="auto", budget=1200, horizon=4000)
    alarms = []
    for i in range(4000):
        for row in pick.step(votes[i], i).query:
            pick.answer(row, int(truth[row]))
            alarms += [i] if pick.drift else []
        if i == 1999:
            assert pick.recommended == 0
    assert pick.recommended == 1
    assert alarms
    assert alarms[0] >= 2000


def test_a_detector_is_silent_without_a_change():
    rng = np.random.default_rng(12)
    detector = Adwin()
    assert sum(detector.update(float(x)) for x in rng.random(3000) < 0.3) == 0


def test_votes_that_split_otherwise_raise_one_alarm_that_tells_since_when():
    rng = np.random.default_rng(13)
    watch = VoteWatch()
    alarms = {}
    for row in range(900):
        if ago := watch.update(contested=rng.random() < (0.2 if row < 400 else 0.8), impurity=rng.random() / 2):
            alarms[row] = ago
    assert list(alarms) == [459]
    assert alarms[459] == 60


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 1.0])
def test_votes_that_split_as_ever_raise_no_alarm(share):
    rng = np.random.default_rng(14)
    for _ in range(10):
        watch = VoteWatch()
        split = rng.random(3000) < share
        assert not any(watch.update(contested=one, impurity=one / 2) for one in split.tolist())


def known(right=(), k=3, worth=0.0, validated=None):
    right = np.array(right, np.int8).reshape(-1, k)
    return Known(right, np.ones(len(right)), worth, np.zeros(k) if validated is None else np.array(validated))


def test_information_gain():
    votes = np.array([[0, 0, 1], [0, 1, 0], [1, 1, 1], [0, -1, -1], [-1, 0, 1]])
    recent = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1], [0, -1, -1]])
    gains = information_gain(votes, recent, known(), 0, 2)
    # of the model that differs oftener more is to be learnt; nothing where all agree, or without votes to compare
    assert gains[0] > gains[1] > 0
    assert gains[2:].tolist() == [0, 0, 0]
    assert information_gain(votes, recent[:0], known(), 0, 2).tolist() == [0.0] * 5
    assert information_gain(votes[:0], recent, known(), 0, 2).shape == (0,)
    # to tell models apart that are equally good is worth less with every answer, and less still once one leads
    even = information_gain(votes, recent, known([[1, 1, 0], [0, 0, 1]] * 5), 0, 2)
    ahead = information_gain(votes, recent, known([[1, 1, 0]] * 10), 0, 2)
    assert gains[0] > even[0] > ahead[0] > 0
    # validation counts as rows do
    before = information_gain(votes, recent, known(worth=50.0, validated=[0.9, 0.9, 0.5]), 0, 2)
    assert before[0] < 0.01 * gains[0]
    # a right prediction of one of many classes is worth more bits
    assert information_gain(votes, recent, known(), 0, 1000)[0] > gains[0]


def test_no_label_is_expected_to_tell_more_than_a_prediction_holds():
    votes, recent = np.array([[0, 1]]), np.array([[0, 1]] * 9)
    for right in ([], [[0, 0]] * 99, [[0, 1]] * 99, [[1, 1]] * 99):
        gain = information_gain(votes, recent, known(right, 2), 0, 2)[0]
        assert 0 <= gain <= 1


def test_differences_that_change_no_other_prediction_are_worth_little():
    rng = np.random.default_rng(0)
    alike = np.repeat(rng.integers(0, 2, (100, 1)), 4, axis=1)
    apart = rng.integers(0, 2, (100, 4))
    gains = []
    for votes in (alike, apart):
        pick = picker(4, 2, horizon=100)
        pick.step_batch(votes, range(100))
        decision = pick.step_batch(np.tile([0, 0, 1, 1], (30, 1)) ^ (np.arange(30)[:, None] % 2), range(100, 130))
        gains.append(decision.gains[0])
    assert 0 < gains[0] < 0.1 * gains[1]


def test_questions_carry_beliefs_and_gains():
    _, votes = stream(200, [0.6, 0.7, 0.5], seed=3)
    decision = picker().step_batch(votes, range(200))
    assert decision.probabilities.shape == (len(decision.query), 3)
    np.testing.assert_allclose(decision.probabilities.sum(axis=1), 1.0)
    assert (decision.gains > 0).all()


@pytest.mark.parametrize(
    ("name", "rows", "budget", "at_least"), [("emocontext", 1000, 130, 0.78), ("drift", 2500, 193, 0.75)]
)
def test_reference_streams(reference_data, name, rows, budget, at_least):
    """Identification of the best model; the authors' code reaches .92 and .96 with a soft budget, tuned."""
    found, runs = 0, 30
    for seed in range(runs):
        pick, right = identifies(reference_data, name, rows, budget, seed, **PUBLISHED)
        assert 0.85 * budget <= pick.labels_used <= budget
        found += right
    assert found / runs >= at_least


def test_a_discounted_pick_follows_the_drifting_file(reference_data):
    votes, truth = reference(reference_data, "drift")
    accuracy = {}
    for half_life in (None, "auto"):
        shares = []
        for seed in range(3):
            pick = picker(9, 6, seed, budget=180, horizon=3600, half_life=half_life)
            served, _ = play(pick, votes, truth)
            shares.append((served == truth).mean())
        accuracy[half_life] = np.mean(shares)
    assert accuracy["auto"] > accuracy[None] + 0.04
    assert accuracy["auto"] > 0.68
