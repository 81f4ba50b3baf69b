"""``easeml label``: answer questions in the terminal."""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, cast

import typer
from rich.markup import escape

from easeml.cli import questions
from easeml.cli.completion import App
from easeml.cli.session import Session, session
from easeml.errors import ConflictError, InvalidDataError, NotFoundError, UnavailableError
from easeml.labels.budgets import budget_of, raising
from easeml.labels.client import AskedQuestion, LabelClient
from easeml.stream import codec
from easeml.stream.runfiles import read_run_file
from easeml.tokens import house_token

_PATIENCE = 5.0
"""Seconds a label service may be away: somebody is waiting."""

Test = Annotated[bool, typer.Option("--test", help="Also questions about test rows, as the owner of the test set.")]


def target(current: Session) -> str:
    """Return the address of the label service of the house in ``home``, else the configured one."""
    running = read_run_file(current.settings.home, "labels")
    port = (running or {}).get("ports", {}).get("labels", current.settings.labels_port)
    if not port:
        raise UnavailableError(
            "No label service runs here.", mend="Start it with 'easeml up', or set EASEML_LABELS_PORT."
        )
    return f"{current.settings.host}:{port}"


def calling(current: Session, *, owner: bool) -> LabelClient:
    """Return a connection to that service, as the owner of the test set where ``owner``."""
    settings = current.settings
    token = partial(house_token, settings)
    return LabelClient(target(current), token, tls=settings, owner=owner, patience=_PATIENCE)


@dataclass
class Sitting:
    """One person answering.

    Parameters
    ----------
    current : Session
        Where to print.
    labels : LabelClient
        Connection to the label service.
    app, annotator : str
        Who answers, for which app.
    limit : int
        Questions to answer at most; 0: all.
    """

    current: Session
    labels: LabelClient
    app: str
    annotator: str
    limit: int
    answered: int = 0
    skipped: int = 0
    _done: set[str] = field(default_factory=set)

    def run(self) -> bool:
        """Go through the open questions; False when there was none."""
        begun = False
        while not self.limit or self.answered < self.limit:
            offered = self.labels.questions(self.app, annotator=self.annotator)
            question = next((q for q in offered if q.question not in self._done), None)
            if question is None:
                return begun
            begun = True
            self._done.add(question.question)  # it leaves the list only once its answer is on the stream
            if not self._put(question):
                return begun
        return begun

    def _put(self, question: AskedQuestion) -> bool:
        """Ask until the reply is one of those possible; False when it is to stop."""
        replies = questions.Replies(question.candidates, others=question.kind == "cell")
        self._show(question)
        while True:
            try:
                typed = typer.prompt(replies.prompt, err=self.current.as_json).strip()
            except typer.Abort:
                typer.echo(err=self.current.as_json)
                return False
            chosen = replies.candidate(typed)
            other = replies.other(typed) if chosen is None else None
            if chosen is not None or other is not None or typed.casefold() == replies.skip:
                if self._send(question, chosen, other):
                    return True
                continue
            if typed.casefold() == replies.stop:
                return False
            self._tell(f"[yellow]{escape(repr(typed))} is not one of {escape(replies.correction)}.[/]")

    def _send(self, question: AskedQuestion, chosen: int | None, other: str | None) -> bool:
        """Send an answer, or a skip when there is none; False when another value is not possible."""
        try:
            if chosen is None and other is None:
                self.labels.skip(question, annotator=self.annotator)
                self.skipped += 1
            else:
                self.labels.answer(question, chosen, other=other, annotator=self.annotator)
                self.answered += 1
        except InvalidDataError as error:
            self._tell(f"[yellow]{escape(str(error))}[/]")
            return False
        except (ConflictError, NotFoundError) as error:  # somebody else was faster, or it expired meanwhile
            self._tell(f"[yellow]Not counted:[/] {escape(error.message)}")
        return True

    def _show(self, question: AskedQuestion) -> None:
        if self.current.as_json:
            self.current.line("", **codec.json_of(cast("Any", question)))
        else:
            questions.show(self.current.console, question)

    def _tell(self, text: str) -> None:
        if self.current.as_json:
            typer.echo(text, err=True)
        else:
            self.current.console.print(text)


def label(
    context: typer.Context,
    name: App,
    annotator: Annotated[str, typer.Option(help="Your name.", show_default="user name")] = "",
    limit: Annotated[int, typer.Option(help="Questions to answer at most; 0: all.", min=0)] = 0,
    test: Test = False,
) -> None:
    """Answer the open questions of an app, the most informative first."""
    current = session(context)
    with calling(current, owner=test) as labels:
        sitting = Sitting(current, labels, name, annotator or getpass.getuser(), limit)
        try:
            begun = sitting.run()
        except BaseException:
            if sitting.answered:
                _count(current, sitting)
            raise
        if begun:
            _count(current, sitting)
        else:
            current.line(_why_none(current, labels, name), answered=0, skipped=0)


def _count(current: Session, sitting: Sitting) -> None:
    given, skipped = sitting.answered, sitting.skipped
    text = f"{given} answer{'' if given == 1 else 's'} given"
    current.line(f"{text}, {skipped} skipped." if skipped else f"{text}.", answered=given, skipped=skipped)


def _why_none(current: Session, labels: LabelClient, name: str) -> str:
    """Return why there is nothing to answer.

    Raises
    ------
    NotFoundError
        When there is no such app.
    """
    try:
        budgets = labels.budget(name)
    except NotFoundError:  # the label service knows only apps that somebody asked about
        with current.client() as client:
            client.app(name)
        budgets = {}
    spent = {budget_of(asker): asker for asker, spending in sorted(budgets.items()) if spending.withheld}
    if spent:
        return "\n".join(
            f"The {field.replace('_', ' ')} of [bold]{escape(name)}[/] is spent, so questions of {escape(asker)} wait. "
            f"'{escape(raising(name, asker))}' raises it."
            for field, asker in spent.items()
        )
    if others := sum(1 for _ in labels.questions(name)):
        return (
            f"No open questions for you in [bold]{escape(name)}[/]. Other people are wanted for {others:,}: you have "
            "answered or skipped what is there, or somebody is at it."
        )
    return (
        f"No open questions for [bold]{escape(name)}[/]. They come when training rows are uncertain, when the pool "
        "holds rows, or when at least two models have passed and disagree on production rows."
    )
