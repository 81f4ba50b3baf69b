"""The options of the verbs that take a file: how it is to be read, said once for all of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from easeml.cli.reading import Told
from easeml.datamagic.reading import FORMATS, Reading, read_whole

_KINDS = ("numeric", "boolean", "categorical", "datetime", "text", "id")
_SIZE = re.compile(r"(\d+)x(\d+)")

Pillar = Annotated[
    str | None, typer.Option(help="train, pool, validation, test or production; by default the rows are split.")
]
TestShare = Annotated[
    float | None,
    typer.Option(help="Share of the split's test rows; by default as many as the condition needs.", min=0, max=1),
]
Seed = Annotated[int, typer.Option(help="Seed of the split.")]
Again = Annotated[bool, typer.Option(help="Append the same rows once more.")]
Repairs = Annotated[int, typer.Option(help="Most candidates of a missing cell; 0: none.", min=0, max=100)]


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How a file is to be read; a verb takes it as ``how`` (see ``reads_a_file``)."""

    id_column: Annotated[str | None, typer.Option(help="Column with the identity of each row.")] = None
    file_format: Annotated[
        str | None, typer.Option("--format", help=f"{', '.join(FORMATS)}; by default found out.")
    ] = None
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help=f"{', '.join(_KINDS)}; repeat it for several columns.", metavar="COLUMN=KIND"),
    ] = None
    day_first: Annotated[
        bool | None,
        typer.Option("--day-first/--month-first", help="How to read dates such as 03/04/2021 that nothing decides."),
    ] = None
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook, its name or number from 1.")] = None
    delimiter: Annotated[str | None, typer.Option(help="Character between fields (tab: a tab).")] = None
    encoding: Annotated[str | None, typer.Option(help="Encoding of a text, e.g. cp1252.")] = None
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="Whether the first line names the columns.")
    ] = None

    def reader(self) -> dict[str, Any]:
        """Return the options as readers and uploads take them.

        Raises
        ------
        typer.BadParameter
            When a kind is none.
        """
        return {
            "id_column": self.id_column,
            "format": self.file_format,
            "kinds": self.declared(),
            "day_first": self.day_first,
            "sheet": self.sheet,
            "delimiter": "\t" if self.delimiter == "tab" else self.delimiter,
            "encoding": self.encoding,
            "header": self.header,
        }

    def declared(self) -> dict[str, str]:
        """Return the kinds of columns, by column.

        Raises
        ------
        typer.BadParameter
            When a pair or its kind is none.
        """
        kinds: dict[str, str] = {}
        for pair in self.kinds or []:
            column, _, kind = pair.rpartition("=")
            if not column or kind not in _KINDS:
                raise typer.BadParameter(
                    f"{pair!r} is not COLUMN=KIND; kinds are {', '.join(_KINDS)}.", param_hint="--kind"
                )
            kinds[column] = kind
        return kinds


@dataclass(frozen=True, slots=True)
class WholeFileOptions(FileOptions):
    """How a file is to be read that is read here and at once."""

    size: Annotated[str | None, typer.Option(help="Height and width of images, e.g. 32x32.")] = None
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse values that clash with their column; else they become missing.")
    ] = False
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave out rows that cannot be read; else they are an error.")
    ] = False

    def reader(self) -> dict[str, Any]:
        """Return the options as readers take them; also raises when the size is none."""
        return {
            **FileOptions.reader(self),
            "size": self._size(),
            "on_error": "collect" if self.skip_bad_rows else "raise",
        }

    def read(self, file: str, **more: Any) -> Reading:
        """Return a file; ``more`` options go before those of the command line.

        Raises
        ------
        InvalidDataError
            When the file cannot be read, or with ``--strict`` a value clashes with its column.
        """
        found = read_whole(file, **self.reader() | more)
        if self.strict:
            Told(found).check()
        return found

    def _size(self) -> tuple[int, int] | None:
        if self.size is None:
            return None
        match = _SIZE.fullmatch(self.size)
        if match is None:
            raise typer.BadParameter(f"{self.size!r} is no size; give e.g. 32x32.")
        return int(match[1]), int(match[2])


def reads_a_file(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb with an option for each field of what it takes as the keyword ``how``, at its place."""
    hints = get_type_hints(verb, include_extras=True)
    kind = hints["how"]
    fields, types = inspect.signature(kind).parameters, get_type_hints(kind, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for name, own in inspect.signature(verb).parameters.items():
        if name == "how":
            parameters += [one.replace(kind=own.kind, annotation=types[one.name]) for one in fields.values()]
        else:
            parameters.append(own.replace(annotation=hints[name]))

    @wraps(verb)
    def expanded(**given: Any) -> None:
        how = kind(**{name: given.pop(name) for name in fields})
        verb(**given, how=how)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what Typer reads
    return expanded
