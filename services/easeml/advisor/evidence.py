"""What the advisor knows when it advises: one frozen record, whatever it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from easeml.advisor.adaptation import Adapted, Shift
from easeml.advisor.curve import Curve
from easeml.advisor.damage import LabelNoise, MissingCells
from easeml.advisor.estimate import Estimate
from easeml.advisor.learning import Floats
from easeml.advisor.slices import Slice
from easeml.stream.payloads import FeasibilitySignal


@dataclass(frozen=True, slots=True)
class Feasibility:
    """Figures of the feasibility study.

    Parameters
    ----------
    signal : FeasibilitySignal
        Whether the target can be reached.
    bayes_error : Estimate
        Of the best classifier there could be.
    upper : float
        Error of the nearest neighbour under the best transformation.
    final : bool
        Whether all transformations have seen all rows.
    """

    signal: FeasibilitySignal
    bayes_error: Estimate
    upper: float
    final: bool = True


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What certain predictions say of uncertain cells, by the vote of nearest neighbours.

    Parameters
    ----------
    certain : float
        Share of validation rows whose prediction no uncertain cell can change.
    expected : float
        Validation accuracy as the cells are.
    reachable : float
        What it can become.
    """

    certain: float
    expected: float
    reachable: float


@dataclass(frozen=True, slots=True)
class Values:
    """What the training rows and the pool are worth, by the vote of nearest neighbours.

    Parameters
    ----------
    harmful : int
        Training rows of negative value.
    harm : float
        Value of all of them together, in accuracy.
    pool_rows : tuple of str
        Pool rows worth labelling, best first.
    curve_rows, curve_accuracy : ndarray of float64, shape (c,)
        Numbers of labelled rows, ascending, and the accuracy expected of each.
    """

    harmful: int
    harm: float
    pool_rows: tuple[str, ...]
    curve_rows: Floats
    curve_accuracy: Floats

    def gain(self, rows: int, more: int) -> float:
        """Return the accuracy that ``more`` rows are expected to add to ``rows``; NaN: the curve does not tell."""
        if not len(self.curve_rows) or rows + more > self.curve_rows[-1]:
            return math.nan
        then, now = np.interp([rows + more, rows], self.curve_rows, self.curve_accuracy)
        return float(then - now)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How CI has judged.

    Parameters
    ----------
    passed, failed : int
        Models so far.
    exhausted : bool
        Whether the test set is used up.
    examples_needed : int
        Rows of the test set that comes next.
    """

    passed: int = 0
    failed: int = 0
    exhausted: bool = False
    examples_needed: int = 0


@dataclass(frozen=True)
class BrokenSlice:
    """A slice where the model fails although rows like these can be learnt.

    Parameters
    ----------
    found : Slice
        The slice, over the rows with known labels that judged the model.
    train_rows : ndarray of int64, shape (k,)
        Training rows in it.
    stale : bool
        Whether there are about as many as there should be: then their labels are to blame, else their absence.
    gain : Estimate
        Accuracy over all rows gained when it is mended.
    """

    found: Slice
    train_rows: NDArray[np.int64]
    stale: bool
    gain: Estimate


@dataclass(frozen=True)
class Production:
    """What production shows.

    Parameters
    ----------
    rows, answered, mistakes : int
        Rows, those with an answer, and those of them that the model had wrong.
    accuracy : Estimate
        Over all rows.
    shift : Shift
        What has changed since training.
    uncovered : ndarray of int64, shape (k,)
        Production rows far from every training row.
    concept : Estimate
        Error beyond what the shift of the features explains.
    adapted : tuple of Adapted
        Adapted models worth a step of CI.
    """

    rows: int
    answered: int
    mistakes: int
    accuracy: Estimate
    shift: Shift
    uncovered: NDArray[np.int64]
    concept: Estimate
    adapted: tuple[Adapted, ...]


@dataclass(frozen=True)
class Evidence:
    """Everything that advice rests on.

    Parameters
    ----------
    target : float
        Accuracy that the user wants.
    accuracy : Estimate
        Of the present model on validation rows, or on answered production rows.
    rows : int
        Training rows.
    pool : int
        Unlabelled rows that the user has.
    noise, missing, curve, slices, production, feasibility, cleaning, values, verdicts
        What was looked at; None: not looked at, or nothing found.
    """

    target: float
    accuracy: Estimate
    rows: int
    pool: int = 0
    noise: LabelNoise | None = None
    missing: MissingCells | None = None
    curve: Curve | None = None
    slices: tuple[BrokenSlice, ...] = ()
    production: Production | None = None
    feasibility: Feasibility | None = None
    cleaning: Cleaning | None = None
    values: Values | None = None
    verdicts: Verdicts | None = None
