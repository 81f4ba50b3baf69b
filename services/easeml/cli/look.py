"""``easeml look``: a file as a relation, with candidates for what is missing or doubtful; needs no broker."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from rich.markup import escape, render

from easeml import appearance
from easeml.cli.file_options import Repairs, WholeFileOptions, reads_a_file
from easeml.cli.reading import Told, progress_bar
from easeml.cli.session import Session, session
from easeml.datamagic.cleaning.detection import detect_errors
from easeml.datamagic.cleaning.repairs import propose_repairs
from easeml.datamagic.reading import FORMATS
from easeml.relation import Relation
from easeml.relation.overview import overview, short
from easeml.relation.rendering import html_of, text_of_relation

_SHOWN = 8
_DOUBTFUL = 0.9
_LONGEST = 400
"""Characters of a line of the page at most."""


@reads_a_file
def look(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help=f"A path or a URL: {', '.join(FORMATS)}, plain or compressed.")],
    label: Annotated[str | None, typer.Option(help="Label column.")] = None,
    *,
    how: WholeFileOptions,
    rows: Annotated[int, typer.Option(help="Rows to show.", min=1)] = 10,
    repairs: Repairs = 5,
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
    found = how.read(file, label=label)
    told = Told(found)
    relation = found.relation
    rng = np.random.default_rng(seed)
    errors = detect_errors(relation, rng=rng)
    if repairs:
        wrong = errors[(errors["score"] >= doubt) & errors["column"].notna()] if doubt < 1 else None
        relation = _repaired(current, relation, wrong, repairs, rng)
    reading, suspicions = told.summary(row_id=found.row_id).splitlines(), _told(errors)
    if current.as_json:
        current.line("", read=told.facts(), row_id=found.row_id or how.id_column, **_facts(relation, errors))
    else:
        current.console.print("\n".join([*reading, ""]))
        print(text_of_relation(relation, rows, width=current.console.width))
        current.console.print("\n".join(["", *suspicions]))
    if output is not None:
        _write(relation, output, rows, found.account.name, [*reading, *suspicions])
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
    with progress_bar(current, "candidates") as progress:
        return propose_repairs(relation, max_candidates=most, errors=errors, rng=rng, progress=progress)


def _facts(relation: Relation, errors: pd.DataFrame) -> dict[str, Any]:
    seen = overview(relation, 1)
    suspicious = errors[errors["kind"] != "missing"]
    return {
        "rows": len(relation),
        "columns": {column.name: column.kind.value for column in relation.columns},
        "label": relation.label,
        "classes": relation.classes,
        "uncertain_cells": seen.uncertain_cells,
        "settled_cells": seen.settled_cells,
        "unlabelled": seen.unlabelled,
        "entropy_bits": seen.bits,
        "content_hash": relation.content_hash(),
        "suspicious": json.loads(suspicious.head(100).to_json(orient="records")),
        "kinds": errors["kind"].value_counts().to_dict(),
    }


def _told(errors: pd.DataFrame) -> list[str]:
    """Return what looks wrong, the most suspicious first, as lines with console markup."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in errors["kind"].value_counts().items())
    lines = [f"Found: {escape(counts or 'nothing that looks wrong')}."]
    suspicious = errors[(errors["kind"] != "missing") & (errors["score"] >= _DOUBTFUL)]
    for error in suspicious.head(_SHOWN).itertuples():
        where = f"{error.row_id}" + (f", {error.column}" if isinstance(error.column, str) else "")
        lines.append(f"  {error.kind:<11} {escape(where)}: {escape(str(error.detail))}")
    if len(suspicious) > _SHOWN:
        lines.append(f"  ... and {len(suspicious) - _SHOWN:,} more (--json lists 100)")
    return lines


def _write(relation: Relation, output: Path, rows: int, name: str, told: list[str]) -> None:
    if output.suffix == ".parquet":
        relation.to_parquet(output)
    elif output.suffix == ".csv":
        relation.frame().to_csv(output)
    else:
        output.write_text(_page(relation, rows, name, told), encoding="utf-8")


def _page(relation: Relation, rows: int, name: str, told: list[str]) -> str:
    """Return a page of its own: the file's name, what was read and found, and the relation."""
    lines = html.escape("\n".join(short(render(line).plain, _LONGEST) for line in told))
    return appearance.page(short(Path(name).name, _LONGEST), f"{html_of(relation, rows)}<pre>{lines}</pre>")
