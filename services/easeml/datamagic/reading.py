r"""Any file as a relation, whole or in chunks of bounded memory.

>>> table = read_table(b"age;plan;churned\n31;pro;no\n2,5;basic;yes\n", name="customers.csv")
>>> table.frame.index.name, list(table.frame.index), table.account.facts["delimiter"]
('line', [2, 3], 'semicolon')
>>> read(b"age;plan;churned\n31;pro;no\n2,5;basic;yes\n", name="customers.csv", label="churned").classes
('no', 'yes')
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from easeml.datamagic.cleaning.schema import Schema, infer_schema
from easeml.datamagic.readers import columnar, folders
from easeml.datamagic.readers.account import Account, Options, Reject
from easeml.datamagic.readers.drawing import Drawing
from easeml.datamagic.readers.formats import FORMATS, Format, sniff
from easeml.datamagic.readers.sample import ROWS, Sample
from easeml.datamagic.readers.sources import Readable, Source
from easeml.errors import InvalidDataError
from easeml.relation import Relation
from easeml.relation.ingest import content_ids

__all__ = [
    "FORMATS",
    "Account",
    "Format",
    "Options",
    "Reject",
    "Sample",
    "Table",
    "chunks",
    "read",
    "read_frame",
    "read_sampled",
    "read_table",
    "sniff",
]

SAMPLE_ROWS = 20_000
"""Rows from which the schema of a large file is learned."""
MOST_CELLS = 500_000_000
"""Cells of a table that is read whole."""
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
    torn = _torn(parts)
    if torn:
        account, parts = _parts(opened, form, replace(given, text=given.text | torn))
    if not parts:
        why = f"; {account.rejected:,} could not be read, first {account.rejects[0].why}" if account.rejects else ""
        raise InvalidDataError(f"{opened.name} has no rows{why}.", mend="Check the file.")
    if not any(part.shape[1] for part in parts):
        raise InvalidDataError(f"{opened.name} has no columns.", mend="Check the file.")
    index_name = parts[0].index.name
    frame = parts[0] if len(parts) == 1 else pd.concat(parts)
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
        As ``chunks``.
    label : str, optional
        Label column; by default that of a folder's classes, else none.
    classes : sequence of str, optional
        Label domain; without it, the sorted labels of the file.
    id_column : str, optional
        Column with the identity of each row; by default the one that the schema takes for it, else the file's name
        in a folder, else the row's content.
    clean : bool
        Whether columns are read by an inferred schema (missing tokens, dates, currencies); False: as they stand.

    Returns
    -------
    Relation
        Cells that clash with their column are missing.

    Raises
    ------
    InvalidDataError
        When the file, the label or an id is wrong; names line and column.
    """
    kept = _kept(source, format, name, options) if clean else None
    if kept is not None:
        return _as_asked(kept, name or str(source), label, id_column)
    wanted = {*options.pop("text", ()), *([id_column] if id_column is not None else [])}
    if label is not None:
        options["label"] = label
    table = read_table(source, format=format, name=name, text=frozenset(wanted), **options)
    if label is None and table.account.format in {"texts", "images"} and "label" in table.frame:
        label = "label"
    frame, ids = identified(table.frame, table.account.name, label, id_column)
    del table  # the frame alone shall hold the words, so that they go when they have been read
    if not clean:
        return relation_from(frame, label, classes, ids)
    schema = infer_schema(frame, label=label)
    ids = ids or schema.row_ids(frame)
    frame = schema.apply(frame)
    return relation_from(frame, label, classes, ids, schema)


def _kept(source: Readable, form: str | None, name: str, options: dict[str, Any]) -> Relation | None:
    """Return the relation that a file was written from; None for any other file."""
    if not isinstance(source, str | Path | bytes):  # a stream may be read only once
        return None
    opened = Source.of(source, name=name, most_expansion=_options(options).most_expansion)
    if _format(opened, form) != "parquet":
        return None
    return columnar.relation_in(opened)


def _as_asked(relation: Relation, name: str, label: str | None, id_column: str | None) -> Relation:
    """Check that a relation from a file is what was asked for."""
    for what, asked, own in (("label", label, relation.label), ("id", id_column, "row_id")):
        if asked not in (None, own):
            raise InvalidDataError(
                f"{name} is a relation whose {what} column is {own!r}, not {asked!r}.",
                mend=f"Leave the {what} column out, or write the rows as a plain table first.",
            )
    return relation


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
    relation = Relation.from_frame(
        frame,
        label=label,
        classes=classes,
        columns=schema.features if schema is not None else None,
        row_ids=ids if ids is not None else tuple(map(str, range(len(frame)))),
        ids_generated=ids is None,
    )
    if ids is not None:
        return relation
    # Only now: until the content was read, errors named the lines.
    block = replace(relation.block, row_ids=content_ids(relation.block))
    return Relation(block, label=relation.label, classes=relation.classes)


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
    parts: list[pd.DataFrame] = []
    for frame in FORMATS[form].reader(source, options, account, 2 * ROWS):
        parts.append(frame)
        if account.rows * max(frame.shape[1], 1) > MOST_CELLS:
            raise InvalidDataError(
                f"{source.name} has more than {MOST_CELLS:,} cells, too many to be read whole.",
                mend="Read it in parts: datamagic.reading.read_sampled, or chunks.",
                reason="too_large",
            )
    return account, parts


def _torn(parts: Sequence[pd.DataFrame]) -> frozenset[str]:
    """Return the columns whose parts are of several types."""
    if len(parts) < 2:
        return frozenset()
    kinds: dict[str, set[str]] = {}
    for part in parts:
        for title in part.columns:
            kinds.setdefault(str(title), set()).add(_kind(part[title]))
    return frozenset(title for title, found in kinds.items() if len(found - {"empty"}) > 1)


def _kind(cells: pd.Series) -> str:
    if cells.isna().all():
        return "empty"
    types = pd.api.types
    if types.is_bool_dtype(cells.dtype):
        return "bool"
    if types.is_numeric_dtype(cells.dtype):
        return "number"
    if types.is_datetime64_any_dtype(cells.dtype):
        return "moment"
    inferred = types.infer_dtype(cells, skipna=True)
    return {"boolean": "bool", "string": "text", "categorical": "text"}.get(inferred, inferred)
