"""The root command: global options, the verbs, and how errors look."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from easeml.cli.session import Session
from easeml.cli.verbs import JSON, VERBS, Verbs, announced
from easeml.errors import ConfigurationError, EaseMLError

_UsageError: Any = typer.BadParameter.__mro__[1]
"""Base of all usage errors; typer brings its own copy of click, or uses click itself, depending on its version."""

app = typer.Typer(
    name="easeml",
    cls=Verbs,
    help="Manage the whole life cycle of a machine-learning application, from upload to the best model now.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _verb, (_, _told) in VERBS.items():
    app.command(_verb, help=_told)(announced)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"easeml {version('easeml-streaming')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    bootstrap: Annotated[
        str, typer.Option(help="Kafka cluster, host:port; by default the house running in --home.", metavar="SERVERS")
    ] = "",
    home: Annotated[
        Path | None, typer.Option(help="Folder of the embedded broker, models and logs.", show_default=".easeml")
    ] = None,
    as_json: Annotated[bool, typer.Option(JSON, help="Print JSON lines, for programs; also behind the verb.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options of every verb."""
    del show_version  # its callback has printed it and ended the call
    context.obj = Session.of(bootstrap, home, as_json=as_json)


def main() -> None:
    """Run the command line; errors print what was wrong and how to mend it, and exit with 1 (settings, usage: 2).

    With ``--json`` an error is one JSON object on stderr: reason, message and mend under ``error``.
    """
    as_json = JSON in sys.argv[1:]
    try:
        # Click prints usage errors by itself unless it is told that somebody else does.
        code = app(standalone_mode=not as_json)
    except EaseMLError as error:
        _report(error, as_json=as_json)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    except _UsageError as error:
        _report(ConfigurationError(error.format_message(), reason="usage"), as_json=as_json)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: EaseMLError, *, as_json: bool) -> None:
    if as_json:
        facts = {"reason": error.reason, "message": error.message, "mend": error.mend}
        print(json.dumps({"error": facts}), file=sys.stderr)
        return
    console = Console(stderr=True)
    console.print(f"[bold red]Error[/] {escape(error.message)}")
    if error.mend:
        console.print(f"[dim]Mend [/] {escape(error.mend)}")
