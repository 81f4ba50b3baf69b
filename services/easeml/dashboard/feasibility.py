"""The feasibility study as plain data for its page."""

from __future__ import annotations

from typing import Any

import numpy as np

from easeml.dashboard.paging import brief, places
from easeml.dashboard.views import AppView
from easeml.stream.payloads import FeasibilityReport

_DRAWN = 6
"""Transformations whose curves are drawn."""


def feasibility(view: AppView, _now: float) -> dict[str, Any]:
    """Return the newest study: its answer, its figures, and a curve per transformation."""
    if view.feasibility is None:
        return {"study": None, "values": _learning(view)}
    report = view.feasibility[1]
    return {
        "study": {
            "final": report.final,
            "signal": report.signal.value,
            "target": report.target_accuracy,
            "rows": report.rows,
            "version": report.version,
            "best": 1 - report.bayes_error,
            "best_low": 1 - report.interval_high,
            "best_high": 1 - report.interval_low,
            "reached": 1 - report.bayes_error_upper,
            "best_transformation": report.best_transformation,
            "distinct": report.distinct_row_ratio,
            "ceiling": None if report.floor is None else 1 - report.floor,
            "samples_needed": report.samples_needed,
            "clean_best": None if report.clean_bayes_error is None else 1 - report.clean_bayes_error,
            "labels_to_clean": report.labels_to_clean,
            "model": None if report.model_error is None else 1 - report.model_error,
            "curves": curves(report),
        },
        "values": _learning(view),
    }


def curves(report: FeasibilityReport) -> list[dict[str, Any]]:
    """Return state and accuracy of every transformation, the best one first, and the curves of the first few."""
    best, found = report.best_transformation, []
    order = sorted(enumerate(report.arms), key=lambda one: (one[1].transformation != best, -_rank(1 - one[1].error)))
    room = _DRAWN
    for place, arm in order:
        points = np.flatnonzero(report.curve_arm == place) if room else np.empty(0, np.int64)
        room -= bool(len(points))
        points = points[places(len(points))]
        found.append(
            {
                "transformation": arm.transformation,
                "state": arm.state.value,
                "share": arm.share,
                "accuracy": 1 - arm.error,
                "rows": report.curve_rows[points].tolist(),
                "accuracies": [brief(value) for value in (1 - report.curve_error[points]).tolist()],
            }
        )
    return found


def _rank(value: float) -> float:
    return value if np.isfinite(value) else -1.0


def _learning(view: AppView) -> dict[str, Any] | None:
    """Return how accuracy is expected to grow with labelled rows, as Market sees it."""
    if view.values is None or not view.values[1].final:
        return None
    report = view.values[1]
    points = places(len(report.curve_rows))
    accuracies = [brief(value) for value in report.curve_accuracy[points].tolist()]
    return {"rows": report.curve_rows[points].tolist(), "accuracies": accuracies, "now": report.rows}
