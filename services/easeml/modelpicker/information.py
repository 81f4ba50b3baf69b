"""What an answer tells, in bits, on the scale on which questions of all services are ranked.

One bit: the answer is expected to lower the entropy of a prediction by one bit, here of the best model's prediction on
a recent production row, in the mean over them. That is the mutual information of answer and prediction when the best
model is drawn from the posterior. It is never above what the answer tells about which model is best, and it is 0 for
models that differ on the row asked about but nowhere else: to tell those apart changes no prediction.

Which model is best is believed by Bayes' rule from the answers, see :func:`believed`. The posterior by which the picker
asks and serves bounds its regret and is no belief: it learns less from each answer as rows pass, so that late questions
seemed to tell nothing although they still changed what was served.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from easeml.modelpicker.voting import MISSING, Floats, Votes

_NOTHING = 1e-15
"""A model that is as improbable as this to be the best tells nothing, and products of such figures would be 0."""

_SPARSE = 16
"""Keys that are as much larger than their number are replaced by ranks, which take a sort."""


def information_gain(posterior: Floats, votes: Votes, recent: Votes, n_classes: int, *, error: float = 0.1) -> float:
    """Return the mutual information of a row's label and the best model's prediction, in the mean over recent rows.

    The best model votes for the label with probability ``1 - error``; the other classes share ``error``. A model that
    has no vote on one of two rows tells nothing from the one to the other. Exact; cost O(v k log(v k)).

    Parameters
    ----------
    posterior : ndarray of float64, shape (k,)
        Probability that each model is the best.
    votes : ndarray of int32, shape (k,)
        Classes on the row asked about, or :data:`~easeml.modelpicker.voting.MISSING`.
    recent : ndarray of int32, shape (v, k)
        Classes on recent rows.
    n_classes : int
        c, at least 2.
    error : float
        In [0, 1).

    Returns
    -------
    float
        Bits in [0, log2 c]; 0 where all models agree, and without recent rows.

    Examples
    --------
    >>> information_gain(np.array([0.5, 0.5]), np.array([0, 1]), np.array([[0, 1], [1, 1]]), 2, error=0.0)
    0.5
    """
    # p(label | model) = noise + signal [the model votes for it]
    noise = error / (n_classes - 1)
    signal = 1 - error - noise
    mass = np.where((votes != MISSING) & (recent != MISSING) & (posterior > _NOTHING), posterior, 0.0)
    row, model = np.nonzero(mass)
    kinds, kind = np.unique(votes, return_inverse=True)
    own, said, shown = mass[row, model], kind[model], recent[row, model]
    total = mass.sum(axis=1)[row]
    said_mass = _of_group(row * len(kinds) + said, own)
    shown_mass = _of_group(row * n_classes + shown, own)
    both_mass = _of_group((row * len(kinds) + said) * n_classes + shown, own)
    label = noise * total + signal * said_mass
    both = noise * shown_mass + signal * both_mass
    # Pairs of a label voted for and a prediction no model gives together are independent: noise alone makes them, so
    # all pairs of the label are counted as if of that kind, and the others corrected. A label nobody votes for says
    # nothing. Each model brings its share of its group.
    by_noise = noise * _log2(noise * total / label)
    pairs = both * _log2(both * total / (label * shown_mass)) - by_noise * shown_mass
    bits = (own / both_mass * pairs).sum() + (own / said_mass * total * by_noise).sum()
    return max(float(bits), 0.0) / max(len(recent), 1)


def believed(right: npt.NDArray[np.int8], n_classes: int) -> tuple[Floats, float]:
    """Return how probable it is that each model is the best one, and how often that one is wrong.

    The best model votes for the label but for its error rate, of which the least share of wrong answers is the
    estimate, begun with two answers at half the error of guessing. A model is charged the mean of the others for a
    missing vote.

    Parameters
    ----------
    right : ndarray of int8, shape (a, k)
        Whether each model was right on each answered row: 1, 0, or -1 where it had no vote.
    n_classes : int
        c, at least 2.

    Returns
    -------
    posterior : ndarray of float64, shape (k,)
        Sums to 1.
    error : float
        In (0, 1 - 1/c].

    Examples
    --------
    >>> believed(np.array([[1, 0], [1, 0]], np.int8), 2)
    (array([0.98, 0.02]), 0.125)
    """
    voted = right >= 0
    wrong = (right == 0).astype(np.float64)
    usual = wrong.sum(axis=1) / np.maximum(voted.sum(axis=1), 1)
    errors = np.where(voted, wrong, usual[:, None]).sum(axis=0)
    guessing = 1 - 1 / n_classes
    error = min((float(errors.min()) + guessing) / (len(right) + 2), guessing)
    odds = (1 - error) * (n_classes - 1) / error
    posterior = odds ** -(errors - errors.min())
    return posterior / posterior.sum(), error


def _of_group(keys: npt.NDArray[np.int64], values: Floats) -> Floats:
    """Return for each value the sum of those with its key."""
    if keys.max(initial=0) > _SPARSE * len(keys):
        keys = np.unique(keys, return_inverse=True)[1]
    return np.asarray(np.bincount(keys, values)[keys], np.float64)


def _log2(x: Floats) -> Floats:
    return np.log2(x, out=np.zeros_like(x), where=x > 0)
