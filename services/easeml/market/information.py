"""What a label tells, in bits: the scale on which questions of all services are ranked.

One bit: the answer is expected to lower the log loss on one of the app's rows by one bit, in the mean over rows. Each
asker promises what its own belief is expected to gain: cleaning about nearest-neighbour predictions of validation rows
over possible worlds; model picking by serving a better model of those there are; and here, for a pool row i and a
validation row v, the mutual information I(Y_i; Y_v) under a belief about the model, the members of an ensemble:
p(y_i, y_v) = mean_t p_t(y_i) p_t(y_v). Divided by the price of an answer, in labels, it ranks the questions of all
askers in one list. The first two keep what they promise as far as their beliefs hold; of what members promise, a
measured share counts (:mod:`easeml.market.belief`).

Source: Bickford Smith et al., "Prediction-oriented Bayesian active learning", AISTATS 2023 (EPIG).
"""

from __future__ import annotations

import numpy as np

from easeml.market.neighbours import Floats

_VALIDATION_BLOCK = 32


def information_gain(pool: Floats, validation: Floats, rng: np.random.Generator) -> Floats:
    """Return the expected information of each pool row's label about the prediction of a validation row.

    Members that differ by chance alone seem to agree here and there, so what two members that do not belong together
    would tell is subtracted. Cost O(t m v c^2).

    Parameters
    ----------
    pool : ndarray of float64, shape (t, m, c)
        Class probabilities of m pool rows by each of t members.
    validation : ndarray of float64, shape (t, v, c)
        The same of v validation rows.
    rng : Generator
        Pairs members that do not belong together.

    Returns
    -------
    ndarray of float64, shape (m,)
        Bits in [0, log2 c]; 0 with fewer than two members or without validation rows.

    Examples
    --------
    >>> sure = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    >>> information_gain(np.repeat(sure, 50, axis=0), np.repeat(sure, 50, axis=0), np.random.default_rng(0)).round(1)
    array([1.])
    """
    members, rows, classes = pool.shape
    if members < 2 or not validation.shape[1]:
        return np.zeros(rows)
    strangers = pool[rng.permutation(members)]
    told = _mutual_information(pool, validation) - _mutual_information(strangers, validation)
    return np.clip(told, 0.0, np.log2(classes))


def _mutual_information(pool: Floats, validation: Floats) -> Floats:
    """Return I(Y_i; Y_v) in bits, in the mean over v: float64[m]."""
    members, rows, classes = pool.shape
    total = np.zeros(rows)
    left = pool.transpose(1, 2, 0).reshape(rows * classes, members)
    own = _entropy(pool.mean(axis=0))
    for start in range(0, validation.shape[1], _VALIDATION_BLOCK):
        part = validation[:, start : start + _VALIDATION_BLOCK]
        points = part.shape[1]
        joint = (left @ part.reshape(members, points * classes) / members).reshape(rows, classes, points, classes)
        together = _entropy(joint.transpose(0, 2, 1, 3).reshape(rows, points, classes**2))
        total += (own[:, None] + _entropy(part.mean(axis=0))[None, :] - together).sum(axis=1)
    return np.asarray(total / validation.shape[1], np.float64)


def _entropy(p: Floats) -> Floats:
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(-(p * logs).sum(axis=-1), np.float64)
