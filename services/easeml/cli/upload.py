"""``easeml upload``: hand a file to DataMagic, however large, and tell what became of it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from easeml.cli import file_options
from easeml.cli.completion import App
from easeml.cli.file_options import FileOptions, reads_a_file
from easeml.cli.reading import fixed_columns, progress_bar
from easeml.cli.session import session
from easeml.upload_states import UploadState

_FILE = (
    "CSV, TSV, JSON, JSONL, Parquet, Arrow, Excel, PDF or DOCX; a path or a URL, plain or compressed. One below the "
    "house's own store is read there."
)

_ASKED = "\nLabels that test rows lack are asked for where a verdict needs them: 'easeml label {app} --test'."


@reads_a_file
def upload(
    context: typer.Context,
    name: App,
    file: Annotated[str, typer.Argument(help=_FILE)],
    pillar: file_options.Pillar = None,
    group_column: Annotated[
        str | None, typer.Option(help="Column whose equal values stay in one pillar, e.g. a patient.")
    ] = None,
    test_share: file_options.TestShare = None,
    seed: file_options.Seed = 0,
    again: file_options.Again = False,
    repairs: file_options.Repairs = 5,
    *,
    how: FileOptions,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the end; 0: send it and leave.", min=0)] = 3600.0,
) -> None:
    """Send a file of any size to DataMagic, which cleans and splits it; rows that do not fit are told."""
    current = session(context)
    wish: dict[str, Any] = {
        **how.reader(),
        "kinds": how.declared() or None,
        "group_column": group_column,
        "test_share": test_share,
        "seed": seed,
        "again": again,
        "repairs": repairs,
    }
    with current.client() as client:
        app, before = client.app(name), client.uploads(name)
        with progress_bar(current, "reading the file") as progress:
            sent = client.upload(name, file, pillar, wait=wait, progress=progress, **wish)
        known = before.get(sent)
        state = client.uploads(name)[sent]
        fixed = client.app(name) if not app.columns else None
    new = known is None or known.state != "done"
    facts: dict[str, Any] = {
        "app": name,
        "upload": sent,
        "state": state.state,
        "new": new,
        "rows": state.rows,
        "left_out": state.rejected,
        "clashing": state.clashes,
        "candidates": state.candidates,
        "told": _told(state),
    }
    if fixed is not None:
        facts |= {"columns": {c.name: c.kind.value for c in fixed.columns}, "classes": fixed.classes}
    asked = _ASKED.format(app=escape(name)) if app.test_label_budget and "test" in state.rows and new else ""
    current.line(_words(name, state, new=new) + asked + (fixed_columns(fixed) if fixed is not None else ""), **facts)


def _told(state: UploadState) -> list[str]:
    """Return the first rows and cells that did not fit."""
    return state.message.splitlines()


def _words(name: str, state: UploadState, *, new: bool) -> str:
    app, file = escape(name), escape(state.name)
    if state.state != "done":
        return f"Sent {file} to [bold]{app}[/]; 'easeml watch {app}' shows what becomes of it."
    rows = ", ".join(f"{count:,} {pillar}" for pillar, count in state.rows.items()) or "no row is new"
    if not new:
        return f"Already there, nothing new: [bold]{app}[/] holds the rows of {file} ({rows})."
    lines = [f"Uploaded {file} to [bold]{app}[/]: {rows}."]
    if state.candidates:
        lines.append(f"Proposed candidates for {state.candidates:,} missing cells.")
    for count, what in ((state.rejected, "rows left out"), (state.clashes, "values taken for missing")):
        if count:
            lines.append(f"[yellow]{what}[/]  {count:,}")
    told = _told(state)
    lines += [f"  {escape(line)}" for line in told]
    if (more := state.rejected + state.clashes - len(told)) > 0:
        lines.append(f"  ... and {more:,} more")
    return "\n".join(lines)
