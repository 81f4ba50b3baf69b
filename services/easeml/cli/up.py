"""``easeml up``: run the house in the foreground."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from easeml.cli.session import session
from easeml.stream.settings import Settings
from easeml.supervisor import Supervisor
from easeml.supervisor.roster import SERVICES


def up(
    context: typer.Context,
    only: Annotated[
        list[str] | None, typer.Option(help="Run only this service; repeat for more.", metavar="SERVICE")
    ] = None,
) -> None:
    """Run the broker and all services until Ctrl-C, and restart what dies."""
    current = session(context)
    chosen = tuple(only or SERVICES)
    unknown = set(chosen) - SERVICES.keys()
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: no such service. Known: {', '.join(SERVICES)}.")
    started = time.monotonic()
    ready: set[str] = set()

    def announce(text: str) -> None:
        seconds = time.monotonic() - started
        current.line(f"[dim]{seconds:5.1f} s[/]  {text}", seconds=seconds, text=text)
        if text.endswith("ready"):
            ready.add(text.split(maxsplit=1)[0])
            if ready == set(chosen):
                current.line(f"[bold green]{seconds:5.1f} s  all services ready.[/] Ctrl-C stops them.", ready=True)

    Supervisor(_absolute(current.settings), chosen, announce).run()


def _absolute(settings: Settings) -> Settings:
    return settings.model_copy(update={"home": settings.home.resolve()})
