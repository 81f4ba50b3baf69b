"""What the metadata of an Arrow table or Parquet file says about the relation in it: JSON under the key ``easeml``.

The fields of the table hold the values, the metadata what Arrow's own types do not tell: which field is what, the
kinds and domains in code order, and the shapes of tensors. It is checked on reading, and nothing in it is executed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticSerializationError

from easeml.errors import InvalidDataError
from easeml.relation.block import Block
from easeml.stream.payloads import Column, ColumnKind

KEY = b"easeml"
VERSION = 1
ROW_ID, CANDIDATES, ALTERNATIVES = "row_id", "__candidates__", "__alternatives__"
LABEL_FIELD, SECONDS = "label", "__seconds__"
_MOST = 2**28
"""Largest tensor cell in numbers; a larger one is a damaged shape."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ColumnEntry(_Strict):
    """One feature column.

    ``seconds`` names the field with the exact moments of a datetime column some of which are no whole microsecond.
    """

    name: str
    kind: Literal["numeric", "boolean", "categorical", "datetime", "text", "tensor"]
    categories: list[str] = []
    shape: list[Annotated[int, Field(ge=0)]] = []
    seconds: str | None = None

    def column(self) -> Column:
        """Return the column as relations hold it."""
        return Column(self.name, ColumnKind(self.kind), tuple(self.categories), tuple(self.shape))


class LabelEntry(_Strict):
    """The label: its name, the field that holds it and the label domain."""

    name: str | None
    field: str
    classes: list[str]


class TableMetadata(_Strict):
    """All that the metadata tells.

    Parameters
    ----------
    format : int
        Version of this layout.
    row_id, candidates : str
        Names of the fields with the row ids and with the candidates of uncertain cells.
    alternatives : str, optional
        Name of the field with the joint alternatives of whole rows; None: no row has any.
    columns : list of ColumnEntry
        Feature columns in their order; the field of each has its name.
    label : LabelEntry, optional
        None: no label.
    sources : list of str
        Tools that propose candidates of cells, in their order.
    """

    format: int
    row_id: str
    candidates: str
    alternatives: str | None = None
    columns: list[ColumnEntry]
    label: LabelEntry | None = None
    sources: list[str] = []

    def values(self) -> list[str]:
        """Return the names of the fields with feature cells."""
        exact = [column.seconds for column in self.columns if column.seconds is not None]
        return [*(column.name for column in self.columns), *exact]

    def fields(self) -> list[str]:
        """Return the names of all fields that the table must have."""
        fixed = [self.row_id, self.candidates, *([self.alternatives] if self.alternatives is not None else [])]
        return [*self.values(), *([self.label.field] if self.label else []), *fixed]


def metadata_of(
    block: Block, label: str | None, classes: tuple[str, ...], inexact: Iterable[str], *, joint: bool
) -> TableMetadata:
    """Return the metadata of a relation's table.

    Parameters
    ----------
    inexact : iterable of str
        Datetime columns that need a field of exact seconds.
    joint : bool
        Whether rows have alternatives.

    Raises
    ------
    InvalidDataError
        When two columns have one name, or a domain holds a value twice: their cells could not be told apart.
    """
    names = [column.name for column in block.columns]
    labelled = label is not None or bool(classes)
    own = [*names, *([label] if label is not None else [])]
    _distinct(own, "Column")
    for column in block.columns:
        _distinct(column.categories, f"Column {column.name!r}: category")
    _distinct(classes, "Class")
    taken = set(own)
    field = label if label is not None else _free(LABEL_FIELD, taken) if labelled else None
    wanted = set(inexact)
    return TableMetadata(
        format=VERSION,
        row_id=_free(ROW_ID, taken),
        candidates=_free(CANDIDATES, taken),
        alternatives=_free(ALTERNATIVES, taken) if joint else None,
        columns=[
            ColumnEntry(
                name=column.name,
                kind=column.kind.value,
                categories=list(column.categories),
                shape=list(column.shape),
                seconds=_free(f"{SECONDS}{column.name}", taken) if column.name in wanted else None,
            )
            for column in block.columns
        ],
        label=None if field is None else LabelEntry(name=label, field=field, classes=list(classes)),
        sources=list(block.candidates.sources),
    )


def _free(name: str, taken: set[str]) -> str:
    """Return the name, with underscores before it until no other field has it."""
    while name in taken:
        name = f"_{name}"
    taken.add(name)
    return name


def _distinct(names: Iterable[str], what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidDataError(f"{what} {twice[0]!r} occurs twice.", mend="Give each its own name.")


def packed(metadata: TableMetadata) -> dict[bytes, bytes]:
    """Return the metadata as an Arrow schema takes it.

    Raises
    ------
    InvalidDataError
        When a name is no valid Unicode.
    """
    try:
        return {KEY: metadata.model_dump_json(exclude_defaults=True).encode("utf-8")}
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise InvalidDataError(f"A name is no valid Unicode: {error}", mend="Remove the lone surrogates.") from error


def unpacked(raw: dict[bytes, bytes] | None, fields: list[str]) -> TableMetadata | None:
    """Return the metadata of an Arrow schema; None when the table is not from a relation.

    Parameters
    ----------
    fields : list of str
        Names of the table's fields.

    Raises
    ------
    InvalidDataError
        When the metadata is damaged, of a newer format, or names fields that the table does not have.
    """
    if not raw or KEY not in raw:
        return None
    try:
        metadata = TableMetadata.model_validate_json(raw[KEY])
    except ValidationError as error:
        version = _version(raw[KEY])
        if isinstance(version, int) and version > VERSION:
            raise _newer(version) from error
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise _damaged(f"{where}: {first['msg']}") from error
    if metadata.format != VERSION:
        raise _newer(metadata.format)
    _check(metadata, fields)
    return metadata


def _version(raw: bytes) -> Any:
    class Head(BaseModel):
        format: int

    try:
        return Head.model_validate_json(raw).format
    except ValidationError:
        return None


def _newer(version: int) -> InvalidDataError:
    return InvalidDataError(
        f"The table is of format {version}; this release reads format {VERSION}.",
        mend="Read it with the release that wrote it, or remove the metadata 'easeml' to read the plain values.",
    )


def _damaged(what: str) -> InvalidDataError:
    return InvalidDataError(
        f"The metadata 'easeml' of the table is damaged: {what}.",
        mend="Write the table again, or remove the metadata to read the plain values.",
    )


def _check(metadata: TableMetadata, fields: list[str]) -> None:
    for what, names in (
        ("field", metadata.fields()),
        ("class", metadata.label.classes if metadata.label else []),
        *((f"category of {column.name!r}", column.categories) for column in metadata.columns),
    ):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise _damaged(f"{what} {twice[0]!r} occurs twice")
    for column in metadata.columns:
        size = 1
        for side in column.shape:
            size *= side
        if size > _MOST:
            raise _damaged(f"column {column.name!r} has cells of {size} numbers")
    counts = Counter(fields)
    for name in metadata.fields():
        if counts[name] != 1:
            raise InvalidDataError(
                f"The table has {counts[name]} fields {name!r}; its metadata 'easeml' says one.",
                mend="Keep the fields of a relation together, or remove the metadata to read the plain values.",
            )
