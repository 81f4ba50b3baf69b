"""What a prediction is worth: right or wrong, or any bounded score of (label, prediction).

Every labelled example falls in a cell: the score of the new model, that of the old one, and whether the
prediction changed. As few distinct scores occur, counts of cells say all there is to know.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError

_MAX_DISTINCT = 32


class Scores:
    """A score in [0, 1] per label and prediction.

    Parameters
    ----------
    matrix : array_like of float, shape (classes, classes), optional
        ``matrix[label, prediction]``, for example 1 minus the cost of a confusion. None: accuracy. A prediction
        beyond the classes scores as badly as the worst entry.

    Raises
    ------
    ConfigurationError
        When the matrix is not square, leaves [0, 1], is constant, or holds more than 32 distinct scores.

    Examples
    --------
    >>> cost_weighted = Scores([[1.0, 0.0], [0.8, 1.0]])
    >>> cost_weighted.of(np.array([0, 1, 1]), np.array([1, 0, 1])).tolist()
    [0.0, 0.8, 1.0]
    """

    def __init__(self, matrix: Any = None) -> None:
        self.matrix: npt.NDArray[np.float64] | None = None
        self.distinct = np.array([0.0, 1.0])
        if matrix is None:
            return
        given = np.array(matrix, dtype=np.float64)
        if given.ndim != 2 or given.shape[0] != given.shape[1]:
            raise ConfigurationError(
                f"Scores of shape {given.shape} are no table of labels x predictions.", mend="Give a square table."
            )
        if not ((given >= 0) & (given <= 1)).all() or float(np.ptp(given)) == 0:
            raise ConfigurationError(
                "Scores must lie in [0, 1] and differ.", mend="Divide costs by the largest one, and score 1 - cost."
            )
        self.matrix = given
        self.distinct, codes = np.unique(given, return_inverse=True)
        if len(self.distinct) > _MAX_DISTINCT:
            raise ConfigurationError(
                f"{len(self.distinct)} distinct scores are too many.",
                mend=f"Round them to at most {_MAX_DISTINCT} different numbers.",
            )
        # one column more for predictions beyond the classes, e.g. a model's "none"
        self._codes = np.pad(codes.reshape(given.shape), ((0, 0), (0, 1)))

    @property
    def classes(self) -> int | None:
        """How many classes the table knows; None: any."""
        return None if self.matrix is None else len(self.matrix)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return 2 * len(self.distinct) ** 2

    def codes(self, labels: npt.NDArray[np.int32], predictions: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """Return the place of each score among the distinct ones, shape (t,)."""
        if self.matrix is None:
            return np.asarray(labels == predictions, dtype=np.int64)
        last = len(self.matrix)
        return np.asarray(self._codes[np.clip(labels, 0, last - 1), np.minimum(predictions, last)], dtype=np.int64)

    def of(self, labels: npt.NDArray[np.int32], predictions: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Return the score of each example, shape (t,)."""
        return np.asarray(self.distinct[self.codes(labels, predictions)])

    def cell(
        self, labels: npt.NDArray[np.int32], new: npt.NDArray[np.int32], old: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.int64]:
        """Return the cell of each example, shape (t,)."""
        new_code, old_code = self.codes(labels, new), self.codes(labels, old)
        return np.asarray((new_code * len(self.distinct) + old_code) * 2 + (new != old), dtype=np.int64)

    def parts(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return, per cell, the new model's score, the old one's, and whether the prediction changed."""
        r = len(self.distinct)
        cell = np.arange(self.cells)
        return self.distinct[cell // (2 * r)], self.distinct[cell // 2 % r], cell % 2 == 1

    def values(
        self, coefficients: tuple[float, float, float], *, only_changed: bool = False, part: float = 1.0
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Return the values that ``c_n * new + c_o * old + c_d * changed`` can take, and their place per cell.

        Parameters
        ----------
        coefficients : tuple of float
        only_changed : bool
            Whether only examples count whose prediction changed.
        part : float
            Share of the unchanged examples that are labelled, in [0, 1]; these stand for the others too. 0: their
            labels change nothing.

        Returns
        -------
        values : ndarray of float64, shape (s,)
            Distinct, ascending.
        places : ndarray of int64, shape (cells + 1,)
            Meaningless for cells that cannot occur; the last is that of an unchanged example without a label.
        """
        new, old, changed = self.parts()
        occurs = changed | (new == old)
        if self.matrix is None:
            occurs &= ~(changed & (new == 1) & (old == 1))
        if only_changed:
            occurs &= changed
        c_n, c_o, c_d = coefficients
        weight = np.where(changed, 1.0, part or 1.0)
        every = np.append(np.round((c_n * new + c_o * old) / weight + c_d * changed, 12), 0.0)
        values = np.unique(every[np.append(occurs, part < 1 and not only_changed)])
        return values, np.minimum(np.searchsorted(values, every), len(values) - 1)


ACCURACY = Scores()
"""1 for a right prediction, 0 for a wrong one."""

__all__ = ["ACCURACY", "Scores"]
