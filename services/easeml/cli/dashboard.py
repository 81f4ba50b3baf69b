"""``easeml dashboard``: where the dashboard of the house is."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from easeml.cli.doors import doors
from easeml.cli.session import session
from easeml.errors import UnavailableError
from easeml.stream.runfiles import read_run_file
from easeml.supervisor.stack import alive


def dashboard(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Tell where the dashboard of the house is."""
    current = session(context)
    running = read_run_file(current.settings.home, "dashboard")
    if running is None or not alive(running["pid"]) or not running["ready"]:
        raise UnavailableError(
            f"No dashboard runs in {current.settings.home}.",
            mend="Start it with 'easeml up'; 'easeml status' tells more.",
        )
    address = doors(current.settings, running["ports"])["dashboard"]
    current.line(address, address=address)
    if show:
        webbrowser.open(address)
