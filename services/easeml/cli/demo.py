"""``easeml demo``: see the whole loop on real data."""

from __future__ import annotations

import io
from typing import Annotated

import typer
from rich.console import Console

from easeml.cli.session import Session, session

_WIDTH = 200


class _Lines(io.StringIO):
    """Every line that is written becomes one JSON object."""

    def __init__(self, current: Session) -> None:
        super().__init__()
        self._current = current
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._current.line("", text=line.rstrip())
        return len(text)


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
    console = Console(file=_Lines(current), width=_WIDTH, highlight=False) if current.as_json else current.console
    closed = Demo(console, settings, permute_labels=permute_labels).run()
    if current.as_json:
        current.line("", closed=closed)
    if not closed:
        raise typer.Exit(1)
