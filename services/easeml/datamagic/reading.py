r"""Any file as a relation, whole or in chunks of bounded memory.

>>> table = read_table(b"age;plan;churned\n31;pro;no\n2,5;basic;yes\n", name="customers.csv")
>>> table.frame.index.name, list(table.frame.index), table.account.facts["delimiter"]
('line', [2, 3], 'semicolon')
>>> read(b"age;plan;churned\n31;pro;no\n2,5;basic;yes\n", name="customers.csv", label="churned").classes
('no', 'yes')
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from easeml.datamagic.cleaning.schema import Clash, Kind, Schema, infer_schema
from easeml.datamagic.readers import columnar, folders
from easeml.datamagic.readers.account import Account, Options, Reject
from easeml.datamagic.readers.drawing import Drawing
from easeml.datamagic.readers.formats import FORMATS, Format, sniff
from easeml.datamagic.readers.sample import ROWS, Sample
from easeml.datamagic.readers.sources import Readable, Source
from easeml.datamagic.readers.torn import joined, torn_columns
from easeml.errors import InvalidDataError
from easeml.relation import Relation

__all__ = [
    "FORMATS",
    "Account",
    "Format",
    "Options",
    "Reading",
    "Reject",
    "Sample",
    "Table",
    "chunks",
    "read",
    "read_frame",
    "read_sampled",
    "read_table",
    "read_whole",
    "sniff",
]

SAMPLE_ROWS = 20_000
"""Rows from which the schema of a large file is learned."""
MOST_BYTES = 2 << 30
MOST_CELLS = 500_000_000
"""Bytes of a file and cells of a table that are read whole."""
_HEAD = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A file that was read.

    Parameters
    ----------
    frame : DataFrame
        Its rows, as they stand in the file; the index says where (line, row, file, page).
    account : Account
        What the reader found and left out.
    """

    frame: pd.DataFrame
    account: Account


@dataclass(frozen=True, eq=False)
class Reading:
    """A file that was read by a schema.

    Parameters
    ----------
    account : Account
        What the reader found and left out.
    frame : DataFrame
        Its rows without ids; the index says where they stand in the file. Cells that clash with their column are
        missing.
    label : str or None
        Label column.
    classes : sequence of str, optional
        Label domain, where the caller gave one.
    ids : tuple of str or None
        Identity of each row; None: its content.
    schema : Schema or None
        How the columns were read; None: as they stand.
    row_id : str or None
        Column whose values became the row ids although nobody has named it.
    clashes : tuple of Clash
        Values that clash with their column.
    kept : Relation or None
        The relation that the file was written from, with its candidates.
    """

    account: Account
    frame: pd.DataFrame
    label: str | None
    classes: Sequence[str] | None = None
    ids: tuple[str, ...] | None = None
    schema: Schema | None = None
    row_id: str | None = None
    clashes: tuple[Clash, ...] = ()
    kept: Relation | None = None

    @cached_property
    def relation(self) -> Relation:
        """The rows as a relation.

        Raises
        ------
        InvalidDataError
            When a value does not fit; names line and column.
        """
        if self.kept is not None:
            return self.kept
        return relation_from(self.frame, self.label, self.classes, self.ids, self.schema)


def chunks(
    source: Readable,
    *,
    rows: int = ROWS,
    format: str | None = None,  # noqa: A002 - the public contract
    name: str = "",
    account: Account | None = None,
    **options: Any,
) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file as they stand there, in frames of bounded size.

    Parameters
    ----------
    source : path, URL, bytes or file object
        The file; ``scheme://`` addresses are opened by fsspec. Compressed files are read as what they hold.
    rows : int
        Most rows of a frame.
    format : str, optional
        Key of ``FORMATS``; None: by name and content.
    name : str
        What errors call it, and whose ending hints at the format, where the source has no name.
    account : Account, optional
        Filled on the way: rows, facts, and with ``on_error="collect"`` the rejected rows.
    **options
        Fields of ``Options``.

    Raises
    ------
    InvalidDataError
        When something in the file is wrong; names the line or row, and the column where there is one.
    """
    given = _options(options)
    opened = Source.of(source, name=name, most_expansion=given.most_expansion)
    form = _format(opened, format)
    told = account if account is not None else Account(opened.name)
    told.name, told.format = opened.name, form
    yield from FORMATS[form].reader(opened, given, told, _positive(rows))


def read_table(
    source: Readable,
    *,
    format: str | None = None,  # noqa: A002 - the public contract
    name: str = "",
    **options: Any,
) -> Table:
    """Return a whole file as a frame, and what the reader found; arguments and errors as ``chunks``.

    A column that is numbers in one part of the file and words in another stays text, as the file writes it.
    """
    given = _options(options)
    opened = Source.of(source, name=name, most_expansion=given.most_expansion)
    form = _format(opened, format)
    opened = opened.held()
    account, parts = _parts(opened, form, given)
    torn = torn_columns(parts)
    if torn:
        del parts
        account, parts = _parts(opened, form, replace(given, text=given.text | torn))
    if not parts:
        why = f"; {account.rejected:,} could not be read, first {account.rejects[0].why}" if account.rejects else ""
        raise InvalidDataError(f"{opened.name} has no rows{why}.", mend="Check the file.")
    if not any(part.shape[1] for part in parts):
        raise InvalidDataError(f"{opened.name} has no columns.", mend="Check the file.")
    index_name = parts[0].index.name
    frame = joined(parts)
    frame.index.name = index_name
    return Table(frame, account)


def read_frame(source: Readable, **options: Any) -> pd.DataFrame:
    """Return a whole file as a frame whose index names lines or rows; arguments and errors as ``read_table``."""
    return read_table(source, **options).frame


def read(
    source: Readable,
    *,
    format: str | None = None,  # noqa: A002 - the public contract
    label: str | None = None,
    classes: Sequence[str] | None = None,
    id_column: str | None = None,
    clean: bool = True,
    name: str = "",
    **options: Any,
) -> Relation:
    """Return a whole file as a relation.

    Parameters
    ----------
    source, format, name, **options
        As ``chunks``; also ``kinds`` and ``day_first`` as in ``infer_schema``.
    label : str, optional
        Label column; by default that of a folder's classes, else none.
    classes : sequence of str, optional
        Label domain; without it, the sorted labels of the file. With it, the file need not have the label column:
        then no row is labelled.
    id_column : str, optional
        Column with the identity of each row; by default the one that the schema takes for it, else the file's name
        in a folder, else the row's content.
    clean : bool
        Whether columns are read by an inferred schema (missing tokens, dates, currencies); False: as they stand.

    Returns
    -------
    Relation
        Cells that clash with their column are missing. A relation's own Parquet file keeps every candidate.

    Raises
    ------
    InvalidDataError
        When the file, the label, a kind or an id is wrong; names line and column.

    Notes
    -----
    Ids are those of this file alone. ``Client.publish`` and ``Client.upload`` give rows ids that also tell two files
    of an app apart, unless an id column is named.
    """
    return read_whole(
        source, format=format, label=label, classes=classes, id_column=id_column, clean=clean, name=name, **options
    ).relation


def read_whole(
    source: Readable,
    *,
    format: str | None = None,  # noqa: A002 - the public contract
    label: str | None = None,
    unlabelled: bool = False,
    classes: Sequence[str] | None = None,
    id_column: str | None = None,
    kinds: Mapping[str, Kind | str] | None = None,
    day_first: bool | None = None,
    clean: bool = True,
    name: str = "",
    **options: Any,
) -> Reading:
    """Return what ``read`` returns, and how it was read; arguments and errors as there.

    Parameters
    ----------
    unlabelled : bool
        Whether the label column may be absent even without ``classes``; the rows then have no label at all.
    kinds, day_first : optional
        As ``infer_schema``: kinds of columns, and how dates are read that nothing decides.
    """
    kept = _kept(source, format, name, options) if clean else None
    if kept is not None:
        return _as_asked(kept, label, id_column, unlabelled=unlabelled)
    wanted = {*options.pop("text", ()), *([id_column] if id_column is not None else [])}
    if label is not None:
        options["label"] = label
    table = read_table(source, format=format, name=name, text=frozenset(wanted), **options)
    account = table.account
    if label is None and account.format in {"texts", "images"} and "label" in table.frame:
        label = "label"
    there = label if label in table.frame or not (unlabelled or classes) else None
    label = label if classes else there
    frame, ids = identified(table.frame, account.name, there, id_column)
    del table  # the frame alone shall hold the words, so that they go when they have been read
    if not clean:
        return Reading(account, frame, label, classes, ids)
    try:
        schema = infer_schema(frame, label=there, kinds=kinds, day_first=day_first)
    except InvalidDataError as error:
        raise InvalidDataError(f"{account.name}: {error.message}", mend=error.mend, reason=error.reason) from error
    own = ids or schema.row_ids(frame)
    frame, clashes = schema.clean(frame)
    return Reading(account, frame, label, classes, own, schema, schema.row_id if own is not ids else None, clashes)


def _kept(source: Readable, form: str | None, name: str, options: dict[str, Any]) -> Reading | None:
    """Return the relation that a file was written from; None for any other file."""
    if not isinstance(source, str | Path | bytes):  # a stream may be read only once
        return None
    opened = Source.of(source, name=name, most_expansion=_options(options).most_expansion)
    if _format(opened, form) != "parquet":
        return None
    relation = columnar.relation_in(opened)
    if relation is None:
        return None
    account = Account(opened.name, "parquet", len(relation), {"relation": "a relation with its candidates"})
    places = pd.RangeIndex(1, len(relation) + 1, name="row")
    frame = relation.frame().set_axis(places)
    return Reading(account, frame, relation.label, relation.classes, relation.row_ids, kept=relation)


def _as_asked(reading: Reading, label: str | None, id_column: str | None, *, unlabelled: bool) -> Reading:
    """Check that a relation from a file is what was asked for."""
    for what, asked, own, free in (
        ("label", label, reading.label, unlabelled and reading.label is None),
        ("id", id_column, "row_id", False),
    ):
        if asked not in (None, own) and not free:
            raise InvalidDataError(
                f"{reading.account.name} is a relation whose {what} column is {own!r}, not {asked!r}.",
                mend=f"Leave the {what} column out, or write the rows as a plain table first.",
            )
    return reading


def identified(
    frame: pd.DataFrame, name: str, label: str | None, id_column: str | None
) -> tuple[pd.DataFrame, tuple[str, ...] | None]:
    """Return a frame without its id column, and the ids.

    Raises
    ------
    InvalidDataError
        When the label or id column does not exist, or an id is missing or occurs twice; names both lines.
    """
    titles = list(map(str, frame.columns))
    for what, asked in (("label column", label), ("id column", id_column)):
        if asked is not None and asked not in titles:
            near = get_close_matches(asked, titles, 3, 0.6) or [t for t in titles if t.lower() == asked.lower()]
            hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
            shown = ", ".join(titles[:20]) + (f" and {len(titles) - 20} more" if len(titles) > 20 else "")
            raise InvalidDataError(f"{name} has no {what} {asked!r}.", mend=f"{hint}Columns are {shown}.")
    if id_column is None:
        return frame, None
    cells = frame[id_column]
    unit = frame.index.name or "row"
    if cells.isna().any():
        place = frame.index[int(np.argmax(cells.isna()))]
        raise InvalidDataError(f"{name}, {unit} {place}, column {id_column!r}: no id.", mend="Give every row one.")
    words = cells.astype(str)
    if words.duplicated().any():
        second = int(np.argmax(words.duplicated()))
        first = int(np.argmax(words == words.iloc[second]))
        raise InvalidDataError(
            f"{name}, {unit} {frame.index[first]} and {unit} {frame.index[second]}: both have the id "
            f"{words.iloc[second]!r} in column {id_column!r}.",
            mend="Give every row its own id.",
            reason="duplicate_row",
        )
    return frame.drop(columns=id_column), tuple(words)


def relation_from(
    frame: pd.DataFrame,
    label: str | None,
    classes: Sequence[str] | None,
    ids: tuple[str, ...] | None,
    schema: Schema | None = None,
) -> Relation:
    """Return the relation of a frame that was read; rows without ids get those of their file or content.

    Raises
    ------
    InvalidDataError
        When a value does not fit; names line and column.
    """
    if ids is None and frame.index.name == "file":
        ids = tuple(frame.index)
    return Relation.from_frame(
        frame,
        label=label,
        classes=classes,
        columns=schema.features if schema is not None else None,
        row_ids=ids,
        ids_generated=ids is None,
    )


def read_sampled(
    source: Readable,
    *,
    rng: np.random.Generator,
    rows: int = SAMPLE_ROWS,
    format: str | None = None,  # noqa: A002 - the public contract
    label: str | None = None,
    name: str = "",
    **options: Any,
) -> Sample:
    """Return a sample of a file that is too large for the memory, and the schema learned from it.

    Two passes: this one draws the sample, ``Sample.chunks`` reads the file by its schema.

    Parameters
    ----------
    source, format, name, **options
        As ``chunks``; the source must be one that can be opened twice.
    rng : Generator
        Draws the rows: those of the smallest random keys, each row as likely as another.
    rows : int
        Rows drawn.
    label : str, optional
        Label column.

    Raises
    ------
    InvalidDataError
        As ``chunks``; also when the source can be read only once, or there is no such label column.
    """
    given = _options(options)
    opened = Source.of(source, name=name, most_expansion=given.most_expansion)
    form = _format(opened, format)
    if not opened.again:
        raise InvalidDataError(
            f"{opened.name} is a stream that can be read only once, and a sample takes two passes.",
            mend="Give a file or a URL, or read it in chunks.",
        )
    account = Account(opened.name, form)
    drawing = Drawing(rows, rng)
    for frame in FORMATS[form].reader(opened, replace(given, as_text=True), account, ROWS):
        drawing.add(frame)
    if not account.rows:
        raise InvalidDataError(f"{opened.name} has no rows.", mend="Check the file.")
    frame = drawing.frame()
    identified(frame, opened.name, label, None)

    def again(many: int, texts: frozenset[str]) -> Iterator[pd.DataFrame]:
        return FORMATS[form].reader(
            opened, replace(given, text=given.text | texts), Account(opened.name, form), _positive(many)
        )

    return Sample(frame, infer_schema(frame, label=label), account.rows, account, again)


def _options(given: dict[str, Any]) -> Options:
    unknown = sorted(set(given) - {field.name for field in fields(Options)})
    if unknown:
        known = ", ".join(sorted(field.name for field in fields(Options)))
        raise InvalidDataError(f"Unknown option {unknown[0]!r}.", mend=f"Options are {known}.")
    return Options(**given)


def _positive(rows: int) -> int:
    if rows < 1:
        raise InvalidDataError(f"A chunk of {rows} rows is not possible.", mend="Give at least 1.")
    return rows


def _format(source: Source, given: str | None) -> str:
    if given is not None and given not in FORMATS:
        raise InvalidDataError(f"Unknown format {given!r}.", mend=f"Formats are {', '.join(FORMATS)}.")
    if source.is_folder:
        if given not in {None, "texts", "images"}:
            raise InvalidDataError(f"{source.name} is a folder, not {given}.", mend="Give a file.")
        return given or folders.kind_of(source.path or Path())
    return given or sniff(source.plain_name, source.head(_HEAD))


def _parts(source: Source, form: str, options: Options) -> tuple[Account, list[pd.DataFrame]]:
    account = Account(source.name, form)
    if source.size > MOST_BYTES:
        raise _too_large(source, f"{source.size:,} bytes")
    parts: list[pd.DataFrame] = []
    try:
        for frame in FORMATS[form].reader(source, options, account, 2 * ROWS):
            parts.append(frame)
            if account.rows * max(frame.shape[1], 1) > MOST_CELLS:
                raise _too_large(source, f"more than {MOST_CELLS:,} cells")
    except MemoryError as error:
        raise _too_large(source, f"more than {account.rows:,} rows, which fill the memory") from error
    return account, parts


def _too_large(source: Source, size: str) -> InvalidDataError:
    return InvalidDataError(
        f"{source.name} has {size}: too large to be read whole.",
        mend="Send it to an app with 'easeml upload APP FILE', which reads it in parts.",
        reason="too_large",
    )
