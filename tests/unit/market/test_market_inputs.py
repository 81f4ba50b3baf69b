"""Bad rows, labels and settings: a clear error, or a defined result."""

import math

import numpy as np
import pandas as pd
import pytest

from easeml.artifacts import Encoder
from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError
from easeml.market import (
    Acquisition,
    KnnShapley,
    candidate_values,
    knn_shapley,
    label_values,
    learning_curve,
    permutation_shapley,
    permutations_needed,
    soft_label_shapley,
    suspects,
    threshold_shapley,
)
from easeml.stream.payloads import Column, ColumnKind

X, Y = [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]], [0, 1, 1]
VALIDATION = [[0.2, 1.0], [1.8, 1.0]], [0, 1]


def market(**settings):
    return Acquisition(**{"n_classes": 2, "rng": np.random.default_rng(0), **settings})


@pytest.mark.parametrize(
    ("x", "y", "x_val", "y_val", "says"),
    [
        ([[math.nan, 1.0], [1.0, 1.0], [2.0, 1.0]], Y, *VALIDATION, "Row 0 of the training rows has nan in column 0"),
        (X, Y, [[0.2, math.inf]], [0], "Row 0 of the validation rows has inf in column 1"),
        ([[1e200, 1.0]], [0], *VALIDATION, "has 1e\\+200 in column 0.*standardise"),
        ([["red", 1.0]], [0], *VALIDATION, "no matrix of numbers.*Encode categories"),
        ([0.0, 1.0], [0, 1], *VALIDATION, "shape \\(2,\\)"),
        (X, Y, [[0.2]], [0], "not \\(n, 2\\)"),
        (X, [0, 1], *VALIDATION, "3 training rows have labels of shape \\(2,\\)"),
        (X, [0, 1, -1], *VALIDATION, "Row 2 of the training rows has class -1"),
        (X, [0.0, 1.0, 1.0], *VALIDATION, "labels have type float64.*class codes"),
        (X, ["a", "b", "b"], *VALIDATION, "Give class codes"),
        (X, None, *VALIDATION, "have no labels"),
        (X, Y, VALIDATION[0], [0, None], "validation labels have type object"),
    ],
)
def test_bad_rows_and_labels_are_refused(x, y, x_val, y_val, says):
    with pytest.raises(InvalidDataError, match=says):
        knn_shapley(x, y, x_val, y_val)


@pytest.mark.parametrize("proba", [[[0.5, 0.4]] * 3, [[1.5, -0.5]] * 3, [[math.nan, 1.0]] * 3, [[1.0, 0.0]], [1, 0, 0]])
def test_bad_probabilities_are_refused(proba):
    with pytest.raises(InvalidDataError, match="probabilities"):
        knn_shapley(X, None, *VALIDATION, y_train_proba=proba)


@pytest.mark.parametrize("k", [0, -1, 2.5, None])
def test_a_number_of_neighbours_has_to_be_one(k):
    for call in (
        lambda: knn_shapley(X, Y, *VALIDATION, k=k),
        lambda: KnnShapley(k),
        lambda: candidate_values(X, [[0.5, 0.5]] * 3, X, Y, *VALIDATION, k=k),
        lambda: market(k=k),
    ):
        with pytest.raises(ConfigurationError, match="neighbours"):
            call()


def test_settings_out_of_range_are_refused():
    rng = np.random.default_rng(0)
    for call in (
        lambda: knn_shapley(X, Y, *VALIDATION, truncate=0.0),
        lambda: knn_shapley(X, Y, *VALIDATION, truncate=1.5),
        lambda: threshold_shapley(X, Y, *VALIDATION, radius=math.nan, n_classes=2),
        lambda: permutation_shapley(X, Y, *VALIDATION, permutations=0, rng=rng),
        lambda: permutations_needed(0.0, 0.9, 3),
        lambda: permutations_needed(0.1, 1.0, 3),
        lambda: learning_curve(X, Y, *VALIDATION, [0]),
        lambda: learning_curve(X, Y, *VALIDATION, [4]),
        lambda: market(policy="best"),
        lambda: market(n_classes=1),
        lambda: market(budget=-1),
        lambda: market(budget=math.nan),
        lambda: market().grant(-1),
        lambda: market().next(-1),
    ):
        with pytest.raises(ConfigurationError):
            call()


def test_more_neighbours_than_rows():
    """Empty places count as wrong, so that rows that match share the whole utility between them."""
    np.testing.assert_allclose(knn_shapley(X, Y, [[0.2, 1.0]], [1], k=100), [0.0, 0.01, 0.01])
    np.testing.assert_array_equal(soft_label_shapley(X, Y, *VALIDATION, k=100, n_classes=2).shape, (3,))
    np.testing.assert_allclose(learning_curve(X, Y, [[0.2, 1.0]], [1], [3], k=100), 2 / 3)


def test_constant_columns_change_nothing():
    narrow = [[row[0]] for row in X]
    plain = knn_shapley(narrow, Y, [[0.2], [1.8]], VALIDATION[1])
    np.testing.assert_allclose(knn_shapley(X, Y, *VALIDATION), plain)
    # even a column so far away that the distances would drown in it
    far = [[row[0], 1e9] for row in X]
    np.testing.assert_allclose(knn_shapley(far, Y, [[0.2, 1e9], [1.8, 1e9]], VALIDATION[1]), plain)


def test_all_columns_constant():
    values = knn_shapley(np.ones((4, 3)), [0, 1, 1, 1], np.ones((2, 3)), [1, 1], k=2)
    np.testing.assert_allclose(values.sum(), 0.5)
    shop = market(budget=4)
    shop.add_owned(["a", "b"], np.ones((2, 3)), [0, 1])
    shop.add_validation([f"v{i}" for i in range(20)], np.ones((20, 3)), [0, 1] * 10)
    shop.add_pool([f"p{i}" for i in range(20)], np.ones((20, 3)))
    batch = shop.next(10)
    # all repeat what is owned: none is worth more than another, and the budget ends them
    assert len(batch) == 4
    assert np.ptp(batch.information_gain) == 0


def test_one_class():
    values = knn_shapley(X, [1, 1, 1], VALIDATION[0], [1, 1], k=2)
    np.testing.assert_allclose(values, [1 / 3] * 3)
    np.testing.assert_array_equal(knn_shapley(X, [1, 1, 1], VALIDATION[0], [0, 0], k=2), 0.0)
    shop = market(budget=2)
    shop.add_owned(["a", "b"], X[:2], [1, 1])
    shop.add_pool(["p", "q"], X[:2])
    batch = shop.next(2)
    assert set(batch.row_ids) == {"p", "q"}
    np.testing.assert_allclose(batch.probabilities, [[0.25, 0.75]] * 2)
    np.testing.assert_allclose(batch.information_gain, 1.0)


def test_nothing_to_start_from():
    empty = np.empty((0, 2))
    np.testing.assert_array_equal(knn_shapley(X, Y, empty, []), 0.0)
    assert knn_shapley(empty, [], *VALIDATION).shape == (0,)
    assert KnnShapley().values().shape == (0,)
    np.testing.assert_allclose(candidate_values(X, [[0.0, 1.0]] * 3, empty, [], *VALIDATION, k=2), 0.25)
    assert len(market().next(5)) == 0
    shop = market()
    shop.add_pool(["p", "q"], X[:2])
    assert sorted(shop.next(5).row_ids) == ["p", "q"]
    assert shop.next(5).probabilities.shape == (0, 2)


def test_classes_beyond_the_domain():
    # a validation class that no training row has is matched by none
    np.testing.assert_array_equal(knn_shapley(X, Y, [[0.0, 1.0]], [7]), 0.0)
    np.testing.assert_array_equal(knn_shapley(X, None, [[0.0, 1.0]], [7], y_train_proba=[[0.5, 0.5]] * 3), 0.0)
    with pytest.raises(InvalidDataError, match=r"class 7.*0 to 1"):
        label_values(X, Y, [[0.0, 1.0]], [7], n_classes=2)
    with pytest.raises(InvalidDataError, match=r"class 2.*0 to 1"):
        market().add_owned(["a"], X[:1], [2])


def test_pool_rows_with_unseen_categories():
    """They are encoded as no known category: far from none, and a question like any other."""
    columns = (Column("size", ColumnKind.NUMERIC), Column("colour", ColumnKind.CATEGORICAL))
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=60), "colour": rng.choice(["red", "blue"], 60)})
    labels = (frame["size"] > 0).astype(int).to_numpy()
    encoder = Encoder().fit(frame.iloc[:20], columns)
    pool = frame.iloc[40:].assign(colour=["green", None] * 10)
    shop = market()
    shop.add_owned([f"o{i}" for i in range(20)], encoder.transform(frame.iloc[:20]), labels[:20])
    shop.add_validation([f"v{i}" for i in range(20)], encoder.transform(frame.iloc[20:40]), labels[20:40])
    shop.add_pool([f"p{i}" for i in range(20)], encoder.transform(pool))
    batch = shop.next(20)
    assert len(set(batch.row_ids)) == 20
    assert np.isfinite(batch.information_gain).all()


def test_a_bad_batch_changes_nothing():
    shop = market()
    shop.add_pool(["p", "q"], X[:2])
    before, none = shop.state(), ([], np.empty((0, 1)), [])
    for call, says in (
        (lambda: shop.add_pool(["p", "p"], X[:2]), "given twice"),
        (lambda: shop.add_pool(["p"], X[:2]), "do not fit"),
        (lambda: shop.add_pool(["p"], [[1.0]]), "not \\(n, 2\\)"),
        (lambda: shop.add_pool(["p"], [[math.nan, 1.0]]), "nan"),
        (lambda: shop.add_pool(["p"], X[:1], [0.0]), "price of 0.0"),
        (lambda: shop.add_pool(["p"], X[:1], [math.nan]), "price of nan"),
        (
            lambda: shop.reload((["a"], [[1.0]], [0]), none, (["p"], X[:1], None)),
            "not \\(n, 1\\)",
        ),
        (lambda: shop.answer("p", 2), "class 2"),
    ):
        with pytest.raises(InvalidDataError, match=says):
            call()
    np.testing.assert_equal(shop.state(), before)


def test_answers_that_cannot_be():
    shop = market()
    shop.add_pool(["p"], X[:1])
    with pytest.raises(NotFoundError, match="'q' is not in the pool"):
        shop.answer("q", 0)
    assert shop.answer("p", 0)
    with pytest.raises(ConflictError, match="has label 0, not 1"):
        shop.answer("p", 1)


def test_running_values_refuse_what_does_not_fit():
    running = KnnShapley().add_train(X, Y)
    with pytest.raises(InvalidDataError, match="mixed"):
        running.add_train(X, None, proba=[[0.5, 0.5]] * 3)
    with pytest.raises(NotFoundError, match="0 to 2"):
        running.relabel([3], [0])
    with pytest.raises(InvalidDataError, match="not \\(n, 2\\)"):
        running.add_validation([[1.0]], [0])


def test_no_suspects_among_good_rows():
    found = suspects(label_values(X, Y, *VALIDATION, k=1, n_classes=2), np.array(Y))
    assert len(found.rows) == 0
    assert found.harm == 0
