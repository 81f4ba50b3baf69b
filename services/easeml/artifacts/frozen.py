"""Incremental models, frozen for prediction as plain arrays.

A river learner is a graph of thousands of small objects, some of them native and without any storable state. What a
published model needs of it is its prediction, and that is arithmetic on a few arrays: exact, vectorised over a
batch, and safe to store. ``easeml.automl.incremental`` makes these from river's learners; a test holds
their outputs to river's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from easeml.errors import ArtifactError

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
        count, inner = len(self.feature), self.feature >= 0
        nodes = np.arange(count)[inner]
        good = (
            count > 0
            and len({len(part) for part in (self.feature, self.threshold, self.left, self.right, self.votes)}) == 1
            and bool((self.feature < columns).all())
            and all(((child[inner] > nodes) & (child[inner] < count)).all() for child in (self.left, self.right))
            and bool((self.bayes < len(self.log_priors)).all())
        )
        if not good:
            raise ArtifactError("The model file holds a tree that leads nowhere.", mend="Train the model again.")


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


def _normed(joint: Floats) -> Floats:
    exponent = np.exp(joint - joint.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))
