"""``easeml dead-letters``: list, show, redrive and discard what services gave up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from easeml.cli.session import session
from easeml.stream import deadletters
from easeml.stream.deadletters import DeadLetter
from easeml.stream.settings import Settings
from easeml.supervisor.stack import connected

app = typer.Typer(help="List, show, redrive and discard the messages that services gave up.", no_args_is_help=True)

Letters = Annotated[list[str] | None, typer.Argument(help="Names as 'list' shows them.")]
Topic = Annotated[str | None, typer.Option(help="All open dead letters of this topic.")]


@app.command("list")
def list_letters(
    context: typer.Context,
    topic: Annotated[str | None, typer.Option(help="Only of this topic.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that were redriven or discarded, too.")] = False,
) -> None:
    """List open dead letters with their causes."""
    current = session(context)
    rows = [
        {
            "letter": found.letter,
            "state": found.state,
            "service": found.service,
            "reason": found.reason,
            "time": datetime.fromtimestamp(found.time, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "message": found.message,
        }
        for found in deadletters.read(connected(current.settings), topic, closed=everything)
    ]
    if not rows and not current.as_json:
        current.line("No dead letters." if everything else "No open dead letters.")
        return
    current.table(("letter", *(("state",) if everything else ()), "service", "reason", "time", "message"), rows)


@app.command("show")
def show(context: typer.Context, letter: Annotated[str, typer.Argument(help="Name as 'list' shows it.")]) -> None:
    """Show one dead letter with its headers and first bytes."""
    current = session(context)
    found = deadletters.find(connected(current.settings), letter)
    value = found.raw.value or b""
    headers = {name: (content or b"").decode(errors="replace") for name, content in found.raw.headers}
    facts = {
        "letter": found.letter,
        "state": found.state,
        "original": f"{found.topic}[{found.partition}]@{found.offset}",
        "service": found.service,
        "reason": found.reason,
        "message": found.message,
        "key": repr(found.raw.key),
        "bytes": len(value),
        "begins": value[:64].hex(" "),
    }
    if current.as_json:
        current.line("", **facts, headers=headers)
        return
    facts |= {f"header {name}": content for name, content in headers.items()}
    current.table(("field", "value"), ({"field": key, "value": content} for key, content in facts.items()))


@app.command("redrive")
def redrive(context: typer.Context, letters: Letters = None, topic: Topic = None) -> None:
    """Send messages on their way again, after their cause was mended."""
    current = session(context)
    settings = connected(current.settings)
    chosen = _chosen(settings, letters, topic)
    sent = deadletters.redrive(settings, chosen)
    current.line(
        f"{sent} message(s) of {len(chosen)} dead letter(s) are on their way again.",
        redriven=len(chosen),
        messages=sent,
    )


@app.command("discard")
def discard(context: typer.Context, letters: Letters = None, topic: Topic = None) -> None:
    """Put dead letters away: their messages are given up for good."""
    current = session(context)
    settings = connected(current.settings)
    chosen = _chosen(settings, letters, topic)
    deadletters.discard(settings, chosen)
    current.line(f"{len(chosen)} dead letter(s) discarded.", discarded=len(chosen))


def _chosen(settings: Settings, names: list[str] | None, topic: str | None) -> list[DeadLetter]:
    if not names and topic is None:
        raise typer.BadParameter("Name dead letters, or --topic for all of a topic.")
    chosen = {name: deadletters.find(settings, name) for name in names or ()}
    if topic is not None:
        chosen |= {found.letter: found for found in deadletters.read(settings, topic)}
    return list(chosen.values())
