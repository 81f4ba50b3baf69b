"""``easeml demo``: see the whole loop on real data."""

from __future__ import annotations

from typing import Annotated

import typer

from easeml.cli.session import session


def demo(
    context: typer.Context,
    permute_labels: Annotated[
        bool, typer.Option("--permute-labels", help="Shuffle the labels: no model may pass, and the demo must fail.")
    ] = False,
) -> None:
    """Stream a real data set from upload to the best model, through a drift, and check that the loop closed."""
    from easeml.demo.run import Demo, default_home  # noqa: PLC0415 - its data set costs every other verb half a second

    current = session(context)
    home = default_home().resolve()
    settings = current.settings.model_copy(update={"home": home})
    if not Demo(current.console, settings, permute_labels=permute_labels).run():
        raise typer.Exit(1)
