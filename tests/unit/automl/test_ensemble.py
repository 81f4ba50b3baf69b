import itertools

import numpy as np
import pytest

from easeml.automl.ensemble import best_vote, ranking, score


def models(seed, count=6, rows=30, classes=3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, rows)
    logits = rng.normal(size=(count, rows, classes))
    logits[:, np.arange(rows), truth] += rng.uniform(0, 2, (count, 1))
    exponent = np.exp(logits)
    return exponent / exponent.sum(axis=2, keepdims=True), truth


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [1, 3, 10])
def test_a_vote_is_never_worse_than_the_best_single_model(seed, size):
    votes, truth = models(seed)
    weights = best_vote(votes, truth, size)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert np.count_nonzero(weights) <= size
    singles = [score(model, truth) for model in votes]
    assert score(np.tensordot(weights, votes, 1), truth)[0] >= max(single for single, _ in singles)


@pytest.mark.parametrize("seed", range(5))
def test_members_are_the_best_ones_with_equal_weights(seed):
    votes, truth = models(seed)
    order = ranking([score(model, truth) for model in votes])
    best = score(votes[order[0]], truth)[0]
    weights = best_vote(votes, truth, 3)
    members = np.count_nonzero(weights)
    assert set(np.flatnonzero(weights)) == set(order[:members])
    np.testing.assert_allclose(weights[weights > 0], 1 / members)
    for more in range(members + 1, 4):
        assert score(votes[order[:more]].mean(axis=0), truth)[0] < best


def test_models_that_err_on_different_rows_correct_each_other():
    truth = np.arange(30) % 3
    votes = np.full((3, 30, 3), 0.1)
    votes[:, np.arange(30), truth] = 0.8
    for model, rows in enumerate(np.split(np.arange(30), 3)):
        votes[model, rows] = 0.25
        votes[model, rows, (truth[rows] + 1) % 3] = 0.5
    assert all(score(model, truth)[0] < 0.7 for model in votes)
    weights = best_vote(votes, truth, 3)
    assert score(np.tensordot(weights, votes, 1), truth)[0] == 1.0


def test_the_order_of_models_decides_nothing_but_ties():
    votes, truth = models(3, count=4)
    found = {
        tuple(best_vote(votes[list(order)], truth, 3)[np.argsort(order)]) for order in itertools.permutations(range(4))
    }
    assert len(found) == 1


def test_scores_are_accuracy_and_a_bounded_log_loss():
    accuracy, loss = score(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]))
    assert accuracy == 0.5
    assert loss == pytest.approx(-np.log(1e-6) / 2)
