"""What a person sees of a relation at a glance: counts, classes, uncertainty and some rows, cut to a bounded size.

Every text is safe to print: control characters, which could steer a terminal, and characters that turn the direction
of writing stand as their escapes. The forms themselves are in ``rendering``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.relation.alternatives import Alternatives
from easeml.relation.block import Block
from easeml.relation.candidates import LABEL
from easeml.relation.columns import moments_of
from easeml.relation.relation import Relation
from easeml.stream.payloads import Column, ColumnKind

FIRST_COLUMNS, LAST_COLUMNS = 12, 4
MOST_CHOICES, MOST_CLASSES, MOST_SOURCES = 6, 6, 3
GAP = "…"
"""Title and cells of the column that stands for hidden ones."""
UNCERTAIN_ROWS = 3
"""Uncertain rows shown besides the first ones, when those are all certain."""
LONG, LONG_NAME = 48, 28
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Choice:
    """One possible value of a cell: its text, its probability and the tools that propose it."""

    text: str
    probability: float
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One shown cell.

    Parameters
    ----------
    text : str, optional
        Observed value; None: missing.
    choices : tuple of Choice
        Possible values, the most probable first; empty: certain.
    more : int
        Choices left out.
    uniform : bool
        Whether nobody has said anything: every class is as likely.
    tied : bool
        Whether it is a label that nobody has given and whose most probable classes are as likely as each other.
    """

    text: str | None
    choices: tuple[Choice, ...] = ()
    more: int = 0
    uniform: bool = False
    tied: bool = False

    def source(self) -> tuple[str, ...]:
        """Return the tools that propose every choice; empty when not all come from the same."""
        first = self.choices[0].sources if self.choices else ()
        return first if all(choice.sources == first for choice in self.choices) else ()


@dataclass(frozen=True, slots=True)
class Row:
    """One shown row: its place, its id, a cell per shown column, and how many joint alternatives it has."""

    place: int
    row_id: str
    cells: tuple[Cell, ...]
    alternatives: int = 0


@dataclass(frozen=True, slots=True)
class Overview:
    """What is shown of a relation.

    Parameters
    ----------
    rows, hidden_columns, unlabelled, uncertain_cells, settled_cells, uncertain_rows : int
        Counts; ``uncertain_cells`` have at least two candidates of positive probability, ``settled_cells`` have one,
        ``uncertain_rows`` have joint alternatives.
    kinds : tuple of (str, int)
        Columns of each kind.
    label : str, optional
        Name of the label.
    classes : tuple of (str, int)
        Rows of the most frequent classes; the last one may stand for the rest.
    bits : float
        Entropy of the whole relation.
    columns : tuple of (str, str)
        Name and kind of each shown column, the label last; where some are hidden, the uncertain ones are first and
        ``GAP`` stands in the place of the hidden ones.
    lines : tuple of Row
        Shown rows in their order.
    """

    rows: int
    kinds: tuple[tuple[str, int], ...]
    label: str | None
    classes: tuple[tuple[str, int], ...]
    unlabelled: int
    uncertain_cells: int
    settled_cells: int
    uncertain_rows: int
    bits: float
    columns: tuple[tuple[str, str], ...]
    hidden_columns: int
    lines: tuple[Row, ...]

    def headline(self) -> str:
        """Return the size of the relation in words."""
        total = sum(count for _, count in self.kinds)
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kinds)
        return f"{counted(self.rows, 'row')} × {counted(total, 'column')}" + (f" ({kinds})" if kinds else "")

    def doubt(self) -> str:
        """Return the uncertainty of the relation in words."""
        if not (self.uncertain_cells or self.uncertain_rows or self.unlabelled):
            settled = f"; {counted(self.settled_cells, 'cell')} with a single candidate" if self.settled_cells else ""
            return f"every cell is certain{settled}"
        parts = [counted(self.uncertain_cells, "uncertain cell")]
        if self.settled_cells:
            parts.append(f"{counted(self.settled_cells, 'cell')} with a single candidate")
        if self.uncertain_rows:
            parts.append(f"{counted(self.uncertain_rows, 'row')} with alternatives")
        return f"{', '.join(parts)}; entropy {self.bits:,.4g} bits"


def counted(count: int, what: str) -> str:
    """Return a count with its noun.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def overview(relation: Relation, rows: int, *, most_columns: int = FIRST_COLUMNS + LAST_COLUMNS) -> Overview:
    """Return what is shown of a relation.

    Parameters
    ----------
    rows : int
        First rows to show; a few uncertain ones follow when all of those are certain.
    most_columns : int
        Feature columns to show, most of them from the front.
    """
    block = relation.block
    named = relation.label is not None
    places = _shown_rows(block, rows)
    shown = _shown_columns(block, places, most_columns)
    counts = Counter(column.kind.value for column in block.columns)
    titles = [
        (GAP, "") if place is None else (short(block.columns[place].name, LONG_NAME), block.columns[place].kind.value)
        for place in shown
    ]
    uncertain, settled = _doubtful_cells(block)
    return Overview(
        len(relation),
        tuple(counts.items()),
        short(relation.label, LONG_NAME) if relation.label is not None else None,
        _class_counts(relation) if named else (),
        int((block.labels < 0).sum()) if named else 0,
        uncertain,
        settled,
        len(np.unique(block.alternatives.row)),
        relation.entropy().total,
        (*titles, *([(short(relation.label or "", LONG_NAME), "label")] if named else [])),
        len(block.columns) - sum(place is not None for place in shown),
        tuple(_lines(relation, places, shown)),
    )


def _shown_columns(block: Block, rows: NDArray[np.int64], most: int) -> list[int | None]:
    """Return the places of the shown columns; None stands for the hidden ones, behind which are the last columns."""
    total = len(block.columns)
    if total <= most:
        return list(range(total))
    first = _uncertain_columns(block, rows)[:most]
    others = [place for place in range(total) if place not in set(first)]
    free = most - len(first)
    last = min(LAST_COLUMNS, max(free // 4, int(free > 1)))
    return [*first, *others[: free - last], None, *others[len(others) - last :]]


def _uncertain_columns(block: Block, rows: NDArray[np.int64]) -> list[int]:
    """Return the columns with candidates, those that have them in the shown rows first."""
    part = block.take(rows)
    found = np.zeros((2, len(block.columns)), bool)
    for seen, own in zip(found, (part, block), strict=True):
        own_columns = own.candidates.column
        seen[own_columns[own_columns != LABEL]] = True
    near, anywhere = (np.flatnonzero(seen).tolist() for seen in found)
    joint = part.alternatives
    apart = [index for index in range(len(block.columns)) if _differs(joint, index)] if joint.block is not None else []
    return list(dict.fromkeys([*sorted({*near, *apart}), *anywhere]))


def _differs(joint: Alternatives, index: int) -> bool:
    """Return whether the alternatives of some row have several values in a column."""
    assert joint.block is not None
    cells = joint.block.column(index)
    values = {
        (row, cell if isinstance(cell, str) or cell is None else np.asarray(cell).tobytes())
        for row, cell in zip(joint.row.tolist(), cells, strict=True)
    }
    return len(values) > len(set(joint.row.tolist()))


def _shown_rows(block: Block, rows: int) -> NDArray[np.int64]:
    first = np.arange(min(max(rows, 0), len(block)))
    doubtful = block.alternatives.has(len(block))
    doubtful[block.candidates.row] = True
    if not len(first) or doubtful[: len(first)].any():
        return first
    return np.concatenate([first, np.flatnonzero(doubtful)[:UNCERTAIN_ROWS]])


def _doubtful_cells(block: Block) -> tuple[int, int]:
    """Return the cells with several candidates that are possible, and those with one; the table is ordered by cell."""
    table = block.candidates
    possible = table.probability > 0
    row, column, value = table.row[possible], table.column[possible], table.value[possible]
    if not len(row):
        return 0, 0
    cell = np.concatenate([[0], np.cumsum((np.diff(row) != 0) | (np.diff(column) != 0))])
    # Several tools may propose one value: that is one candidate.
    pairs = np.unique(np.column_stack([cell, np.unique(value, return_inverse=True)[1]]), axis=0)
    many = np.bincount(pairs[:, 0])
    return int((many > 1).sum()), int((many == 1).sum())


def _class_counts(relation: Relation) -> tuple[tuple[str, int], ...]:
    counts = np.bincount(relation.labels[relation.labels >= 0], minlength=len(relation.classes))
    order = np.argsort(-counts, kind="stable")
    few = order[:MOST_CLASSES] if len(order) > MOST_CLASSES + 1 else order
    shown = [(short(relation.classes[code], LONG_NAME), int(counts[code])) for code in few.tolist()]
    rest = len(order) - len(few)
    return (*shown, *([(f"{rest:,} more classes", int(counts[order[len(few) :]].sum()))] if rest else []))


def _lines(relation: Relation, places: NDArray[np.int64], shown: Sequence[int | None]) -> Iterable[Row]:
    part = relation.block.take(places)
    table, joint = part.candidates, part.alternatives
    found: dict[tuple[int, int], list[int]] = {}
    for line, cell in enumerate(zip(table.row.tolist(), table.column.tolist(), strict=True)):
        found.setdefault(cell, []).append(line)
    versions: dict[int, list[int]] = {}
    for line, row in enumerate(joint.row.tolist()):
        versions.setdefault(row, []).append(line)
    for row, place in enumerate(places.tolist()):
        cells = []
        for index in shown:
            if index is None:
                cells.append(Cell(GAP))
                continue
            text = spelled(part.columns[index], part.column(index)[row])
            choices = _candidates(part, found.get((row, index), []), part.columns[index], relation.classes)
            choices = choices or _marginal(part, versions.get(row, []), index)
            cells.append(_cell(text, choices))
        if relation.label is not None:
            cells.append(_label(relation, part, row, found.get((row, LABEL), [])))
        yield Row(place, short(part.row_ids[row], LONG_NAME), tuple(cells), len(versions.get(row, [])))


def _cell(text: str | None, choices: list[Choice]) -> Cell:
    choices.sort(key=lambda choice: -choice.probability)
    return Cell(text, tuple(choices[:MOST_CHOICES]), max(len(choices) - MOST_CHOICES, 0))


def _label(relation: Relation, part: Block, row: int, lines: list[int]) -> Cell:
    code = int(part.labels[row])
    text = None if code < 0 else short(relation.classes[code])
    if lines or code >= 0:
        cell = _cell(text, _candidates(part, lines, None, relation.classes))
        best = [choice.probability for choice in cell.choices[:2]]
        return replace(cell, tied=text is None and len(best) > 1 and best[0] - best[1] < _TIE)
    share = 1 / max(len(relation.classes), 1)
    choices = tuple(Choice(short(name), share, ()) for name in relation.classes[:MOST_CHOICES])
    return Cell(None, choices, len(relation.classes) - len(choices), uniform=True)


def _candidates(part: Block, lines: list[int], column: Column | None, classes: Sequence[str]) -> list[Choice]:
    """Return the distribution of a cell; several tools may propose one value."""
    table = part.candidates
    found = _Found()
    for line in lines:
        value = table.value[line]
        if column is None:
            text: str | None = short(classes[int(value)])
        else:
            text = spelled(column, table.texts[int(value)] if column.kind is ColumnKind.TEXT else value)
        found.add(float(value), text, float(table.probability[line]), table.sources[int(table.source[line])])
    return found.choices()


def _marginal(part: Block, lines: list[int], index: int) -> list[Choice]:
    """Return the distribution of a cell over the alternatives of its row; empty when they agree."""
    table = part.alternatives
    if table.block is None or not lines:
        return []
    cells = table.block.column(index)
    found = _Found()
    for line in lines:
        cell = cells[line]
        value = cell if isinstance(cell, str) or cell is None else np.asarray(cell).tobytes()
        text = spelled(part.columns[index], cell)
        found.add(value, text, float(table.probability[line]), table.sources[int(table.source[line])])
    choices = found.choices()
    return choices if len(choices) > 1 else []


class _Found:
    """Values of one cell, told apart by themselves and not by their texts, which are cut."""

    def __init__(self) -> None:
        self._values: dict[Any, tuple[str, float, list[str]]] = {}

    def add(self, value: Any, text: str | None, probability: float, source: str) -> None:
        shown, sum_, sources = self._values.get(value, ("missing" if text is None else text, 0.0, []))
        self._values[value] = (shown, sum_ + probability, [*sources, source])

    def choices(self) -> list[Choice]:
        return [Choice(text, sum_, _sources(sources)) for text, sum_, sources in self._values.values()]


def _sources(names: Iterable[str]) -> tuple[str, ...]:
    distinct = list(dict.fromkeys(names))
    more = len(distinct) - MOST_SOURCES
    return (*(short(name, LONG_NAME) for name in distinct[:MOST_SOURCES]), *([f"{more} more"] if more > 0 else []))


def spelled(column: Column, cell: Any) -> str | None:
    """Return a dense cell, or the number of a candidate, as people read it; None: missing."""
    match column.kind:
        case ColumnKind.NUMERIC:
            return None if np.isnan(cell) else number(float(cell))
        case ColumnKind.DATETIME:
            return None if np.isnan(cell) else moment(float(cell))
        case ColumnKind.BOOLEAN:
            return {0: "false", 1: "true"}.get(int(cell)) if cell >= 0 else None
        case ColumnKind.CATEGORICAL:
            return short(column.categories[int(cell)]) if cell >= 0 else None
        case ColumnKind.TEXT:
            return None if cell is None else short(cell)
        case ColumnKind.TENSOR:
            return _tensor(column, cell)


def number(value: float) -> str:
    """Return a number with at most six digits, whole ones in full up to a billion.

    >>> number(3.0), number(1234567.0), number(0.1234567), number(1e20)
    ('3', '1234567', '0.123457', '1e+20')
    """
    return str(int(value)) if value.is_integer() and abs(value) < 1e9 else f"{value:.6g}"


def moment(seconds: float) -> str:
    """Return a moment in UTC; midnight as its day alone.

    >>> moment(86400.0), moment(1.5)
    ('1970-01-02', '1970-01-01 00:00:01.500000')
    """
    if abs(seconds) >= 9e12:
        return f"{seconds:.6g} s"
    day, _, clock = str(moments_of(np.array([seconds]))[0]).partition("T")
    return day if clock in ("", "00:00:00.000000") else f"{day} {clock.removesuffix('.000000')}"


def _tensor(column: Column, cell: NDArray[np.float64]) -> str | None:
    shape = "×".join(map(str, column.shape)) or "scalar"
    known = cell[~np.isnan(cell)]
    if not len(known):
        return None if len(cell) else f"{shape} tensor"
    low, high = number(float(known.min())), number(float(known.max()))
    return f"{shape} tensor, {low}" if low == high else f"{shape} tensor, {low} … {high}"


def short(text: str, most: int = LONG) -> str:
    r"""Return a text cut to ``most`` characters that are safe to print.

    >>> short("a\x1b[31mb"), short("x" * 60, 5)
    ('a\\x1b[31mb', 'xxxx…')
    """
    # Escapes are longer than what they stand for, so the text is cut before and after.
    cut = text[: most + 1]
    safe = "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in cut)
    return safe if len(safe) <= most else f"{safe[: most - 1]}…"


def percent(probability: float) -> str:
    """Return a probability in whole percent; what is not certain never looks so.

    >>> percent(0.5), percent(0.001), percent(0.999), percent(1.0)
    ('50%', '<1%', '>99%', '100%')
    """
    if 0 < probability < 0.01:
        return "<1%"
    return ">99%" if 0.99 < probability < 1 - 1e-9 else f"{probability:.0%}"
