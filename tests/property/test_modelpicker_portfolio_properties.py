"""The parts of the portfolio against brute force, and its guarantees by simulation."""

import json
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.modelpicker import ModelPicker
from easeml.modelpicker.acquisition import ODDS, expected_gains, posterior_of
from easeml.modelpicker.pace import Pace
from easeml.modelpicker.pruning import DELTA, Certificates
from easeml.modelpicker.robust import Audits
from easeml.modelpicker.rows import Rows
from easeml.modelpicker.similarity import Labelled


def entropy(p):
    return -sum(x * math.log(x) for x in p.tolist() if x > 0)


@given(st.integers(0, 10**6))
def test_the_worth_of_a_row_is_the_mean_fall_of_entropy_over_all_labels(seed):
    rng = np.random.default_rng(seed)
    n, k, classes = (int(x) for x in rng.integers([1, 1, 2], [6, 8, 6]))
    votes = rng.integers(-1, classes, (n, k))
    posterior = rng.dirichlet(np.ones(k)) * (rng.random(k) < 0.9)
    posterior = posterior / posterior.sum() if posterior.any() else np.ones(k) / k
    gains = expected_gains(posterior, votes, classes)
    for row, gain in zip(votes, gains, strict=True):
        falls = []
        for label in range(classes):
            after = posterior * ODDS ** (row == label)
            falls.append(entropy(posterior) - entropy(after / after.sum()))
        np.testing.assert_allclose(gain, np.mean(falls), atol=1e-12)


@given(st.integers(0, 10**6))
def test_the_posterior_is_that_of_odds(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 8))
    right, shares = rng.integers(0, 500, k).astype(float), (rng.random(k) < 0.7).astype(float)
    shares[int(rng.integers(k))] = 1.0
    expected = [share * ODDS ** (r - right.max()) for share, r in zip(shares.tolist(), right.tolist(), strict=True)]
    if sum(expected) > 1e-200:
        np.testing.assert_allclose(posterior_of(right, shares), np.array(expected) / sum(expected), atol=1e-12)
    assert (posterior_of(right, shares)[shares == 0] == 0).all()


@given(st.integers(0, 10**6))
def test_beliefs_are_those_of_a_gaussian_process_about_the_votes(seed):
    rng = np.random.default_rng(seed)
    a, n, k, classes = (int(x) for x in rng.integers([0, 1, 1, 2], [12, 6, 7, 5]))
    known, votes = Labelled(k, classes), rng.integers(-1, classes, (n, k))
    distinct = np.flatnonzero(rng.random(k) < 0.8)
    distinct = distinct if len(distinct) else np.array([0])
    known.compare(distinct)
    labelled, labels = rng.integers(-1, classes, (a, k)).astype(np.int32), rng.integers(classes, size=a)
    for number in range(a):
        known.add(labelled[number], int(labels[number]), number)
    known.temper(0.25)
    mean = rng.dirichlet(np.ones(classes), a)
    known.fit(mean)

    def covariance(one, other):
        apart = sum(one[j] != other[j] for j in distinct.tolist()) / len(distinct)
        return 1 - apart + math.exp(-20 * apart)

    noise = 0.85 * (1 + 8 / max(a, 1)) / 0.25
    between = np.array([[covariance(x, y) for y in labelled] for x in labelled]).reshape(a, a) + noise * np.eye(a)
    across = np.array([[covariance(x, y) for y in labelled] for x in votes]).reshape(n, a)
    mass = rng.dirichlet(np.ones(classes), n)
    expected = mass + across @ np.linalg.inv(between) @ (np.eye(classes)[labels] - mean)
    expected = np.maximum(expected, 0.01 / classes)
    found = known.believed(known.apart(votes), mass)
    np.testing.assert_allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-12)
    again = Labelled.from_state(known.state(), k, classes)
    again.compare(distinct)
    again.fit(mean)
    assert np.array_equal(again.believed(again.apart(votes), mass), found)


def test_beliefs_without_labels_are_those_of_the_votes():
    known = Labelled(3, 2)
    mass = np.array([[0.7, 0.3]])
    np.testing.assert_allclose(known.believed(known.apart(np.array([[0, 0, 1]])), mass), mass)
    # one labelled row with the same votes has variance 2 beside noise of 0.85 * 9
    known.add(np.array([0, 0, 1], np.int32), 1, 0)
    known.fit(mass)
    found = known.believed(known.apart(np.array([[0, 0, 1], [1, 1, 0]])), mass[[0, 0]])
    alike, apart = (0.7 * covariance / 9.65 for covariance in (2, math.exp(-20)))
    np.testing.assert_allclose(found[0], [0.7 - alike, 0.3 + alike])
    np.testing.assert_allclose(found[1], [0.7 - apart, 0.3 + apart])


@given(st.integers(0, 10**6))
def test_rows_are_a_list_whose_oldest_fall_out(seed):
    rng = np.random.default_rng(seed)
    capacity = int(rng.integers(0, 6))
    rows, plain, following = Rows(capacity, {"x": np.zeros((0, 2))}), [], 0
    for _ in range(int(rng.integers(1, 30))):
        if plain and rng.random() < 0.2:
            row = plain.pop(int(rng.integers(len(plain))))[0]
            rows.remove(row)
        else:
            n = int(rng.integers(1, 4))
            ids = list(range(following, following + n))
            rows.extend(ids, x=np.repeat(np.array(ids, float)[:, None], 2, axis=1))
            plain = (plain + [(i, [float(i)] * 2) for i in ids])[-capacity:] if capacity else []
            following += n
        if rng.random() < 0.1:
            rows = Rows.from_state(rows.state(), {"x": np.zeros((0, 2))})
        assert rows.ids == [i for i, _ in plain]
        assert rows["x"].tolist() == [x for _, x in plain]
        assert [rows.find(i) for i, _ in plain] == list(range(len(plain)))
        assert rows.find(following) is None


@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(1, 300))
def test_the_pace_spends_all_and_never_more(seed, budget, horizon):
    rng, pace = np.random.default_rng(seed), Pace(budget, horizon)
    share = rng.random()
    for _ in range(horizon + 20):
        if rng.random() < 0.02:
            pace.restart()
        pace.advance(contested=bool(rng.random() < share))
        assert pace.due >= 0
        pace.asked += pace.due
        assert pace.asked <= budget
    assert pace.asked == budget


def test_the_second_estimate_is_unbiased_whatever_is_believed():
    accuracies, estimates = np.array([0.8, 0.7, 0.6]), []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        right = (rng.random((400, 3)) < accuracies).astype(float)
        # belief is wrong by much, and audits are more probable where it is more wrong
        difficult = rng.random(400) < 0.5
        believed = np.where(difficult[:, None], [0.1, 0.9, 0.9], [0.9, 0.5, 0.9])
        chances = np.where(difficult, 0.6, 0.2)
        audits = Audits(3)
        for i in np.flatnonzero(rng.random(400) < chances).tolist():
            audits.add(right[i] - believed[i], float(chances[i]))
        estimates.append(audits.differences(believed.mean(axis=0), 1)[0])
    mean, error = np.mean(estimates, axis=0), np.std(estimates, axis=0) / math.sqrt(len(estimates))
    np.testing.assert_array_less(np.abs(mean - (accuracies - 0.7)), 4 * error + 1e-3)


def test_a_belief_that_misleads_is_contradicted():
    rng = np.random.default_rng(0)
    audits, believed = Audits(2), np.array([0.9, 0.5])
    alive = np.ones(2, bool)
    assert audits.contradict(believed, 0, alive) == 0
    for _ in range(200):
        audits.add((rng.random(2) < [0.5, 0.9]) - believed, 0.1)
    assert audits.contradict(believed, 0, alive) == 1
    assert audits.contradict(believed, 0, np.array([True, False])) == 0
    assert audits.contradict(np.array([0.5, 0.9]) + audits.errors.mean(axis=0), 1, alive) == 1


def test_the_best_model_is_hardly_ever_pruned():
    """Share of simulations in which it is pruned at any answer; three models are equally good."""
    wrong, runs = 0, 300
    for seed in range(runs):
        certificates = Certificates(5)
        for right in (np.random.default_rng(seed).random((80, 5)) < [0.7, 0.7, 0.7, 0.6, 0.3]).astype(np.int8):
            certificates.add(right)
        wrong += not certificates.alive[:3].all()
    assert wrong / runs <= DELTA


@given(st.integers(0, 10**6))
def test_wealth_is_the_mean_over_stakes(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 5))
    certificates, wealth = Certificates(k), np.ones((5, k, k))
    stakes = [0.05, 0.1, 0.2, 0.4, 0.7]
    for right in rng.integers(-1, 2, (int(rng.integers(0, 20)), k)).astype(np.int8):
        certificates.add(right)
        for s, stake in enumerate(stakes):
            for i in range(k):
                for j in range(k):
                    if right[i] >= 0 and right[j] >= 0:
                        wealth[s, i, j] *= 1 + stake * (int(right[j]) - int(right[i]))
    np.testing.assert_allclose(certificates.e_values, wealth.mean(axis=0).max(axis=1))
    again = Certificates.from_state(certificates.state())
    assert np.array_equal(again.e_values, certificates.e_values)


def stream(seed, n, k, classes, missing):
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=n)
    right = rng.random((n, k)) < rng.uniform(0.4, 0.9, k)
    votes = np.where(right, truth[:, None], rng.integers(classes, size=(n, k)))
    votes[rng.random((n, k)) < missing] = -1
    return truth, votes


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([None, "auto", 40.0]), st.sampled_from([0.0, 0.1]))
def test_batches_decide_as_single_steps_and_states_replay(seed, half_life, missing):
    rng = np.random.default_rng(seed)
    k, classes = int(rng.integers(1, 7)), int(rng.integers(2, 5))
    truth, votes = stream(seed, 240, k, classes, missing)

    def picker():
        return ModelPicker(
            k, classes, budget=60, horizon=240, half_life=half_life, lookback=50, rng=np.random.default_rng(seed)
        )

    single, batched, start, late = picker(), picker(), 0, []
    while start < len(votes):
        stop = start + int(rng.integers(1, 40))
        many = batched.step_batch(votes[start:stop], range(start, min(stop, len(votes))))
        ones = [single.step(row, start + i) for i, row in enumerate(votes[start:stop])]
        assert many.query == tuple(row for one in ones for row in one.query)
        assert many.predictions.tolist() == [one.prediction for one in ones]
        assert np.array_equal(many.gains, np.concatenate([one.gains for one in ones]))
        late += many.query
        while late and rng.random() < 0.8:
            row = late.pop(int(rng.integers(len(late))))
            assert single.answer(row, int(truth[row])) == batched.answer(row, int(truth[row]))
        if rng.random() < 0.3:
            batched = ModelPicker.from_state(json.loads(json.dumps(batched.state(), default=np.ndarray.tolist)))
        assert json.dumps(single.state(), default=np.ndarray.tolist) == json.dumps(
            batched.state(), default=np.ndarray.tolist
        )
        start = stop
