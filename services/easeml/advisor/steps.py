"""What can be advised: one step with what it should gain, what it costs, and what that rests on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from easeml.advisor.estimate import NOTHING_GAINED, Estimate
from easeml.stream.payloads import AdviceAction


@dataclass(frozen=True, slots=True)
class Costs:
    """What human work costs, in minutes.

    Parameters
    ----------
    label : float
        One label.
    cell : float
        One true cell.
    row : float
        One new row with its label.
    start : float
        Beginning any step.
    compute : float
        Machine time of a step that nobody has to work for.
    """

    label: float = 0.5
    cell: float = 0.25
    row: float = 2.0
    start: float = 5.0
    compute: float = 2.0


def _no_rows() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Step:
    """One next step.

    Parameters
    ----------
    action : AdviceAction
        What to do.
    title, reason : str
        In plain words, for somebody who knows no machine learning.
    gain : Estimate
        Accuracy gained, in [-1, 1].
    cost_labels : int
        Labels or cells that people give.
    cost_minutes : float
        Work and machine time.
    columns : tuple of str
        Columns concerned.
    rows : ndarray of int64, shape (k,)
        Positions of the rows concerned in ``pillar``, most urgent first.
    pillar : str
        ``train``, ``pool`` for rows to label, or ``production`` for rows like which more are wanted.
    target : float or None
        The target to set instead, for RELAX_TARGET.
    condition : str
        The slice concerned, "" for all rows.
    count : int
        Rows to collect, label or put aside, 0 where it does not apply.
    evidence : tuple of (str, float)
        Figures that the step rests on.
    """

    action: AdviceAction
    title: str
    reason: str
    gain: Estimate = NOTHING_GAINED
    cost_labels: int = 0
    cost_minutes: float = 0.0
    columns: tuple[str, ...] = ()
    rows: NDArray[np.int64] = field(default_factory=_no_rows)
    pillar: str = "train"
    target: float | None = None
    condition: str = ""
    count: int = 0
    evidence: tuple[tuple[str, float], ...] = ()

    @property
    def worth(self) -> float:
        """Accuracy gained per minute."""
        return self.gain.value / max(self.cost_minutes, 1e-9)
