"""The rows of a file as rows of an app: read by the app's columns; rows that cannot be are told, the others go on.

A value that is not of its column's kind becomes missing, for repairs to be proposed, unless most of a column is so;
a row with an unknown class or category, an unlabelled row where labels are the point and a row without its own id are
left out. Test rows need no label in an app that pays for asking.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.datamagic.cleaning.schema import Kind, Schema, infer_schema
from easeml.datamagic.ingestion.assignment import JUDGING, Known
from easeml.datamagic.versions import contents
from easeml.errors import InvalidDataError
from easeml.ids import RowId
from easeml.relation import Relation
from easeml.relation.columns import RowNames, shown, texts_of, unseen_of
from easeml.stream.payloads import AppDefined, ColumnKind, Pillar

MOST_CLASHES = 0.5
"""Share of a column's values that may clash with its kind before the file is refused."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row, or a cell of one, that does not fit.

    Parameters
    ----------
    where : str
        The row, as the file counts (``line 17``).
    column : str
        The column; empty: the row as a whole.
    text : str
        What is wrong.
    """

    where: str
    column: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}, column {self.column!r}: {self.text}" if self.column else f"{self.where}: {self.text}"


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Rows that fit.

    Parameters
    ----------
    relation : Relation
        The rows, with labels where they have some.
    groups : uint64[n] or None
        Digest of each row's group, 0: none; None: there are no groups.
    rejects : tuple of Reject
        Rows left out.
    clashes : tuple of Reject
        Cells made missing.
    """

    relation: Relation
    groups: NDArray[np.uint64] | None
    rejects: tuple[Reject, ...]
    clashes: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """How rows of a file are to fit an app.

    Parameters
    ----------
    app : AppDefined
        The app, with columns and classes.
    pillar : Pillar or None
        Where the rows go; None: they are split.
    id_column, group_column : str
        Columns with the identity and the group of each row; empty: there is none.
    prefix : str
        Begins the ids of rows without an id column; their place in the file follows.
    known : Known
        What the pillars have, and the ids of the file's rows before these.
    schema : Schema, optional
        How the values are written, where these rows are part of a file; None: as these rows say.
    """

    app: AppDefined
    pillar: Pillar | None
    id_column: str
    group_column: str
    prefix: str
    schema: Schema | None = None
    known: Known = field(default_factory=Known)

    @property
    def labelled(self) -> bool:
        """Whether the labels of the file are read."""
        return self.pillar not in (Pillar.POOL, Pillar.PRODUCTION)

    @property
    def asked(self) -> bool:
        """Whether labels that rows lack are asked for one by one: test rows of an app that pays for that."""
        return self.pillar is Pillar.TEST and self.app.test_label_budget > 0


def fit(frame: pd.DataFrame, rules: Rules, start: int = 0) -> Fitted:
    """Return the rows of a frame that fit an app; its index names them in errors.

    Parameters
    ----------
    frame : DataFrame
        Cells as they stand in the file.
    rules : Rules
        The app and the special columns.
    start : int
        Rows of the file before these.

    Raises
    ------
    InvalidDataError
        When columns are missing or unknown, a column is of another kind, or none of a file's first rows fits; names
        row and column.
    """
    app, names = rules.app, RowNames(None, frame.index)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    _check_special(frame, rules)
    read, clashes = _read(frame, rules, names)
    rejects: dict[int, Reject] = {}
    ids = _ids(frame, rules, names, start, rejects)
    labels = texts_of(read[app.label]) if app.label in read else np.full(len(frame), None, object)
    for place, column, value in _odd(read, labels, rules):
        # What a test row's label says is for CI alone, and rejects are told in public.
        secret = column == app.label and rules.pillar is Pillar.TEST
        text = f"{'its class' if secret else shown(value)} is not known to the app" if value is not None else "missing"
        rejects.setdefault(place, Reject(names[place], column, text))
    for place, column, problem in _misplaced(frame, rules):
        rejects.setdefault(place, Reject(names[place], column, problem))
    kept = np.setdiff1d(np.arange(len(frame)), list(rejects))
    told = tuple(rejects[place] for place in sorted(rejects))
    if not len(kept) and not start:  # a file may go on with rows that are all left out, but not begin so
        raise InvalidDataError(
            f"None of the {len(frame):,} rows fits {app.app!r}; {told[0]}." if told else "There is no row.",
            mend="Correct the rows, or add classes and categories to the app ('easeml apps update').",
        )
    features = read[[column.name for column in app.columns]].iloc[kept]
    if rules.pillar is not Pillar.PRODUCTION:
        features = features.assign(**{app.label: labels[kept]})
    relation = Relation.from_frame(
        features,
        label=None if rules.pillar is Pillar.PRODUCTION else app.label,
        classes=None if rules.pillar is Pillar.PRODUCTION else app.classes,
        columns=app.columns,
        row_ids=tuple(ids[place] for place in kept.tolist()),
        ids_generated=not rules.id_column,
        unseen="missing" if rules.pillar is Pillar.PRODUCTION else "refuse",
    )
    return Fitted(relation, _groups(frame, rules, kept), told, clashes)


def _check_special(frame: pd.DataFrame, rules: Rules) -> None:
    known = ", ".join(map(str, frame.columns))
    for name, what in ((rules.id_column, "id"), (rules.group_column, "group")):
        if name and name not in frame.columns:
            raise InvalidDataError(f"There is no {what} column {name!r}.", mend=f"Columns of the file are {known}.")
    if rules.labelled and not rules.asked and rules.app.label not in frame.columns:
        budget = f", or have test labels asked for: easeml apps update {rules.app.app} --test-label-budget N"
        raise InvalidDataError(
            f"There is no label column {rules.app.label!r}.",
            mend=f"Columns of the file are {known}. Unlabelled rows go to the pillar pool or production"
            f"{budget if rules.pillar is Pillar.TEST else ''}.",
        )


def _read(frame: pd.DataFrame, rules: Rules, names: RowNames) -> tuple[pd.DataFrame, tuple[Reject, ...]]:
    """Return the columns of the app, read by their kinds, and the cells that clash."""
    app = rules.app
    wanted = {column.name: column for column in app.columns}
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise InvalidDataError(f"Missing column {missing[0]!r}.", mend=f"The app's columns are {', '.join(wanted)}.")
    labelled = rules.labelled and app.label in frame.columns
    special = {app.label, rules.id_column, rules.group_column}
    others = [name for name in frame.columns if name not in wanted and name not in special]
    if others:
        _check_others(frame, others, wanted)
    part = frame[[*wanted, app.label] if labelled else [*wanted]]
    kinds = {name: Kind(column.kind.value) for name, column in wanted.items()}
    schema = rules.schema or infer_schema(part, label=app.label if labelled else None, kinds=kinds)
    read, clashes = _cleaned(schema, part)
    rejects = []
    for column, count in pd.Series([clash.column for clash in clashes], dtype=object).value_counts().items():
        first = next(clash for clash in clashes if clash.column == column)
        present = int(part[column].notna().sum())
        if count > MOST_CLASHES * present:
            raise InvalidDataError(
                f"Column {column!r}: {count:,} of {present:,} values are not {wanted[str(column)].kind}; the first is "
                f"{shown(first.value)} in {_named(names, frame, first.row)}.",
                mend="Correct the file, or define the app anew with another kind of this column.",
            )
    for clash in clashes:
        kind = wanted[clash.column].kind
        rejects.append(Reject(_named(names, frame, clash.row), clash.column, f"{shown(clash.value)} is not {kind}"))
    return read, tuple(rejects)


def _cleaned(schema: Schema, part: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Any, ...]]:
    read, clashes = schema.clean(part)
    return read, tuple(clash for clash in clashes if clash.column != schema.label)


def _check_others(frame: pd.DataFrame, others: list[str], wanted: dict[str, Any]) -> None:
    """Refuse columns that the app does not know; what merely identifies rows is left out."""
    schema = infer_schema(frame[others])
    odd = [name for name in others if schema[name].kind is not Kind.ID]
    if odd:
        raise InvalidDataError(f"Unknown column {odd[0]!r}.", mend=f"The app's columns are {', '.join(wanted)}.")


def _named(names: RowNames, frame: pd.DataFrame, label: Any) -> str:
    return names[int(np.argmax(np.asarray(frame.index == label)))]


def _ids(
    frame: pd.DataFrame, rules: Rules, names: RowNames, start: int, rejects: dict[int, Reject]
) -> list[str | None]:
    if not rules.id_column:
        return [f"{rules.prefix}-{start + place}" for place in range(len(frame))]
    ids: list[str | None] = texts_of(frame[rules.id_column]).tolist()
    seen: set[str] = set()
    words = contents.hashed("" if row_id is None else row_id for row_id in ids)
    given = np.any([np.zeros(len(ids), bool), *(before.has(words) for before in rules.known.given)], axis=0)
    for place, row_id in enumerate(ids):
        problem = "missing" if row_id is None else "this id came before" if row_id in seen or given[place] else ""
        if row_id is not None and not problem:
            seen.add(row_id)
            try:
                RowId(row_id)
            except InvalidDataError as error:
                problem = error.message
        if problem:
            rejects[place] = Reject(names[place], rules.id_column, problem)
    return ids


def _odd(read: pd.DataFrame, labels: NDArray[np.object_], rules: Rules) -> Iterator[tuple[int, str, str | None]]:
    """Yield place, column and value of what makes a row unfit."""
    app = rules.app
    if rules.pillar is not Pillar.PRODUCTION:
        for column in app.columns:
            if column.kind is ColumnKind.CATEGORICAL:
                for place, value in unseen_of(column, read[column.name]):
                    yield place, column.name, value
    if rules.labelled:
        known = {*app.classes, *([None] if rules.pillar is None or rules.asked else [])}
        for place, label in enumerate(labels):
            if label not in known:
                yield place, app.label, label


def _misplaced(frame: pd.DataFrame, rules: Rules) -> Iterator[tuple[int, str, str]]:
    """Yield place, column and trouble of rows for one judging pillar whose group another one has."""
    if rules.pillar not in JUDGING or not rules.group_column:
        return
    groups = _groups(frame, rules, np.arange(len(frame)))
    assert groups is not None
    for other in JUDGING:
        if other is not rules.pillar and other in rules.known.groups:
            for place in np.flatnonzero((groups != 0) & rules.known.groups[other].has(groups)).tolist():
                yield place, rules.group_column, f"rows of this group are in {other}, and a group stays in one pillar"


def _groups(frame: pd.DataFrame, rules: Rules, kept: NDArray[np.int64]) -> NDArray[np.uint64] | None:
    if not rules.group_column:
        return None
    names = texts_of(frame[rules.group_column].iloc[kept])
    words = contents.hashed("" if name is None else name for name in names)
    return np.where(np.array([name is None for name in names], bool), np.uint64(0), words)
