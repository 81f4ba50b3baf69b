"""``easeml ci``: what a condition costs."""

from __future__ import annotations

from typing import Annotated

import typer

from easeml import ci
from easeml.cli.apps import STANDARD
from easeml.cli.session import session

app = typer.Typer(help="Plan conditions of deployment.", no_args_is_help=True)


@app.callback()
def options() -> None:
    """Plan conditions of deployment."""


@app.command("plan")
def plan(
    context: typer.Context,
    condition: Annotated[str, typer.Argument(help="For example 'n - o > 0.02 +/- 0.01'.")],
    reliability: Annotated[float, typer.Option(help="1 - delta, over all steps.")] = 0.95,
    steps: Annotated[int, typer.Option(help="Models that one test set may judge.", min=1)] = STANDARD.steps,
    adaptivity: Annotated[str, typer.Option(help="full, none or first_change.")] = "full",
    mode: Annotated[str, typer.Option(help="fp-free or fn-free.")] = "fp-free",
    disagreement: Annotated[
        float | None, typer.Option(help="Share of predictions that change, if known.", min=0, max=1)
    ] = None,
) -> None:
    """Show how many test labels a condition costs, by each published method and by ours. Needs no broker."""
    current = session(context)
    found = ci.plan(
        ci.parse(condition),
        reliability=reliability,
        steps=steps,
        adaptivity=adaptivity,
        mode=mode,
        disagreement=disagreement,
    )
    costs = {
        "reference (Hoeffding, optimal split)": found.reference,
        **{name: labels for name, labels in sorted(found.references.items()) if labels != found.reference},
        f"this tool, at worst ({found.method})": found.labels_worst,
        "this tool, expected": found.labels_expected,
        "unlabelled examples": found.unlabelled,
    }
    rows = [
        {"method": method, "labels": labels if current.as_json else f"{labels:,}"} for method, labels in costs.items()
    ]
    title = f"{condition}, reliability {reliability:g}, {steps} steps, {adaptivity}"
    current.table(("method", "labels"), rows, title=title)
