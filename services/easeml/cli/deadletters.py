"""``easeml dead-letters``: list, show and redrive what services gave up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from easeml.cli.session import session
from easeml.stream import deadletters
from easeml.supervisor.stack import connected

app = typer.Typer(help="List, show and redrive the messages that services gave up.", no_args_is_help=True)


@app.command("list")
def list_letters(
    context: typer.Context, topic: Annotated[str | None, typer.Option(help="Only of this topic.")] = None
) -> None:
    """List dead letters with their causes."""
    current = session(context)
    rows = [
        {
            "letter": found.letter,
            "service": found.service,
            "reason": found.reason,
            "time": datetime.fromtimestamp(found.time, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "message": found.message,
        }
        for found in deadletters.read(connected(current.settings), topic)
    ]
    if not rows and not current.as_json:
        current.line("No dead letters.")
        return
    current.table(("letter", "service", "reason", "time", "message"), rows)


@app.command("show")
def show(context: typer.Context, letter: Annotated[str, typer.Argument(help="Name as 'list' shows it.")]) -> None:
    """Show one dead letter with its headers and first bytes."""
    current = session(context)
    found = deadletters.find(connected(current.settings), letter)
    value = found.raw.value or b""
    facts = {
        "letter": found.letter,
        "original": f"{found.topic}[{found.partition}]@{found.offset}",
        "service": found.service,
        "reason": found.reason,
        "message": found.message,
        "key": repr(found.raw.key),
        "bytes": len(value),
        "begins": value[:64].hex(" "),
    } | {f"header {name}": content.decode(errors="replace") for name, content in found.raw.headers}
    current.table(("field", "value"), ({"field": key, "value": content} for key, content in facts.items()))


@app.command("redrive")
def redrive(
    context: typer.Context,
    letters: Annotated[list[str] | None, typer.Argument(help="Names as 'list' shows them.")] = None,
    topic: Annotated[str | None, typer.Option(help="All dead letters of this topic.")] = None,
) -> None:
    """Send messages on their way again, after their cause was mended."""
    current = session(context)
    settings = connected(current.settings)
    chosen = [deadletters.find(settings, letter) for letter in letters or []]
    if topic is not None:
        chosen += list(deadletters.read(settings, topic))
    if not chosen:
        raise typer.BadParameter("Name dead letters, or --topic for all of a topic.")
    deadletters.redrive(settings, chosen)
    current.line(f"{len(chosen)} messages are on their way again.", redriven=len(chosen))
