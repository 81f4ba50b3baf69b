"""What a reader is told, and what it tells: options in, an account of the file out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from easeml.errors import InvalidDataError
from easeml.progress import Progress

MOST_REJECTS_KEPT = 1000
"""Rejected rows that an account keeps; the others are counted."""
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Dialect:
    r"""How a text table is written.

    Parameters
    ----------
    delimiter, decimal : str
        Character between fields; decimal mark.
    spaced : bool
        Whether blanks follow the delimiters.
    escaped : bool
        Whether it is a database's text copy: backslash escapes, ``\N`` for missing, quotes are letters.
    names : tuple of str
        Column names as they stand in the file; empty: there is no header.
    width : int
        Fields of a row.
    skip : int
        Lines before the first row, the header's included.
    before : int
        Lines before the header.
    comment : str
        Character that begins lines to be left out, or "".
    """

    delimiter: str
    decimal: str
    spaced: bool
    escaped: bool
    names: tuple[str, ...]
    width: int
    skip: int
    before: int
    comment: str


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is read; None lets the file itself say.

    Parameters
    ----------
    delimiter : str, optional
        Character between the fields of a text table.
    decimal : str, optional
        Decimal mark of a text table, ``.`` or ``,``.
    encoding : str, optional
        Character encoding of a text.
    header : bool, optional
        Whether a table begins with a line of column names.
    comment : str, optional
        Character that begins lines of a text table to be left out.
    sheet : str or int, optional
        Sheet of a workbook: its name, or its number from 1.
    size : tuple of (int, int), optional
        Height and width that images are brought to.
    dialect : Dialect, optional
        How a text table is written, where that is known: the text is a part of a larger file.
    label : str
        Name of the column that holds the names of the folders of a text or image folder.
    text : frozenset of str
        Columns whose values stay the texts of the file.
    as_text : bool
        Whether every column of a text table stays so.
    on_error : {"raise", "collect"}
        What becomes of a row that cannot be read: an error, or an entry of the account while good rows go on.
    most_expansion : float
        Most bytes that one byte of a compressed file may become.
    progress : callable, optional
        Called with (bytes or files read, total or 0, what is counted).
    """

    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None
    comment: str | None = None
    sheet: str | int | None = None
    size: tuple[int, int] | None = None
    dialect: Dialect | None = None
    label: str = "label"
    text: frozenset[str] = frozenset()
    as_text: bool = False
    on_error: Literal["raise", "collect"] = "raise"
    most_expansion: float = 200.0
    progress: Progress | None = None

    def __post_init__(self) -> None:
        for name, value, fits, wanted in (
            ("delimiter", self.delimiter, self.delimiter is None or len(self.delimiter) == 1, "one character"),
            ("decimal", self.decimal, self.decimal in {None, ".", ","}, "'.' or ','"),
            ("comment", self.comment, self.comment is None or len(self.comment) == 1, "one character"),
            ("size", self.size, self.size is None or min(self.size) > 0, "a height and a width above 0"),
            ("on_error", self.on_error, self.on_error in {"raise", "collect"}, "'raise' or 'collect'"),
            ("most_expansion", self.most_expansion, self.most_expansion >= 1, "at least 1"),
        ):
            if not fits:
                raise InvalidDataError(f"{name}={value!r} is not possible.", mend=f"Give {wanted}.")


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be read.

    Parameters
    ----------
    place : str
        Where it stands, e.g. ``line 12``.
    why : str
        What is wrong with it.
    text : str
        How it begins.
    """

    place: str
    why: str
    text: str = ""


@dataclass(slots=True)
class Account:
    """What a reader found; filled while the file is read.

    Parameters
    ----------
    name : str
        The file.
    format : str
        Its format, a key of ``FORMATS``.
    rows : int
        Rows read.
    facts : dict of str to str
        What was recognised, for people: encoding, delimiter, sheet, size of the images.
    notes : list of str
        What was left out or changed, for people.
    rejects : list of Reject
        Rows that could not be read, the first 1,000.
    rejected : int
        How many there are in all.
    """

    name: str
    format: str = ""
    rows: int = 0
    facts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    rejected: int = 0

    def note(self, text: str) -> None:
        """Add a note once."""
        if text not in self.notes:
            self.notes.append(text)

    def refuse(self, options: Options, place: str, why: str, *, text: str = "", mend: str = "") -> None:
        """Raise for a row that cannot be read, or keep it where rows are collected.

        Raises
        ------
        InvalidDataError
            Names the file and the place.
        """
        if options.on_error == "raise":
            raise InvalidDataError(f"{self.name}, {place}: {why}.", mend=mend, reason="unreadable_row")
        self.rejected += 1
        if len(self.rejects) < MOST_REJECTS_KEPT:
            self.rejects.append(Reject(place, why, text[:_SHOWN]))
