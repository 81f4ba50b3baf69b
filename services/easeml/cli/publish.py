"""``easeml publish``: put a file on the stream."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
import typer
from rich.markup import escape

from easeml.cli.reading import (
    Delimiter,
    Encoding,
    FileFormat,
    Header,
    IdColumn,
    Sheet,
    Size,
    SkipBadRows,
    Strict,
    cleaned,
    reader_options,
)
from easeml.cli.session import session
from easeml.datamagic.cleaning.schema import Schema, infer_schema
from easeml.datamagic.reading import identified, read_table
from easeml.publication import Publication
from easeml.stream.payloads import AppDefined, Column

_FILE = (
    "CSV, TSV, JSON, JSONL, Parquet, Arrow, Excel, PDF, DOCX, or a folder with one sub-folder of texts or images per "
    "class; a path or a URL, plain or compressed."
)


def publish(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The app.")],
    file: Annotated[str, typer.Argument(help=_FILE)],
    pillar: Annotated[
        str | None, typer.Option(help="train, pool, validation, test or production; by default the rows are split.")
    ] = None,
    id_column: IdColumn = None,
    test_share: Annotated[
        float | None,
        typer.Option(help="Share of the split's test rows; by default as many as the condition needs.", min=0, max=1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    again: Annotated[bool, typer.Option(help="Append the same rows once more.")] = False,
    file_format: FileFormat = None,
    sheet: Sheet = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    header: Header = None,
    size: Size = None,
    strict: Strict = False,
    skip_bad_rows: SkipBadRows = False,
) -> None:
    """Publish the rows of a file to an app."""
    current = session(context)
    options = reader_options(
        file_format, sheet, delimiter, encoding, header, size, id_column, skip_bad_rows=skip_bad_rows
    )
    table = read_table(file, **options)
    frame, row_ids = identified(table.frame, file, None, id_column)
    with current.client() as client:
        app = client.app(name)
        if table.account.format in {"texts", "images"}:
            frame = frame.rename(columns={"label": app.label})
        read = cleaned(table.account, frame, _schema_for(app, frame), strict=strict)
        clean = read.frame
        done = client.publish(name, clean, pillar, row_ids=row_ids, seed=seed, again=again, test_share=test_share)
        fixed = client.app(name) if done.schema_fixed else None
    facts: dict[str, Any] = {
        "app": name,
        "version": done.version,
        "new": done.new,
        "rows": {part.value: rows for part, rows in done.rows.items()},
        "unseen": [
            {"row": str(clean.index[place]), "column": column, "value": value} for place, column, value in done.unseen
        ],
        "read": read.facts(),
    }
    if fixed is not None:
        facts |= {"columns": {c.name: c.kind.value for c in fixed.columns}, "classes": fixed.classes}
    text = read.summary() if done.new else ""
    text += _words(done) + _unseen(done, clean) + (_schema(fixed) if fixed is not None else "")
    current.line(text, **facts)


def _schema_for(app: AppDefined, frame: pd.DataFrame) -> Schema:
    """Return how the columns are read: as the app has fixed them, else as they look."""
    return infer_schema(
        frame,
        label=app.label if app.label in frame.columns else None,
        kinds={column.name: column.kind.value for column in app.columns if column.name in frame.columns},
    )


def _words(done: Publication) -> str:
    name, version = escape(done.app), f"version [bold]{done.version}[/]"
    parts = ", ".join(f"{rows:,} {part.value}" for part, rows in done.rows.items())
    if done.new:
        return f"Published {version} of [bold]{name}[/]: {parts}."
    return f"Already there, nothing new: {version} of [bold]{name}[/] holds these rows ({parts})."


def _unseen(done: Publication, frame: pd.DataFrame) -> str:
    """Return what was taken for missing because the app does not know it."""
    if not done.unseen:
        return ""
    place, column, value = done.unseen[0]
    count = f"{len(done.unseen):,} value{' is' if len(done.unseen) == 1 else 's are'}"
    where = f"{frame.index.name or 'row'} {frame.index[place]}, column {column}: {value!r}"
    return (
        f"\n[yellow]{count} unknown to the app and taken for missing[/], first {escape(where)}. "
        f"'easeml apps update {escape(done.app)} --add-category COLUMN=VALUE' makes the app know one."
    )


def _schema(app: AppDefined) -> str:
    """Return what the first publication has fixed, for people to check."""
    kinds: dict[str, list[Column]] = {}
    for column in app.columns:
        kinds.setdefault(column.kind.value, []).append(column)
    lines = [f"Columns of [bold]{escape(app.app)}[/] are fixed from now on:"]
    lines += [f"  {kind:<12}{escape(_names(columns))}" for kind, columns in kinds.items()]
    lines.append(f"  {'label':<12}{escape(app.label)}: {escape(', '.join(app.classes))}")
    return "\n" + "\n".join(lines)


def _names(columns: list[Column], shown: int = 12) -> str:
    names = [c.name + (f" ({len(c.categories)} values)" if c.categories else "") for c in columns[:shown]]
    more = len(columns) - shown
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
