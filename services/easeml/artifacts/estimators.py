"""What each type of estimator must hold to predict: shapes, indices and settings, as our families make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from easeml.artifacts.arrays import is_count, is_finite, is_floats, is_indices, need
from easeml.artifacts.frozen import FrozenForest, FrozenLinear, FrozenNaiveBayes
from easeml.artifacts.kernel import FrozenKernelMachine
from easeml.artifacts.trees import boosted, decision_tree, forest

_METRICS = frozenset({"euclidean", "cosine", "manhattan"})
_WEIGHTS = frozenset({"uniform", "distance"})
_ACTIVATIONS = frozenset({"identity", "logistic", "tanh", "relu"})
_OUTPUT = {1: "logistic"}
"""Activation of the last layer by its units; "softmax" of any other number."""


def validate_estimator(estimator: Any, width: int, domain: int) -> None:
    """Check an estimator of a loaded file.

    Parameters
    ----------
    estimator : object
        What it is said to be.
    width : int
        Columns of the matrix that it gets.
    domain : int
        Classes there are.

    Raises
    ------
    ArtifactError
        When its type is none of an estimator, or its contents do not fit.
    """
    name = type(estimator).__name__
    need(type(estimator) in _CHECKS, f"holds a {name} where an estimator belongs")
    codes = estimator.classes_
    need(
        is_indices(codes, None, domain) and len(codes) > 0 and bool((np.diff(codes) > 0).all()),
        "names classes outside its label domain",
    )
    if type(estimator).__module__.startswith("sklearn."):
        need(is_count(estimator.n_features_in_, width), f"holds a {name} of another shape than its encoder")
    _CHECKS[type(estimator)](estimator, width, len(codes))


def _linear(model: Any, width: int, classes: int) -> None:
    rows = 1 if classes == 2 else classes
    intercept = model.intercept_
    need(
        is_floats(model.coef_, rows, width) and (is_floats(intercept, rows) or type(intercept) is float),
        "holds a linear model of another shape",
    )


def _naive_bayes(model: Any, width: int, classes: int) -> None:
    need(
        is_floats(model.theta_, classes, width)
        and is_floats(model.var_, classes, width)
        and is_floats(model.class_prior_, classes),
        "holds a naive Bayes model of another shape",
    )


def _quadratic(model: Any, width: int, classes: int) -> None:
    rotations, scalings = model.rotations_, model.scalings_
    need(
        type(rotations) is type(scalings) is list
        and len(rotations) == len(scalings) == classes
        and all(is_floats(spread, *spread.shape[:1]) for spread in scalings)
        and all(is_floats(axes, width, len(spread)) for axes, spread in zip(rotations, scalings, strict=True))
        and is_floats(model.means_, classes, width)
        and is_floats(model.priors_, classes),
        "holds a quadratic discriminant of another shape",
    )


def _network(model: Any, width: int, classes: int) -> None:
    outputs = 1 if classes <= 2 else classes
    layers, biases = model.coefs_, model.intercepts_
    fits = type(layers) is type(biases) is list and 0 < len(layers) == len(biases)
    need(fits and is_count(model.n_layers_, len(layers) + 1), "holds a network of another shape")
    for weights, bias in zip(layers, biases, strict=True):
        need(is_floats(weights, width, *weights.shape[1:2]), "holds a network of another shape")
        width = weights.shape[1]
        need(is_floats(bias, width), "holds a network of another shape")
    need(
        width == outputs
        and is_count(model.n_outputs_, outputs)
        and model.activation in _ACTIVATIONS
        and model.out_activation_ == _OUTPUT.get(outputs, "softmax"),
        "holds a network of another shape",
    )


def _neighbours(model: Any, width: int, classes: int) -> None:
    """Check nearest neighbours found by brute force: native code reads and counts by what this model says."""
    points = model._fit_X
    need(
        type(points) is np.ndarray
        and len(points) > 0
        and is_finite(points, len(points), width)
        and is_indices(model._y, len(points), classes)
        and is_count(model.n_samples_fit_, len(points))
        and type(model.n_neighbors) is int
        and 1 <= model.n_neighbors <= len(points),
        "holds neighbours that do not fit its rows",
    )
    need(
        model.metric in _METRICS
        and model.effective_metric_ == model.metric
        and model.weights in _WEIGHTS
        and model.algorithm == model._fit_method == "brute"
        and model._tree is model.metric_params is model.n_jobs is None
        and model.effective_metric_params_ == {}
        and is_count(model.p, 2)
        and model.outputs_2d_ is False,
        "finds neighbours in another way than ours",
    )


def _frozen(model: Any, width: int, _: int) -> None:
    model.validate(width)


_CHECKS: dict[type, Callable[[Any, int, int], None]] = {
    LogisticRegression: _linear,
    LinearSVC: _linear,
    LinearDiscriminantAnalysis: _linear,
    QuadraticDiscriminantAnalysis: _quadratic,
    GaussianNB: _naive_bayes,
    KNeighborsClassifier: _neighbours,
    MLPClassifier: _network,
    DecisionTreeClassifier: decision_tree,
    ExtraTreeClassifier: decision_tree,
    RandomForestClassifier: forest,
    ExtraTreesClassifier: forest,
    HistGradientBoostingClassifier: boosted,
    FrozenLinear: _frozen,
    FrozenNaiveBayes: _frozen,
    FrozenForest: _frozen,
    FrozenKernelMachine: _frozen,
}
