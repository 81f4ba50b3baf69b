"""What other services report: kept as figures, compared with those of the last advice, read as evidence."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from easeml.advisor.estimate import Estimate
from easeml.advisor.evidence import Cleaning, Feasibility, Values
from easeml.stream.payloads import CleaningReport, FeasibilityReport, FeasibilitySignal, ValuesReport

Report: TypeAlias = FeasibilityReport | CleaningReport | ValuesReport
Figures: TypeAlias = dict[str, Any]
"""What is kept of a report; survives JSON."""

LESS = 0.01
"""Accuracy by which a report must differ from the one advised on to be advised on again."""
GROWN = 1.1
"""Rows likewise, as a multiple."""


def name_of(report: Report) -> str:
    """Return the word under which a report is kept.

    >>> from easeml.stream.payloads import ValuesReport
    >>> name_of(ValuesReport("churn", "v1", final=True, begun_at=0.0, rows=10, pool_rows=5))
    'values'
    """
    if isinstance(report, FeasibilityReport):
        return "feasibility"
    return "cleaning" if isinstance(report, CleaningReport) else "values"


def figures_of(report: Report) -> Figures | None:
    """Return what is kept of a report; None: it says nothing yet."""
    if not report.final:
        return None
    if isinstance(report, FeasibilityReport):
        return {
            "signal": report.signal.value,
            "target": report.target_accuracy,
            "rows": report.rows,
            "bayes_error": report.bayes_error,
            "interval": [report.interval_low, report.interval_high],
            "upper": report.bayes_error_upper,
            "model_error": 1.0 if report.model_error is None else report.model_error,
        }
    if isinstance(report, CleaningReport):
        if not report.validation_rows or report.expected is None:
            return None
        return {
            "rows": report.rows,
            "certain": report.certain / report.validation_rows,
            "expected": report.expected,
            "reachable": report.expected if report.potential is None else report.potential,
        }
    return {
        "rows": report.rows + report.pool_rows,
        "harmful": len(report.harmful_rows),
        "harm": report.harm,
        "pool_rows": list(report.valuable_rows),
        "curve": [report.curve_rows.tolist(), report.curve_accuracy.tolist()],
    }


_TELLING = ("signal", "target", "bayes_error", "model_error", "certain", "expected", "reachable", "harm")
"""Figures whose change is worth new advice."""


def alike(before: Figures | None, now: Figures) -> bool:
    """Whether advice that knew ``before`` need not be given again for ``now``."""
    if before is None or now["rows"] >= GROWN * before["rows"]:
        return False
    for name in _TELLING:
        one, other = before.get(name), now.get(name)
        near = isinstance(one, float) and isinstance(other, float) and abs(one - other) < LESS
        if one != other and (name == "target" or not near):
            return False
    return True


def feasibility_of(figures: Figures) -> Feasibility:
    """Return the evidence of a feasibility report."""
    estimate = Estimate(figures["bayes_error"], *figures["interval"])
    return Feasibility(FeasibilitySignal(figures["signal"]), estimate, figures["upper"])


def cleaning_of(figures: Figures) -> Cleaning:
    """Return the evidence of a cleaning report."""
    return Cleaning(figures["certain"], figures["expected"], figures["reachable"])


def values_of(figures: Figures) -> Values:
    """Return the evidence of a report of values."""
    rows, accuracy = (np.array(part, np.float64) for part in figures["curve"])
    return Values(figures["harmful"], figures["harm"], tuple(figures["pool_rows"]), rows, accuracy)
