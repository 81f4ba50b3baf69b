"""``easeml label``: answer in the terminal, or take the questions to Label Studio and the answers back."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from easeml.cli.completion import App
from easeml.cli.label import Test, calling, label
from easeml.cli.questions import cell
from easeml.cli.reading import progress_bar
from easeml.cli.session import session
from easeml.errors import BudgetExhaustedError, ConflictError, InvalidDataError, NotFoundError
from easeml.labels import label_studio
from easeml.labels.client import LabelClient
from easeml.labels.label_studio import Said

_ANSWER = "answer"


class _Labelling(TyperGroup):
    """A group whose first word may be left out: an app's name means to answer its questions here."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the word in that was left out."""
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = [_ANSWER, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return the words that may stand here: those of the group, and the apps where its word is left out."""
        (app,) = (parameter for parameter in self.commands[_ANSWER].params if parameter.name == "name")
        return [*super().shell_complete(ctx, incomplete), *app.shell_complete(ctx, incomplete)]


app = typer.Typer(
    cls=_Labelling,
    help=(
        "Answer the open questions of an app, the most informative first, here or in Label Studio.\n\n"
        "'easeml label APP' answers here."
    ),
    no_args_is_help=True,
)
app.command(_ANSWER, help="Answer in the terminal; the word may be left out.")(label)


@app.command("export")
def export(
    context: typer.Context,
    name: App,
    file: Annotated[Path, typer.Argument(help="Where the tasks go, as JSON.")],
    config: Annotated[Path | None, typer.Option(help="Where the project's labeling configuration goes.")] = None,
    annotator: Annotated[str, typer.Option(help="Leave out what this person has skipped and others hold.")] = "",
    test: Test = False,
) -> None:
    """Write the open questions as Label Studio tasks, each with its most probable answer as prediction."""
    current = session(context)
    with calling(current, owner=test) as labels:
        tasks = [label_studio.task_of(one, cell) for one in labels.questions(name, annotator=annotator)]
    _write(file, json.dumps(tasks, indent=1, ensure_ascii=False))
    if config is not None:
        _write(config, label_studio.CONFIG)
    text = f"{len(tasks):,} question{'' if len(tasks) == 1 else 's'} of [bold]{escape(name)}[/] in {escape(str(file))}."
    current.line(text, app=name, tasks=len(tasks), file=str(file), config=None if config is None else str(config))


@app.command("import")
def bring_in(
    context: typer.Context,
    name: App,
    file: Annotated[Path, typer.Argument(help="Label Studio's JSON export.", exists=True, dir_okay=False)],
    test: Test = False,
) -> None:
    """Send what Label Studio's annotators said as their answers; what was sent before counts once."""
    current = session(context)
    found, strange = label_studio.said(_parsed(file), name)
    counts: Counter[str] = Counter()
    refused: list[dict[str, str]] = []
    with calling(current, owner=test) as labels, progress_bar(current, "answers") as progress:
        for place, one in enumerate(found, 1):
            try:
                _send(labels, one)
                counts["skipped" if one.choice is None and one.other is None else "answered"] += 1
            except (ConflictError, NotFoundError, InvalidDataError, BudgetExhaustedError) as error:
                refused.append({"question": one.question, "annotator": one.annotator, "reason": error.reason})
            progress(place, len(found), "answers")
    text = f"{counts['answered']:,} answers and {counts['skipped']:,} skips of {len(found):,} annotations sent."
    text += f"\n{strange:,} tasks are not of [bold]{escape(name)}[/]." if strange else ""
    why = Counter(one["reason"] for one in refused)
    text += "".join(f"\n[yellow]not counted[/]  {count:,}: {escape(reason)}" for reason, count in sorted(why.items()))
    sent = {"answered": counts["answered"], "skipped": counts["skipped"]}
    current.line(text, app=name, annotations=len(found), **sent, other_tasks=strange, refused=refused)


def _send(labels: LabelClient, one: Said) -> None:
    who: dict[str, Any] = {"app": one.app, "annotator": one.annotator, "request_id": one.request_id}
    if one.choice is None and one.other is None:
        labels.skip(one.question, **who)
    else:
        labels.answer(one.question, one.choice, other=one.other, **who)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise InvalidDataError(f"{file} cannot be written: {error.strerror}.", mend="Name another file.") from error


def _parsed(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise InvalidDataError(f"{file} is no JSON: {error}.", mend="Export the project as JSON.") from error
