"""``easeml label``: answer questions in the terminal."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer
from rich.table import Table

from easeml.cli.session import Session, session
from easeml.errors import UnavailableError
from easeml.labels.client import LabelClient
from easeml.supervisor.stack import read_run_file


def target(current: Session) -> str:
    """Return the address of the label service of the house in ``home``, else the configured one."""
    running = read_run_file(current.settings.home, "labels")
    port = (running or {}).get("ports", {}).get("labels", current.settings.labels_port)
    if not port:
        raise UnavailableError(
            "No label service runs here.", mend="Start it with 'easeml up', or set EASEML_LABELS_PORT."
        )
    return f"{current.settings.host}:{port}"


def label(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The app.")],
    annotator: Annotated[str, typer.Option(help="Your name.", show_default="user name")] = "",
    limit: Annotated[int, typer.Option(help="Questions to answer at most; 0: all.", min=0)] = 0,
) -> None:
    """Answer the open questions of an app, the most informative first."""
    current = session(context)
    answered = 0
    with LabelClient(target(current), token=current.settings.token.get_secret_value() or None) as labels:
        skipped: set[str] = set()
        while not limit or answered < limit:
            question = next((q for q in labels.questions(name) if q.question not in skipped), None)
            if question is None:
                break
            grid = Table(title=f"Row {question.row_id}: {question.information_gain:.2f} bits", show_header=False)
            for key, value in question.context.items():
                grid.add_row(key, value)
            current.console.print(grid)
            for number, candidate in enumerate(question.candidates, 1):
                belief = question.probabilities[number - 1] if question.probabilities else float("nan")
                current.console.print(f"  [bold]{number}[/] {candidate} [dim]{belief:.2f}[/]")
            choice = typer.prompt("Number, s to skip, q to stop", default="s").strip().lower()
            if choice == "q":
                break
            if not choice.isdigit() or not 1 <= int(choice) <= len(question.candidates):
                skipped.add(question.question)
                continue
            labels.answer(question.question, int(choice) - 1, app=name, annotator=annotator or getpass.getuser())
            answered += 1
            skipped.add(question.question)  # it is gone once its answer is on the stream
    current.line(f"{answered} answers given.", answered=answered)
