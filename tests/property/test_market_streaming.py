"""Values and questions that follow a stream are those of a fresh start, in every order and after every restart."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.market import Acquisition, KnnShapley, knn_shapley

CLASSES = 3


def stored(state):
    """Return a state as it comes back from storage: JSON, and arrays without pickle."""
    if isinstance(state, dict):
        return {name: stored(value) for name, value in state.items()}
    if isinstance(state, np.ndarray):
        assert state.dtype != object
        return np.frombuffer(state.tobytes(), state.dtype).reshape(state.shape)
    return json.loads(json.dumps(state))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.integers(1, 7),
    st.one_of(st.none(), st.floats(0.02, 1)),
    st.booleans(),
    st.integers(1, 12),
)
def test_any_order_of_arrival_gives_fresh_values(seed, k, truncate, uncertain, steps):
    rng = np.random.default_rng(seed)
    running = KnnShapley(k, truncate=truncate)
    x, y = np.empty((0, 2)), np.empty(0, int)
    proba = np.empty((0, CLASSES))
    x_val, y_val = np.empty((0, 2)), np.empty(0, int)
    for _ in range(steps):
        what = rng.random()
        size = int(rng.integers(0, 6))
        if what < 0.45:
            rows, labels = rng.normal(size=(size, 2)), rng.integers(0, CLASSES, size)
            chances = rng.dirichlet(np.ones(CLASSES), size=size).reshape(size, CLASSES)
            running.add_train(rows, None if uncertain else labels, proba=chances if uncertain else None)
            x, y, proba = np.vstack([x, rows]), np.append(y, labels), np.vstack([proba, chances])
        elif what < 0.75:
            rows, labels = rng.normal(size=(size, 2)), rng.integers(0, CLASSES, size)
            running.add_validation(rows, labels)
            x_val, y_val = np.vstack([x_val, rows]), np.append(y_val, labels)
        elif what < 0.9 and len(x):
            places = rng.integers(0, len(x), size)
            labels = rng.integers(0, CLASSES, size)
            places, first = np.unique(places, return_index=True)
            running.relabel(places, labels[first])
            y[places], proba[places] = labels[first], np.eye(CLASSES)[labels[first]]
        else:
            running = KnnShapley.from_state(stored(running.state()))
        fresh = knn_shapley(
            x,
            None if uncertain else y,
            x_val,
            y_val,
            k=k,
            truncate=truncate,
            y_train_proba=proba if uncertain else None,
        )
        np.testing.assert_allclose(running.values(), fresh, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([None, 0.1]))
@settings(deadline=None, max_examples=30)
def test_shards_of_validation_rows_add_up(seed, n, truncate):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 2)), rng.integers(0, CLASSES, n)
    x_val, y_val = rng.normal(size=(9, 2)), rng.integers(0, CLASSES, 9)
    parts = [slice(0, 4), slice(4, 9)]
    sums = [
        KnnShapley(truncate=truncate).add_train(x, y).add_validation(x_val[part], y_val[part]).sums() for part in parts
    ]
    together = (sums[0][0] + sums[1][0]) / (sums[0][1] + sums[1][1])
    np.testing.assert_allclose(together, knn_shapley(x, y, x_val, y_val, truncate=truncate), atol=1e-12)


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**6), st.sampled_from(["filter_margin", "filter_diverse", "value", "margin", "random"]))
def test_any_stream_keeps_the_budget_and_goes_on_after_a_restart(seed, policy):
    rng = np.random.default_rng(seed)
    budget = float(rng.integers(0, 30))
    twins = [Acquisition(policy, budget, n_classes=CLASSES, rng=np.random.default_rng(seed)) for _ in range(2)]
    asked, prices, closed = [], {}, set()
    for step in range(int(rng.integers(1, 8))):
        size = int(rng.integers(0, 8))
        names = [f"{step}-{i}" for i in range(size)]
        rows, labels = rng.normal(size=(size, 2)), rng.integers(0, CLASSES, size)
        cost = rng.uniform(0.5, 4, size)
        prices.update(zip(names, cost, strict=True))
        kind = rng.integers(3)
        for market in twins:
            # what comes twice changes nothing
            for _ in range(2):
                if kind == 0:
                    market.add_pool(names, rows, cost)
                elif kind == 1:
                    market.add_owned([f"o{name}" for name in names], rows, labels)
                else:
                    market.add_validation(names, rows, labels)
        batch = int(rng.integers(0, 6))
        first, second = (market.next(batch) for market in twins)
        assert first.row_ids == second.row_ids
        np.testing.assert_array_equal(first.information_gain, second.information_gain)
        assert ((first.information_gain >= 0) & (first.information_gain <= np.log2(CLASSES))).all()
        np.testing.assert_allclose(first.probabilities.sum(axis=1), 1.0)
        assert len(first) <= batch
        assert not set(first.row_ids) & set(asked)
        asked += first.row_ids
        for row in first.row_ids:
            fate = rng.random()
            for market in twins:
                if fate < 0.5:
                    assert market.answer(row, 1)
                    assert not market.answer(row, 1)
                elif fate < 0.7:
                    assert market.withdraw(row)
                    assert not market.withdraw(row)
            if 0.5 <= fate < 0.7:
                closed.add(row)
        twins[1] = Acquisition.from_state(stored(twins[1].state()))
        paid = sum(prices[row] for row in asked if row not in closed)
        for market in twins:
            np.testing.assert_allclose(market.spent, paid, atol=1e-9)
            assert market.spent <= budget + 1e-6
