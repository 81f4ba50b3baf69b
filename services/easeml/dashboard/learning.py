"""Models and picks as plain data for their pages."""

from __future__ import annotations

from typing import Any

from easeml.dashboard.journey import spending
from easeml.dashboard.views import AppView, Model, accuracy
from easeml.stream.payloads import ModelPublished

_SHOWN = 500
_LINES = 8
"""Models that have a line of their own in the chart of beliefs."""
BASELINE, PASSED, FAILED, WAITING, RETIRED = "baseline", "passed", "not passed", "not judged", "retired"


def models(view: AppView, _now: float) -> dict[str, Any]:
    """Return the stream of models, oldest first, with the best so far at each."""
    served = view.pick[1].model if view.pick is not None else ""
    rows: list[dict[str, Any]] = []
    best = 0.0
    for name, model, published in view.published:
        quality = accuracy(published)
        best = max(best, quality or 0.0)
        rows.append(_row(name, model, published) | {"best": best, "served": name == served})
    return {
        "models": rows[-_SHOWN:],
        "count": len(rows),
        "running": sorted(view.trials.running.values()),
        "failures": [
            {"at": at, "algorithm": algorithm, "error": error}
            for at, algorithm, error in reversed(view.trials.failures)
        ],
        "target": view.app.target,
    }


def _row(name: str, model: Model, published: ModelPublished) -> dict[str, Any]:
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
    picks = [(at, pick) for _, (at, pick) in sorted(view.picks.items())]
    weight: dict[str, float] = {}
    for _, pick in picks:
        for model, belief in pick.posterior.items():
            weight[model] = weight.get(model, 0.0) + belief
        weight[pick.model] = weight.get(pick.model, 0.0) + 1.0
    lines = sorted(weight, key=lambda model: (-weight[model], model))[:_LINES]
    spent, granted = spending(view, "modelpicker")
    return {
        "picks": [
            {
                "at": at,
                "period": pick.period,
                "model": pick.model,
                "labels": pick.labels_used,
                "rows": pick.rows_seen,
                "drift": pick.drift,
                "belief": pick.posterior.get(pick.model),
            }
            for at, pick in picks
        ],
        "lines": [{"model": model, "belief": [pick.posterior.get(model, 0.0) for _, pick in picks]} for model in lines],
        "others": max(0, len(weight) - len(lines)),
        "spent": spent,
        "granted": granted,
        "horizon": view.app.horizon,
    }
