"""``easeml algorithms``: list and announce what AutoML may train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from easeml.automl.contributions import contributed
from easeml.automl.families import parse_parameters
from easeml.automl.proposals import propose, told_by
from easeml.automl.spaces import Space
from easeml.cli.history import present
from easeml.cli.session import session
from easeml.client import Client
from easeml.errors import NotFoundError
from easeml.stream.payloads import AlgorithmAnnounced
from easeml.stream.topics import APPS, TRIALS

app = typer.Typer(help="List the algorithms that AutoML tries, and announce others.", no_args_is_help=True)


@app.command("list")
def list_algorithms(context: typer.Context) -> None:
    """List the announced algorithms."""
    current = session(context)
    with current.client() as client:
        known = client.algorithms().values()
    rows = [
        {"algorithm": one.algorithm, "family": one.family, "parameters": one.parameters, "cost_hint": one.cost_hint}
        for one in known
    ]
    current.table(("algorithm", "family", "parameters", "cost_hint"), rows)


@app.command("announce")
def announce(
    context: typer.Context,
    space: Annotated[
        Path | None, typer.Argument(help="JSON file: name, family, parameters (values, choices or low and high), arms.")
    ] = None,
    package: Annotated[
        str | None, typer.Option(help="Announce what this installed package brings, by the name of its entry point.")
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option("--for", help="Take the arms of the space that this app's trials promise most of; extra optuna."),
    ] = None,
) -> None:
    """Announce algorithms: every app that they may help tries them, those that gain most first."""
    current = session(context)
    if (space is None) == (package is None):
        raise typer.BadParameter("name a file or a --package, one of the two.", param_hint="SPACE")
    spaces = _of_package(package) if package is not None else (_of_file(space),)
    with current.client() as client:
        arms = [arm for one in spaces for arm in (one.algorithms() if tenant is None else _learnt(client, one, tenant))]
        for arm in arms:
            parse_parameters(arm.family, arm.parameters)
        client.announce(arms)
    names = [arm.algorithm for arm in arms]
    current.line(f"Announced {escape(', '.join(names)) or 'nothing: all was tried'}.", announced=names)


def _learnt(client: Client, space: Space, tenant: str) -> list[AlgorithmAnnounced]:
    client.app(tenant)
    trials = present(client.events(tenant, APPS.name, TRIALS.name, follow=False))
    return propose(space, told_by(trials, tenant, space.family))


def _of_file(path: Path | None) -> Space:
    if path is None or not path.is_file():
        raise NotFoundError(f"There is no file {str(path)!r}.", mend="Name the JSON file of a search space.")
    return Space.read(path.read_bytes())


def _of_package(name: str) -> tuple[Space, ...]:
    found = contributed()
    if name not in found.spaces:
        why = found.problems.get(name)
        known = ", ".join(found.spaces) or "none"
        raise NotFoundError(
            f"The package {name!r} {f'cannot be loaded: {why}' if why else 'brings no algorithms'}.",
            mend=f"Install it beside easeml, in the trainers' environment too. Packages found: {known}.",
        )
    return found.spaces[name]
