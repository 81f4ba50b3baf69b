"""``easeml apps``: create, list, show and delete applications."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from easeml.cli.frames import read_frame
from easeml.cli.session import session
from easeml.stream.payloads import AppDefined

app = typer.Typer(help="Create, list, show and delete applications.", no_args_is_help=True)
_DEFAULTS = {f.name: f.default for f in fields(AppDefined)}


@app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the app.")],
    label: Annotated[str, typer.Option(help="Label column.")],
    target: Annotated[float, typer.Option(help="Accuracy you hope for.", min=0, max=1)] = 0.9,
    condition: Annotated[str, typer.Option(help="Condition a model must meet.")] = str(_DEFAULTS["condition"]),
    reliability: Annotated[float, typer.Option(help="1 - delta of the guarantee.")] = 0.95,
    steps: Annotated[int, typer.Option(help="Models that one test set may judge.", min=1)] = 8,
    adaptivity: Annotated[str, typer.Option(help="full, none or first_change.")] = "full",
    mode: Annotated[str, typer.Option(help="fp-free or fn-free.")] = "fp-free",
    label_budget: Annotated[int, typer.Option(help="Labels that production questions may cost.", min=0)] = 200,
    horizon: Annotated[int, typer.Option(help="Production rows the budget is spread over.", min=1)] = 1000,
    like: Annotated[Path | None, typer.Option(help="File whose columns and classes the app takes.")] = None,
) -> None:
    """Create an app and show what its CI condition costs."""
    current = session(context)
    options: dict[str, Any] = {
        "target": target,
        "condition": condition,
        "reliability": reliability,
        "steps": steps,
        "adaptivity": adaptivity,
        "mode": mode,
        "label_budget": label_budget,
        "horizon": horizon,
    }
    frame = read_frame(like) if like else None
    with current.client() as client:
        created = client.create_app(name, label=label, frame=frame, **options)
        plan = client.plan(created)
    current.line(
        f"App [bold]{name}[/] created. Its condition [bold]{condition}[/] with reliability {reliability:g} over "
        f"{steps} models needs [bold]{plan.labels_worst:,}[/] labelled test rows.",
        app=name,
        test_labels=plan.labels_worst,
        unlabelled=plan.unlabelled,
    )


@app.command("list")
def list_apps(context: typer.Context) -> None:
    """List the apps."""
    current = session(context)
    with current.client() as client:
        rows = [
            {
                "app": a.app,
                "label": a.label,
                "classes": len(a.classes),
                "columns": len(a.columns),
                "target": a.target,
                "condition": a.condition,
            }
            for a in client.apps().values()
        ]
    current.table(("app", "label", "classes", "columns", "target", "condition"), rows)


@app.command("show")
def show(context: typer.Context, name: str) -> None:
    """Show one app."""
    current = session(context)
    with current.client() as client:
        found = client.app(name)
    values = {f.name: getattr(found, f.name) for f in fields(found)}
    values["columns"] = ", ".join(f"{c.name} ({c.kind.value})" for c in found.columns)
    values["classes"] = ", ".join(found.classes)
    current.table(("field", "value"), ({"field": key, "value": value} for key, value in values.items()))


@app.command("delete")
def delete(context: typer.Context, name: str) -> None:
    """Delete an app: services forget it."""
    current = session(context)
    with current.client() as client:
        client.delete_app(name)
    current.line(f"App [bold]{name}[/] deleted.", app=name, deleted=True)
