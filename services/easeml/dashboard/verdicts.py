"""Verdicts, test sets and the plan of a condition as plain data for their page."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from easeml.dashboard.learning import verdict_of
from easeml.dashboard.views import AppView, TestSet
from easeml.definition import plan_of
from easeml.errors import EaseMLError
from easeml.stream.payloads import AppDefined, Pillar, VerdictDetail

_SHOWN = 500
_ALARMS = {
    "steps_exhausted": "All its steps are used.",
    "labels_exhausted": "All its labels are used.",
    "first_change": "A model passed, which ends it under this adaptivity.",
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
    }


def _testset(view: AppView, epoch: int, one: TestSet, *, details: bool) -> dict[str, Any]:
    opened = one.opened
    told = {
        "epoch": epoch,
        "since": one.since,
        "examples": None if opened is None else opened.examples,
        "planned": None if opened is None else opened.planned,
        "steps": None if opened is None else opened.steps,
        "worn": None if one.exhausted is None else _ALARMS.get(one.exhausted.reason, one.exhausted.reason),
    }
    if details:
        judged = [model.detail for model in view.models.values() if model.detail is not None]
        here = [detail for detail in judged if detail.epoch == epoch]
        told |= {"labels": sum(detail.labels_used for detail in here), "used_steps": len(here)}
    return told


@lru_cache(maxsize=64)
def plan(app: AppDefined) -> dict[str, Any]:
    """Return what the condition costs; what is wrong with it where it cannot be planned."""
    try:
        found = plan_of(app)
    except EaseMLError as error:
        return {"error": f"{error.message} {error.mend}"}
    return {
        "labels_worst": found.labels_worst,
        "labels_expected": found.labels_expected,
        "reference": found.reference,
        "rows": found.unlabelled,
        "method": found.method,
        "steps": app.steps,
    }
