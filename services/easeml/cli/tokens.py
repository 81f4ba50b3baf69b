"""``easeml tokens``: make, list and take away the tokens of people."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from easeml.cli.completion import app_names
from easeml.cli.session import session
from easeml.tokens import MEANING, Right, TokenFile

_RIGHTS = "; ".join(f"{right}: {meaning}" for right, meaning in MEANING.items())

app = typer.Typer(
    help="Make, list and revoke tokens: who sees which apps, and what else they may do.", no_args_is_help=True
)


@app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose token it is; answers are recorded under this name.")],
    only: Annotated[
        list[str] | None,
        typer.Option("--app", help="Only this app; repeat for more. All by default.", autocompletion=app_names),
    ] = None,
    may: Annotated[list[Right] | None, typer.Option(help=f"Besides seeing; repeat for more. {_RIGHTS}.")] = None,
) -> None:
    """Make a token and print it; it is shown this once."""
    current = session(context)
    token = TokenFile(current.settings.home).create(name, only, may or ())
    current.line(escape(token), name=name, token=token)


@app.command("list")
def list_tokens(context: typer.Context) -> None:
    """List whose tokens there are, and what they allow."""
    current = session(context)
    rows = [
        {
            "name": holder.name,
            "apps": "all" if holder.apps is None else ", ".join(sorted(holder.apps)),
            "may": ", ".join(right.value for right in Right if right in holder.rights) or "see",
        }
        for holder in TokenFile(current.settings.home).holders().values()
    ]
    current.table(("name", "apps", "may"), rows)


@app.command("revoke")
def revoke(context: typer.Context, name: Annotated[str, typer.Argument(help="Whose token.")]) -> None:
    """Take a token away; whoever shows it is turned away from now on."""
    current = session(context)
    TokenFile(current.settings.home).revoke(name)
    current.line(f"The token of {escape(name)} is revoked.", revoked=name)
