"""``easeml acls``: who may do what on a cluster with accounts."""

from __future__ import annotations

from typing import Annotated

import typer

from easeml.cli.session import session
from easeml.stream import admin
from easeml.stream.grants import grants
from easeml.supervisor.roster import SERVICES
from easeml.supervisor.stack import connected


def acls(
    context: typer.Context,
    apply: Annotated[
        bool, typer.Option("--apply", help="Give the accounts these rights on the cluster that the settings name.")
    ] = False,
) -> None:
    """List the rights of every account: of each service, of developers, of the owner of the test set, of the house."""
    current = session(context)
    rules = grants(SERVICES)
    if apply:
        admin.allow(connected(current.settings), rules)
        current.line(f"{len(rules)} rights are given.", rights=len(rules))
        return
    rows = [
        {"account": r.account, "may": r.operation, "kind": r.kind, "name": r.name + ("*" if r.prefix else "")}
        for r in rules
    ]
    current.table(("account", "may", "kind", "name"), rows)
