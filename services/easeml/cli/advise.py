"""``easeml advise``: what to do next with an app."""

from __future__ import annotations

import typer
from rich.markup import escape

from easeml.cli import history, story
from easeml.cli.completion import App
from easeml.cli.session import Session, session
from easeml.stream import codec
from easeml.stream.events import Event
from easeml.stream.payloads import Advice, AdvicePhase, AdviceStep, FeasibilityReport
from easeml.stream.topics import ADVICE, APPS, FEASIBILITY

_ABOUT = {AdvicePhase.DATA: "From the data", AdvicePhase.PRODUCTION: "From production"}
_NAMED = 10


def advise(context: typer.Context, name: App) -> None:
    """Tell what to do next: clean, label, collect, adapt, relax the target or wait; with expected gain and cost."""
    current = session(context)
    with current.client() as client:
        client.app(name)
        topics = (APPS.name, FEASIBILITY.name, ADVICE.name)
        said = history.present(client.events(name, *topics, follow=False))
    reports = [event for event in said if isinstance(event.data, FeasibilityReport) and event.data.final]
    advice: dict[AdvicePhase, Event[Advice]] = {e.data.phase: e for e in said if isinstance(e.data, Advice)}
    if current.as_json:
        last = [*reports[-1:], *advice.values()]
        for event in last:
            current.line("", topic=event.topic, id=event.id, time=event.time, data=codec.json_of(event.data))
        return
    for report in reports[-1:]:
        current.console.print(story.line(report))
    for phase, event in advice.items():
        _show(current, phase, event.data)
    if not advice:
        current.console.print(
            f"No advice for {escape(name)} yet. It follows the first feasibility study, which begins when labelled "
            "training rows are published ('easeml publish'); 'easeml status' shows whether snoopy and advisor run."
        )


def _show(current: Session, phase: AdvicePhase, advice: Advice) -> None:
    about = f", model {escape(advice.model)}" if advice.model else ""
    current.console.print(f"\n[bold]{_ABOUT[phase]}[/] (version {escape(advice.version)}{about})")
    for place, step in enumerate(advice.steps, 1):
        current.console.print(f"{place}. [bold]{escape(step.title)}[/]{escape(_price(step))}")
        current.console.print(f"   {escape(step.reason)}")
        if step.rows:
            more = f" and {len(step.rows) - _NAMED} more" if len(step.rows) > _NAMED else ""
            current.console.print(f"   [dim]rows {escape(', '.join(step.rows[:_NAMED]))}{more}[/]")


def _price(step: AdviceStep) -> str:
    """Return what a step brings and costs; nothing when it does neither."""
    words = []
    if step.gain_high > 0:
        words.append(f"{step.gain:+.1%} accuracy ({step.gain_low:+.1%} to {step.gain_high:+.1%})")
    if step.cost_labels:
        words.append(f"{step.cost_labels:,.0f} answers")
    if step.cost_minutes >= 1:
        words.append(f"about {step.cost_minutes:,.0f} minutes")
    return f": {', '.join(words)}" if words else ""
