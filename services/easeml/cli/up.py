"""``easeml up``: run the house in the foreground."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.markup import escape

from easeml.cli.doors import doors
from easeml.cli.session import Session, session
from easeml.stream.settings import Settings
from easeml.supervisor import Supervisor
from easeml.supervisor.roster import PROCESSES


@dataclass
class Announcer:
    """Tells what happens in the house, and each time when all of it is ready.

    Parameters
    ----------
    current : Session
        Where to print.
    services : tuple of str
        Those that run.
    """

    current: Session
    services: tuple[str, ...]
    _started: float = field(default_factory=time.monotonic)
    _ready: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def announce(self, text: str) -> None:
        """Tell one line of the supervisor."""
        seconds = time.monotonic() - self._started
        name, _, happened = text.partition(" ")
        if happened.lstrip().startswith("died"):
            self._ready.pop(name, None)
        self.current.line(f"[dim]{seconds:5.1f} s[/]  {escape(text)}", seconds=seconds, text=text)

    def on_ready(self, service: str, ports: Mapping[str, int]) -> None:
        """Take note that a service is ready; when none is missing, tell where people enter."""
        self._ready[service] = ports
        if self._ready.keys() != set(self.services):
            return
        seconds = time.monotonic() - self._started
        entries = doors(self.current.settings, {k: v for part in self._ready.values() for k, v in part.items()})
        text = f"[bold green]{seconds:5.1f} s  all services ready.[/] Ctrl-C stops them."
        for name, entry in entries.items():
            text += f"\n{'':9}{name:<12}{escape(entry)}"
        self.current.line(text, ready=True, seconds=seconds, addresses=entries)


def up(
    context: typer.Context,
    only: Annotated[
        list[str] | None, typer.Option(help="Run only this service; repeat for more.", metavar="SERVICE")
    ] = None,
) -> None:
    """Run the broker and all services until Ctrl-C, and restart what dies."""
    current = session(context)
    chosen = tuple(only or PROCESSES)
    unknown = set(chosen) - PROCESSES.keys()
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: no such service. Known: {', '.join(PROCESSES)}.")
    announcer = Announcer(current, chosen)
    Supervisor(_absolute(current.settings), chosen, announcer.announce, announcer.on_ready).run()


def _absolute(settings: Settings) -> Settings:
    return settings.model_copy(update={"home": settings.home.resolve()})
