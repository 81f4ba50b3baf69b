"""Models and picks as plain data for their pages."""

from __future__ import annotations

from typing import Any

from easeml.dashboard.journey import spending
from easeml.dashboard.paging import brief, newest, places
from easeml.dashboard.views import AppView, Model, accuracy
from easeml.stream.payloads import ModelPicked, ModelPublished

_SHOWN = 500
_NAMED = 12
"""Trainings that are named; the others are counted."""
_LINES = 8
"""Models that have a line of their own in the chart of beliefs."""
BASELINE, PASSED, FAILED, WAITING, RETIRED = "baseline", "passed", "not passed", "not judged", "retired"

Published = tuple[str, Model, ModelPublished, float]
"""A model with the best accuracy so far."""
Pick = tuple[float, ModelPicked]
"""A pick and when it was made."""


def models(view: AppView, _now: float) -> dict[str, Any]:
    """Return the stream of models, oldest first, with the best so far at each."""
    return _training(view) | {
        "models": _rows(view, _stream(view)[-_SHOWN:]),
        "count": view.model_count,
        "running": sorted(view.trials.running.values()),
    }


def models_page(view: AppView, _now: float, start: int) -> dict[str, Any]:
    """Return a page of the models, the newest first, and the points of the stream's chart."""
    stream = _stream(view)
    shown, where = newest(stream, start)
    drawn = stream[-_SHOWN:]
    running = sorted(view.trials.running.values())
    return _training(view) | {
        "models": _rows(view, shown),
        "all": view.model_count,
        "stream": {
            "models": [name for name, *_ in drawn],
            "accuracy": [brief(accuracy(published)) for _, _, published, _ in drawn],
            "best": [brief(best) for *_, best in drawn],
        },
        "running": running[:_NAMED],
        "training": len(running),
        **where,
    }


def _training(view: AppView) -> dict[str, Any]:
    failures = reversed(view.trials.failures)
    return {
        "failures": [{"at": at, "algorithm": algorithm, "error": error} for at, algorithm, error in failures],
        "target": view.app.target,
    }


def _stream(view: AppView) -> list[Published]:
    found: list[Published] = []
    best = 0.0
    for name, model, published in view.published:
        best = max(best, accuracy(published) or 0.0)
        found.append((name, model, published, best))
    return found


def _rows(view: AppView, shown: list[Published]) -> list[dict[str, Any]]:
    served = view.pick[1].model if view.pick is not None else ""
    return [_row(one) | {"served": one[0] == served} for one in shown]


def _row(one: Published) -> dict[str, Any]:
    name, model, published, best = one
    return {
        "model": name,
        "at": model.recorded,
        "algorithm": published.algorithm,
        "origin": published.origin,
        "accuracy": accuracy(published),
        "metrics": published.metrics,
        "size": published.size,
        "format": published.format,
        "data_version": published.data_version,
        "parents": list(published.parents),
        "verdict": verdict_of(model),
        "retired": model.retired,
        "best": best,
    }


def verdict_of(model: Model) -> str:
    """Return what became of a model, in words."""
    if model.retired is not None:
        return RETIRED
    if model.verdict is None:
        return WAITING
    if not model.verdict.guaranteed:
        return BASELINE
    return PASSED if model.verdict.signal else FAILED


def picker(view: AppView, _now: float) -> dict[str, Any]:
    """Return the picks in their order, and the belief in the models that mattered most at each."""
    picks = _picks(view)
    return _spending(view) | _beliefs(picks, picks) | {"picks": [_pick(one) for one in picks]}


def picker_page(view: AppView, _now: float, start: int) -> dict[str, Any]:
    """Return a page of the picks, the newest first, and the points of the charts."""
    picks = _picks(view)
    shown, where = newest(picks, start)
    # none of the drift alarms may fall between two points
    drawn = [picks[place] for place in sorted({*places(len(picks)), *_drifts(picks)})]
    return _spending(view) | {
        "picks": [_pick(one) for one in shown],
        "last": _pick(picks[-1]) if picks else None,
        "all": picks[-1][1].period if picks else 0,
        "chart": {
            "picks": [pick.period for _, pick in drawn],
            "rows": [pick.rows_seen for _, pick in drawn],
            "labels": [pick.labels_used for _, pick in drawn],
            "drift": _drifts(drawn),
        }
        | _beliefs(picks, drawn),
        **where,
    }


def _picks(view: AppView) -> list[Pick]:
    return [pick for _, pick in sorted(view.picks.items())]


def _drifts(picks: list[Pick]) -> list[int]:
    return [place for place, (_, pick) in enumerate(picks) if pick.drift]


def _beliefs(picks: list[Pick], drawn: list[Pick]) -> dict[str, Any]:
    """Return the belief at the picks drawn in the models that mattered most, and how many others there are."""
    weight: dict[str, float] = {}
    for _, pick in picks:
        for model, belief in pick.posterior.items():
            weight[model] = weight.get(model, 0.0) + belief
        weight[pick.model] = weight.get(pick.model, 0.0) + 1.0
    models = sorted(weight, key=lambda model: (-weight[model], model))[:_LINES]
    return {
        "lines": [
            {"model": model, "belief": [brief(pick.posterior.get(model, 0.0)) for _, pick in drawn]} for model in models
        ],
        "others": max(0, len(weight) - len(models)),
    }


def _pick(one: Pick) -> dict[str, Any]:
    at, pick = one
    return {
        "at": at,
        "period": pick.period,
        "model": pick.model,
        "labels": pick.labels_used,
        "rows": pick.rows_seen,
        "drift": pick.drift,
        "belief": pick.posterior.get(pick.model),
    }


def _spending(view: AppView) -> dict[str, Any]:
    spent, granted = spending(view, "modelpicker")
    return {"spent": spent, "granted": granted, "horizon": view.app.horizon}
