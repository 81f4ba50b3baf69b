"""``easeml publish``: put a file on the stream."""

from __future__ import annotations

from typing import Annotated, Any

import pandas as pd
import typer
from rich.markup import escape

from easeml import repairing
from easeml.cli import file_options
from easeml.cli.completion import App
from easeml.cli.file_options import WholeFileOptions, reads_a_file
from easeml.cli.reading import Told, fixed_columns, progress_bar
from easeml.cli.session import Session, session
from easeml.client import Client
from easeml.datamagic.reading import Reading
from easeml.definition import check_kinds
from easeml.errors import NotFoundError
from easeml.publication import Publication
from easeml.relation.columns import shown
from easeml.stream.payloads import AppDefined, Pillar

_FILE = (
    "CSV, TSV, JSON, JSONL, Parquet, Arrow, Excel, PDF, DOCX, or a folder with one sub-folder of texts or images per "
    "class; a path or a URL, plain or compressed."
)


@reads_a_file
def publish(
    context: typer.Context,
    name: App,
    file: Annotated[str, typer.Argument(help=_FILE)],
    pillar: file_options.Pillar = None,
    test_share: file_options.TestShare = None,
    seed: file_options.Seed = 0,
    again: file_options.Again = False,
    repairs: file_options.Repairs = 5,
    *,
    how: WholeFileOptions,
) -> None:
    """Publish the rows of a file to an app."""
    current = session(context)
    declared = how.declared()
    with current.client() as client:
        app = client.app(name)
        found = how.read(file, label=app.label, unlabelled=True, kinds=_kinds(app, declared))
        read = Told(found)
        ids = found.ids if how.id_column is not None or found.kept is not None else None
        done = client.publish(name, found.frame, pillar, row_ids=ids, seed=seed, again=again, test_share=test_share)
        fixed = client.app(name) if done.schema_fixed else None
        repaired = _repaired(current, client, done, found, repairs)
    facts: dict[str, Any] = {
        "app": name,
        "version": done.version,
        "new": done.new,
        "rows": {part.value: rows for part, rows in done.rows.items()},
        "unseen": [
            {"row": str(found.frame.index[place]), "column": column, "value": value}
            for place, column, value in done.unseen
        ],
        "candidates": {part.value: cells for part, cells in repaired.items()},
        "read": read.facts(),
    }
    if fixed is not None:
        facts |= {"columns": {c.name: c.kind.value for c in fixed.columns}, "classes": fixed.classes}
    text = read.summary() if done.new else ""
    text += _words(done) + _candidates(repaired) + _unseen(done, found.frame)
    text += fixed_columns(fixed) if fixed is not None else ""
    current.line(text, **facts)


def _kinds(app: AppDefined, declared: dict[str, str]) -> dict[str, str]:
    """Return the kinds of columns: as the app has fixed them, else as they are declared."""
    check_kinds(app, declared)
    return declared | {column.name: column.kind.value for column in app.columns}


def _repaired(current: Session, client: Client, done: Publication, found: Reading, most: int) -> dict[Pillar, int]:
    """Propose candidates for missing cells, a relation's own first; the stream is read only where there are some."""
    own = repairing.pass_on(client, done.app, found.kept, done.row_ids) if found.kept is not None else {}
    features = found.frame.drop(columns=found.label) if found.label in found.frame else found.frame
    if not most or not done.rows.keys() & {*repairing.REPAIRED} or not features.isna().to_numpy().any():
        return own
    with progress_bar(current, "candidates") as progress:
        try:
            made = repairing.propose(client, done.app, most, progress=progress)
        except NotFoundError:
            return own  # validation rows came first: there is nothing yet that candidates could come from
    return {pillar: own.get(pillar, 0) + made.get(pillar, 0) for pillar in Pillar if pillar in own or pillar in made}


def _words(done: Publication) -> str:
    name, version = escape(done.app), f"version [bold]{done.version}[/]"
    parts = ", ".join(f"{rows:,} {part.value}" for part, rows in done.rows.items())
    if done.new:
        return f"Published {version} of [bold]{name}[/]: {parts}."
    return f"Already there, nothing new: {version} of [bold]{name}[/] holds these rows ({parts})."


def _candidates(repaired: dict[Pillar, int]) -> str:
    """Return which missing cells got candidates."""
    parts = ", ".join(f"{cells:,} in {pillar.value}" for pillar, cells in repaired.items())
    return f"\nProposed candidates for missing cells: {parts}." if parts else ""


def _unseen(done: Publication, frame: pd.DataFrame) -> str:
    """Return what was taken for missing because the app does not know it."""
    if not done.unseen:
        return ""
    place, column, value = done.unseen[0]
    count = f"{len(done.unseen):,} value{' is' if len(done.unseen) == 1 else 's are'}"
    where = f"{frame.index.name or 'row'} {frame.index[place]}, column {column}: {shown(value)}"
    return (
        f"\n[yellow]{count} unknown to the app and taken for missing[/], first {escape(where)}. "
        f"'easeml apps update {escape(done.app)} --add-category COLUMN=VALUE' makes the app know one."
    )
