"""What a feasibility study says: the signal, the estimate and how it came about."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from easeml.errors import InvalidDataError
from easeml.stream.payloads import ArmState, FeasibilitySignal


@dataclass(frozen=True, slots=True)
class BayesError:
    """What the best possible model gets wrong, as a share.

    Parameters
    ----------
    lower : float
        The estimate: the Cover-Hart bound of the smallest error of all arms.
    upper : float
        Error of the best arm's neighbours, or of the best model if that is less.
    interval : (float, float)
        90 % interval of the estimate.
    """

    lower: float
    upper: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class ArmReport:
    """One arm.

    Parameters
    ----------
    transformation : str
        Its name.
    state : ArmState
    share : float
        Share of the points read, 0 to 1.
    rows : int64[m]
        Rows read, rising.
    error : float64[m]
        Error at each: the mean of ``nearest`` and ``soft``.
    nearest, soft : float64[m]
        Leave-one-out error of the nearest neighbour, and mean disagreement with the three nearest.
    estimate : float64[m]
        Cover-Hart bound of ``error``.
    """

    transformation: str
    state: ArmState
    share: float
    rows: npt.NDArray[np.int64]
    error: npt.NDArray[np.float64]
    nearest: npt.NDArray[np.float64]
    soft: npt.NDArray[np.float64]
    estimate: npt.NDArray[np.float64]

    @property
    def last(self) -> float:
        """Estimate of the Bayes error after the last row read; 1 when none is."""
        return float(self.estimate[-1]) if len(self.estimate) else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class FeasibilityReport:
    """A feasibility study at one moment. It is a best-effort belief, never a guaranteed bound.

    Parameters
    ----------
    signal : FeasibilitySignal
    target_accuracy : float
    rows, classes : int
        Labelled rows, classes.
    bayes_error : BayesError
    best_transformation : str
    arms : tuple of ArmReport
        The best first, then those that have left, in the order of their estimates.
    floor : float
        What the estimate falls to with ever more rows.
    samples_needed : int, optional
        Rows with which the estimate reaches the target; None: never. At most ``rows`` when it is reached already.
    noise_rate : float, optional
        Share of labels drawn anew that was told.
    clean_bayes_error : float, optional
        Estimate for clean labels, when ``noise_rate`` was told.
    labels_to_clean : int, optional
        Rows to clean at random until the target is reached, when ``noise_rate`` was told; None: that cannot reach it.
    distinct_row_ratio : float
        Distinct rows per row.
    model_error : float, optional
        Error of the best model so far, when one was told.
    final : bool
        Whether every arm has read all rows or has left.
    """

    signal: FeasibilitySignal
    target_accuracy: float
    rows: int
    classes: int
    bayes_error: BayesError
    best_transformation: str
    arms: tuple[ArmReport, ...]
    floor: float
    samples_needed: int | None
    noise_rate: float | None
    clean_bayes_error: float | None
    labels_to_clean: int | None
    distinct_row_ratio: float
    model_error: float | None
    final: bool

    @property
    def best(self) -> ArmReport:
        """The arm that the estimate comes from."""
        return next(arm for arm in self.arms if arm.transformation == self.best_transformation)

    def facts(self) -> dict[str, Any]:
        """Return everything, for programs: values that JSON knows."""
        found = asdict(self)
        found["signal"] = str(self.signal)
        for arm in found["arms"]:
            arm["state"] = str(arm["state"])
            for name in ("rows", "error", "nearest", "soft", "estimate"):
                arm[name] = arm[name].tolist()
        return found

    def text(self, *, width: int = 100) -> str:
        """Return the report as plain text for a terminal of ``width`` characters."""
        from easeml.snoopy.rendering import text_of  # noqa: PLC0415 - only those who look need it

        return text_of(self, width=width)

    def html(self) -> str:
        """Return the report as one HTML element that needs nothing else."""
        from easeml.snoopy.rendering import html_of  # noqa: PLC0415 - only those who look need it

        return html_of(self)

    def _repr_html_(self) -> str:
        return self.html()


def check_target(target_accuracy: float) -> float:
    """Return a target accuracy, checked.

    Raises
    ------
    InvalidDataError
        When it is not between 0 and 1.
    """
    if not 0 < target_accuracy < 1:
        raise InvalidDataError(
            f"A target accuracy of {target_accuracy} is not possible.", mend="Give one between 0 and 1, e.g. 0.9."
        )
    return float(target_accuracy)


def signal_of(
    interval: tuple[float, float], target_accuracy: float, model_error: float | None, *, final: bool
) -> FeasibilitySignal:
    """Return the signal: one good arm is enough for REALISTIC, all must have failed for UNREALISTIC.

    Parameters
    ----------
    interval : (float, float)
        Interval of the estimate.
    model_error : float, optional
        Error of the best model; one that reaches the target has shown that it can be reached.
    final : bool
        Whether no arm reads any more.
    """
    allowed = 1 - target_accuracy
    if interval[1] < allowed or (model_error is not None and model_error <= allowed):
        return FeasibilitySignal.REALISTIC
    return FeasibilitySignal.UNREALISTIC if final and interval[0] > allowed else FeasibilitySignal.UNDECIDED
