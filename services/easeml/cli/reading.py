"""How the verbs that take a file are told to read it, and what they tell of what they read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import pandas as pd
import typer
from rich.markup import escape

from easeml.datamagic.cleaning.schema import Clash, Kind, Schema
from easeml.datamagic.reading import FORMATS, Account
from easeml.errors import InvalidDataError

_SIZE = re.compile(r"(\d+)x(\d+)")
_SHOWN = 20

IdColumn = Annotated[str | None, typer.Option(help="Column with the identity of each row.")]
FileFormat = Annotated[str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; by default found out.")]
Sheet = Annotated[str | None, typer.Option(help="Sheet of a workbook, its name or number from 1.")]
Delimiter = Annotated[str | None, typer.Option(help="Character between fields (tab: a tab).")]
Encoding = Annotated[str | None, typer.Option(help="Encoding of a text, e.g. cp1252.")]
Header = Annotated[bool | None, typer.Option("--header/--no-header", help="Whether the first line names the columns.")]
Size = Annotated[str | None, typer.Option(help="Height and width of images, e.g. 32x32.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse values that clash with their column; else they become missing.")
]
SkipBadRows = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Leave out rows that cannot be read; else they are an error.")
]


def reader_options(
    file_format: str | None,
    sheet: str | None,
    delimiter: str | None,
    encoding: str | None,
    header: bool | None,
    size: str | None,
    id_column: str | None,
    *,
    skip_bad_rows: bool,
) -> dict[str, Any]:
    """Return the options of a verb as ``read_table`` takes them.

    Raises
    ------
    typer.BadParameter
        When the size is none.
    """
    return {
        "format": file_format,
        "sheet": sheet,
        "delimiter": "\t" if delimiter == "tab" else delimiter,
        "encoding": encoding,
        "header": header,
        "size": _size(size),
        "text": frozenset([id_column] if id_column is not None else []),
        "on_error": "collect" if skip_bad_rows else "raise",
    }


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no size; give e.g. 32x32.")
    return int(match[1]), int(match[2])


@dataclass(frozen=True, slots=True, eq=False)
class Cleaned:
    """A file that was read and cleaned.

    Parameters
    ----------
    account : Account
        What the reader found and left out.
    schema : Schema
        How its columns were read.
    frame : DataFrame
        Its rows, cleaned; no ids.
    clashes : tuple of Clash
        Values that clash with their column; missing in ``frame``.
    """

    account: Account
    schema: Schema
    frame: pd.DataFrame
    clashes: tuple[Clash, ...]

    def facts(self) -> dict[str, Any]:
        """Return what was read, for programs."""
        return {
            "format": self.account.format,
            **self.account.facts,
            "rows": len(self.frame),
            "kinds": self._kinds(),
            "missing": self._missing(),
            "ids": self._ids(),
            "missing_marks": self._marks(),
            "empty": self.schema.empty,
            "notes": self.account.notes,
            "left_out": self.account.rejected,
            "rejects": [{"place": reject.place, "why": reject.why} for reject in self.account.rejects[:_SHOWN]],
            "clashes": [
                {"row": str(clash.row), "column": clash.column, "value": str(clash.value)}
                for clash in self.clashes[:_SHOWN]
            ],
            "clashing": len(self.clashes),
        }

    def summary(self, *, row_id: str | None = None) -> str:
        """Return what was read, for people, in lines that end with a line break.

        Parameters
        ----------
        row_id : str, optional
            Column whose values became the row ids although nobody has named it.
        """
        account = self.account
        how = ", ".join([account.format, *(fact for key, fact in account.facts.items() if key != "classes")])
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self._kinds().items())
        missing = self._missing()
        lines = [
            f"Read {_counted(len(self.frame), 'row')} of {escape(account.name)} ({escape(how)}).",
            f"  columns     {kinds or 'none'}; {f'{missing:.1%}' if missing else 'none'} of their cells missing",
        ]
        lines += [f"  note        {escape(note)}" for note in account.notes]
        lines += [f"  note        {escape(note)}" for note in self._told_ids(row_id)]
        if self._marks():
            lines.append(f"  missing     written as {escape(', '.join(map(repr, self._marks())))}")
        if self.schema.empty:
            lines.append(f"  [yellow]empty[/]       {escape(', '.join(self.schema.empty))}: no row has a value")
        if self.clashes:
            first = f"{self._place(self.clashes[0])}: {self.clashes[0].value!r}"
            count = f"{len(self.clashes):,} value{'s clash' if len(self.clashes) > 1 else ' clashes'}"
            lines.append(
                f"  [yellow]clashes[/]     {count} with the column and taken for missing, first {escape(first)}"
            )
        if account.rejected:
            first = f"{account.rejects[0].place}: {account.rejects[0].why}"
            lines.append(
                f"  [yellow]left out[/]    {_counted(account.rejected, 'row')} not readable, first {escape(first)}"
            )
        return "\n".join(lines) + "\n"

    def _told_ids(self, row_id: str | None) -> list[str]:
        told = [f"{row_id} tells rows apart: it is the row id and no feature (--id-column names another)"]
        others = [name for name in self._ids() if name != row_id]
        apart = [f"{', '.join(others)} tells rows apart and is no feature (see --id-column)"]
        return [*(told if row_id is not None else []), *(apart if others else [])]

    def refused(self) -> InvalidDataError:
        """Return the error that names the first clash."""
        clash = self.clashes[0]
        return InvalidDataError(
            f"{self.account.name}, {self._place(clash)}: {clash.value!r} is not a {self.schema[clash.column].kind} "
            f"value{f'; there are {len(self.clashes):,} such values' if len(self.clashes) > 1 else ''}.",
            mend="Correct it or leave it empty; without --strict it is taken for missing.",
        )

    def _place(self, clash: Clash) -> str:
        return f"{self.frame.index.name or 'row'} {clash.row}, column {clash.column}"

    def _kinds(self) -> dict[str, int]:
        kinds = [str(column.kind) for column in self.schema.columns if column.name != self.schema.label]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}

    def _ids(self) -> list[str]:
        return [column.name for column in self.schema.columns if column.kind is Kind.ID]

    def _marks(self) -> list[str]:
        return list(dict.fromkeys(token for column in self.schema.columns for token in column.tokens))

    def _missing(self) -> float:
        label = self.schema.label
        cells = self.frame.drop(columns=label) if label in self.frame else self.frame
        return float(cells.isna().to_numpy().mean()) if cells.size else 0.0


def cleaned(account: Account, frame: pd.DataFrame, schema: Schema, *, strict: bool) -> Cleaned:
    """Return the rows of a file, read by a schema.

    Raises
    ------
    InvalidDataError
        When ``strict`` and a value clashes with its column; names the first one's place.
    """
    clean, clashes = schema.clean(frame)
    found = Cleaned(account, schema, clean, clashes)
    if strict and clashes:
        raise found.refused()
    return found


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
