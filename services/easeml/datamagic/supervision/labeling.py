"""Labelling functions: rules that vote on rows, what they cover and contradict, and their votes as label candidates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, overload

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from easeml.datamagic.supervision.votes import ABSTAIN, check_codes
from easeml.errors import InvalidDataError
from easeml.progress import Progress
from easeml.relation import Candidates, Relation
from easeml.relation.candidates import LABEL
from easeml.relation.columns import shown
from easeml.stream.payloads import ColumnKind

MOST_CLASSES = 127
"""Votes are int8."""
SUM_TOLERANCE = 1e-6


class Row(dict[str, Any]):
    """Features of one row, by ``row["text"]`` or ``row.text``; missing: NaN for numbers, else None."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"no column {name!r}; columns are {', '.join(self)}")


@dataclass(frozen=True, slots=True)
class LabelingFunction:
    """A rule that votes for a class or abstains.

    Parameters
    ----------
    function : callable
        Takes a ``Row``, or the whole feature frame if ``whole``; returns a class name, a class code, or None or -1
        to abstain (one per row if ``whole``).
    name : str
        Name in tables and errors.
    version : int
        Counts up when the rule changes.
    whole : bool
        Whether the function takes the whole frame at once.
    """

    function: Callable[[Any], Any]
    name: str
    version: int = 1
    whole: bool = False

    def __call__(self, row: Any) -> Any:
        return self.function(row)


@overload
def labeling_function(function: Callable[[Any], Any], /) -> LabelingFunction: ...
@overload
def labeling_function(
    *, name: str | None = None, version: int = 1, whole: bool = False
) -> Callable[[Callable[[Any], Any]], LabelingFunction]: ...
def labeling_function(
    function: Callable[[Any], Any] | None = None, /, *, name: str | None = None, version: int = 1, whole: bool = False
) -> LabelingFunction | Callable[[Callable[[Any], Any]], LabelingFunction]:
    """Make a labelling function out of a function; with or without arguments, which are those of the class.

    Examples
    --------
    >>> @labeling_function
    ... def has_link(row):
    ...     return "spam" if "http" in row.text else None
    >>> has_link.name, has_link(Row(text="see http://x.y"))
    ('has_link', 'spam')
    """

    def wrap(inner: Callable[[Any], Any]) -> LabelingFunction:
        return LabelingFunction(inner, name or str(getattr(inner, "__name__", "function")), version, whole)

    return wrap if function is None else wrap(function)


@dataclass(frozen=True, slots=True, eq=False)
class Labeling:
    """Votes of labelling functions on the rows of a relation; stands for its vote matrix wherever an array may.

    Parameters
    ----------
    votes : ndarray of int8, shape (n, m)
        Class code per row and function, -1: abstain.
    names : tuple of str
        Names of the m functions.
    classes : tuple of str
        Class names in code order.
    errors : DataFrame
        ``errors`` (rows the function failed on, which count as abstentions), and ``row_id`` and ``message`` of the
        first one (empty: none, or the frame as a whole), per function (the index).
    """

    votes: NDArray[np.int8]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    errors: pd.DataFrame

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.votes, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.votes)

    def __getitem__(self, places: Any) -> Any:
        return self.votes[places]

    def __repr__(self) -> str:
        covered = float((self.votes != ABSTAIN).any(axis=1).mean()) if len(self) else 0.0
        failed = int((self.errors["errors"] > 0).sum())
        told = f", {failed} of them with errors" if failed else ""
        return f"<Labeling: {len(self):,} rows, {covered:.0%} covered by {len(self.names)} functions{told}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and functions."""
        return self.votes.shape


def apply_labeling_functions(
    relation: Relation,
    functions: Sequence[LabelingFunction],
    on_error: Literal["abstain", "raise"] = "abstain",
    *,
    progress: Progress | None = None,
) -> Labeling:
    """Let functions vote on every row.

    Parameters
    ----------
    relation : Relation
        The rows; functions see the features as observed, never the label. Give ``relation.most_probable_world()`` to
        show them the repaired cells instead.
    functions : sequence of LabelingFunction
        The rules, with distinct names.
    on_error : {"abstain", "raise"}
        What a failure on a row means: an abstention, counted and quoted in ``errors`` and in one warning per function,
        or an error at once.
    progress : callable, optional
        Called with functions done, functions in all, and the name of the one that is done.

    Raises
    ------
    InvalidDataError
        When the relation has no classes, two functions share a name, or one fails and ``on_error`` is "raise".
    """
    classes = relation.classes
    if not 2 <= len(classes) <= MOST_CLASSES:
        raise InvalidDataError(
            f"A relation with {len(classes)} classes cannot be voted on.",
            mend=f"Read it with a label column and 2 to {MOST_CLASSES} classes.",
        )
    names = tuple(function.name for function in functions)
    twice = sorted(name for name in set(names) if names.count(name) > 1)
    if twice:
        raise InvalidDataError(f"Two labelling functions are named {twice[0]!r}.", mend="Give each its own name.")
    frame = relation.frame().drop(columns=[relation.label])
    rows = None if all(function.whole for function in functions) else list(_rows(relation, frame))
    votes = np.full((len(relation), len(functions)), ABSTAIN, np.int8)
    report = []
    for place, function in enumerate(functions):
        failures = _vote(function, frame, rows, classes, votes[:, place])
        row, message = failures[0] if failures else (_ALL, "")
        if failures and on_error == "raise":
            raise InvalidDataError(
                f"Labelling function {function.name!r}, {_where(relation, row)}: {message}.",
                mend="Correct the function.",
            )
        count = len(relation) if failures and row == _ALL else len(failures)
        if failures:
            warnings.warn(
                f"Labelling function {function.name!r} failed on {count:,} of {len(relation):,} rows, which count as "
                f"abstentions; first on {_where(relation, row)}: {message}.",
                stacklevel=2,
            )
        report.append((count, "" if row == _ALL else relation.row_ids[row], message))
        if progress is not None:
            progress(place + 1, len(functions), function.name)
    index = pd.Index(names, dtype=object, name="function")
    errors = pd.DataFrame(report, index=index, columns=["errors", "row_id", "message"])
    return Labeling(votes, names, classes, errors)


_ALL = -1
"""Place of a failure on the frame as a whole."""


def _where(relation: Relation, row: int) -> str:
    return "the whole frame" if row == _ALL else f"row {relation.row_ids[row]!r}"


def _rows(relation: Relation, frame: pd.DataFrame) -> Iterator[Row]:
    cells = []
    for column in relation.columns:
        series = frame[column.name]
        if column.kind in (ColumnKind.NUMERIC, ColumnKind.TEXT, ColumnKind.TENSOR):
            cells.append(series.tolist())
        else:
            cells.append([None if gone else value for gone, value in zip(series.isna(), series, strict=True)])
    names = [column.name for column in relation.columns]
    for values in zip(*cells, strict=True) if cells else ():
        yield Row(zip(names, values, strict=True))


def _vote(
    function: LabelingFunction,
    frame: pd.DataFrame,
    rows: list[Row] | None,
    classes: tuple[str, ...],
    votes: NDArray[np.int8],
) -> list[tuple[int, str]]:
    """Write a function's votes and return the places and texts of its failures."""
    codes = {name: code for code, name in enumerate(classes)}
    failures = []
    if function.whole or rows is None:
        try:
            said = list(function(frame.copy()))
        except Exception as error:  # the function is the user's: its failure is a finding, not our crash
            return [(_ALL, f"{type(error).__name__}: {error}")]
        if len(said) != len(frame):
            return [(_ALL, f"{len(said)} votes for {len(frame)} rows")]
        answers: Iterator[Any] = iter(said)
    else:
        answers = map(function, rows)
    for place in range(len(votes)):
        try:
            votes[place] = _code(next(answers), codes)
        except StopIteration:
            failures.append((place, "StopIteration"))
        except Exception as error:  # likewise
            failures.append((place, f"{type(error).__name__}: {error}"))
    return failures


def _code(answer: Any, codes: dict[str, int]) -> int:
    """Return the class code an answer stands for, -1 for an abstention."""
    if answer is None or answer is pd.NA or (isinstance(answer, float | np.floating) and np.isnan(answer)):
        return ABSTAIN
    if isinstance(answer, str | bool | np.bool_):
        if str(answer) in codes:
            return codes[str(answer)]
    elif (
        isinstance(answer, int | float | np.integer | np.floating)
        and ABSTAIN <= answer < len(codes)
        and answer == int(answer)
    ):
        return int(answer)
    raise ValueError(f"returned {shown(answer)}, which is no class name, no class code and not None")


def analysis(votes: ArrayLike | Labeling, labels: ArrayLike | None = None) -> pd.DataFrame:
    """Return what each source covers, shares and contradicts.

    Parameters
    ----------
    votes : array-like of int, shape (n, m), or Labeling
        Class codes, -1: abstain.
    labels : array-like of int, shape (n,), optional
        Labels, -1: unknown; they give the last three columns.

    Returns
    -------
    DataFrame
        Per source: ``polarity`` (classes it voted for), ``coverage`` (share of rows with its vote), ``overlap``
        (share where another votes too), ``conflict`` (share where another votes for another class), and ``correct``,
        ``incorrect`` and ``accuracy`` over the labelled rows it votes on (NaN: none).

    Raises
    ------
    InvalidDataError
        When votes or labels are no class codes, or their lengths differ.

    Examples
    --------
    >>> analysis([[0, -1], [0, 1], [-1, -1], [1, 1]], [0, 0, 1, 1])[["coverage", "overlap", "conflict"]].values.tolist()
    [[0.75, 0.5, 0.25], [0.5, 0.5, 0.25]]
    """
    table = check_codes(np.asarray(votes), MOST_CLASSES, "Votes")
    if table.ndim != 2:
        raise InvalidDataError(f"The votes have {table.ndim} dimensions.", mend="Give one row per example.")
    names = votes.names if isinstance(votes, Labeling) else tuple(range(table.shape[1]))
    classes = votes.classes if isinstance(votes, Labeling) else tuple(range(MOST_CLASSES))
    said = table != ABSTAIN
    shared = said & (said.sum(axis=1) > 1)[:, None]
    lowest = np.where(said, table, MOST_CLASSES).min(axis=1, initial=MOST_CLASSES)
    contested = said & (lowest < table.max(axis=1, initial=ABSTAIN))[:, None]
    n = max(len(table), 1)
    report = pd.DataFrame(
        {
            "polarity": [tuple(classes[code] for code in np.unique(column[column >= 0])) for column in table.T],
            "coverage": said.sum(axis=0) / n,
            "overlap": shared.sum(axis=0) / n,
            "conflict": contested.sum(axis=0) / n,
        },
        index=pd.Index(names, name="function"),
    )
    if labels is None:
        return report
    gold = check_codes(labels, MOST_CLASSES, "Labels")
    if gold.shape != (len(table),):
        raise InvalidDataError(f"{gold.size} labels for {len(table)} rows of votes.", mend="Give one per row.")
    judged = said & (gold >= 0)[:, None]
    right = (judged & (table == gold[:, None])).sum(axis=0)
    total = judged.sum(axis=0)
    accuracy = np.where(total > 0, right / np.maximum(total, 1), np.nan)
    return report.assign(correct=right, incorrect=total - right, accuracy=accuracy)


class Named(Protocol):
    """A model that says under which name and version its probabilities are known."""

    @property
    def source(self) -> str:
        """Name and version."""
        ...


def votes_to_relation(relation: Relation, proba: ArrayLike, source: str | Named) -> Relation:
    """Return the relation in which class probabilities are the candidates of every unknown label.

    Parameters
    ----------
    relation : Relation
        Rows with a label column; known labels stay as they are.
    proba : array-like of float, shape (n, c)
        Probability of each class per row, in code order; a row of NaN says nothing.
    source : str or model
        Who says so: a name with its version, or a fitted label model.

    Raises
    ------
    InvalidDataError
        When the shape is wrong or a row is no distribution; names the row.
    """
    table = np.asarray(proba, np.float64)
    if relation.label is None or table.shape != (len(relation), len(relation.classes)):
        raise InvalidDataError(
            f"Probabilities of shape {table.shape} for {len(relation)} rows with {len(relation.classes)} classes.",
            mend="Give one row per row of the relation and one column per class.",
        )
    silent = np.isnan(table).all(axis=1)
    bad = ~silent & ~((table >= 0).all(axis=1) & (np.abs(table.sum(axis=1) - 1) <= SUM_TOLERANCE))
    if bad.any():
        place = int(np.argmax(bad))
        raise InvalidDataError(
            f"Row {relation.row_ids[place]!r}: {table[place].tolist()} is no distribution.",
            mend="Probabilities are not negative and sum to 1.",
        )
    free = ~silent & (relation.labels < 0)
    row, code = np.nonzero(free[:, None] & (table > 0))
    proposed = table[row, code] / np.where(silent, 1.0, table.sum(axis=1))[row]
    cells = Candidates(
        row=row.astype(np.int64),
        column=np.full(len(row), LABEL, np.int64),
        value=code.astype(np.float64),
        probability=proposed,
        source=np.zeros(len(row), np.int64),
        sources=(source if isinstance(source, str) else source.source,),
    )
    return relation.propose(cells) if len(row) else relation
