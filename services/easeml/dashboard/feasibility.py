"""The feasibility study as plain data for its page."""

from __future__ import annotations

from typing import Any

import numpy as np

from easeml.dashboard.views import AppView
from easeml.stream.payloads import FeasibilityReport

_POINTS = 200
"""Points of a curve that are shown."""


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
    """Return state and accuracy curve of every transformation, the best one first."""
    found = []
    for place, arm in enumerate(report.arms):
        points = np.flatnonzero(report.curve_arm == place)
        if len(points) > _POINTS:
            points = points[np.linspace(0, len(points) - 1, _POINTS).astype(np.int64)]
        found.append(
            {
                "transformation": arm.transformation,
                "state": arm.state.value,
                "share": arm.share,
                "accuracy": 1 - arm.error,
                "rows": report.curve_rows[points].tolist(),
                "accuracies": (1 - report.curve_error[points]).tolist(),
            }
        )
    return sorted(found, key=lambda arm: (arm["transformation"] != report.best_transformation, -_rank(arm["accuracy"])))


def _rank(value: float) -> float:
    return value if np.isfinite(value) else -1.0


def _learning(view: AppView) -> dict[str, Any] | None:
    """Return how accuracy is expected to grow with labelled rows, as Market sees it."""
    if view.values is None or not view.values[1].final:
        return None
    report = view.values[1]
    return {"rows": report.curve_rows.tolist(), "accuracies": report.curve_accuracy.tolist(), "now": report.rows}
