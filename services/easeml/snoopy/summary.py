"""From what arms measured to a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from easeml.errors import InvalidDataError
from easeml.snoopy import bounds
from easeml.snoopy.arm import Arm
from easeml.snoopy.curves import fit_power_law
from easeml.snoopy.report import ArmReport, BayesError, FeasibilityReport, signal_of
from easeml.stream.payloads import ArmState


def arm_report(name: str, arm: Arm | None, state: ArmState, points: int, classes: int) -> ArmReport:
    """Return what one arm has found; ``points`` are those that it could read."""
    curve = arm.curve if arm is not None else np.empty((0, 3))
    error = curve[:, 1:].mean(axis=1)
    share = arm.read / points if arm is not None else 0.0
    return ArmReport(
        name,
        state,
        share,
        curve[:, 0].astype(np.int64),
        error,
        curve[:, 1].copy(),
        curve[:, 2].copy(),
        bounds.bayes_error(error, classes),
    )


def summary(
    arms: Sequence[ArmReport],
    target_accuracy: float,
    *,
    rows: int,
    points: int,
    classes: int,
    noise_rate: float | None,
    model_error: float | None,
) -> FeasibilityReport:
    """Return the report of arms; the estimate is the smallest of those that have not left.

    Raises
    ------
    InvalidDataError
        When ``noise_rate`` is not in [0, 1) or ``model_error`` not in [0, 1].
    """
    if model_error is not None and not 0 <= model_error <= 1:
        raise InvalidDataError(f"A model error of {model_error} is not possible.", mend="Give a share from 0 to 1.")
    left = {ArmState.DROPPED: 1, ArmState.WAITING: 2}
    ordered = sorted(arms, key=lambda arm: (left.get(arm.state, 0), arm.last))
    best = ordered[0]
    final = all(arm.state in (ArmState.DONE, ArmState.DROPPED) for arm in arms)
    read = int(best.rows[-1]) if len(best.rows) else 0
    error = float(best.error[-1]) if len(best.error) else 1 - 1 / classes
    interval = bounds.interval(error, read, classes)
    lower = float(bounds.bayes_error(error, classes))
    upper = error if model_error is None else min(error, model_error)
    law = fit_power_law(best.rows, best.error)
    wanted = bounds.neighbour_error(1 - target_accuracy, classes)
    return FeasibilityReport(
        signal=signal_of(interval, target_accuracy, model_error, final=final),
        target_accuracy=target_accuracy,
        rows=rows,
        classes=classes,
        bayes_error=BayesError(min(lower, upper), upper, interval),
        best_transformation=best.transformation,
        arms=tuple(ordered),
        floor=float(bounds.bayes_error(law.floor, classes)),
        samples_needed=_samples(law.rows_for(wanted), lower, read, target_accuracy),
        noise_rate=noise_rate,
        clean_bayes_error=None if noise_rate is None else bounds.clean_error(lower, noise_rate, classes),
        labels_to_clean=None
        if noise_rate is None
        else bounds.labels_to_clean(lower, noise_rate, 1 - target_accuracy, rows, classes),
        distinct_row_ratio=points / rows,
        model_error=model_error,
        final=final,
    )


def _samples(needed: int | None, lower: float, read: int, target_accuracy: float) -> int | None:
    """Return the rows that a target takes; a curve that has reached it is believed more than the law fitted to it."""
    if lower <= 1 - target_accuracy:
        return min(needed, read) if needed is not None else read
    return None if needed is None else max(needed, read + 1)
