"""Which row's label tells most about which model is best: Model Selector, in closed form.

The best model votes for the label with odds ``gamma = (1 - eps) / eps`` against any other class, so a label y turns
the posterior p into p gamma^[vote = y] / Z. With A_y the posterior mass that votes y and B_y the sum of p ln p there,
B in all, its entropy is ln Z - [gamma (B_y + ln(gamma) A_y) + B - B_y] / Z where Z = 1 + (gamma - 1) A_y; the row is
worth the mean fall of the entropy over all classes of the label domain. Classes that nobody votes for change nothing.
That says what votes differ on and not what is known of the label already, so the rows are weighed by how much doubt of
it the labels of other rows leave.

Source: Okanovic et al., "Model Selector", AISTATS 2025, equations 3-5.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from easeml.modelpicker.voting import Floats, Votes

EPSILON = 0.45
ODDS = (1 - EPSILON) / EPSILON
"""gamma: how much likelier a model becomes to be the best by being right once."""


def posterior_of(right: Floats, shares: Floats) -> Floats:
    """Return the posterior after discounted counts of right answers.

    Parameters
    ----------
    right : ndarray of float64, shape (k,)
        Right answers of each model.
    shares : ndarray of float64, shape (k,)
        Prior weights, at least one above 0; 0 excludes a model.

    Returns
    -------
    ndarray of float64, shape (k,)
        Sums to 1.
    """
    raw = shares * np.exp(math.log(ODDS) * (right - right[shares > 0].max()))
    return np.asarray(raw / raw.sum(), dtype=np.float64)


class Posterior:
    """Which model is best, by discounted counts of right answers.

    Attributes
    ----------
    counts : ndarray of float64, shape (k,)
        Right answers of each model.
    shares : ndarray of float64, shape (k,)
        1 for one of each group of models that vote alike, 0 for the others and for those that are ruled out.
    weights, hoped : ndarray of float64, shape (k,)
        The posterior, and the one expected once all open questions are answered.
    """

    def __init__(self, k: int) -> None:
        self.counts = self.shares = self.weights = self.hoped = np.zeros(k)

    def count(self, counts: Floats, groups: npt.NDArray[np.int64], considered: npt.NDArray[np.bool_]) -> None:
        """Take over the counts; of each group the first model stands for all."""
        self.counts, self.shares = counts, np.zeros(len(groups))
        np.maximum.at(self.shares, groups, considered.astype(np.float64))

    def settle(self, expected: Floats) -> None:
        """Make the posteriors, given how often each model is expected to be right on the open questions."""
        if len(self.counts):
            self.weights = posterior_of(self.counts, self.shares)
            self.hoped = posterior_of(self.counts + expected, self.shares)
        else:
            self.weights = self.hoped = np.zeros(0)

    def state(self) -> dict[str, Any]:
        """Return the counts and shares."""
        return {"counts": self.counts.copy(), "shares": self.shares.copy()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described, before it is settled."""
        posterior = cls(0)
        posterior.counts, posterior.shares = np.array(state["counts"]), np.array(state["shares"])
        return posterior


def expected_gains(posterior: Floats, votes: Votes, n_classes: int) -> Floats:
    """Return by how many nats the posterior's entropy falls in the mean over labels, for each row.

    Cost O(n k).

    Parameters
    ----------
    posterior : ndarray of float64, shape (k,)
    votes : ndarray of int, shape (n, k)
        Classes, or -1; a missing vote is never the label.
    n_classes : int

    Returns
    -------
    ndarray of float64, shape (n,)
        0 where all vote alike.

    Examples
    --------
    >>> expected_gains(np.array([0.5, 0.5]), np.array([[0, 0], [0, 1]]), 2).round(4).tolist()
    [0.0, 0.005]
    """
    n = len(votes)
    if n == 0:
        return np.zeros(0)
    spread = posterior * np.log(posterior, out=np.zeros_like(posterior), where=posterior > 0)
    keys = ((votes + 1) + np.arange(n)[:, None] * (n_classes + 1)).ravel()
    size = n * (n_classes + 1)
    mass = np.bincount(keys, np.broadcast_to(posterior, votes.shape).ravel(), size).astype(np.float64)
    part = np.bincount(keys, np.broadcast_to(spread, votes.shape).ravel(), size).astype(np.float64)
    mass[:: n_classes + 1] = 0.0
    voted = np.flatnonzero(mass)
    gains = _falls(mass[voted], part[voted], spread.sum()) / n_classes
    return np.asarray(np.bincount(voted // (n_classes + 1), gains, n), np.float64)


def worth_asking(posterior: Floats, votes: Votes, belief: Floats) -> Floats:
    """Return what the label of each row is worth: the expected gain, times the root of the doubt about the label.

    The root was chosen on shuffled and drifting streams: all of the doubt asks too little about which model is best,
    none of it asks again and again about what follows from other labels.

    Parameters
    ----------
    posterior : ndarray of float64, shape (k,)
    votes : ndarray of int, shape (n, k)
    belief : ndarray of float64, shape (n, n_classes)
        How probable each class is; sums to 1.

    Returns
    -------
    ndarray of float64, shape (n,)
        0 for a row whose label is foreseen.
    """
    doubt = 1 - belief.max(axis=1, initial=0.0)
    return np.asarray(expected_gains(posterior, votes, belief.shape[1]) * np.sqrt(doubt), np.float64)


def _falls(mass: Floats, part: Floats, total: float) -> Floats:
    """Return how far the entropy -B falls for labels that have ``mass`` A_y and ``part`` B_y."""
    scale = 1 + (ODDS - 1) * mass
    entropy = np.log(scale) - (ODDS * (part + math.log(ODDS) * mass) + total - part) / scale
    return np.asarray(-total - entropy, dtype=np.float64)
