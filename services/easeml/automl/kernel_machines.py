"""Kernel machines behind the estimators' contract: fitted by scikit-learn's ``SVC``, kept as plain arrays.

Source: Cortes & Vapnik, Machine Learning 1995; Chang & Lin, "LIBSVM", ACM TIST 2011, section 4 (dual coefficients).
"""

from __future__ import annotations

import itertools

import numpy as np
from sklearn.svm import SVC

from easeml.artifacts.kernel import FrozenKernelMachine
from easeml.artifacts.steps import Codes, Floats
from easeml.errors import InvalidDataError

MAX_ROWS = 10_000
"""libsvm's time grows with the square of the rows, and nothing can stop it on its way."""


class KernelMachine:
    """Support vector machine with a Gaussian kernel.

    Parameters
    ----------
    seed : int
        Ignored: nothing is random.
    C : float
        Cost of errors.
    gamma : float
        Width of the kernel: gamma / (columns x variance of the matrix).
    """

    def __init__(self, seed: int, C: float, gamma: float) -> None:
        del seed
        self.C = C
        self.gamma = gamma

    def fit(self, matrix: Floats, codes: Codes) -> FrozenKernelMachine:
        """Return the frozen machine of ``matrix`` float64[n, d] and ``codes`` int64[n].

        Raises
        ------
        InvalidDataError
            When there are more than ``MAX_ROWS`` rows.
        """
        if len(matrix) > MAX_ROWS:
            raise InvalidDataError(
                f"A kernel machine takes at most {MAX_ROWS} rows, here are {len(matrix)}.",
                mend="Use family 'linear_svm' or 'boosting' on so many rows.",
            )
        gamma = self.gamma / (matrix.shape[1] * max(float(matrix.var()), 1e-12))
        return freeze_machine(SVC(C=self.C, gamma=gamma, cache_size=100).fit(matrix, codes))


def freeze_machine(machine: SVC) -> FrozenKernelMachine:
    """Return the arrays of a fitted ``SVC`` with a Gaussian kernel and a number as gamma."""
    classes = np.asarray(machine.classes_, np.int64)
    ends = np.cumsum(machine.n_support_)
    spans = [slice(end - count, end) for end, count in zip(ends, machine.n_support_, strict=True)]
    pairs = list(itertools.combinations(range(len(classes)), 2))
    weights = np.zeros((len(pairs), len(machine.support_vectors_)))
    for index, (first, second) in enumerate(pairs):
        # Row m of the coefficients of a class is its machine against the m-th of the other classes.
        weights[index, spans[first]] = machine.dual_coef_[second - 1, spans[first]]
        weights[index, spans[second]] = machine.dual_coef_[first, spans[second]]
    intercepts = np.array(machine.intercept_, np.float64)
    if len(classes) == 2:  # scikit-learn turns the sign of two classes, libsvm of none
        weights, intercepts = -weights, -intercepts
    return FrozenKernelMachine(classes, np.array(machine.support_vectors_), weights, intercepts, float(machine.gamma))
