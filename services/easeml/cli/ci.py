"""``easeml ci``: what a condition costs."""

from __future__ import annotations

from typing import Annotated

import typer

from easeml import ci
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
    steps: Annotated[int, typer.Option(help="Models that one test set may judge.", min=1)] = 8,
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
    rows = [{"method": "reference (Hoeffding, optimal split)", "labels": f"{found.reference:,}"}]
    rows += [{"method": name, "labels": f"{labels:,}"} for name, labels in sorted(found.references.items())]
    rows += [
        {"method": f"this tool, at worst ({found.method})", "labels": f"{found.labels_worst:,}"},
        {"method": "this tool, expected", "labels": f"{found.labels_expected:,}"},
        {"method": "unlabelled examples", "labels": f"{found.unlabelled:,}"},
    ]
    title = f"{condition}, reliability {reliability:g}, {steps} steps, {adaptivity}"
    current.table(("method", "labels"), rows, title=title)
