"""Which models vote together: greedy forward selection on rows that none of them was trained on.

Source: Caruana et al., "Ensemble selection from libraries of models", ICML 2004, sections 2.1 and 2.2. Cost: O(s m n k)
for ``size`` s, models m, rows n and classes k.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_LEAST = 1e-6


def score(probabilities: Floats, truth: Codes) -> tuple[float, float]:
    """Return accuracy, in [0, 1], and mean -ln of the probability of the right class (at least 1e-6), in nats.

    Parameters
    ----------
    probabilities : float64[n, k]
        Rows sum to 1.
    truth : int64[n]
        Right classes; n >= 1.
    """
    right = probabilities[np.arange(len(truth)), truth]
    return (
        float(np.mean(probabilities.argmax(axis=1) == truth)),
        float(np.mean(-np.log(np.maximum(right, _LEAST)))),
    )


def greedy_vote(probabilities: Floats, truth: Codes, size: int) -> Floats:
    """Return the weight of each model in the best vote found.

    The vote begins with the best single model. Members join, one by one and with repetition, as long as that raises
    the accuracy, or lowers the log loss at the same accuracy: so the vote is never less accurate on these rows than
    the best single model.

    Parameters
    ----------
    probabilities : float64[m, n, k]
        What each model says of rows that it was not trained on; m >= 1.
    truth : int64[n]
        Right classes.
    size : int
        Members at most, repetitions counted.

    Returns
    -------
    float64[m]
        Not negative; they sum to 1.

    Examples
    --------
    >>> votes = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.4, 0.6], [0.1, 0.9]]])
    >>> greedy_vote(votes, np.array([0, 1]), size=3)
    array([0.5, 0.5])
    """
    counts = np.zeros(len(probabilities))
    total = np.zeros(probabilities.shape[1:])
    best = (-1.0, 0.0)
    for members in range(1, size + 1):
        scores = [score((total + model) / members, truth) for model in probabilities]
        ranks = [(accuracy, -loss) for accuracy, loss in scores]
        chosen = max(range(len(ranks)), key=ranks.__getitem__)
        if ranks[chosen] <= best:
            break
        best = ranks[chosen]
        counts[chosen] += 1
        total += probabilities[chosen]
    return np.asarray(counts / counts.sum())
