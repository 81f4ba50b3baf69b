"""``easeml publish``: put a file on the stream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from easeml.cli.frames import read_frame
from easeml.cli.session import session


def publish(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The app.")],
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON, JSONL or Parquet.")],
    pillar: Annotated[
        str | None, typer.Option(help="train, pool, validation, test or production; by default the rows are split.")
    ] = None,
    id_column: Annotated[str | None, typer.Option(help="Column with the identity of each row.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    again: Annotated[bool, typer.Option(help="Append the same rows once more.")] = False,
) -> None:
    """Publish the rows of a file to an app."""
    current = session(context)
    frame = read_frame(file)
    row_ids = None
    if id_column is not None:
        if id_column not in frame.columns:
            raise typer.BadParameter(
                f"{file} has no column {id_column!r}; it has {', '.join(map(str, frame.columns))}."
            )
        row_ids = frame.pop(id_column).astype(str).tolist()
    with current.client() as client:
        done = client.publish(name, frame, pillar, row_ids=row_ids, seed=seed, again=again)
    parts = ", ".join(f"{rows:,} {part.value}" for part, rows in done.rows.items())
    current.line(
        f"Published version [bold]{done.version}[/] of [bold]{name}[/]: {parts}.",
        app=name,
        version=done.version,
        rows={part.value: rows for part, rows in done.rows.items()},
    )
