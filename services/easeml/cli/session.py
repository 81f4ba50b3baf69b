"""What every verb shares: settings, the client, and the two ways of printing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from easeml.client import Client
    from easeml.stream.settings import Settings


def _console() -> Console:
    """Return a console as wide as the terminal; files and pipes, which have no width, get enough for one line."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 240
    return console


@dataclass(frozen=True)
class Session:
    """Global options of one call."""

    settings: Settings
    as_json: bool = False
    console: Console = field(default_factory=_console)

    @classmethod
    def of(cls, bootstrap: str, home: Path | None, *, as_json: bool) -> Session:
        """Return the session of these options."""
        from easeml.stream.settings import Settings  # noqa: PLC0415 - help needs none, and shall come at once

        overrides: dict[str, Any] = {}
        if bootstrap:
            overrides["bootstrap_servers"] = bootstrap
        if home is not None:
            overrides["home"] = home
        return cls(Settings.load(**overrides), as_json)

    def client(self) -> Client:
        """Return a connected client."""
        from easeml.client import Client  # noqa: PLC0415 - half of the verbs never need it, and it is slow to import

        return Client(self.settings.bootstrap_servers, home=self.settings.home)

    def line(self, text: str, /, **facts: Any) -> None:
        """Print ``text`` for people, or ``facts`` for programs."""
        if self.as_json:
            print(json.dumps(facts, default=str), flush=True)
        else:
            self.console.print(text)

    def table(self, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, title: str = "") -> None:
        """Print rows as a table for people, as JSON lines for programs."""
        if self.as_json:
            for row in rows:
                self.line("", **row)
            return
        table = Table(*columns, title=title or None, title_justify="left", header_style="bold")
        for row in rows:
            table.add_row(*(escape(str(row[column])) for column in columns))
        self.console.print(table)

    def record(self, facts: Mapping[str, Any]) -> None:
        """Print one thing: its fields below each other for people, one JSON object for programs."""
        if self.as_json:
            self.line("", **facts)
            return
        rows = [{"field": name, "value": _words(value)} for name, value in facts.items()]
        self.table(("field", "value"), rows)


def _words(value: Any) -> str:
    if value is None:
        return "-"
    return ", ".join(map(_words, value)) if isinstance(value, list | tuple) else str(value)


def session(context: typer.Context) -> Session:
    """Return the session of a call."""
    return cast("Session", context.obj)
