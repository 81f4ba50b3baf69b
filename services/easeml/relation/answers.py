"""What people say about cells: whether it fits the column, in one form for one value, and what it makes of columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from easeml.errors import InvalidDataError
from easeml.relation.block import CODES, layout
from easeml.relation.columns import cell_number, cell_text, cell_value
from easeml.relation.relation import Relation
from easeml.stream.payloads import Column, ColumnKind

_WANTED = {
    ColumnKind.NUMERIC: "Give a number.",
    ColumnKind.BOOLEAN: "Give true or false.",
    ColumnKind.CATEGORICAL: "Give a name in one line.",
    ColumnKind.DATETIME: "Give an ISO 8601 date, such as 2024-05-17 or 2024-05-17T08:30Z.",
    ColumnKind.TENSOR: "Choose one of the candidates.",
}


def canonical(column: Column, text: str) -> str:
    """Return what somebody says about a cell in its one form, so that people who mean the same value agree.

    A categorical column takes any name: a person may know a category that nobody has thought of.

    Raises
    ------
    InvalidDataError
        When the value does not fit the column.

    Examples
    --------
    >>> canonical(Column("age", ColumnKind.NUMERIC), " 31"), canonical(Column("paid", ColumnKind.BOOLEAN), "True")
    ('31.0', 'true')
    >>> canonical(Column("city", ColumnKind.CATEGORICAL, ("Zug",)), "Bern ")
    'Bern'
    """
    if column.kind is ColumnKind.TEXT or text in column.categories:
        return text
    plain = text.strip()
    if column.kind is ColumnKind.CATEGORICAL and plain and plain.isprintable():
        return plain
    try:
        # Refuses tensors, and what is no category at all.
        return cell_text(column.kind, cell_value(column, cell_number(column, plain), ()))
    except InvalidDataError as error:
        raise InvalidDataError(
            f"{text!r} does not fit the {column.kind} column {column.name!r}.", mend=_WANTED[column.kind]
        ) from error


def with_categories(columns: tuple[Column, ...], said: Iterable[tuple[str, str]]) -> tuple[Column, ...]:
    """Return columns that know every category somebody names; column and value of each.

    New ones follow in alphabetical order, whatever the order in which they were said.

    >>> city = Column("city", ColumnKind.CATEGORICAL, ("Zug",))
    >>> with_categories((city,), [("city", "Genf"), ("city", "Bern"), ("city", "Zug")])[0].categories
    ('Zug', 'Bern', 'Genf')
    """
    found: dict[str, set[str]] = {}
    for name, value in said:
        found.setdefault(name, set()).add(value)
    return tuple(
        replace(column, categories=(*column.categories, *sorted(new)))
        if column.kind is ColumnKind.CATEGORICAL and (new := found.get(column.name, set()) - {*column.categories})
        else column
        for column in columns
    )


def as_defined(relation: Relation, columns: tuple[Column, ...]) -> Relation:
    """Return rows in which categories that only answers name are missing, for tools that may propose no others.

    Parameters
    ----------
    relation : Relation
        Rows as a view reads them.
    columns : tuple of Column
        Feature columns as the app defines them; the view was made with them.
    """
    if relation.columns == columns:
        return relation
    codes = relation.block.codes.copy()
    for column, (part, place) in zip(columns, layout(columns)[1], strict=True):
        if part == CODES and column.kind is ColumnKind.CATEGORICAL:
            cells = codes[:, place]
            cells[cells >= len(column.categories)] = -1
    block = replace(relation.block, columns=columns, codes=codes)
    return Relation(block, label=relation.label, classes=relation.classes)
