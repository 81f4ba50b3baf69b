"""What an answer tells, in bits, on the scale on which questions of all services are ranked.

One bit: the answer is expected to lower the log loss on one of the app's rows by one bit, in the mean over rows. A
picker that serves a model of error e believes its prediction with 1 - e, so its log loss is h(e) + e log2(c - 1). A
label lowers it as far as it is expected to change which model is served, and for a better one: two models that are
equally good are not worth telling apart, however much they differ.

What is believed of the best model and a rival: on rows where just one of the two is right it is the best one with a
chance that has a Beta distribution, of the rows answered and of validation. One more label often cannot change the
choice while several can, so a label is worth the most that n labels bring each, over n.

Sources: Raiffa & Schlaifer, "Applied Statistical Decision Theory", 1961 (value of sample information); Frazier &
Powell, "Paradoxes in learning and the marginal value of information", Decision Analysis 2010 (KG(*), the mean of the
best n, and the normal approximation of the mean after n labels).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from easeml.modelpicker.voting import MISSING, Floats, Votes

_LABELS = 2.0 ** np.arange(7)
"""Numbers of further labels that are looked ahead to."""


class Known(NamedTuple):
    """What is known of k models.

    Attributes
    ----------
    right : ndarray of int8, shape (a, k)
        Whether each was right on each answered row: 1, 0, or -1 where it had no vote.
    weights : ndarray of float64, shape (a,)
        How much each of these rows counts.
    worth : float
        Rows that validation counts as; 0 for none.
    validated : ndarray of float64, shape (k,)
        Accuracies there.
    """

    right: npt.NDArray[np.int8]
    weights: Floats
    worth: float
    validated: Floats


def information_gain(votes: Votes, recent: Votes, known: Known, best: int, n_classes: int) -> Floats:
    """Return the bits that the labels of some rows are expected to tell.

    A row tells of the rivals that vote otherwise than the served model; the one of whom most is to be learnt counts.
    Cost O((a + v + q) k).

    Parameters
    ----------
    votes : ndarray of int32, shape (q, k)
        Classes on the rows asked about, or :data:`~easeml.modelpicker.voting.MISSING`.
    recent : ndarray of int32, shape (v, k)
        Classes on recent rows, which tell how often the models differ.
    known : Known
    best : int
        The model served.
    n_classes : int
        c, at least 2.

    Returns
    -------
    ndarray of float64, shape (q,)
        In [0, log2 c]; 0 where no model votes otherwise than the served one, and without recent rows.

    Examples
    --------
    >>> nothing = Known(np.zeros((0, 2), np.int8), np.zeros(0), 0.0, np.zeros(2))
    >>> information_gain(np.array([[0, 1], [1, 1]]), np.array([[0, 1], [0, 0]]), nothing, 0, 2).round(3)
    array([0.137, 0.   ])
    """
    apart = _apart(recent, best).mean(axis=0) if len(recent) else np.zeros(votes.shape[1])
    lead, decided = _compared(known, best)
    advantage = known.worth * (known.validated[best] - known.validated)
    lead = lead + advantage
    decided = decided + np.maximum(known.worth * apart, np.abs(advantage))
    bits = _bits(apart, lead, decided, _error(known, best, n_classes), n_classes)
    return np.asarray(np.where(_apart(votes, best), bits, 0.0).max(axis=1, initial=0.0), np.float64)


def _apart(votes: Votes, best: int) -> npt.NDArray[np.bool_]:
    """Return where models vote otherwise than the served one."""
    own = votes[:, [best]]
    return np.asarray((votes != own) & (votes != MISSING) & (own != MISSING))


def _compared(known: Known, best: int) -> tuple[Floats, Floats]:
    """Return the lead of the served model over each, and the number of rows on which just one of both was right."""
    own = known.right[:, [best]]
    both = (known.right >= 0) & (own >= 0)
    more = np.where(both, own.astype(np.float64) - known.right, 0.0) * known.weights[:, None]
    return more.sum(axis=0), np.abs(more).sum(axis=0)


def _error(known: Known, best: int, n_classes: int) -> float:
    """Return the error of the served model, begun with two rows at half the error of guessing."""
    own, guessing = known.right[:, best], 1 - 1 / n_classes
    wrong = float(known.weights[own == 0].sum()) + known.worth * (1 - float(known.validated[best]))
    return min((wrong + guessing) / (float(known.weights[own >= 0].sum()) + known.worth + 2), guessing)


def _bits(apart: Floats, lead: Floats, decided: Floats, error: float, n_classes: int) -> Floats:
    """Return what one more label on which a rival and the served model differ tells: float64[k]."""
    alpha, beta = 1 + (decided + lead) / 2, 1 + (decided - lead) / 2
    total = alpha + beta
    mean = apart * (alpha - beta) / total
    deviation = 2 * apart * np.sqrt(alpha * beta / (total + 1)) / total
    # of what is believed after n labels
    moved = np.maximum(deviation[:, None] * np.sqrt(_LABELS / (_LABELS + total[:, None])), 1e-300)
    z = -np.abs(mean)[:, None] / moved
    gain = moved * (np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) + z * ndtr(z))
    fall = _log_loss(np.array(error), n_classes) - _log_loss(np.maximum(error - gain, 0.0), n_classes)
    return np.asarray((fall / _LABELS).max(axis=1), np.float64)


def _log_loss(error: Floats, n_classes: int) -> Floats:
    """Return the log loss, in bits, of predictions of this error that are believed as they deserve."""
    either = -(_times_log(error) + _times_log(1 - error))
    return np.asarray(either + error * np.log2(n_classes - 1), np.float64)


def _times_log(p: Floats) -> Floats:
    return np.asarray(p * np.log2(p, out=np.zeros_like(p), where=p > 0), np.float64)
