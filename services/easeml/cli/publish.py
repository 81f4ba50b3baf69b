"""``easeml publish``: put a file on the stream."""

from __future__ import annotations

import re
from typing import Annotated, Any

import pandas as pd
import typer
from rich.markup import escape

from easeml.cli.session import session
from easeml.datamagic.cleaning.schema import Clash, Kind, Schema, infer_schema
from easeml.datamagic.reading import FORMATS, Account, identified, read_table
from easeml.errors import InvalidDataError
from easeml.publication import Publication
from easeml.stream.payloads import AppDefined, Column

_SIZE = re.compile(r"(\d+)x(\d+)")
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
    id_column: Annotated[str | None, typer.Option(help="Column with the identity of each row.")] = None,
    test_share: Annotated[
        float | None,
        typer.Option(help="Share of the split's test rows; by default as many as the condition needs.", min=0, max=1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    again: Annotated[bool, typer.Option(help="Append the same rows once more.")] = False,
    file_format: Annotated[
        str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; by default found out.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook, its name or number from 1.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Character between fields (tab: a tab).")] = None,
    encoding: Annotated[str | None, typer.Option(help="Encoding of a text, e.g. cp1252.")] = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Whether the first line names the columns.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Height and width of images, e.g. 32x32.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse values that clash with their column; else they become missing.")
    ] = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave out rows that cannot be read; else they are an error.")
    ] = False,
) -> None:
    """Publish the rows of a file to an app."""
    current = session(context)
    table = read_table(
        file,
        format=file_format,
        sheet=sheet,
        delimiter="\t" if delimiter == "tab" else delimiter,
        encoding=encoding,
        header=header,
        size=_size(size),
        text=frozenset([id_column] if id_column is not None else []),
        on_error="collect" if skip_bad_rows else "raise",
    )
    frame, row_ids = identified(table.frame, file, None, id_column)
    with current.client() as client:
        app = client.app(name)
        if table.account.format in {"texts", "images"}:
            frame = frame.rename(columns={"label": app.label})
        schema = _schema_for(app, frame)
        clean, clashes = schema.clean(frame)
        if strict and clashes:
            raise _refused(file, frame, clashes[0], schema, len(clashes))
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
        "read": _facts(table.account, clean, schema, clashes),
    }
    if fixed is not None:
        facts |= {"columns": {c.name: c.kind.value for c in fixed.columns}, "classes": fixed.classes}
    text = _summary(table.account, clean, schema, clashes) if done.new else ""
    text += _words(done) + _unseen(done, clean) + (_schema(fixed) if fixed is not None else "")
    current.line(text, **facts)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no size; give e.g. 32x32.")
    return int(match[1]), int(match[2])


def _schema_for(app: AppDefined, frame: pd.DataFrame) -> Schema:
    """Return how the columns are read: as the app has fixed them, else as they look."""
    return infer_schema(
        frame,
        label=app.label if app.label in frame.columns else None,
        kinds={column.name: column.kind.value for column in app.columns if column.name in frame.columns},
    )


def _refused(file: str, frame: pd.DataFrame, clash: Clash, schema: Schema, many: int) -> InvalidDataError:
    return InvalidDataError(
        f"{file}, {_place(frame, clash)}: {clash.value!r} is not a {schema[clash.column].kind} value"
        f"{f'; there are {many:,} such values' if many > 1 else ''}.",
        mend="Correct it or leave it empty; without --strict it is taken for missing.",
    )


def _place(frame: pd.DataFrame, clash: Clash) -> str:
    return f"{frame.index.name or 'row'} {clash.row}, column {clash.column}"


def _kinds(schema: Schema) -> dict[str, int]:
    kinds = [str(column.kind) for column in schema.columns if column.name != schema.label]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def _missing(clean: pd.DataFrame, schema: Schema) -> float:
    cells = clean.drop(columns=schema.label) if schema.label in clean else clean
    return float(cells.isna().to_numpy().mean()) if cells.size else 0.0


def _facts(account: Account, clean: pd.DataFrame, schema: Schema, clashes: tuple[Clash, ...]) -> dict[str, Any]:
    """Return what was read, for programs."""
    return {
        "format": account.format,
        **account.facts,
        "rows": len(clean),
        "kinds": _kinds(schema),
        "missing": _missing(clean, schema),
        "notes": account.notes,
        "left_out": account.rejected,
        "rejects": [{"place": reject.place, "why": reject.why} for reject in account.rejects[:20]],
        "clashes": [
            {"row": str(clash.row), "column": clash.column, "value": str(clash.value)} for clash in clashes[:20]
        ],
        "clashing": len(clashes),
    }


def _summary(account: Account, clean: pd.DataFrame, schema: Schema, clashes: tuple[Clash, ...]) -> str:
    """Return what was read, for people."""
    how = ", ".join([account.format, *(fact for key, fact in account.facts.items() if key != "classes")])
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in _kinds(schema).items())
    missing = _missing(clean, schema)
    lines = [
        f"Read {len(clean):,} rows of {escape(account.name)} ({escape(how)}).",
        f"  columns     {kinds or 'none'}; {f'{missing:.1%}' if missing else 'none'} of their cells missing",
    ]
    lines += [f"  note        {escape(note)}" for note in account.notes]
    ids = [column.name for column in schema.columns if column.kind is Kind.ID]
    if ids:
        lines.append(f"  note        {escape(', '.join(ids))} tells rows apart and is no feature (see --id-column)")
    tokens = {token: None for column in schema.columns for token in column.tokens}
    if tokens:
        lines.append(f"  missing     written as {escape(', '.join(map(repr, tokens)))}")
    if schema.empty:
        lines.append(f"  [yellow]empty[/]       {escape(', '.join(schema.empty))}: no row has a value")
    if clashes:
        first = f"{_place(clean, clashes[0])}: {clashes[0].value!r}"
        count = f"{len(clashes):,} value{'s clash' if len(clashes) > 1 else ' clashes'}"
        lines.append(f"  [yellow]clashes[/]     {count} with the column and taken for missing, first {escape(first)}")
    if account.rejected:
        first = f"{account.rejects[0].place}: {account.rejects[0].why}"
        count = f"{account.rejected:,} row{'s' * (account.rejected > 1)}"
        lines.append(f"  [yellow]left out[/]    {count} not readable, first {escape(first)}")
    return "\n".join(lines) + "\n"


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
