"""A report in plain words: the same in a terminal, on a page and in an event."""

from __future__ import annotations

from easeml.snoopy.report import FeasibilityReport
from easeml.stream.payloads import FeasibilitySignal

WARNING = (
    "This is a best-effort belief from nearest neighbours, not a guaranteed bound: a clever model can do better, and "
    "with many weak columns the best possible accuracy is usually higher than told here."
)
_DUPLICATES = 0.8
_FAR = 10
"""A curve is not believed beyond this many times its rows."""


def percent(share: float) -> str:
    """Return a share for people.

    >>> percent(0.8547), percent(1.0)
    ('85.5 %', '100.0 %')
    """
    return f"{100 * share:.1f} %"


def _rounded(rows: int) -> int:
    """Return two digits of a number of rows: an extrapolation knows no more."""
    return round(rows, 2 - len(str(rows)))


def headline(report: FeasibilityReport) -> str:
    """Return the signal as one sentence."""
    target = percent(report.target_accuracy)
    low, high = report.bayes_error.interval
    about = (
        f"the best possible model gets about {percent(1 - report.bayes_error.lower)} right "
        f"(90 % interval {percent(1 - high)} to {percent(1 - low)})"
    )
    if report.signal is FeasibilitySignal.REALISTIC:
        allowed = 1 - report.target_accuracy
        if report.model_error is not None and report.model_error <= allowed <= high:
            return f"The target of {target} is within reach: a model gets {percent(1 - report.model_error)} right."
        return f"The target of {target} looks within reach: {about}."
    if report.signal is FeasibilitySignal.UNREALISTIC:
        return f"The target of {target} looks out of reach with this data: {about}."
    if not len(report.best.rows):
        return f"Whether {target} can be reached is not known yet: no row has been read."
    if not report.final:
        return f"Whether {target} can be reached is still being read: so far {about}."
    return f"Whether {target} can be reached is open: {about}, too close to call."


def meaning(report: FeasibilityReport) -> list[str]:
    """Return what follows from the report, one sentence each."""
    found = [_next_step(report)]
    if report.distinct_row_ratio < _DUPLICATES:
        found.append(
            f"Only {percent(report.distinct_row_ratio)} of the rows are distinct: what is told rests on fewer rows "
            "than it seems, and equal rows with different labels cannot be told apart."
        )
    if report.noise_rate is not None and report.clean_bayes_error is not None:
        clean = percent(1 - report.clean_bayes_error)
        found.append(f"{percent(report.noise_rate)} of the labels are drawn at random; clean ones would allow {clean}.")
        if report.labels_to_clean is None:
            found.append("Cleaning labels alone does not reach the target.")
        elif report.labels_to_clean:
            found.append(f"About {report.labels_to_clean:,} rows, at random, would have to get their right label.")
    return found


def _next_step(report: FeasibilityReport) -> str:
    best = percent(1 - report.floor)
    if report.signal is FeasibilitySignal.REALISTIC:
        return "Next: train models; the data does not stand in the way."
    if not report.final:
        return "Next: wait until every arm has read its rows."
    needed = report.samples_needed
    if needed is not None and report.rows < needed <= _FAR * report.rows:
        return (
            f"Next: more rows. The curve still rises and would reach the target at about {_rounded(needed):,} rows; "
            f"there are {report.rows:,}."
        )
    if report.signal is FeasibilitySignal.UNREALISTIC:
        more = (
            f"More rows of this kind would not do: the curve ends at about {best}."
            if needed is None
            else f"More rows of this kind alone would hardly do: it would take about {_rounded(needed):,}."
        )
        return f"Next: clean cells and labels, add columns that tell more, or relax the target. {more}"
    return "Next: train a model to see, or label some more rows to decide."
