"""The eight steps of an app: where each stands, in plain words, and what is advised next."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from easeml.dashboard.views import AppView, accuracy
from easeml.labels.budgets import budget_of, raising
from easeml.pausing import is_paused
from easeml.stream.payloads import AdviceAction, AdviceStep, FeasibilitySignal, Pillar

WAITING, WORKING, ATTENTION, DONE = "waiting", "working", "attention", "done"
_IDLE = frozenset({AdviceAction.NOTHING, AdviceAction.WAIT})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one step stands.

    Parameters
    ----------
    state : str
        waiting (for something before it), working, attention (a person has to do something) or done.
    headline : str
        One sentence.
    facts : list of (str, str)
        Name and value of what is known.
    do : str
        What a person has to do, as a command or a sentence; empty: nothing.
    """

    state: str
    headline: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    do: str = ""


def journey(view: AppView, now: float) -> dict[str, Any]:
    """Return the steps of an app and the advice about it, as plain data.

    Parameters
    ----------
    view : AppView
        What is known of the app.
    now : float
        Seconds since 1970 UTC; questions that have expired by then do not count.
    """
    steps = []
    for name, title, page, stand in _STEPS:
        standing = stand(view, now)
        steps.append({"id": name, "title": title, "page": page} | asdict(standing))
    app = view.app
    return {
        "app": app.app,
        "label": app.label,
        "classes": list(app.classes[:50]),
        "class_count": len(app.classes),
        "target": app.target,
        "condition": app.condition,
        "paused": is_paused(app),
        "steps": steps,
        "advice": _advice(view),
    }


def _advice(view: AppView) -> list[dict[str, Any]]:
    return [] if view.advice is None else [_advised(step) for step in view.advice[1].steps[:5]]


def _advised(step: AdviceStep) -> dict[str, Any]:
    return {
        "action": step.action.value,
        "idle": step.action in _IDLE,
        "title": step.title,
        "reason": step.reason,
        "gain": step.gain,
        "gain_low": step.gain_low,
        "gain_high": step.gain_high,
        "cost_labels": step.cost_labels,
        "cost_minutes": step.cost_minutes,
    }


def _data(view: AppView, _now: float) -> Standing:
    rows = view.rows
    if not rows:
        return Standing(WAITING, "No rows yet.", do=f"easeml publish {view.app.app} FILE")
    facts = [(pillar.value, f"{count:,} rows") for pillar, count in rows.items()]
    total = sum(rows.values())
    missing = [pillar.value for pillar in (Pillar.TRAIN, Pillar.VALIDATION, Pillar.TEST) if pillar not in rows]
    if missing:
        words = " and ".join(missing)
        publish = f"easeml publish {view.app.app} FILE --pillar {missing[0]}"
        return Standing(ATTENTION, f"{total:,} rows; {words} rows are missing.", facts, publish)
    return Standing(DONE, f"{total:,} rows in {len(rows)} pillars.", facts)


def _feasibility(view: AppView, _now: float) -> Standing:
    if view.feasibility is None:
        return Standing(WAITING, "Begins with the first training rows.")
    report = view.feasibility[1]
    best, low, high = 1 - report.bayes_error, 1 - report.interval_high, 1 - report.interval_low
    facts = [
        ("target accuracy", f"{report.target_accuracy:.1%}"),
        ("best possible, about", f"{best:.1%} ({low:.1%} to {high:.1%})"),
        ("rows studied", f"{report.rows:,}"),
    ]
    if not report.final:
        done = sum(arm.state.value in {"done", "dropped"} for arm in report.arms)
        return Standing(WORKING, f"{done} of {len(report.arms)} transformations are through.", facts[:1])
    target = f"{report.target_accuracy:.1%}"
    if report.signal is FeasibilitySignal.REALISTIC:
        return Standing(DONE, f"{target} is realistic with these data.", facts)
    if report.signal is FeasibilitySignal.UNDECIDED:
        return Standing(DONE, f"Whether {target} is realistic is not decided yet.", facts)
    do = "Clean the data, collect more or better columns, or relax the target."
    return Standing(ATTENTION, f"{target} is not realistic with these data.", facts, do)


def _cleaning(view: AppView, now: float) -> Standing:
    asked = _asked(view, "cpclean", now)
    if view.cleaning is None:
        return Standing(WAITING, "Begins when training rows have uncertain values.")
    report = view.cleaning[1]
    if not report.uncertain_rows:
        return Standing(DONE, "No training row is uncertain.")
    facts = [("uncertain training rows", f"{report.uncertain_rows:,} of {report.rows:,}"), *asked.facts]
    if not report.validation_rows:
        return Standing(WORKING, "The possible worlds are being counted.", facts)
    share = f"{report.certain:,} of {report.validation_rows:,} predictions hold whatever the uncertain values are"
    if report.expected is not None and report.potential is not None:
        facts += [("accuracy now", f"{report.expected:.1%}"), ("after cleaning", f"{report.potential:.1%}")]
    return Standing(asked.state or DONE, f"{share}.", facts, asked.do)


def _labels(view: AppView, now: float) -> Standing:
    asked = _asked(view, "market", now)
    if view.values is None:
        return Standing(WAITING, "Begins when training rows, or pool rows without labels, are there.")
    report = view.values[1]
    if not report.final:
        return Standing(WORKING, "The rows are being valued.", asked.facts)
    facts = [("pool rows without label", f"{report.pool_rows:,}"), *asked.facts]
    if report.harmful_rows:
        facts.append(("training rows that do harm", f"{len(report.harmful_rows):,} of {report.rows:,}"))
    if not report.pool_rows:
        return Standing(asked.state or DONE, "No pool row waits for a label.", facts, asked.do)
    headline = f"{report.pool_rows:,} pool rows may be labelled; the most valuable are asked for first."
    return Standing(asked.state or DONE, headline, facts, asked.do)


def _models(view: AppView, _now: float) -> Standing:
    published, count = view.published, view.model_count
    running = len(view.trials.running)
    if not published:
        if running:
            return Standing(WORKING, f"{running} algorithms are being trained.")
        return Standing(WAITING, "Begins when training and validation rows are there.")
    best = max(published, key=lambda one: accuracy(one[2]) or 0.0)
    reached = accuracy(best[2])
    facts = [("models", f"{count:,}")]
    if reached is not None:
        facts.append(("best on validation rows", f"{best[0]}, {reached:.1%}"))
    if view.trials.failures:
        facts.append(("failed trainings", f"{len(view.trials.failures)}"))
    if running:
        return Standing(WORKING, f"{count:,} models so far, {running} in training.", facts)
    models = "1 model" if count == 1 else f"{count:,} models"
    return Standing(DONE, f"{models}." if reached is None else f"{models}; the best reaches {reached:.1%}.", facts)


def _ci(view: AppView, _now: float) -> Standing:
    judged, passed = view.judged
    waiting = sum(model.verdict is None and model.retired is None for _, model, _ in view.published)
    facts = [("condition", view.app.condition), ("reliability", f"{view.app.reliability:g}")]
    if view.testset is not None and view.testset[1].opened is not None:
        epoch, opened = view.testset[0], view.testset[1].opened
        facts.append((f"test set {epoch}", f"{opened.examples:,} rows for {opened.steps} models"))
    needed = view.waits_for_test_rows()
    publish = f"easeml publish {view.app.app} FILE --pillar test"
    if waiting and needed is not None:
        rows = f" of {needed.examples:,} rows" if needed.examples else ""
        return Standing(ATTENTION, f"{_models_wait(waiting)} for a new test set{rows}.", facts, publish)
    if waiting and Pillar.TEST not in view.versions:
        return Standing(ATTENTION, f"{_models_wait(waiting)} for test rows.", facts, publish)
    if not judged:
        return Standing(WAITING, "Begins with the first model.", facts)
    state = WORKING if waiting else DONE
    return Standing(state, f"{passed:,} of {judged:,} models passed the condition.", facts)


def _models_wait(count: int) -> str:
    return "1 model waits" if count == 1 else f"{count} models wait"


def _picker(view: AppView, now: float) -> Standing:
    if view.pick is None:
        return Standing(WAITING, "Begins when a model has passed.")
    asked = _asked(view, "modelpicker", now)
    pick = view.pick[1]
    belief = pick.posterior.get(pick.model, math.nan)
    facts = [
        ("served model", pick.model),
        ("belief that it is the best", f"{belief:.0%}" if math.isfinite(belief) else "not known"),
        ("production rows seen", f"{pick.rows_seen:,}"),
        *asked.facts,
    ]
    drift = " after a drift alarm" if pick.drift else ""
    return Standing(asked.state or DONE, f"{pick.model} is served{drift}.", facts, asked.do)


def _advisor(view: AppView, _now: float) -> Standing:
    if view.advice is None:
        return Standing(WAITING, "Begins when the feasibility study is through.")
    steps = view.advice[1].steps
    if not steps:
        return Standing(DONE, "Nothing to mend.")
    first = steps[0]
    production = view.advice[1].phase.value == "production"
    facts = [("judged from", "mistakes in production" if production else "the feasibility study")]
    if first.action in _IDLE:
        return Standing(DONE, f"{first.title}.", facts)
    return Standing(ATTENTION, f"{first.title}.", facts, f"easeml advise {view.app.app}")


@dataclass(frozen=True, slots=True)
class _Asking:
    state: str
    facts: list[tuple[str, str]]
    do: str


def _asked(view: AppView, asker: str, now: float) -> _Asking:
    """Return what the questions of a service make of its step."""
    asked = view.asked.get(asker)
    if asked is None:
        return _Asking("", [], "")
    spent, granted = spending(view, asker)
    waiting = asked.waiting(now)
    facts = [("answers", f"{asked.answers:,} ({asked.bits:,.1f} bits)"), ("labels spent", f"{spent:g} of {granted:g}")]
    if not waiting:
        return _Asking("", facts, "")
    if spent >= granted:
        return _Asking("", facts, raising(view.app.app, asker))
    questions = "1 question waits" if waiting == 1 else f"{waiting:,} questions wait"
    return _Asking(ATTENTION, facts, f"{questions} for an answer.")


def spending(view: AppView, asker: str) -> tuple[float, float]:
    """Return the labels that an asker has spent, and those its budget grants."""
    budget = view.budgets.get(asker)
    granted = float(getattr(view.app, budget_of(asker)))
    return (0.0 if budget is None else budget.spent, granted)


_STEPS: tuple[tuple[str, str, str, Callable[[AppView, float], Standing]], ...] = (
    ("datamagic", "Bring data", "data", _data),
    ("snoopy", "Check what is possible", "feasibility", _feasibility),
    ("cpclean", "Clean what matters", "questions", _cleaning),
    ("market", "Label what is worth it", "questions", _labels),
    ("automl", "Train models", "models", _models),
    ("ci", "Test models", "ci", _ci),
    ("modelpicker", "Serve the best one", "picker", _picker),
    ("advisor", "Improve", "journey", _advisor),
)
"""Service, title, page and standing of each step, in their order."""
