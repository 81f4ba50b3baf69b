"""Incremental models, frozen for prediction as plain arrays.

A river learner is a graph of thousands of small objects, some of them native and without any storable state. What a
published model needs of it is its prediction, and that is arithmetic on a few arrays: exact, vectorised over a
batch, and safe to store. ``easeml.automl.incremental`` makes these from river's learners; a test holds
their outputs to river's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from easeml.artifacts.arrays import is_floats, is_indices, need

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class FrozenLinear:
    """One logistic regression per class, normed (river ``OneVsRestClassifier(LogisticRegression)``).

    Parameters
    ----------
    classes : int64[k]
        Codes of the classes seen.
    weights : float64[k, d]
        Weights per class.
    intercepts : float64[k]
        Intercept per class.
    """

    def __init__(self, classes: Codes, weights: Floats, intercepts: Floats) -> None:
        self.classes_ = classes
        self.weights = weights
        self.intercepts = intercepts

    def predict_proba(self, matrix: Floats) -> Floats:
        """Return float64[n, k] for ``matrix`` float64[n, d]."""
        logits = np.clip(matrix @ self.weights.T + self.intercepts, -500, 500)
        each = 1 / (1 + np.exp(-logits))
        return np.asarray(each / each.sum(axis=1, keepdims=True))

    def validate(self, columns: int) -> None:
        """Check that the arrays fit each other and ``columns`` columns.

        Raises
        ------
        ArtifactError
            When they do not.
        """
        count = len(self.classes_)
        need(
            is_floats(self.weights, count, columns) and is_floats(self.intercepts, count),
            "holds a linear model of another shape",
        )


class FrozenNaiveBayes:
    """Gaussian naive Bayes with a floor under each density (river ``GaussianNB``).

    Parameters
    ----------
    classes : int64[k]
        Codes of the classes seen.
    priors : float64[k]
        Shares of the classes.
    means, variances : float64[k, d]
        Per class and column; variance 0: no density is known and the floor holds.
    floor : float
        Added to each density.
    """

    def __init__(self, classes: Codes, priors: Floats, means: Floats, variances: Floats, floor: float) -> None:
        self.classes_ = classes
        self.priors = priors
        self.means = means
        self.variances = variances
        self.floor = floor

    def predict_proba(self, matrix: Floats) -> Floats:
        """Return float64[n, k] for ``matrix`` float64[n, d]."""
        joint = np.empty((len(matrix), len(self.classes_)))
        for index, (mean, variance) in enumerate(zip(self.means, self.variances, strict=True)):
            known = variance > 0
            safe = np.where(known, variance, 1.0)
            density = np.exp(-((matrix - mean) ** 2) / (2 * safe)) / np.sqrt(2 * np.pi * safe)
            joint[:, index] = np.log(self.floor + np.where(known, density, 0.0)).sum(axis=1)
        joint += np.log(self.priors)
        return _normed(joint)

    def validate(self, columns: int) -> None:
        """Check that the arrays fit each other and ``columns`` columns.

        Raises
        ------
        ArtifactError
            When they do not.
        """
        count = len(self.classes_)
        need(
            is_floats(self.priors, count)
            and is_floats(self.means, count, columns)
            and is_floats(self.variances, count, columns)
            and type(self.floor) is float,
            "holds a naive Bayes model of another shape",
        )


class FrozenTree:
    """One Hoeffding tree (river ``HoeffdingTreeClassifier``).

    Parameters
    ----------
    feature : int64[m]
        Column tested in each node, -1 in a leaf.
    threshold : float64[m]
        Rows with at most this value go left.
    left, right : int64[m]
        Children, with larger numbers than their parent; in a leaf unused.
    votes : float64[m, k]
        Class shares of each leaf.
    bayes : int64[m]
        Index of the leaf's naive Bayes model, -1: it votes by its shares.
    log_priors : float64[b, k]
        Log shares of the naive Bayes leaves; -inf: a class the leaf never saw.
    means, precisions, constants : float64[b, k, d]
        log density of value x: constant - precision (x - mean)^2; 0 and 0 where none is known.
    """

    def __init__(
        self,
        feature: Codes,
        threshold: Floats,
        left: Codes,
        right: Codes,
        votes: Floats,
        bayes: Codes,
        log_priors: Floats,
        means: Floats,
        precisions: Floats,
        constants: Floats,
    ) -> None:
        self.feature = feature
        self.threshold = threshold
        self.left = left
        self.right = right
        self.votes = votes
        self.bayes = bayes
        self.log_priors = log_priors
        self.means = means
        self.precisions = precisions
        self.constants = constants

    def predict_proba(self, matrix: Floats) -> Floats:
        """Return float64[n, k] for ``matrix`` float64[n, d]."""
        leaf = np.zeros(len(matrix), np.int64)
        rows = np.arange(len(matrix))
        while len(rows):
            node = leaf[rows]
            inner = self.feature[node] >= 0
            rows, node = rows[inner], node[inner]
            goes_left = matrix[rows, self.feature[node]] <= self.threshold[node]
            leaf[rows] = np.where(goes_left, self.left[node], self.right[node])
        out = self.votes[leaf]
        for model in np.unique(self.bayes[leaf]):
            if model >= 0:
                chosen = self.bayes[leaf] == model
                out[chosen] = self._bayes(int(model), matrix[chosen])
        return np.asarray(out)

    def _bayes(self, model: int, rows: Floats) -> Floats:
        distance = (rows[:, None, :] - self.means[model]) ** 2
        joint = (self.constants[model] - self.precisions[model] * distance).sum(axis=2)
        return _normed(joint + self.log_priors[model])

    def validate(self, columns: int) -> None:
        """Check that no row can leave the tree or circle in it.

        Raises
        ------
        ArtifactError
            When an index does not fit.
        """
        count, models, classes = len(self.feature), len(self.log_priors), self.votes.shape[1]
        models_of_leaves = (self.means, self.precisions, self.constants)
        need(
            count > 0
            and is_indices(self.feature, count, columns, least=-1)
            and is_indices(self.left, count, count, least=-1)
            and is_indices(self.right, count, count, least=-1)
            and is_indices(self.bayes, count, models, least=-1)
            and is_floats(self.threshold, count)
            and is_floats(self.votes, count, classes)
            and is_floats(self.log_priors, models, classes)
            and all(is_floats(part, models, classes, columns) for part in models_of_leaves),
            "holds a tree of another shape",
        )
        inner = np.flatnonzero(self.feature >= 0)
        need(
            all(bool((child[inner] > inner).all()) for child in (self.left, self.right)),
            "holds a tree that leads nowhere",
        )


class FrozenForest:
    """Weighted vote of Hoeffding trees (river ``ARFClassifier``; one tree: ``HoeffdingTreeClassifier``).

    Parameters
    ----------
    classes : int64[k]
        Codes of the classes seen.
    trees : list of FrozenTree
        The trees.
    weights : float64[t]
        Weight of each tree's vote.
    """

    def __init__(self, classes: Codes, trees: list[FrozenTree], weights: Floats) -> None:
        self.classes_ = classes
        self.trees = trees
        self.weights = weights

    def predict_proba(self, matrix: Floats) -> Floats:
        """Return float64[n, k] for ``matrix`` float64[n, d]."""
        votes = np.zeros((len(matrix), len(self.classes_)))
        for tree, weight in zip(self.trees, self.weights, strict=True):
            votes += weight * tree.predict_proba(matrix)
        total = votes.sum(axis=1, keepdims=True)
        return np.asarray(np.where(total > 0, votes / np.where(total > 0, total, 1), 1 / len(self.classes_)))

    def validate(self, columns: int) -> None:
        """Check that the arrays fit each other and ``columns`` columns.

        Raises
        ------
        ArtifactError
            When they do not.
        """
        need(
            type(self.trees) is list and len(self.trees) > 0 and is_floats(self.weights, len(self.trees)),
            "holds a forest without one weight for each tree",
        )
        for tree in self.trees:
            need(type(tree) is FrozenTree, "holds a forest of other things than trees")
            tree.validate(columns)
            need(tree.votes.shape[1] == len(self.classes_), "holds a tree of another shape than its classes")


def _normed(joint: Floats) -> Floats:
    exponent = np.exp(joint - joint.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))
