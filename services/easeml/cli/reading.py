"""What the verbs that take a file tell of what they read."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from rich.markup import escape

from easeml.cli.session import Session
from easeml.datamagic.cleaning.schema import Clash, ColumnSchema, Kind
from easeml.datamagic.reading import Reading
from easeml.errors import InvalidDataError
from easeml.progress import Progress, bar, silent
from easeml.relation.columns import shown
from easeml.stream.payloads import AppDefined, Column

_SHOWN = 20


def progress_bar(current: Session, what: str) -> AbstractContextManager[Progress]:
    """Return the context of a progress callable that draws a bar for people; programs see none."""
    return nullcontext(silent) if current.as_json else bar(what, current.console)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What is told of a file that was read.

    Parameters
    ----------
    reading : Reading
        The file.
    """

    reading: Reading

    def facts(self) -> dict[str, Any]:
        """Return what was read, for programs."""
        account, clashes = self.reading.account, self.reading.clashes
        return {
            "format": account.format,
            **account.facts,
            "rows": len(self.reading.frame),
            "kinds": self._kinds(),
            "missing": self._missing(),
            "ids": self._ids(),
            "missing_marks": self._marks(),
            "empty": self._empty(),
            "notes": account.notes,
            "left_out": account.rejected,
            "rejects": [{"place": reject.place, "why": reject.why} for reject in account.rejects[:_SHOWN]],
            "clashes": [
                {"row": str(clash.row), "column": clash.column, "value": str(clash.value)} for clash in clashes[:_SHOWN]
            ],
            "clashing": len(clashes),
        }

    def summary(self, *, row_id: str | None = None) -> str:
        """Return what was read, for people, in lines that end with a line break.

        Parameters
        ----------
        row_id : str, optional
            Column whose values are the row ids although nobody has named it.
        """
        account, clashes = self.reading.account, self.reading.clashes
        facts = [f"decimal {fact}" if key == "decimal mark" else fact for key, fact in account.facts.items()]
        how = ", ".join([account.format, *(fact for fact in facts if fact != account.facts.get("classes"))])
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self._kinds().items())
        missing = self._missing()
        lines = [
            f"Read {_counted(len(self.reading.frame), 'row')} of {escape(account.name)} ({escape(how)}).",
            f"  columns     {kinds or 'none'}; {f'{missing:.1%}' if missing else 'none'} of their cells missing",
        ]
        lines += [f"  note        {escape(note)}" for note in account.notes]
        lines += [f"  note        {escape(note)}" for note in self._told_ids(row_id)]
        if self._marks():
            lines.append(f"  missing     written as {escape(', '.join(map(repr, self._marks())))}")
        if self._empty():
            lines.append(f"  [yellow]empty[/]       {escape(', '.join(self._empty()))}: no row has a value")
        if clashes:
            first = f"{self._place(clashes[0])}: {shown(clashes[0].value)}"
            one = len(clashes) == 1
            clash = "value clashes with its column and is" if one else "values clash with their column and are"
            lines.append(f"  [yellow]clashes[/]     {len(clashes):,} {clash} taken for missing, first {escape(first)}")
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

    def check(self) -> None:
        """Refuse a file with a value that clashes with its column.

        Raises
        ------
        InvalidDataError
            Names the first one's place.
        """
        clashes, schema = self.reading.clashes, self.reading.schema
        if not clashes or schema is None:
            return
        clash = clashes[0]
        more = f"; there are {len(clashes):,} such values" if len(clashes) > 1 else ""
        raise InvalidDataError(
            f"{self.reading.account.name}, {self._place(clash)}: {shown(clash.value)} is not a "
            f"{schema[clash.column].kind} value{more}.",
            mend="Correct it or leave it empty; without --strict it is taken for missing.",
        )

    def _place(self, clash: Clash) -> str:
        return f"{self.reading.frame.index.name or 'row'} {clash.row}, column {clash.column}"

    def _kinds(self) -> dict[str, int]:
        schema = self.reading.schema
        columns = self.reading.relation.columns if schema is None else schema.columns
        kinds = [str(column.kind) for column in columns if column.name != self.reading.label]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}

    def _ids(self) -> list[str]:
        return [column.name for column in self._columns() if column.kind is Kind.ID]

    def _marks(self) -> list[str]:
        return list(dict.fromkeys(token for column in self._columns() for token in column.tokens))

    def _empty(self) -> tuple[str, ...]:
        return self.reading.schema.empty if self.reading.schema is not None else ()

    def _columns(self) -> tuple[ColumnSchema, ...]:
        return self.reading.schema.columns if self.reading.schema is not None else ()

    def _missing(self) -> float:
        frame, label = self.reading.frame, self.reading.label
        cells = frame.drop(columns=label) if label in frame else frame
        return float(cells.isna().to_numpy().mean()) if cells.size else 0.0


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def fixed_columns(app: AppDefined) -> str:
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
