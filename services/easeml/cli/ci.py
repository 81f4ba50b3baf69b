"""``easeml ci``: what a condition costs, and the gate itself on files; needs no broker."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape

from easeml import appearance, ci
from easeml.ci import explain, report
from easeml.cli.apps import STANDARD
from easeml.cli.ci_files import LABEL, PREDICTION, Book, Cells, model_name
from easeml.cli.session import Session, session
from easeml.cli.story import in_words
from easeml.errors import ConfigurationError

app = typer.Typer(help="Plan conditions of deployment, and judge models by them.", no_args_is_help=True)

REJECTED, LABELS_WANTED = 3, 4
"""Exit codes of ``check`` besides 0 (passed), 1 (errors) and 2 (usage)."""

_ENDINGS = {".json": "json", ".md": "markdown", ".xml": "junit", ".html": "html"}

Passes = Annotated[int | None, typer.Option(help="With full adaptivity: retire the test set after so many.", min=1)]
Owner = Annotated[bool, typer.Option("--owner", help="Show intervals and label counts; not for developers.")]


@app.callback()
def options() -> None:
    """Plan conditions of deployment, and judge models by them."""


@app.command("plan")
def plan(
    context: typer.Context,
    condition: Annotated[str, typer.Argument(help="For example 'n - o > 0.02 +/- 0.01'.")],
    *,
    reliability: Annotated[
        float, typer.Option(help="Chance that no pass is wrong, over all steps.")
    ] = STANDARD.reliability,
    steps: Annotated[int, typer.Option(help="Models that one test set may judge.", min=1)] = STANDARD.steps,
    adaptivity: Annotated[str, typer.Option(help="full, none or first_change.")] = "full",
    mode: Annotated[str, typer.Option(help="fp-free or fn-free.")] = "fp-free",
    disagreement: Annotated[
        float | None, typer.Option(help="Share of predictions that change, if known.", min=0, max=1)
    ] = None,
    passes: Passes = None,
    page: Annotated[Path | None, typer.Option("--html", help="Write the plan as a page.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the plan as Markdown.")] = None,
) -> None:
    """Tell how many test labels a condition costs, why, and what other choices would cost."""
    current = session(context)
    parsed = ci.parse(condition)
    asked = explain.Protocol(parsed, reliability, steps, adaptivity, mode, disagreement, passes)
    found = asked.plan()
    answers = explain.explained(asked)
    if not current.as_json:
        current.console.print(escape(explain.as_text(answers)))
        current.console.print()
    costs = {
        "reference (Hoeffding, optimal split)": found.reference,
        **{name: labels for name, labels in sorted(found.references.items()) if labels != found.reference},
        "this tool, at worst": found.labels_worst,
        "this tool, expected": found.labels_expected,
        "unlabelled examples": found.unlabelled,
    }
    rows = [
        {"method": method, "labels": labels if current.as_json else f"{labels:,}"} for method, labels in costs.items()
    ]
    title = f"For specialists: {condition}, reliability {reliability:g}, {steps} steps, {adaptivity}"
    current.table(("method", "labels"), rows, title=title)
    if markdown is not None:
        markdown.write_text(f"# What it costs to test `{condition}`\n\n{explain.as_markdown(answers)}", "utf-8")
    if page is not None:
        page.write_text(_page(f"What it costs to test {condition}", explain.as_html(answers)), "utf-8")


@app.command("check")
def check(
    context: typer.Context,
    new: Annotated[Path, typer.Argument(help="CSV: the new model's predictions of the test examples.")],
    old: Annotated[Path | None, typer.Argument(help="CSV: those of the model in use; the ledger keeps them.")] = None,
    *,
    labels: Annotated[Path | None, typer.Option(help="CSV with the labels known; else a column of NEW.")] = None,
    ledger: Annotated[Path, typer.Option(help="Where the use of the test set is kept between calls.")] = Path(
        "ci-ledger.npz"
    ),
    condition: Annotated[str | None, typer.Option(help="For example 'n - o > 0.02 +/- 0.01'.")] = None,
    reliability: Annotated[float | None, typer.Option(help="Chance that no pass is wrong, over all steps.")] = None,
    steps: Annotated[int | None, typer.Option(help="Models that the test set may judge.", min=1)] = None,
    adaptivity: Annotated[str | None, typer.Option(help="full, none or first_change.")] = None,
    mode: Annotated[str | None, typer.Option(help="fp-free or fn-free.")] = None,
    passes: Passes = None,
    model: Annotated[str | None, typer.Option(help="Name of the new model; by default made of its file.")] = None,
    id_column: Annotated[str, typer.Option(help="Column with the identity of each example.")] = "id",
    questions: Annotated[Path | None, typer.Option(help="CSV to write the examples to that need a label.")] = None,
    ahead: Annotated[int, typer.Option(help="Examples to ask for at once.", min=1)] = 100,
    reports: Annotated[
        list[Path] | None, typer.Option("--report", help="Write a report: .json, .md, .xml (JUnit) or .html.")
    ] = None,
    owner: Owner = False,
    seed: Annotated[int | None, typer.Option(help="Seed of the label order; by default a secret one.")] = None,
) -> None:
    """Judge a model by its predictions: exit 0 when it passes, 3 when it is rejected, 4 when labels are missing.

    The first call opens the test set, with --condition and, where the condition has o or d, with OLD.
    """
    current = session(context)
    _check_endings(reports or [])
    predicted = Cells.read(new, id_column)
    asked = {"condition": condition, "reliability": reliability, "steps": steps}
    asked |= {"adaptivity": adaptivity, "mode": mode, "passes": passes}
    book = _book(ledger, predicted, {name: value for name, value in asked.items() if value is not None}, seed)
    names = predicted.column(PREDICTION, book.ids)
    given = None
    if old is not None:
        given = book.codes(Cells.read(old, id_column).column(PREDICTION, book.ids), old)
    name = model or model_name(new, names)
    evaluation = book.ledger.propose(name, book.codes(names, new), given)
    known = (Cells.read(labels, id_column) if labels else predicted).optional(LABEL)
    wanted = _labelled(book, evaluation, known, ahead)
    book.save(ledger)
    for path in reports or []:
        path.write_text(_rendered(book, _ENDINGS[path.suffix], owner=owner), "utf-8")
    if evaluation.verdict is None:
        _ask(current, [book.ids[index] for index in wanted], questions)
        raise typer.Exit(LABELS_WANTED)
    _tell(current, book, evaluation.verdict, owner=owner)
    if not evaluation.verdict.signal:
        raise typer.Exit(REJECTED)


@app.command("report")
def tell(
    context: typer.Context,
    ledger: Annotated[Path, typer.Argument(help="The file that `easeml ci check` keeps.")],
    *,
    form: Annotated[str, typer.Option("--format", help=", ".join(report.FORMATS))] = "markdown",
    output: Annotated[Path | None, typer.Option(help="File to write; by default it is printed.")] = None,
    owner: Owner = False,
) -> None:
    """Report every verdict on a test set."""
    current = session(context)
    if form not in report.FORMATS:
        raise ConfigurationError(f"There is no format {form!r}.", mend=f"Use one of {', '.join(report.FORMATS)}.")
    text = _rendered(Book.open(ledger), "json" if current.as_json else form, owner=owner)
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, "utf-8")


def _check_endings(paths: list[Path]) -> None:
    for path in paths:
        if path.suffix not in _ENDINGS:
            raise ConfigurationError(
                f"{path}: which report is it to be?", mend=f"Let the name end with {', '.join(_ENDINGS)}."
            )


def _book(path: Path, predicted: Cells, asked: dict[str, Any], seed: int | None) -> Book:
    """Return the ledger of earlier calls, or open the test set."""
    if path.exists():
        book = Book.open(path)
        book.frozen(asked)
        return book
    if "condition" not in asked:
        raise ConfigurationError(f"There is no ledger {path} yet.", mend="Give --condition to open the test set.")
    protocol = {"reliability": STANDARD.reliability, "steps": STANDARD.steps} | asked
    return Book.new(predicted, protocol.pop("condition"), np.random.default_rng(seed), protocol)


def _labelled(book: Book, evaluation: ci.Evaluation, known: dict[str, str], ahead: int) -> list[int]:
    """Give the evaluation the labels it wants, in its order; return the next ones that nobody knows."""
    for index in evaluation:
        if (label := known.get(book.ids[index])) is None:
            break
        evaluation.observe(index, int(book.codes([label], Path(LABEL))[0]))
    return [index for index in evaluation.wanted(ahead) if book.ids[index] not in known]


def _ask(current: Session, ids: list[str], questions: Path | None) -> None:
    if questions is not None:
        with questions.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("id", LABEL), *((name, "") for name in ids)])
    more = "" if questions is None else f" They stand in {escape(str(questions))}."
    current.line(
        f"Labels are missing: {len(ids)} examples, in this order: {escape(', '.join(ids[:10]))}"
        f"{', ...' if len(ids) > 10 else ''}.{more}",
        wanted=ids,
    )


def _tell(current: Session, book: Book, verdict: ci.Verdict, *, owner: bool) -> None:
    told = next(v for v in report.facts(book.ledger, owner=owner)["verdicts"] if v["model"] == verdict.model_id)
    result = "[green]passed[/]" if verdict.signal else "[red]rejected[/]"
    current.line(f"{escape(verdict.model_id)}: {result} ({escape(book.ledger.condition.text)})", **told)
    if owner and not current.as_json:
        current.record({name: value for name, value in told.items() if name not in ("model", "passed")})
    closed = book.ledger.closed
    if closed is not None and not current.as_json:
        current.console.print(
            f"[yellow]The test set is used up ({in_words(closed)}):[/] the next model needs fresh examples."
        )


def _rendered(book: Book, form: str, *, owner: bool) -> str:
    text = report.FORMATS[form](book.ledger, owner=owner)
    if form != "json":
        text = in_words(text)
    return _page(f"Verdicts on {book.ledger.condition.text}", text) if form == "html" else text


def _page(title: str, body: str) -> str:
    style = appearance.card("easeml-ci", "", "", ".card p{max-width:48em}.card h2{font-size:1.1em}")
    return appearance.page(title, f'<style>{style}</style><div class="easeml-ci">{body}</div>')
