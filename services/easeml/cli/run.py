"""``easeml run``: evaluate a saved workflow, for CI/CD and for people."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from easeml.cli.reading import progress_bar
from easeml.cli.session import Session, session
from easeml.errors import ConfigurationError, InvalidDataError
from easeml.lineage import Cache, Evaluation, Graph, Report, draw_svg, evaluate, explain, load, suggestions
from easeml.lineage.operators import GROUP
from easeml.relation import Relation

_SHOWN = 3
_DATAMAGIC = "easeml.datamagic.operators"


def run(
    context: typer.Context,
    workflow: Annotated[Path, typer.Argument(help="JSON document that save() of a lineage graph wrote.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Value of a workflow parameter; repeat it for several.", metavar="NAME=VALUE"),
    ] = None,
    want: Annotated[list[str] | None, typer.Option(help="Output to make; by default all.", metavar="NAME")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the result: .parquet (exact), .csv or .json.")] = None,
    operators: Annotated[
        list[str] | None, typer.Option(help="Python module that registers operators of your own.", metavar="MODULE")
    ] = None,
    plan: Annotated[bool, typer.Option("--explain", help="Say what would be done, and stop.")] = False,
    drawing: Annotated[
        Path | None, typer.Option("--draw", help="Write a drawing of the graph.", metavar="FILE.svg")
    ] = None,
    cached: Annotated[bool, typer.Option("--cache/--no-cache", help="Reuse and keep results in --home.")] = True,
) -> None:
    """Run a workflow: what was done before comes from the cache."""
    current = session(context)
    _import(operators or [])
    graph = load(workflow)
    graph = graph.want(want) if want else graph
    _check_output(output, graph)
    values = _values(graph, settings or [])
    cache: Cache | bool = Cache(current.settings.home / "cache") if cached else False
    if drawing is not None:
        drawing.write_text(draw_svg(graph), encoding="utf-8")
    if plan:
        text = explain(graph, parameters=values, cache=cache)
        current.line(escape(text), plan=text.splitlines())
        return
    done = _evaluated(current, graph, values, cache)
    if output is not None:
        _write(current, next(iter(done.results.values())), output)
    for name in done.results:
        _tell(current, name, done, graph)


def _import(modules: list[str]) -> None:
    for module in [_DATAMAGIC, *modules]:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigurationError(
                f"The operators of {module} cannot be imported: {error}.",
                mend=f"Install its package, or run where Python finds it. Packages can register under {GROUP!r}.",
            ) from error


def _values(graph: Graph, settings: list[str]) -> dict[str, Any]:
    """Return the values of ``--set``: JSON, or text where the default is text or the value is no JSON."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise typer.BadParameter(f"{setting!r} is not NAME=VALUE.", param_hint="--set")
        values[name] = text
        declared = graph.parameters.get(name)
        if declared is None or not isinstance(declared.default, str):
            try:
                values[name] = json.loads(text)
            except json.JSONDecodeError:
                values[name] = text
    return values


def _check_output(output: Path | None, graph: Graph) -> None:
    """Refuse an output file that could not be written, before anything runs."""
    if output is None:
        return
    if len(graph.outputs) > 1:
        raise typer.BadParameter(
            f"the workflow has the outputs {', '.join(graph.outputs)}; say which with --want.", param_hint="--output"
        )
    if output.suffix not in (".parquet", ".csv", ".json"):
        raise typer.BadParameter(f"{output} is no .parquet, .csv or .json.", param_hint="--output")
    if not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {output.absolute().parent}.", param_hint="--output")


def _evaluated(current: Session, graph: Graph, values: dict[str, Any], cache: Cache | bool) -> Evaluation:
    with progress_bar(current, "planning") as bar:
        told = 0

        def progress(done: int, total: int, what: str) -> None:
            nonlocal told
            if done > told:
                told = done
                current.console.print(f"[dim]{done}/{total}[/] {escape(what)}") if not current.as_json else None
            else:
                bar(done, total, f"{done + 1}/{total} {escape(what)}")  # the steps done, and the one under way

        done = evaluate(graph, parameters=values, cache=cache, progress=progress)
    for note in done.plan.notes:
        current.console.print(f"[dim]{escape(note)}[/]") if not current.as_json else None
    if current.as_json:
        for report in done.reports:
            current.line("", **_facts(report))
    return done


def _facts(report: Report) -> dict[str, Any]:
    return {
        "step": report.name,
        "status": report.status.value,
        "seconds": round(report.seconds, 6),
        "rows": report.rows,
        "content_hash": report.content_hash,
    }


def _tell(current: Session, name: str, done: Evaluation, graph: Graph) -> None:
    value, content = done.results[name], done.content_hashes[name]
    told = suggestions(value, graph.outputs[name]) if isinstance(value, Relation) else []
    what = repr(value) if isinstance(value, Relation) else json.dumps(value, ensure_ascii=False)
    lines = [f"[bold]{escape(name)}[/] {escape(what if len(what) <= 200 else what[:197] + '...')}"]
    lines.append(f"content hash {content}")
    if told:
        lines.append("Next:")
    for one in told[:_SHOWN]:
        lines += [f"  [bold]{escape(one.call)}[/]", f"    {escape(one.reason)}"]
    current.line(
        "\n".join(lines),
        output=name,
        content_hash=content,
        rows=len(value) if isinstance(value, Relation) else None,
        value=None if isinstance(value, Relation) else value,
        suggestions=[
            {
                "operator": one.operator,
                "parameters": dict(one.parameters),
                "needs": one.needs,
                "reason": one.reason,
                "evidence": dict(one.evidence),
                "share": one.share,
            }
            for one in told
        ],
    )


def _write(current: Session, value: Any, path: Path) -> None:
    """Write a result; a CSV file holds observed values alone and says so."""
    if isinstance(value, Relation) and path.suffix == ".json":
        raise InvalidDataError("The result is a relation.", mend="Write it to a .parquet or .csv file.")
    if not isinstance(value, Relation):
        if path.suffix != ".json":
            raise InvalidDataError("The result is no relation.", mend="Write it to a .json file.")
        path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    elif path.suffix == ".parquet":
        value.to_parquet(path)
    else:
        value.frame().to_csv(path)
        uncertain = len(value.entropy().cells)
        if uncertain and not current.as_json:
            current.console.print(
                f"[yellow]{uncertain:,} uncertain cells and labels stand as observed in {escape(str(path))}[/]; "
                "a .parquet file keeps their candidates."
            )
