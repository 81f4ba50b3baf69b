"""``easeml look``: a file as a relation, with candidates for what is missing or doubtful; needs no broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.markup import escape
from rich.progress import Progress

from easeml.cli.session import Session, session
from easeml.datamagic.cleaning.detection import detect_errors
from easeml.datamagic.cleaning.repairs import propose_repairs
from easeml.datamagic.reading import FORMATS, read
from easeml.relation import Relation
from easeml.relation.rendering import html_of

_SHOWN = 8
_DOUBTFUL = 0.9


def look(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help=f"A path or a URL: {', '.join(FORMATS)}, plain or compressed.")],
    label: Annotated[str | None, typer.Option(help="Label column.")] = None,
    id_column: Annotated[str | None, typer.Option(help="Column with the identity of each row.")] = None,
    file_format: Annotated[str | None, typer.Option("--format", help="Format; by default found out.")] = None,
    rows: Annotated[int, typer.Option(help="Rows to show.", min=1)] = 10,
    repairs: Annotated[int, typer.Option(help="Most candidates of a cell; 0: none.", min=0)] = 5,
    doubt: Annotated[
        float, typer.Option(help="Propose candidates for cells that look as wrong as this, too; 1: for none.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the samples that candidates come from.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Write the relation: .parquet (with every candidate), .html or .csv.")
    ] = None,
) -> None:
    """Show a file as a relation: its columns, what is uncertain and what looks wrong."""
    current = session(context)
    _check(output)
    relation = read(file, format=file_format, label=label, id_column=id_column)
    rng = np.random.default_rng(seed)
    errors = detect_errors(relation, rng=rng)
    if repairs:
        wrong = errors[(errors["score"] >= doubt) & errors["column"].notna()] if doubt < 1 else None
        relation = _repaired(current, relation, wrong, repairs, rng)
    if current.as_json:
        current.line("", **_facts(relation, errors))
    else:
        relation.show(rows)
        _tell(current, errors)
    if output is not None:
        _write(relation, output, rows)
        if not current.as_json:
            current.console.print(f"Wrote {escape(str(output))}.")


def _check(output: Path | None) -> None:
    """Refuse a file that could not be written, before the work."""
    if output is None:
        return
    if output.suffix not in (".parquet", ".html", ".csv"):
        raise typer.BadParameter(f"{output} is no .parquet, .html or .csv.", param_hint="--output")
    if not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {output.absolute().parent}.", param_hint="--output")


def _repaired(
    current: Session, relation: Relation, errors: pd.DataFrame | None, most: int, rng: np.random.Generator
) -> Relation:
    with Progress(console=current.console, transient=True, disable=current.as_json) as bar:
        task = bar.add_task("candidates", total=None)

        def progress(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        return propose_repairs(relation, max_candidates=most, errors=errors, rng=rng, progress=progress)


def _facts(relation: Relation, errors: pd.DataFrame) -> dict[str, Any]:
    entropy = relation.entropy()
    suspicious = errors[errors["kind"] != "missing"]
    return {
        "rows": len(relation),
        "columns": {column.name: column.kind.value for column in relation.columns},
        "label": relation.label,
        "classes": relation.classes,
        "uncertain_cells": len(relation.uncertain_cells()),
        "entropy_bits": entropy.total,
        "content_hash": relation.content_hash(),
        "suspicious": json.loads(suspicious.head(100).to_json(orient="records")),
        "kinds": errors["kind"].value_counts().to_dict(),
    }


def _tell(current: Session, errors: pd.DataFrame) -> None:
    """Say what looks wrong, the most suspicious first."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in errors["kind"].value_counts().items())
    current.console.print(f"\nFound: {escape(counts or 'nothing that looks wrong')}.")
    suspicious = errors[(errors["kind"] != "missing") & (errors["score"] >= _DOUBTFUL)]
    for error in suspicious.head(_SHOWN).itertuples():
        where = f"{error.row_id}" + (f", {error.column}" if isinstance(error.column, str) else "")
        current.console.print(f"  {error.kind:<11} {escape(where)}: {escape(str(error.detail))}")
    if len(suspicious) > _SHOWN:
        current.console.print(f"  ... and {len(suspicious) - _SHOWN:,} more (--json lists 100)")


def _write(relation: Relation, output: Path, rows: int) -> None:
    if output.suffix == ".parquet":
        relation.to_parquet(output)
    elif output.suffix == ".csv":
        relation.frame().to_csv(output)
    else:
        page = f'<!doctype html><meta charset="utf-8"><title>Relation</title>{html_of(relation, rows)}'
        output.write_text(page, encoding="utf-8")
