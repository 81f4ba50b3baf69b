"""A support vector machine with a Gaussian kernel, frozen as plain arrays.

libsvm's predictor follows index arrays in native code without looking; what a published model needs of it is a kernel
matrix and one product per pair of classes. ``easeml.automl.kernel_machines`` makes this from scikit-learn's ``SVC``.
"""

from __future__ import annotations

import itertools

import numpy as np

from easeml.artifacts.arrays import is_floats, need
from easeml.artifacts.classifier import softmax
from easeml.artifacts.steps import Codes, Floats

_BLOCK = 2_000_000  # kernel entries held at a time: 16 MB
SLOPE = 3.0  # of the sigmoid; measured on digits: log loss .05 at 3, .23 at 1, accuracy as that of libsvm's votes


class FrozenKernelMachine:
    """One Gaussian-kernel machine per pair of classes; a class is as probable as it is to win all of its pairs.

    It wins a pair with probability 1 / (1 + exp(-3 f)), f the decision of the pair; pairs count as independent.

    Parameters
    ----------
    classes : int64[k]
        Codes of the classes seen, k >= 2.
    points : float64[s, d]
        Support vectors.
    weights : float64[k (k - 1) / 2, s]
        Dual coefficients of each pair (0, 1), (0, 2), ..., (1, 2), ...; positive: for its first class.
    intercepts : float64[k (k - 1) / 2]
        Intercept of each pair.
    gamma : float
        Kernel exp(-gamma |x - z|^2).
    """

    def __init__(self, classes: Codes, points: Floats, weights: Floats, intercepts: Floats, gamma: float) -> None:
        self.classes_ = classes
        self.points = points
        self.weights = weights
        self.intercepts = intercepts
        self.gamma = gamma

    def predict_proba(self, matrix: Floats) -> Floats:
        """Return float64[n, k] for ``matrix`` float64[n, d]."""
        decisions = self.decisions(matrix)
        joint = np.zeros((len(matrix), len(self.classes_)))
        for index, (first, second) in enumerate(itertools.combinations(range(len(self.classes_)), 2)):
            joint[:, first] -= np.logaddexp(0.0, -SLOPE * decisions[:, index])
            joint[:, second] -= np.logaddexp(0.0, SLOPE * decisions[:, index])
        return softmax(joint)

    def decisions(self, matrix: Floats) -> Floats:
        """Return the decision of each pair of classes: float64[n, k (k - 1) / 2], positive for the first class."""
        found = np.empty((len(matrix), len(self.intercepts)))
        squares = np.einsum("ij,ij->i", self.points, self.points)
        step = max(1, _BLOCK // max(len(self.points), 1))
        for start in range(0, len(matrix), step):
            rows = matrix[start : start + step]
            distance = np.einsum("ij,ij->i", rows, rows)[:, None] + squares - 2 * rows @ self.points.T
            found[start : start + step] = np.exp(-self.gamma * np.maximum(distance, 0.0)) @ self.weights.T
        return found + self.intercepts

    def validate(self, columns: int) -> None:
        """Check that the arrays fit each other and ``columns`` columns.

        Raises
        ------
        ArtifactError
            When they do not.
        """
        count, pairs = len(self.points), len(self.classes_) * (len(self.classes_) - 1) // 2
        need(
            pairs > 0
            and is_floats(self.points, count, columns)
            and is_floats(self.weights, pairs, count)
            and is_floats(self.intercepts, pairs)
            and type(self.gamma) is float,
            "holds a kernel machine of another shape",
        )
