"""A file that only its sender knows how to read, written anew as a table that everybody reads alike.

An upload's message tells the service the format of a file and its special columns, no more. What else the sender knows
(the sheet of a workbook, an encoding, the order of day and month) is applied here, chunk by chunk: the result is a CSV
table in UTF-8 with ISO dates. Lines of the new table are those that the service names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import pandas as pd

from easeml.datamagic import reading
from easeml.datamagic.cleaning.schema import Kind, Schema, infer_schema
from easeml.stream.payloads import AppDefined

OPTIONS = ("sheet", "delimiter", "decimal", "encoding", "header", "comment", "kinds", "day_first")
"""What may be known of a file besides what an upload's message says."""
_ROWS = 20_000


def needed(known: Mapping[str, Any]) -> bool:
    """Return whether a file has to be written anew; the kinds of columns go with the app, but for ids, which go."""
    return bool({*known} - {"kinds"}) or bool(_ids(known))


def kinds_left(known: Mapping[str, Any]) -> dict[str, str]:
    """Return the kinds of the columns that are still there."""
    return {column: kind for column, kind in known.get("kinds", {}).items() if column not in _ids(known)}


def _ids(known: Mapping[str, Any]) -> list[str]:
    return [column for column, kind in known.get("kinds", {}).items() if kind == Kind.ID]


@contextmanager
def rewritten(
    opened: Callable[[], IO[bytes]], name: str, app: AppDefined, form: str, known: Mapping[str, Any]
) -> Iterator[Path]:
    """Yield a file as a plain table, which is there until the end of the context.

    Parameters
    ----------
    opened : callable
        Opens the file.
    name : str
        What it is called.
    app : AppDefined
        Whose rows it holds.
    form : str
        Its format; empty: by name and content.
    known : mapping
        Some of ``OPTIONS``.

    Raises
    ------
    InvalidDataError
        When the file cannot be read so; names line and column.
    """
    own = {key: value for key, value in known.items() if key not in ("kinds", "day_first")}
    with TemporaryDirectory(prefix="easeml-") as folder, opened() as stream:
        path, dates = Path(folder) / "table.csv", None
        parts = reading.chunks(stream, rows=_ROWS, name=name, format=form or None, label=app.label, as_text=True, **own)
        with path.open("w", encoding="utf-8", newline="") as target:
            for part in parts:
                if dates is None:
                    dates = _dates(part, app, known)
                part = _with_dates(part, dates).drop(columns=_ids(known))  # noqa: PLW2901 - the same rows
                part.to_csv(target, index=False, header=target.tell() == 0)
        yield path


def _dates(head: pd.DataFrame, app: AppDefined, known: Mapping[str, Any]) -> Schema:
    """Return how the dates of a file are read; no column where the sender says nothing of dates."""
    if "day_first" not in known:
        return Schema(())
    label = app.label if app.label in head.columns else None
    kinds = {column: kind for column, kind in known.get("kinds", {}).items() if kind != Kind.ID}
    fixed = {column.name: column.kind.value for column in app.columns if column.name in head.columns}
    schema = infer_schema(head, label=label, kinds=kinds | fixed, day_first=known["day_first"])
    return Schema(tuple(column for column in schema.columns if column.kind is Kind.DATETIME))


def _with_dates(frame: pd.DataFrame, dates: Schema) -> pd.DataFrame:
    """Return a frame with dates in ISO format; what is no date stays as the file writes it."""
    moments = dates.apply(frame[list(dates.names)])
    iso = {name: moments[name].map(lambda moment: moment.isoformat(), na_action="ignore") for name in dates.names}
    return frame.assign(**{name: cells.astype(object).fillna(frame[name]) for name, cells in iso.items()})
