"""Verdicts, test sets and the plan of a condition as plain data for their page."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from easeml.cli.story import in_words
from easeml.dashboard.learning import verdict_of
from easeml.dashboard.paging import brief, newest
from easeml.dashboard.views import AppView, Model, TestSet
from easeml.definition import plan_of, plan_page
from easeml.errors import EaseMLError
from easeml.stream.payloads import AppDefined, MeterReading, Pillar, VerdictDetail

_SHOWN = 500
_EPOCHS, _READINGS = 4, 9


def verdicts(view: AppView, *, details: bool) -> dict[str, Any]:
    """Return the history of verdicts and how worn the test set is.

    Parameters
    ----------
    view : AppView
        What is known of the app.
    details : bool
        Tell intervals and labels: for the owner of the test set alone, whose models nobody fits to them.
    """
    return _standing(view, details=details) | {
        "verdicts": [_row(one, details=details) for one in _judged(view)[-_SHOWN:]],
    }


def verdicts_page(view: AppView, start: int, *, details: bool) -> dict[str, Any]:
    """Return a page of the verdicts, the newest first, and what ``verdicts`` tells beside them."""
    judged = _judged(view)
    shown, where = newest(judged, start)
    count, passed = view.judged
    return _standing(view, details=details) | {
        "verdicts": [_row(one, details=details) for one in shown],
        "all": count,
        "passed": passed,
        "intervals": [_interval(one) for one in judged[-_SHOWN:] if one[1].detail is not None] if details else [],
        **where,
    }


def _judged(view: AppView) -> list[tuple[str, Model]]:
    judged = [(name, model) for name, model, _ in view.published if model.verdict is not None]
    return sorted(judged, key=lambda one: one[1].judged)


def _row(one: tuple[str, Model], *, details: bool) -> dict[str, Any]:
    name, model = one
    assert model.verdict is not None
    row = {
        "model": name,
        "at": model.judged,
        "verdict": verdict_of(model),
        "signal": model.verdict.signal,
        "baseline": model.verdict.baseline,
    }
    return row | (_detail(model.detail) if details else {})


def _standing(view: AppView, *, details: bool) -> dict[str, Any]:
    grouped: dict[int, list[VerdictDetail]] = defaultdict(list)
    for model in view.spoken_of:
        if model.detail is not None:
            grouped[model.detail.epoch].append(model.detail)
    epochs = sorted(view.testsets.items())[-_EPOCHS:]
    return {
        "condition": view.app.condition,
        "reliability": view.app.reliability,
        "mode": view.app.mode,
        "adaptivity": view.app.adaptivity,
        "waiting": sum(model.verdict is None and model.retired is None for _, model, _ in view.published),
        "test_rows": view.rows.get(Pillar.TEST, 0),
        "needed": _needed(view),
        "testsets": [_testset(view, epoch, one, grouped[epoch], details=details) for epoch, one in epochs],
        "details": details,
    }


def _needed(view: AppView) -> dict[str, Any] | None:
    needed = view.waits_for_test_rows()
    if needed is None:
        return None
    epoch, last = view.testset or (0, TestSet())
    worn = last.exhausted and f"Test set {epoch} is used up. {_sentence(last.exhausted.reason)}"
    return {"examples": needed.examples, "reason": worn or in_words(needed.reason)}


def _sentence(reason: str) -> str:
    """Return why a test set is worn out as a sentence."""
    words = in_words(reason)
    return f"{words[0].upper()}{words[1:]}."


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
        "alarm": _sentence(detail.alarm) if detail.alarm else "",
        "intervals": {name: ends[2 * place : 2 * place + 2] for place, name in enumerate(names)},
        "clauses": [
            {"clause": one.clause, "truth": one.truth, "interval": [one.low, one.high]} for one in detail.clauses
        ],
    }


def _interval(one: tuple[str, Model]) -> dict[str, Any]:
    name, model = one
    assert model.detail is not None
    low, high = (*model.detail.intervals[:2].tolist(), None, None)[:2]
    return {"model": name, "signal": model.detail.signal, "low": brief(low), "high": brief(high)}


def _testset(view: AppView, epoch: int, one: TestSet, here: list[VerdictDetail], *, details: bool) -> dict[str, Any]:
    opened = one.opened
    told = {
        "epoch": epoch,
        "since": one.since,
        "examples": None if opened is None else opened.examples,
        "planned": None if opened is None else opened.planned,
        "steps": None if opened is None else opened.steps,
        "worn": None if one.exhausted is None else _sentence(one.exhausted.reason),
        # no more than the verdicts and the meter themselves tell everybody
        "used_steps": len(here),
        "passed": sum(detail.signal for detail in here),
        "passes": view.app.passes,
        "readings": [_reading(one.readings[step]) for step in sorted(one.readings)[-_READINGS:]],
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
