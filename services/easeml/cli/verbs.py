"""The verbs by name: each is imported when it is called, so that none waits for what the others need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

JSON = "--json"

VERBS = {
    "apps": ("apps:app", "Create, list, show, update, pause, resume and delete applications."),
    "algorithms": ("algorithms:app", "List the algorithms that AutoML tries, and announce others."),
    "models": ("models:app", "List the models of an app, and export one."),
    "picker": ("picker:app", "Compare policies of the model picker on recorded production streams."),
    "dead-letters": ("deadletters:app", "List, show, redrive and discard the messages that services gave up."),
    "ci": ("ci:app", "Plan conditions of deployment, and judge models by them."),
    "up": ("up:up", "Run the broker and all services until Ctrl-C, and restart what dies."),
    "demo": (
        "demo:demo",
        "Stream a real data set from upload to the best model, through a drift, and check that the loop closed.",
    ),
    "publish": ("publish:publish", "Publish the rows of a file to an app."),
    "upload": (
        "upload:upload",
        "Send a file of any size to DataMagic, which cleans and splits it; rows that do not fit are told.",
    ),
    "look": ("look:look", "Show a file as a relation: its columns, what is uncertain and what looks wrong."),
    "snoopy": ("snoopy:snoopy", "Tell whether the data can reach a target accuracy, before anything is trained."),
    "advise": (
        "advise:advise",
        "Tell what to do next: clean, label, collect, adapt, relax the target or wait; with expected gain and cost.",
    ),
    "run": ("run:run", "Run a workflow: what was done before comes from the cache."),
    "watch": ("watch:watch", "Show what happens to an app: data, models, verdicts, questions, picks. Ctrl-C ends it."),
    "label": (
        "labelling:app",
        "Answer the open questions of an app, the most informative first, here or in Label Studio.",
    ),
    "status": ("status:status", "Show every service: whether it is ready, healthy, and how far behind."),
    "doctor": ("doctor:doctor", "Look for what is wrong and say how to mend it."),
    "dashboard": ("dashboard:dashboard", "Tell where the dashboard of the house is."),
    "tokens": ("tokens:app", "Make, list and revoke tokens: who sees which apps, and what else they may do."),
    "topics": ("status:topics", "List the topics with their messages."),
    "backup": ("backup:backup", "Copy a stopped house with its topics, states and models into a folder."),
    "restore": ("backup:restore", "Bring a backup into an empty home, after a look at every digest."),
    "schemas": ("schemas:app", "Copy the released schemas to a schema registry."),
    "acls": (
        "acls:acls",
        "List the rights of every account: of each service, of developers, of the owner of the test set, of the house.",
    ),
}
"""Module and object of each verb, and the first line of its help."""


class Verbs(TyperGroup):
    """A group that knows the names of its verbs and imports a verb when it is called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take ``--json`` before and behind the verb."""
        end = args.index("--") if "--" in args else len(args)
        own, rest = args[:end], args[end:]
        if JSON in own:
            args = [JSON, *(word for word in own if word != JSON), *rest]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the name, the verb itself and its arguments."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, loaded(str(name)), rest


def loaded(name: str) -> Any:
    """Return the verb of a name, as a command that can be called."""
    room, _, called = VERBS[name][0].partition(":")
    verb = getattr(import_module(f"easeml.cli.{room}"), called)
    outer = typer.Typer(add_completion=False)
    outer.callback()(announced)
    if isinstance(verb, typer.Typer):
        outer.add_typer(verb, name=name)
    else:
        outer.command(name)(verb)
    group: Any = get_command(outer)
    return group.commands[name]


def announced() -> None:
    """Stand for a verb that is not imported yet."""
