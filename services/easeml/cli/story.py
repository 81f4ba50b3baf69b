"""One line of plain words per event."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from rich.markup import escape

from easeml.pausing import is_paused
from easeml.stream import payloads as p
from easeml.stream.events import Event

_LONG = frozenset({"columns", "classes"})
_LONGEST = 80
"""Characters of an answer that are told."""


def _trial(data: p.TrialFinished) -> str | None:
    if data.outcome is p.TrialOutcome.TRAINED:
        return None  # its model says so
    return f"[red]trial failed[/]  {data.algorithm}: {escape(data.error or '')}"


def _verdict(data: p.Verdict) -> str:
    if not data.guaranteed:
        return f"[yellow]baseline[/]  {data.model} (first model, not tested)"
    return f"[green]passed[/]  {data.model}" if data.signal else f"[red]not passed[/]  {data.model}"


def _picked(data: p.ModelPicked) -> str:
    belief = data.posterior.get(data.model, float("nan"))
    drift = " [magenta]after a drift alarm[/]" if data.drift else ""
    return (
        f"[bold cyan]pick {data.period}[/]  {data.model} (belief {belief:.2f}, {data.labels_used} labels, "
        f"{data.rows_seen} rows){drift}"
    )


_SIGNALS = {
    p.FeasibilitySignal.REALISTIC: "[green]realistic[/]",
    p.FeasibilitySignal.UNDECIDED: "[yellow]undecided[/]",
    p.FeasibilitySignal.UNREALISTIC: "[red]unrealistic[/]",
}


def _feasibility(data: p.FeasibilityReport) -> str | None:
    if not data.final:
        return None  # what comes next says more
    return (
        f"target {data.target_accuracy:g} {_SIGNALS[data.signal]}  best accuracy about {1 - data.bayes_error:.3f} "
        f"({1 - data.interval_high:.3f} to {1 - data.interval_low:.3f}), {data.rows:,} rows"
    )


def _cleaning(data: p.CleaningReport) -> str | None:
    if not data.final or data.expected is None:
        return None
    reach = f", cleaning can reach {data.potential:.3f}" if data.potential is not None else ""
    return (
        f"cleaning  {data.certain:,} of {data.validation_rows:,} predictions hold whatever the {data.uncertain_rows:,} "
        f"uncertain rows are (after {data.answers:,} answers); accuracy {data.expected:.3f}{reach}"
    )


def _values(data: p.ValuesReport) -> str | None:
    if not data.final:
        return None
    return (
        f"values  {data.pool_rows:,} pool rows may be labelled ({data.spent:g} labels asked for so far); "
        f"{len(data.harmful_rows):,} of {data.rows:,} training rows do harm"
    )


def _advice(data: p.Advice) -> str:
    first = data.steps[0]
    gain = f", about {first.gain:+.1%} accuracy" if first.gain > 0 else ""
    more = f" and {len(data.steps) - 1} more" if len(data.steps) > 1 else ""
    return f"[bold]advice[/]  {escape(first.title)}{gain}{more}: easeml advise {data.app}"


WORN = {
    "steps_exhausted": "it has judged as many models as it may",
    "labels_exhausted": "all its labels are used",
    "first_change": "a model passed, which ends it as agreed",
    "passes_exhausted": "it has let as many models pass as it may",
    "condition_changed": "the condition was changed, which needs fresh rows",
}
"""Why a test set is worn out."""


def in_words(reason: str) -> str:
    """Return a reason that names why a test set is worn out in plain words.

    >>> in_words("Test set 1 is used up (first_change); publish fresh test rows.")
    'Test set 1 is used up (a model passed, which ends it as agreed); publish fresh test rows.'
    """
    return _WORN.sub(lambda found: WORN[found[0]], reason)


_WORN = re.compile(rf"\b({'|'.join(WORN)})\b")


def _about(data: p.Question | p.Answer) -> str:
    return escape(f"{data.row_id} {data.column}" if data.column else data.row_id)


_LINES: dict[type, Callable[[Any], str | None]] = {
    p.AppDeleted: lambda d: f"app deleted  {d.app}",
    p.AlgorithmAnnounced: lambda d: f"algorithm announced  {d.algorithm}",
    p.DataVersion: lambda d: f"data published  {d.pillar.value}: {d.rows:,} rows, version {d.version}",
    p.TrialAssigned: lambda d: f"[dim]training  {d.algorithm}[/]",
    p.TrialFinished: _trial,
    p.ModelPublished: lambda d: f"model  {d.model}: validation accuracy {d.metrics.get('accuracy', float('nan')):.3f}",
    p.ModelRetired: lambda d: f"[red]model retired[/]  {d.model}: {escape(d.reason)}",
    p.Verdict: _verdict,
    p.TestSetOpened: lambda d: (
        f"test set {d.epoch}  {d.examples:,} examples, {d.planned:,} planned for {d.steps} models"
    ),
    p.TestSetNeeded: lambda d: f"[yellow]test set needed[/]  {d.examples:,} examples: {escape(in_words(d.reason))}",
    p.MeterReading: lambda d: (
        f"meter  {d.model}: validation and test accuracy lie {d.low:.0%} to {d.high:.0%} apart, at most {d.at_most:.1%}"
    ),
    p.TestSetExhausted: lambda d: f"[yellow]test set {d.epoch} worn out[/]  {escape(in_words(d.reason))}",
    p.Question: lambda d: f"[dim]question  {_about(d)}: {d.information_gain:.2g} bits[/]",
    p.Answer: lambda d: f"[dim]answer  {_about(d)}: {escape(' '.join(d.text.split())[:_LONGEST])}[/]",
    p.ModelPicked: _picked,
    p.FeasibilityReport: _feasibility,
    p.CleaningReport: _cleaning,
    p.ValuesReport: _values,
    p.Advice: _advice,
}


def line(event: Event[Any], before: p.AppDefined | None = None) -> str | None:
    """Return an event in plain words (rich markup), or None when it tells nothing new.

    Parameters
    ----------
    event : Event
        What happened.
    before : p.AppDefined, optional
        What its app was before.
    """
    if isinstance(event.data, p.AppDefined):
        return _defined(event.data, before)
    describe = _LINES.get(type(event.data))
    return describe(event.data) if describe else None


def _defined(app: p.AppDefined, before: p.AppDefined | None) -> str | None:
    """Return the definition of a new app, or what is new about one that was there."""
    if before is None or before.life != app.life:
        return f"app defined  {app.app}: label {escape(app.label)}, condition {escape(app.condition)}"
    if is_paused(app) is not is_paused(before):
        return f"app paused  {app.app}" if is_paused(app) else f"app resumed  {app.app}"
    names = [field.name for field in fields(app) if getattr(app, field.name) != getattr(before, field.name)]
    if not names:
        return None
    if app.columns and not before.columns:
        features = f"{len(app.columns):,} column{'s' if len(app.columns) > 1 else ''}"
        return f"columns fixed  {features}, classes {escape(', '.join(app.classes))}"
    told = [name.replace("_", " ") + ("" if name in _LONG else f" {getattr(app, name)}") for name in names]
    return f"app changed  {escape(', '.join(told))}"
