"""What a picker says about the rows just seen."""

from __future__ import annotations

from dataclasses import dataclass, field

from easeml.modelpicker.rows import RowKey
from easeml.modelpicker.voting import Floats, Votes


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with the rows just seen.

    Attributes
    ----------
    query : tuple of row ids
        Rows to ask a human about now; they may be earlier rows of the lookback window.
    served : int
        What is served: 0 to k-1 a model, by its index, k and above a combiner of votes.
    prediction : int
        The class it gives to the last row; -1 when no model voted.
    predictions : ndarray of int32, shape (n,)
        The classes of all rows of a batch.
    probabilities : ndarray of float64, shape (len(query), n_classes)
        Posterior vote mass of each class for the questions.
    gains : ndarray of float64, shape (len(query),)
        Bits per recent row, see :mod:`easeml.modelpicker.information`.
    """

    query: tuple[RowKey, ...]
    served: int
    prediction: int
    predictions: Votes = field(repr=False)
    probabilities: Floats = field(repr=False)
    gains: Floats = field(repr=False)
