"""River's incremental learners behind the estimators' contract: learn row by row, freeze for prediction.

``fit`` shows river one row at a time in stream order, then keeps the frozen arrays only (``easeml.artifacts.frozen``);
who wants to go on learning keeps the learner and freezes it whenever a model is wanted (``easeml.automl.following``).

Sources: Domingos & Hulten, KDD 2000 (Hoeffding tree); Gomes et al., Machine Learning 2017 (adaptive random forest);
river's implementations.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from river import forest, linear_model, multiclass, naive_bayes, optim, tree
from river.tree.nodes.branch import DTBranch

from easeml.artifacts.frozen import Codes, Floats, FrozenForest, FrozenLinear, FrozenNaiveBayes, FrozenTree

_FLOOR = 10e-10  # river's _PDF_EPS
_HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def learn(learner: Any, matrix: Floats, codes: Codes, passes: int = 1) -> None:
    """Show ``learner`` each row, in order, ``passes`` times; columns are named 0, 1, ..."""
    names = range(matrix.shape[1])
    for _ in range(passes):
        for row, code in zip(matrix.tolist(), codes.tolist(), strict=True):
            learner.learn_one(dict(zip(names, row, strict=True)), code)


class Online(ABC):
    """An estimator that learns row by row."""

    passes = 1
    """How often each row is shown."""

    @abstractmethod
    def begin(self) -> Any:
        """Return a learner that has seen nothing."""

    @abstractmethod
    def freeze(self, learner: Any, columns: int) -> Any:
        """Return the arrays of what a learner knows now; it may go on learning."""

    def fit(self, matrix: Floats, codes: Codes) -> Any:
        """Return the frozen model of ``matrix`` float64[n, d] and ``codes`` int64[n]."""
        learner = self.begin()
        learn(learner, matrix, codes, self.passes)
        return self.freeze(learner, matrix.shape[1])


class OnlineLogistic(Online):
    """One logistic regression per class, by stochastic gradient descent."""

    def __init__(self, seed: int, learning_rate: float, passes: int) -> None:
        del seed  # the order of rows is all that decides
        self.learning_rate = learning_rate
        self.passes = passes

    def begin(self) -> Any:
        return multiclass.OneVsRestClassifier(linear_model.LogisticRegression(optim.SGD(self.learning_rate)))

    def freeze(self, learner: Any, columns: int) -> FrozenLinear:
        return freeze_linear(learner, columns)


class OnlineNaiveBayes(Online):
    """Gaussian naive Bayes."""

    def __init__(self, seed: int) -> None:
        del seed

    def begin(self) -> Any:
        return naive_bayes.GaussianNB()  # type: ignore[no-untyped-call]

    def freeze(self, learner: Any, columns: int) -> FrozenNaiveBayes:
        return freeze_naive_bayes(learner, columns)


class HoeffdingTree(Online):
    """One Hoeffding tree with adaptive naive Bayes leaves."""

    def __init__(self, seed: int, grace_period: int) -> None:
        del seed
        self.grace_period = grace_period

    def begin(self) -> Any:
        return tree.HoeffdingTreeClassifier(grace_period=self.grace_period, delta=1e-3)

    def freeze(self, learner: Any, columns: int) -> FrozenForest:
        return freeze_forest([learner], [1.0], columns)


class AdaptiveForest(Online):
    """Adaptive random forest with drift detectors."""

    def __init__(self, seed: int, trees: int, grace_period: int) -> None:
        self.seed = seed
        self.trees = trees
        self.grace_period = grace_period

    def begin(self) -> Any:
        return forest.ARFClassifier(n_models=self.trees, grace_period=self.grace_period, seed=self.seed)

    def freeze(self, learner: Any, columns: int) -> FrozenForest:
        shares = [float(metric.get()) for metric in learner._metrics]
        # A tree that was never right before it learnt votes with full weight, as in river.
        return freeze_forest(list(learner), [share if share > 0 else 1.0 for share in shares], columns)


def freeze_linear(learner: Any, columns: int) -> FrozenLinear:
    """Return the arrays of a river ``OneVsRestClassifier(LogisticRegression)``."""
    classes = sorted(learner.classifiers)
    weights = np.zeros((len(classes), columns))
    for place, label in enumerate(classes):
        for column, weight in learner.classifiers[label].weights.items():
            weights[place, column] = weight
    intercepts = np.array([float(learner.classifiers[label].intercept) for label in classes])
    return FrozenLinear(np.array(classes, np.int64), weights, intercepts)


def freeze_naive_bayes(learner: Any, columns: int) -> FrozenNaiveBayes:
    """Return the arrays of a river ``GaussianNB``."""
    classes = sorted(learner.class_counts)
    means, variances = np.zeros((2, len(classes), columns))
    for place, label in enumerate(classes):
        for column, gaussian in learner.gaussians.get(label, {}).items():
            means[place, column], variances[place, column] = _moments(gaussian)
    priors = np.array([learner.p_class(label) for label in classes])
    return FrozenNaiveBayes(np.array(classes, np.int64), priors, means, variances, _FLOOR)


def freeze_forest(learners: list[Any], weights: list[float], columns: int) -> FrozenForest:
    """Return the arrays of river's Hoeffding trees."""
    classes = sorted(set().union(*(learner.classes for learner in learners)))
    place = {label: index for index, label in enumerate(classes)}
    trees = [_freeze_tree(learner, place, columns) for learner in learners]
    return FrozenForest(np.array(classes, np.int64), trees, np.array(weights))


def _freeze_tree(learner: Any, place: dict[int, int], columns: int) -> FrozenTree:
    nodes: list[Any] = [learner._root]
    children: dict[int, tuple[int, int]] = {}
    for index, node in enumerate(nodes):  # grows while it is walked: breadth first
        if isinstance(node, DTBranch):
            children[index] = (len(nodes), len(nodes) + 1)
            nodes.extend(node.children)
    count, k = len(nodes), len(place)
    feature, left, right, bayes = np.full((4, count), -1, np.int64)
    threshold = np.zeros(count)
    votes = np.zeros((count, k))
    leaves: list[tuple[Floats, Floats, Floats, Floats]] = []
    for index, node in enumerate(nodes):
        if index in children:
            feature[index], threshold[index] = node.feature, node.threshold
            left[index], right[index] = children[index]
            continue
        total = sum(node.stats.values())
        for label, weight in node.stats.items():
            votes[index, place[label]] = weight / total if total > 0 else 0.0
        if total > 0 and _votes_by_bayes(node, learner):
            bayes[index] = len(leaves)
            leaves.append(_freeze_leaf(node, place, columns))
    stacked = [np.array([leaf[part] for leaf in leaves]) for part in range(4)] if leaves else None
    log_priors, means, precisions, constants = stacked or (np.empty((0, k)), *np.empty((3, 0, k, columns)))
    return FrozenTree(feature, threshold, left, right, votes, bayes, log_priors, means, precisions, constants)


def _votes_by_bayes(leaf: Any, learner: Any) -> bool:
    if not leaf.is_active():
        return False
    if hasattr(leaf, "_nb_correct_weight"):
        return bool(leaf._nb_correct_weight >= leaf._mc_correct_weight)
    return learner.leaf_prediction == "nb" and bool(leaf.total_weight >= learner.nb_threshold)


def _freeze_leaf(leaf: Any, place: dict[int, int], columns: int) -> tuple[Floats, Floats, Floats, Floats]:
    log_priors = np.full(len(place), -np.inf)
    means, precisions, constants = np.zeros((3, len(place), columns))
    total = sum(leaf.stats.values())
    for label, weight in leaf.stats.items():
        # A class with weight 0 gets the log vote 0 in river.
        log_priors[place[label]] = math.log(weight / total) if weight > 0 else 0.0
        for column, splitter in leaf.splitters.items():
            gaussian = splitter._att_dist_per_class.get(label)
            mean, variance = _moments(gaussian) if gaussian is not None and weight > 0 else (0.0, 0.0)
            if variance > 0:
                means[place[label], column] = mean
                precisions[place[label], column] = 0.5 / variance
                constants[place[label], column] = -_HALF_LOG_TAU - 0.5 * math.log(variance)
    return log_priors, means, precisions, constants


def _moments(gaussian: Any) -> tuple[float, float]:
    variance = float(gaussian.sigma**2) if gaussian.n_samples > 1 else 0.0
    return float(gaussian.mu), variance
