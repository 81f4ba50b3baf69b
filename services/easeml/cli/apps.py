"""``easeml apps``: create, list, show, update, pause, resume and delete applications."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from easeml import definition, erasure, pausing
from easeml.ci import explain
from easeml.cli.completion import App
from easeml.cli.session import Session, session
from easeml.client import Client
from easeml.datamagic.cleaning.schema import infer_schema
from easeml.datamagic.reading import read_frame
from easeml.errors import InvalidDataError, NotFoundError
from easeml.stream import codec
from easeml.stream.payloads import AppDefined, Score

app = typer.Typer(help="Create, list, show, update, pause, resume and delete applications.", no_args_is_help=True)
STANDARD = AppDefined(app="", label="", classes=(), columns=())
"""An app of which nothing is said."""


@app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the app.")],
    label: Annotated[str, typer.Option(help="Label column.")],
    target: Annotated[float, typer.Option(help="Accuracy you hope for.", min=0, max=1)] = STANDARD.target,
    condition: Annotated[str, typer.Option(help="Condition a model must meet.")] = STANDARD.condition,
    reliability: Annotated[
        float, typer.Option(help="Chance that no pass on a test set is wrong.")
    ] = STANDARD.reliability,
    steps: Annotated[int, typer.Option(help="Models that one test set may judge.", min=1)] = STANDARD.steps,
    adaptivity: Annotated[str, typer.Option(help="full, none or first_change.")] = STANDARD.adaptivity,
    mode: Annotated[str, typer.Option(help="fp-free or fn-free.")] = STANDARD.mode,
    label_budget: Annotated[
        int, typer.Option(help="Labels that production questions may cost.", min=0)
    ] = STANDARD.label_budget,
    horizon: Annotated[
        int, typer.Option(help="Production rows the label budget is spread over.", min=1)
    ] = STANDARD.horizon,
    cleaning_budget: Annotated[
        int, typer.Option(help="Answers that questions about uncertain training rows may cost.", min=0)
    ] = STANDARD.cleaning_budget,
    acquisition_budget: Annotated[
        int, typer.Option(help="Labels that questions about pool rows may cost.", min=0)
    ] = STANDARD.acquisition_budget,
    test_label_budget: Annotated[
        int, typer.Option(help="Labels that questions about test rows may cost; 0: they come with the data.", min=0)
    ] = STANDARD.test_label_budget,
    redundancy: Annotated[
        int, typer.Option(help="People who must answer a question before it counts.", min=1)
    ] = STANDARD.redundancy,
    passes: Annotated[
        int | None, typer.Option(help="Models that one test set may let pass; costs far fewer labels.", min=1)
    ] = STANDARD.passes,
    meter: Annotated[
        bool, typer.Option("--meter", help="Show developers the overfitting meter; that costs test labels.")
    ] = STANDARD.meter,
    score: Annotated[
        list[str] | None,
        typer.Option(help="What CI counts a wrong (or right) prediction, 0 to 1.", metavar="LABEL:PREDICTION=WORTH"),
    ] = None,
    price_column: Annotated[
        str, typer.Option(help="Numeric column with the price of a pool row's label, in labels; else 1 each.")
    ] = STANDARD.price_column,
    like: Annotated[Path | None, typer.Option(help="File whose columns and classes the app takes.")] = None,
) -> None:
    """Create an app and show what its CI condition costs."""
    current = session(context)
    if not label.strip():
        raise InvalidDataError("The label column has no name.", mend="Name the column of the classes with --label.")
    options: dict[str, Any] = {
        "target": target,
        "condition": condition,
        "reliability": reliability,
        "steps": steps,
        "adaptivity": adaptivity,
        "mode": mode,
        "label_budget": label_budget,
        "horizon": horizon,
        "cleaning_budget": cleaning_budget,
        "acquisition_budget": acquisition_budget,
        "test_label_budget": test_label_budget,
        "redundancy": redundancy,
        "passes": passes,
        "meter": meter,
        "scores": tuple(map(_score, score or ())),
        "price_column": price_column,
    }
    rows = read_frame(like) if like else None
    # By the same reading as 'easeml publish', so that the columns are those of the files to come.
    frame = None if rows is None else infer_schema(rows, label=label if label in rows else None).apply(rows)
    with current.client() as client:
        created = client.create_app(name, label=label, frame=frame, **options)
        text, facts = _cost(client, created)
    current.line(f"App [bold]{name}[/] created. {text}", app=name, **facts)
    if not current.as_json:
        current.console.print(escape(explain.as_text(definition.plan_explained(created))))


def _cost(client: Client, app: AppDefined) -> tuple[str, dict[str, int]]:
    """Return what a condition costs, for people and for programs."""
    plan, whole = client.plan(app), client.rows_needed(app)
    if app.test_label_budget:
        rows = "test rows, whose labels are asked for where a verdict needs them"
    else:
        rows = "labelled test rows"
    text = (
        f"Its condition [bold]{escape(app.condition)}[/] with reliability {app.reliability:g} over {app.steps} models "
        f"needs [bold]{plan.unlabelled:,}[/] {rows}: at most {plan.labels_worst:,} per verdict, "
        f"{plan.labels_expected:,} in clear cases. A file that Ease.ML splits by itself needs [bold]{whole:,}[/] rows "
        "in all."
    )
    return text, {"test_labels": plan.labels_worst, "unlabelled": plan.unlabelled, "rows_for_split": whole}


@app.command("list")
def list_apps(context: typer.Context) -> None:
    """List the apps."""
    current = session(context)
    with current.client() as client:
        rows = [
            {
                "app": a.app,
                "label": a.label,
                "classes": len(a.classes),
                "columns": len(a.columns),
                "target": a.target,
                "condition": a.condition,
            }
            for a in client.apps().values()
        ]
    current.table(("app", "label", "classes", "columns", "target", "condition"), rows)


@app.command("show")
def show(context: typer.Context, name: App) -> None:
    """Show one app."""
    current = session(context)
    with current.client() as client:
        found = client.app(name)
    facts = codec.json_of(found)
    if not current.as_json:
        facts["columns"] = [f"{c.name} ({c.kind.value})" for c in found.columns]
    current.record(facts)


@app.command("update")
def update(
    context: typer.Context,
    name: App,
    target: Annotated[float | None, typer.Option(help="Accuracy you hope for.", min=0, max=1)] = None,
    condition: Annotated[str | None, typer.Option(help="Condition a model must meet.")] = None,
    reliability: Annotated[float | None, typer.Option(help="Chance that no pass on a test set is wrong.")] = None,
    steps: Annotated[int | None, typer.Option(help="Models that one test set may judge.", min=1)] = None,
    label_budget: Annotated[int | None, typer.Option(help="Labels that production questions may cost.", min=0)] = None,
    horizon: Annotated[int | None, typer.Option(help="Production rows the label budget is spread over.", min=1)] = None,
    cleaning_budget: Annotated[
        int | None, typer.Option(help="Answers that questions about uncertain training rows may cost.", min=0)
    ] = None,
    acquisition_budget: Annotated[
        int | None, typer.Option(help="Labels that questions about pool rows may cost.", min=0)
    ] = None,
    test_label_budget: Annotated[
        int | None, typer.Option(help="Labels that questions about test rows may cost.", min=0)
    ] = None,
    redundancy: Annotated[
        int | None, typer.Option(help="People who must answer a question before it counts.", min=1)
    ] = None,
    passes: Annotated[int | None, typer.Option(help="Models that one test set may let pass.", min=1)] = None,
    meter: Annotated[
        bool | None, typer.Option("--meter/--no-meter", help="Show developers the overfitting meter.")
    ] = None,
    price_column: Annotated[
        str | None,
        typer.Option(help="Numeric column with the price of a pool row's label, in labels; '' for 1 each."),
    ] = None,
    add_class: Annotated[
        list[str] | None, typer.Option(help="One more class of the label; repeat for more.", metavar="CLASS")
    ] = None,
    add_category: Annotated[
        list[str] | None,
        typer.Option(help="One more value of a categorical column; repeat for more.", metavar="COLUMN=VALUE"),
    ] = None,
) -> None:
    """Change an app: only what is named. Another condition or number of steps needs a new test set."""
    current = session(context)
    settings: dict[str, Any] = {
        "target": target,
        "condition": condition,
        "reliability": reliability,
        "steps": steps,
        "label_budget": label_budget,
        "horizon": horizon,
        "cleaning_budget": cleaning_budget,
        "acquisition_budget": acquisition_budget,
        "test_label_budget": test_label_budget,
        "redundancy": redundancy,
        "passes": passes,
        "meter": meter,
        "price_column": price_column,
    }
    options = {option: value for option, value in settings.items() if value is not None}
    if add_class:
        options["add_classes"] = tuple(add_class)
    if add_category:
        options["add_categories"] = _categories(add_category)
    if not options:
        raise typer.BadParameter("Name what shall change, e.g. --label-budget 500.")
    with current.client() as client:
        changed = client.update_app(name, **options)
        text, facts = _cost(client, changed)
    said = f"App [bold]{name}[/] changed: {', '.join(sorted(options))}."
    if options.keys() & {"condition", "reliability", "steps", "passes", "meter"}:
        said += f" {text} A test set that has judged models is used up by this; publish fresh test rows."
    current.line(said, app=name, changed=sorted(options), **facts)


def _score(text: str) -> Score:
    classes, equals, worth = text.rpartition("=")
    label, colon, prediction = classes.partition(":")
    try:
        if equals and colon and label and prediction:
            return Score(label, prediction, float(worth))
    except ValueError:
        pass
    raise typer.BadParameter(f"{text!r} is not LABEL:PREDICTION=WORTH.", param_hint="--score")


def _categories(pairs: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in pairs:
        column, equals, value = pair.partition("=")
        if not (column and equals and value):
            raise typer.BadParameter(f"{pair!r} is not COLUMN=VALUE.", param_hint="--add-category")
        found.setdefault(column, []).append(value)
    return found


@app.command("pause")
def pause(context: typer.Context, name: App) -> None:
    """Pause an app: no more questions, no more models for CI; its pick is served all the while."""
    current = session(context)
    with current.client() as client:
        pausing.pause(client, name, getpass.getuser())
    current.line(f"App [bold]{name}[/] is paused; 'easeml apps resume {name}' lets it go on.", app=name, paused=True)


@app.command("resume")
def resume(context: typer.Context, name: App) -> None:
    """Let a paused app go on, with the budgets it had."""
    current = session(context)
    with current.client() as client:
        pausing.resume(client, name, getpass.getuser())
    current.line(f"App [bold]{name}[/] goes on.", app=name, paused=False)


@app.command("delete")
def delete(
    context: typer.Context,
    name: App,
    erase: Annotated[
        bool, typer.Option("--erase", help="Also remove its messages, model files and uploads, and tell which.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
) -> None:
    """Delete an app: services forget it, and with --erase so do the topics and the store."""
    current = session(context)
    if erase and not yes and typer.prompt(f"Type {name} to erase it for good", err=current.as_json) != name:
        raise InvalidDataError("That was another name; nothing is erased.", mend="Type the app's name.")
    with current.client() as client:
        if erase:
            _erased(current, erasure.erase(client, name, getpass.getuser()))
            return
        try:
            client.delete_app(name)
        except NotFoundError as error:
            raise NotFoundError(error.message, mend="'easeml apps list' shows the apps that can be deleted.") from error
    current.line(f"App [bold]{name}[/] deleted.", app=name, deleted=True)


def _erased(current: Session, done: erasure.Erased) -> None:
    """Tell what is gone and what is left."""
    if current.as_json:
        current.line("", deleted=True, complete=done.complete, **asdict(done))
        return
    rows = [
        {"topic": topic, "removed": done.removed.get(topic, 0), "left": done.left.get(topic, 0)}
        for topic in sorted({*done.removed, *done.left})
    ]
    current.table(("topic", "removed", "left"), rows)
    for uri in done.files:
        current.console.print(f"file removed  {escape(uri)}")
    for uri in done.shared:
        current.console.print(f"file kept, another app has it too  {escape(uri)}")
    current.console.print(f"App [bold]{done.app}[/] is deleted: {done}.")
    if not done.complete:
        current.console.print(f"'easeml apps delete {done.app} --erase' again takes what can be taken by then.")
