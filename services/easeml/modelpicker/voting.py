"""What a row's votes say under a posterior over models.

Source: Karimi et al., "Online Active Model Selection for Pre-trained Classifiers", AISTATS 2021, section 3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Votes = npt.NDArray[np.int32]

MISSING = -1
"""Vote of a model that has no prediction for a row."""

_LEAST = float(np.finfo(np.float64).tiny)


def exponential_weights(losses: Floats, rates: Floats) -> Floats:
    """Return w proportional to exp(-eta (L - min L)).

    Parameters
    ----------
    losses : ndarray of float64, shape (k,) or (n, k)
    rates : ndarray of float64, shape (n,)
        Learning rate eta of each row.

    Returns
    -------
    ndarray of float64, shape (n, k)
        Rows sum to 1.
    """
    raw = np.exp(-rates[:, None] * (losses - losses.min(axis=-1, keepdims=True)))
    return np.asarray(raw / raw.sum(axis=1, keepdims=True), dtype=np.float64)


def vote_mass(weights: Floats, votes: Votes, n_classes: int) -> Floats:
    """Return W, the posterior mass of the models that vote for each class.

    Parameters
    ----------
    weights : ndarray of float64, shape (n, k)
    votes : ndarray of int32, shape (n, k)
        Classes, or :data:`MISSING`; the mass of missing models is spread over the others in proportion.
    n_classes : int

    Returns
    -------
    ndarray of float64, shape (n, n_classes)
        Rows sum to 1, or to 0 where nobody votes.
    """
    n, width = len(votes), n_classes + 1
    # the first column collects the missing votes and is cut off
    keys = votes + (np.arange(n) * width + 1)[:, None]
    mass = np.bincount(keys.ravel(), weights.ravel(), n * width).reshape(n, width)[:, 1:]
    return np.asarray(mass / np.maximum(mass.sum(axis=1, keepdims=True), _LEAST), dtype=np.float64)


def contested(votes: Votes) -> npt.NDArray[np.bool_]:
    """Return whether at least two models vote differently; shape (n,) from votes of shape (n, k)."""
    # a missing vote, -1, is the greatest of unsigned numbers
    return np.asarray(votes.astype(np.uint32).min(axis=1) < votes.max(axis=1), dtype=np.bool_)


def vote_variance(mass: Floats) -> Floats:
    """Return v = max_j W_j (1 - W_j), shape (n,): how much the answer could move the posterior."""
    return np.asarray((mass * (1 - mass)).max(axis=1), dtype=np.float64)


def of_votes(mass: Floats, votes: Votes) -> Floats:
    """Return for each vote the value of its class, shape (n, k), from (n, n_classes); a missing vote gets any."""
    return mass[np.arange(len(votes))[:, None], np.maximum(votes, 0)]


def agreed(votes: Votes, n_classes: int) -> Floats:
    """Return belief in the class that all vote for, shape (n, n_classes) from (n, k); 0 without votes."""
    highest = votes.max(axis=1, initial=MISSING)
    return np.asarray(highest[:, None] == np.arange(n_classes), np.float64)
