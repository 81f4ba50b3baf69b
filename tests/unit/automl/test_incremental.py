"""Frozen arrays predict what river's own learners predict, one row at a time."""

import numpy as np
import pytest
from river import forest, linear_model, multiclass, naive_bayes, optim, tree
from sklearn.datasets import load_digits, load_iris

from easeml.automl.incremental import freeze_forest, freeze_linear, freeze_naive_bayes, learn


def data(name, rows=400):
    bunch = load_iris() if name == "iris" else load_digits()
    order = np.random.default_rng(2).permutation(len(bunch.target))[:rows]
    matrix = bunch.data[order]
    return (matrix - matrix.mean(axis=0)) / (matrix.std(axis=0) + 1e-9), bunch.target[order]


def river_probabilities(learner, matrix, classes):
    rows = [learner.predict_proba_one(dict(enumerate(row))) for row in matrix.tolist()]
    return np.array([[row.get(label, 0.0) for label in classes] for row in rows])


@pytest.mark.parametrize("name", ["iris", "digits"])
def test_linear(name):
    matrix, codes = data(name)
    learner = multiclass.OneVsRestClassifier(linear_model.LogisticRegression(optim.SGD(0.05)))
    learn(learner, matrix, codes)
    frozen = freeze_linear(learner, matrix.shape[1])
    np.testing.assert_allclose(
        frozen.predict_proba(matrix), river_probabilities(learner, matrix, frozen.classes_), atol=1e-9
    )


@pytest.mark.parametrize("name", ["iris", "digits"])
def test_naive_bayes(name):
    matrix, codes = data(name, 200)
    learner = naive_bayes.GaussianNB()
    learn(learner, matrix, codes)
    frozen = freeze_naive_bayes(learner, matrix.shape[1])
    np.testing.assert_allclose(
        frozen.predict_proba(matrix), river_probabilities(learner, matrix, frozen.classes_), atol=1e-9
    )


@pytest.mark.parametrize("leaf", ["mc", "nb", "nba"])
@pytest.mark.parametrize("name", ["iris", "digits"])
def test_hoeffding_tree(name, leaf):
    matrix, codes = data(name)
    learner = tree.HoeffdingTreeClassifier(grace_period=20, delta=0.5, tau=0.5, leaf_prediction=leaf, nb_threshold=5)
    learn(learner, matrix, codes, passes=2)
    frozen = freeze_forest([learner], [1.0], matrix.shape[1])
    assert len(frozen.trees[0].feature) >= 3
    expected = river_probabilities(learner, matrix, frozen.classes_)
    total = expected.sum(axis=1, keepdims=True)
    expected = np.where(total > 0, expected / np.where(total > 0, total, 1), 1 / len(frozen.classes_))
    np.testing.assert_allclose(frozen.predict_proba(matrix), expected, atol=1e-9)


def test_adaptive_forest():
    matrix, codes = data("iris")
    learner = forest.ARFClassifier(n_models=4, grace_period=10, delta=0.3, seed=1)
    learn(learner, matrix, codes, passes=2)
    shares = [metric.get() for metric in learner._metrics]
    frozen = freeze_forest(list(learner), shares, matrix.shape[1])
    np.testing.assert_allclose(
        frozen.predict_proba(matrix), river_probabilities(learner, matrix, frozen.classes_), atol=1e-9
    )
