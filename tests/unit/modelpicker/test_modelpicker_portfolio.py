"""The portfolio engine on whole streams: what it asks, recommends and serves."""

import numpy as np
import pytest
from modelpicker_streams import identifies, picker, play, reference, stream

from easeml.errors import ConfigurationError, ConflictError
from easeml.modelpicker import ModelPicker


def test_it_is_the_default_and_spends_its_budget_exactly():
    truth, votes = stream(500, [0.6, 0.8, 0.7])
    pick = picker()
    _, asked = play(pick, votes, truth)
    assert pick.policy == "portfolio"
    assert pick.labels_used == pick.labels_answered == len({row for _, row in asked}) == 50
    assert pick.recommended == 1
    # some questions name rows of the lookback window, none older ones
    ages = [now - row for now, row in asked]
    assert 0 < max(ages) < 200
    assert min(ages) == 0
    play(pick, votes, truth, range(400, 500))
    assert pick.labels_used == 50


def test_a_row_is_never_asked_about_twice():
    truth, votes = stream(60, [0.5, 0.6, 0.7])
    pick = picker(budget=100, horizon=60)
    _, asked = play(pick, votes, truth)
    again, more = play(pick, votes, truth)
    rows = [row for _, row in asked + more]
    assert len(rows) == len(set(rows))
    assert (again >= 0).all()
    assert pick.lookback_rows == tuple(range(60))


def test_models_that_replace_others_are_known_by_every_answer():
    truth, votes = stream(900, [0.6, 0.85], classes=2, seed=3)
    pick = picker(2, 2, budget=30, horizon=300)
    play(pick, votes, truth, range(300))
    assert pick.labels_answered == 30
    pick.step_batch(votes[300:], range(300, 900))  # no answered row is left in the window
    before = pick.posterior
    asked_of = [row for row in pick.lookback_rows if row < 300]
    assert len(asked_of) == 30
    assert pick.lookback_rows[30:] == tuple(range(700, 900))
    for generation in range(5):
        for model in range(2):
            pick.add_model(f"{model} of {generation}", votes[list(pick.lookback_rows), model])
        for model in pick.model_ids[:2]:
            pick.retire_model(model)
        assert pick.posterior.tolist() == pytest.approx(before.tolist())
        assert pick.recommended == f"1 of {generation}"


def test_a_model_that_joins_while_a_question_is_old_is_judged_by_its_answer():
    truth, votes = stream(600, [0.6, 0.7, 0.8], classes=2, seed=5)
    pick = picker(2, 2, budget=1, horizon=5)
    (row,) = pick.step_batch(votes[:20, :2], range(20)).query
    pick.step_batch(votes[20:, :2], range(20, 600))
    assert pick.lookback_rows[0] == row
    pick.add_model("third", np.full(len(pick.lookback_rows), truth[row]))
    pick.answer(row, int(truth[row]))
    assert pick.posterior[2] == pick.posterior.max()


def test_a_zero_budget_recommends_whom_the_others_agree_with():
    _, votes = stream(300, [0.5, 0.9, 0.7, 0.6])
    pick = picker(4, budget=0)
    assert pick.step_batch(votes, range(300)).query == ()
    pick.add_model("fifth", votes[list(pick.lookback_rows), 0])
    assert pick.recommended == 1


def test_few_labels_do_not_make_it_jump_to_a_worse_model():
    lost = {budget: [] for budget in (0, 3, 6, 10)}
    for budget, losses in lost.items():
        for seed in range(12):
            truth, votes = stream(150, [0.55, 0.6, 0.85, 0.8, 0.5], classes=2, seed=seed)
            pick = picker(5, 2, seed, budget=budget, horizon=150)
            play(pick, votes, truth)
            right = (votes == truth[:, None]).mean(axis=0)
            losses.append(right.max() - right[pick.recommended])
    # one of the twelve may be deceived by chance, as the majority itself may be
    assert max(np.mean(losses) for losses in lost.values()) < 0.04
    assert max(np.sort(losses)[-2] for losses in lost.values()) < 0.1


def test_the_posterior_concentrates_on_long_streams():
    truth, votes = stream(10_000, [0.6, 0.7, 0.65], seed=2)
    pick = picker(budget=300, horizon=10_000)
    play(pick, votes, truth)
    assert pick.posterior.max() > 0.5
    assert pick.recommended == 1
    assert pick.labels_used == 300


def test_copies_of_a_model_change_nothing():
    truth, votes = stream(600, [0.5, 0.85, 0.6], seed=6)
    plain, doubled = picker(budget=100), picker(6, budget=100)
    copies = [0, 1, 2, 0, 0, 1]
    served, asked = play(plain, votes, truth)
    again, other = play(doubled, votes[:, copies], truth)
    assert asked == other
    assert served.tolist() == again.tolist()
    assert plain.recommended == doubled.recommended == 1
    np.testing.assert_allclose(doubled.posterior[:3] * [3, 2, 1], plain.posterior)


def test_answers_late_repeated_and_out_of_order():
    truth, votes = stream(400, [0.6, 0.75, 0.5], seed=3)
    pick = picker(budget=60, horizon=400)
    rows = pick.step_batch(votes, range(400)).query
    assert len(rows) == 60
    # questions asked without answers differ from one another
    assert len({tuple(votes[row]) for row in rows}) > 10
    for row in np.random.default_rng(0).permutation(rows).tolist():
        assert pick.answer(row, int(truth[row]))
        before = pick.posterior
        assert not pick.answer(row, int(truth[row]))
        assert np.array_equal(pick.posterior, before)
    assert pick.recommended == 1
    assert pick.pending == ()
    with pytest.raises(ConflictError, match="first one stands"):
        pick.answer(rows[0], int(truth[rows[0]] + 1) % 3)


def test_certificates_rule_out_bad_models():
    truth, votes = stream(2000, [0.3, 0.9, 0.85], seed=1)
    pick = picker(budget=400, horizon=2000)
    play(pick, votes, truth)
    assert pick.alive.tolist() == [False, True, True]
    assert pick.e_values[0] >= 3 / 0.05 > pick.e_values[1]
    low, high = pick.intervals.T
    assert (low < high).all()
    assert high[0] < low[1]


@pytest.mark.parametrize("half_life", ["auto", 150.0])
def test_a_sudden_change_is_followed(half_life):
    truth, votes = stream(3000, [0.9, 0.5], seed=11)
    votes[1500:] = votes[1500:, ::-1]
    pick = picker(2, half_life=half_life, budget=600, horizon=3000)
    alarms = []
    for i in range(3000):
        for row in pick.step(votes[i], i).query:
            pick.answer(row, int(truth[row]))
            alarms += [i] if pick.drift else []
        if i == 1499:
            assert pick.recommended == 0
    assert pick.recommended == 1
    if half_life == "auto":
        assert 1500 <= alarms[0] < 2200
    assert pick.alarms == len(alarms)


def test_a_model_that_joins_and_one_that_leaves_are_no_drift():
    truth, votes = stream(1200, [0.95, 0.93, 0.4], seed=5)
    pick = picker(2, budget=60, horizon=1200)
    for i in range(1200):
        if i == 400:
            pick.add_model("poor", votes[list(pick.lookback_rows), 2])
        if i == 800:
            pick.retire_model("poor")
        for row in pick.step(votes[i, : pick.k], i).query:
            pick.answer(row, int(truth[row]))
    assert pick.alarms == 0


def test_there_is_no_scale():
    with pytest.raises(ConfigurationError, match="scale"):
        picker(scale=1.0)


@pytest.mark.parametrize(
    ("name", "rows", "budget", "at_least"),
    [("emocontext", 1000, 105, 0.75), ("drift", 2500, 180, 0.8), ("mrpc_train", 1000, 45, 0.8)],
)
def test_reference_streams(reference_data, name, rows, budget, at_least):
    """A cheap look at what ``tests/benchmarks/bench_modelpicker.py`` measures, where 0.95 is reached."""
    found, runs = 0, 6
    for seed in range(runs):
        pick, right = identifies(reference_data, name, rows, budget, seed)
        assert pick.labels_used <= budget
        found += right
    assert found / runs >= at_least


def test_the_drifting_file_is_followed_by_a_combiner(reference_data):
    votes, truth = reference(reference_data, "drift")
    pick = picker(9, 6, budget=180, horizon=3600)
    served, _ = play(pick, votes, truth)
    assert (served == truth).mean() > 0.88
    assert pick.labels_used == 180
    assert pick.step(votes[0], "again").served >= 9


def test_a_few_answers_do_not_outweigh_validation():
    """One model of six votes against the others on most rows, where it is wrong but for the few rows answered."""
    pick = ModelPicker(0, 2, budget=60, horizon=400, rng=np.random.default_rng(0))
    for model, accuracy in enumerate([0.93, 0.92, 0.92, 0.91, 0.9, 0.45]):
        pick.add_model(model)
        pick.validate(model, accuracy, 100)
    votes = np.repeat(np.array([[0, 0, 0, 0, 0, 1]], np.int32), 300, axis=0)
    asked = pick.step_batch(votes, range(300)).query
    for row in asked[:5]:
        pick.answer(row, 1)
    assert pick.recommended == 0
    for row in asked[5:]:
        pick.answer(row, 1)
    pick.step_batch(votes, range(300, 600))
    for row in pick.pending:
        pick.answer(row, 1)
    assert pick.recommended == 5, "many answers do"
