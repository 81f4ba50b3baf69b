"""Shapley values against all subsets and all orders of arrival, and the axioms they have to keep."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.market import (
    candidate_values,
    knn_shapley,
    label_values,
    learning_curve,
    leave_one_out,
    permutation_shapley,
    permutations_needed,
    soft_label_shapley,
    threshold_shapley,
)

CLASSES = 3


def case(seed, n, points=2):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 2)), rng.integers(0, CLASSES, n)
    return x, y, rng.normal(size=(points, 2)), rng.integers(0, CLASSES, points)


def utility(x, y, x_val, y_val, share):
    """Mean over validation rows of ``share`` of the matches of a subset, nearest first, with their distances."""

    def of(rows):
        total = 0.0
        for query, code in zip(x_val, y_val, strict=True):
            distance = np.sqrt(((x - query) ** 2).sum(axis=1))
            order = sorted(rows, key=lambda row: (distance[row], row))
            total += share([float(y[row] == code) for row in order], [distance[row] for row in order])
        return total / len(x_val)

    return of


def by_subsets(n, of):
    values = np.zeros(n)
    worth = {mask: of([row for row in range(n) if mask >> row & 1]) for mask in range(2**n)}
    for row in range(n):
        for mask in range(2**n):
            if not mask >> row & 1:
                size = mask.bit_count()
                values[row] += (worth[mask | 1 << row] - worth[mask]) / (n * math.comb(n - 1, size))
    return values


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 10))
def test_exact_values_equal_those_of_all_subsets(seed, n, k):
    data = case(seed, n)
    expected = by_subsets(n, utility(*data, lambda found, _: sum(found[:k]) / k))
    np.testing.assert_allclose(knn_shapley(*data, k=k), expected, rtol=0, atol=1e-14)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 9))
def test_soft_label_values_equal_those_of_all_subsets(seed, n, k):
    data = case(seed, n)
    expected = by_subsets(n, utility(*data, lambda found, _: float(np.mean(found[:k])) if found else 1 / CLASSES))
    actual = soft_label_shapley(*data, k=k, n_classes=CLASSES)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 7), st.floats(0, 3))
def test_threshold_values_equal_those_of_all_subsets(seed, n, radius):
    data = case(seed, n)

    def share(found, distance):
        near = [match for match, far in zip(found, distance, strict=True) if far <= radius]
        return float(np.mean(near)) if near else 1 / CLASSES

    actual = threshold_shapley(*data, radius=radius, n_classes=CLASSES)
    np.testing.assert_allclose(actual, by_subsets(n, utility(*data, share)), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 2), (6, 9), (8, 3)])
def test_exact_values_equal_those_of_all_orders(n, k):
    data = case(n, n, points=1)
    of = utility(*data, lambda found, _: sum(found[:k]) / k)
    worth = {frozenset(some): of(some) for size in range(n + 1) for some in itertools.combinations(range(n), size)}
    values = np.zeros(n)
    for order in itertools.permutations(range(n)):
        before = frozenset()
        for row in order:
            after = before | {row}
            values[row] += worth[after] - worth[before]
            before = after
    np.testing.assert_allclose(knn_shapley(*data, k=k), values / math.factorial(n), rtol=0, atol=1e-13)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 200), st.integers(1, 12))
def test_axioms(seed, n, k):
    x, y, x_val, y_val = case(seed, n, points=5)
    half = n // 2
    x[half : 2 * half], y[half : 2 * half] = x[:half], y[:half]
    values = knn_shapley(x, y, x_val, y_val, k=k)
    # efficiency: together they are worth the utility of all rows
    of = utility(x, y, x_val, y_val, lambda found, _: sum(found[:k]) / k)
    np.testing.assert_allclose(values.sum(), of(range(n)), atol=1e-12)
    # symmetry: twins with the same label are worth the same
    np.testing.assert_allclose(values[half : 2 * half], values[:half], atol=1e-12)
    assert (np.abs(values) <= 1 / k + 1e-12).all()


def test_a_row_that_adds_nothing_to_any_set_is_worth_nothing():
    """With room for all rows nobody displaces another, so one that never matches is a null player."""
    x, y, x_val, _ = case(3, 6)
    values = knn_shapley(x, y, x_val, [1, 1], k=6)
    np.testing.assert_array_equal(values[y != 1], 0.0)
    np.testing.assert_allclose(values[y == 1], 1 / 6)


def test_tied_rows_rank_in_their_order():
    rows, labels = np.zeros((4, 2)), [0, 1, 1, 0]
    of = utility(rows, np.array(labels), np.zeros((1, 2)), [0], lambda found, _: sum(found[:2]) / 2)
    np.testing.assert_allclose(knn_shapley(rows, labels, [[0.0, 0.0]], [0], k=2), by_subsets(4, of), atol=1e-15)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 400), st.integers(1, 12))
def test_blocks_agree_with_a_plain_argsort(seed, n, k):
    x, y, x_val, y_val = case(seed, n, points=70)
    values = np.zeros(n)
    for query, code in zip(x_val, y_val, strict=True):
        order = np.argsort(((x - query) ** 2).sum(axis=1), kind="stable")
        found = (y[order] == code).astype(float)
        value = found[-1] / max(k, n)
        values[order[-1]] += value
        for place in range(n - 2, -1, -1):
            value += (found[place] - found[place + 1]) / max(k, place + 1)
            values[order[place]] += value
    np.testing.assert_allclose(knn_shapley(x, y, x_val, y_val, k=k), values / 70, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 12), st.floats(0.005, 1))
def test_truncated_values_are_within_their_error(seed, n, k, error):
    data = case(seed, n, points=3)
    exact, truncated = knn_shapley(*data, k=k), knn_shapley(*data, k=k, truncate=error)
    assert np.abs(exact - truncated).max() <= 1 / max(k, math.ceil(1 / error - 1e-9)) + 1e-12


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 6))
def test_uncertain_labels_are_exact_in_expectation(seed, n, k):
    x, _, x_val, y_val = case(seed, n)
    proba = np.random.default_rng(seed).dirichlet(np.ones(2), size=n)
    expected = np.zeros(n)
    for labels in itertools.product(range(2), repeat=n):
        chance = math.prod(proba[row, label] for row, label in enumerate(labels))
        expected += chance * knn_shapley(x, labels, x_val, y_val, k=k)
    actual = knn_shapley(x, None, x_val, y_val, k=k, y_train_proba=proba)
    np.testing.assert_allclose(actual, expected, atol=1e-13)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 30), st.integers(1, 8), st.integers(1, 8))
def test_a_candidate_is_worth_what_it_would_be_if_it_were_added(seed, n, k, pool):
    x, y, x_val, y_val = case(seed, n, points=70)
    rng = np.random.default_rng(seed + 1)
    candidates, belief = rng.normal(size=(pool, 2)), rng.dirichlet(np.ones(CLASSES), size=pool)
    actual = candidate_values(candidates, belief, x.reshape(n, 2), y, x_val, y_val, k=k)
    for place in range(pool):
        proba = np.vstack([np.eye(CLASSES)[y], belief[place]])
        joined = np.vstack([x.reshape(n, 2), candidates[place]])
        alone = knn_shapley(joined, None, x_val, y_val, k=k, y_train_proba=proba)
        np.testing.assert_allclose(actual[place], alone[-1], atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 8))
def test_values_under_every_label_are_those_of_relabelled_rows(seed, n, k):
    x, y, x_val, y_val = case(seed, n, points=70)
    actual = label_values(x, y, x_val, y_val, k=k, n_classes=CLASSES)
    for row, label in itertools.product(range(min(n, 4)), range(CLASSES)):
        changed = y.copy()
        changed[row] = label
        np.testing.assert_allclose(actual[row, label], knn_shapley(x, changed, x_val, y_val, k=k)[row], atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 9))
def test_the_learning_curve_is_the_mean_over_all_subsets(seed, n, k):
    data = case(seed, n)
    of = utility(*data, lambda found, _: float(np.mean(found[:k])))
    expected = [np.mean([of(some) for some in itertools.combinations(range(n), size)]) for size in range(1, n + 1)]
    actual = learning_curve(*data, list(range(1, n + 1)), k=k)
    np.testing.assert_allclose(actual, expected, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 25))
def test_leave_one_out_is_what_the_utility_loses(seed, n, k):
    data = case(seed, n)
    of = utility(*data, lambda found, _: sum(found[:k]) / k)
    expected = [of(range(n)) - of([other for other in range(n) if other != row]) for row in range(n)]
    np.testing.assert_allclose(leave_one_out(*data, k=k), expected, atol=1e-12)


def test_sampled_values_keep_their_error():
    for seed in range(5):
        data = case(seed, 30, points=4)
        count = permutations_needed(0.1, 0.99, n=30, k=3)
        sampled = permutation_shapley(*data, k=3, permutations=count, rng=np.random.default_rng(seed))
        assert np.abs(sampled - knn_shapley(*data, k=3)).max() <= 0.1


def test_sampled_values_add_up_in_every_order():
    data = case(1, 12, points=4)
    sampled = permutation_shapley(*data, k=3, permutations=1, rng=np.random.default_rng(0))
    np.testing.assert_allclose(sampled.sum(), knn_shapley(*data, k=3).sum(), atol=1e-12)
