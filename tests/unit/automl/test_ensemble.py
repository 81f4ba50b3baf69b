import itertools
import math

import numpy as np
import pytest

from easeml.automl.ensemble import best_vote, score, surest


def models(seed, count=6, rows=30, classes=3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, rows)
    logits = rng.normal(size=(count, rows, classes))
    logits[:, np.arange(rows), truth] += rng.uniform(0, 2, (count, 1))
    exponent = np.exp(logits)
    return exponent / exponent.sum(axis=2, keepdims=True), truth


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("size", [1, 3, 10])
def test_members_are_the_surest_of_those_that_chance_alone_tells_from_the_best(seed, size):
    votes, truth = models(seed)
    scores = [score(model, truth) for model in votes]
    best = max(accuracy for accuracy, _ in scores)
    close = [
        m for m, (accuracy, _) in enumerate(scores) if accuracy >= best - math.sqrt(best * (1 - best) / len(truth))
    ]
    expected = sorted(close, key=lambda place: scores[place][1])[:size]
    weights = best_vote(votes, truth, size)
    assert set(np.flatnonzero(weights)) == set(expected) == set(surest(scores, len(truth), size))
    np.testing.assert_allclose(weights[weights > 0], 1 / len(expected))


def test_a_perfect_model_is_close_to_one_that_errs_once():
    scores = [(1.0, 0.4), (0.99, 0.1), (0.98, 0.05)]
    assert surest(scores, 100, 3) == [1, 0]


def test_accuracy_decides_where_rows_are_many():
    scores = [(0.90, 0.4), (0.88, 0.1)]
    assert surest(scores, 100, 1) == [1]
    assert surest(scores, 10_000, 1) == [0]


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
