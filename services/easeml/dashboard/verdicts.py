"""Verdicts, test sets and the plan of a condition as plain data for their page."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from typing import Any

from easeml.dashboard.learning import verdict_of
from easeml.dashboard.views import AppView, TestSet
from easeml.definition import plan_of, plan_page
from easeml.errors import EaseMLError
from easeml.stream.payloads import AppDefined, MeterReading, Pillar, VerdictDetail

_SHOWN = 500
_ALARMS = {
    "steps_exhausted": "All its steps are used.",
    "labels_exhausted": "All its labels are used.",
    "first_change": "A model passed, which ends it under this adaptivity.",
    "passes_exhausted": "As many models passed as it may let pass.",
    "condition_changed": "The condition was changed, which needs fresh rows.",
}


def verdicts(view: AppView, *, details: bool) -> dict[str, Any]:
    """Return the history of verdicts and how worn the test set is.

    Parameters
    ----------
    view : AppView
        What is known of the app.
    details : bool
        Tell intervals and labels: for the owner of the test set alone, whose models nobody fits to them.
    """
    judged = [(name, model) for name, model, _ in view.published if model.verdict is not None]
    judged.sort(key=lambda one: one[1].judged)
    rows = []
    for name, model in judged[-_SHOWN:]:
        assert model.verdict is not None
        row = {
            "model": name,
            "at": model.judged,
            "verdict": verdict_of(model),
            "signal": model.verdict.signal,
            "baseline": model.verdict.baseline,
        }
        rows.append(row | (_detail(model.detail) if details else {}))
    needed = view.waits_for_test_rows()
    return {
        "condition": view.app.condition,
        "reliability": view.app.reliability,
        "mode": view.app.mode,
        "adaptivity": view.app.adaptivity,
        "verdicts": rows,
        "waiting": sum(model.verdict is None and model.retired is None for _, model, _ in view.published),
        "test_rows": view.rows.get(Pillar.TEST, 0),
        "needed": None if needed is None else {"examples": needed.examples, "reason": needed.reason},
        "testsets": [_testset(view, epoch, one, details=details) for epoch, one in sorted(view.testsets.items())[-20:]],
        "details": details,
    }


def _detail(detail: VerdictDetail | None) -> dict[str, Any]:
    if detail is None:
        return {}
    ends = [float(end) for end in detail.intervals]
    names = ("new", "old", "differ")[: len(ends) // 2]
    return {
        "outcome": detail.outcome.value,
        "condition": detail.condition,
        "epoch": detail.epoch,
        "labels_used": detail.labels_used,
        "labels_reused": detail.labels_reused,
        "histories_left": detail.histories_left,
        "alarm": _ALARMS.get(detail.alarm or "", detail.alarm or ""),
        "intervals": {name: ends[2 * place : 2 * place + 2] for place, name in enumerate(names)},
        "clauses": [
            {"clause": one.clause, "truth": one.truth, "interval": [one.low, one.high]} for one in detail.clauses
        ],
    }


def _testset(view: AppView, epoch: int, one: TestSet, *, details: bool) -> dict[str, Any]:
    opened = one.opened
    judged = [model.detail for model in view.models.values() if model.detail is not None]
    here = [detail for detail in judged if detail.epoch == epoch]
    told = {
        "epoch": epoch,
        "since": one.since,
        "examples": None if opened is None else opened.examples,
        "planned": None if opened is None else opened.planned,
        "steps": None if opened is None else opened.steps,
        "worn": None if one.exhausted is None else _ALARMS.get(one.exhausted.reason, one.exhausted.reason),
        # no more than the verdicts and the meter themselves tell everybody
        "used_steps": len(here),
        "passed": sum(detail.signal for detail in here),
        "passes": view.app.passes,
        "readings": [_reading(one.readings[step]) for step in sorted(one.readings)],
    }
    if details:
        told["labels"] = sum(detail.labels_used for detail in here)
    return told


def _reading(shown: MeterReading) -> dict[str, Any]:
    """Return what the meter showed after a step; its ranges grow with the level, and the last ends at 1."""
    names = ("step", "model", "level", "low", "high", "at_most")
    return {name: getattr(shown, name) for name in names}


@lru_cache(maxsize=64)
def plan(app: AppDefined) -> dict[str, Any]:
    """Return what the condition costs, with a page in plain words; what is wrong with it where it cannot be planned."""
    try:
        found, page = plan_of(app), plan_page(app)
    except EaseMLError as error:
        return {"error": f"{error.message} {error.mend}"}
    return {
        "labels_worst": found.labels_worst,
        "labels_expected": found.labels_expected,
        "reference": found.reference,
        "rows": found.unlabelled,
        "method": found.method,
        "steps": app.steps,
        "page": [asdict(answer) for answer in page],
    }
