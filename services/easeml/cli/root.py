"""The root command: global options, the verbs, and how errors look."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from easeml.cli import apps, ci, deadletters, demo, label, publish, status, up, watch
from easeml.cli.session import Session
from easeml.errors import ConfigurationError, EaseMLError

app = typer.Typer(
    name="easeml",
    help="Manage the whole life cycle of a machine-learning application, from upload to the best model now.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(apps.app, name="apps")
app.add_typer(deadletters.app, name="dead-letters")
app.add_typer(ci.app, name="ci")
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("publish")(publish.publish)
app.command("watch")(watch.watch)
app.command("label")(label.label)
app.command("status")(status.status)
app.command("doctor")(status.doctor)
app.command("topics")(status.topics)


@app.callback()
def options(
    context: typer.Context,
    bootstrap: Annotated[
        str, typer.Option(help="Kafka cluster, host:port; by default the house running in --home.", metavar="SERVERS")
    ] = "",
    home: Annotated[
        Path | None, typer.Option(help="Folder of the embedded broker, models and logs.", show_default=".easeml")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines, for programs.")] = False,
) -> None:
    """Options of every verb."""
    context.obj = Session.of(bootstrap, home, as_json=as_json)


def main() -> None:
    """Run the command line; errors print what was wrong and how to mend it, and exit with 1 (settings: 2)."""
    try:
        app()
    except EaseMLError as error:
        console = Console(stderr=True)
        console.print(f"[bold red]Error[/] {escape(error.message)}")
        if error.mend:
            console.print(f"[dim]Mend [/] {escape(error.mend)}")
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
