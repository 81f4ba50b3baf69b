"""Candidates for missing and erroneous cells, each with its probability and its source.

Relation in, relation out: missing cells become variables over values of near rows, quantiles of their column, the
observed domain, and what a functional dependency or the right spelling implies. Nothing is overwritten: what stands
in an erroneous cell stays a candidate. Source: Karlas et al., PVLDB 14(3), 2021 (candidate repairs); Ilyas & Chu,
Data Cleaning, 2019. Fails never: a cell about which nothing is known stays missing.

>>> import numpy as np, pandas as pd
>>> from easeml.relation import Relation
>>> rng = np.random.default_rng(0)
>>> x = rng.normal(size=200)
>>> frame = pd.DataFrame({"x": x, "twice": 2 * x})
>>> frame.loc[7, "twice"] = np.nan
>>> repaired = propose_repairs(Relation.from_frame(frame), rng=rng)
>>> bool(abs(repaired.expected_world().frame()["twice"].iloc[7] - 2 * x[7]) < 0.5)
True
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.datamagic.cleaning.donors import ColumnDonors, Lines, joined, merged, near
from easeml.datamagic.cleaning.embedding import CODED, NUMBERS, Embedding, cells
from easeml.datamagic.cleaning.implied import WORDS, ImpliedValues
from easeml.datamagic.cleaning.neighbours import Neighbours
from easeml.datamagic.cleaning.suspects import Suspects, suspects_of
from easeml.errors import InvalidDataError
from easeml.progress import Progress
from easeml.relation import Block, Candidates, Relation
from easeml.relation.batches import united
from easeml.stream.payloads import Column, ColumnKind

VERSION = 1
"""Version of the rules; a part of every source's name."""
SOURCES = tuple(
    f"datamagic.{name}@{VERSION}" for name in ("knn", "quantile", "domain", "dependency", "spelling", "observed")
)
DEPENDENCY, SPELLING, OBSERVED = 3, 4, 5
SAMPLE = 4000
"""Rows a model is fitted on. With half of them candidates are 7 % further from the truth."""
_CALIBRATED = 200
_LEAST_DONORS = 50
_ROWS = 2048

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def propose_repairs(
    relation: Relation,
    *,
    max_candidates: int = 8,
    errors: pd.DataFrame | None = None,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> Relation:
    """Return the relation with candidates for its missing and, if given, its erroneous cells.

    Parameters
    ----------
    relation : Relation
        Any rows; labels take no part.
    max_candidates : int
        Most candidates of a cell, at least 1.
    errors : DataFrame, optional
        Cells to doubt, as ``detect_errors`` gives them: ``row_id``, ``column``, ``score`` (and ``kind``).
    rng : Generator
        Draws the sample that candidates come from.
    progress : callable, optional
        ``progress(done, total, what)``, called as rows are done.

    Returns
    -------
    Relation
        Every missing cell of a numeric, boolean, categorical or datetime column that has values gets candidates;
        a text cell does where a dependency or a spelling implies a value. Rows with alternatives are left alone.

    Raises
    ------
    NotFoundError, InvalidDataError
        When ``errors`` names an unknown row or column.

    Notes
    -----
    Cost O(n m w) for n rows with missing cells, m <= 4,000 rows of the sample and w axes: one blocked product and one
    selection per row, whatever the number of its missing cells.
    """
    model = RepairModel(max_candidates=max_candidates).fit(relation, errors=errors, rng=rng)
    return model.propose(relation, errors=errors, progress=progress)


class RepairModel:
    """Candidates learnt from a sample, so that a table of any size can be done chunk by chunk.

    Parameters
    ----------
    max_candidates : int
        Most candidates of a cell, at least 1.
    sample : int
        Rows to keep as donors.
    """

    def __init__(self, *, max_candidates: int = 8, sample: int = SAMPLE) -> None:
        if max_candidates < 1 or sample < 1:
            raise InvalidDataError(f"max_candidates={max_candidates}, sample={sample}.", mend="Both are at least 1.")
        self.max_candidates = max_candidates
        self.sample = sample
        self.columns: tuple[Column, ...] = ()

    def fit(self, relation: Relation, *, rng: np.random.Generator, errors: pd.DataFrame | None = None) -> Self:
        """Learn from a relation, of which a sample is kept; return the model.

        Raises
        ------
        NotFoundError, InvalidDataError
            When ``errors`` names an unknown row or column.
        """
        block = relation.block
        self.columns = block.columns
        hidden = suspects_of(relation, errors).hidden
        rows = self._chosen(relation, hidden, rng)
        self._numbers = cells(block, rows, None if hidden is None else hidden[rows])
        self._embedding = Embedding(self.columns)
        points = self._embedding.fit(self._numbers)
        self._near = Neighbours(points, np.isfinite(self._numbers))
        self._donors: dict[int, ColumnDonors] = {}
        for place, column in enumerate(self.columns):
            if self._embedding.covers(place):
                self._learn(place, points, coded=column.kind in CODED)
        self._implied = ImpliedValues(block, hidden, rows, rng=rng)
        return self

    def _chosen(self, relation: Relation, hidden: NDArray[np.bool_] | None, rng: np.random.Generator) -> Ints:
        """Return the sample's rows: the smallest keyed hashes of the ids, so their order in the relation is no matter.

        Columns that are nearly empty give up to 50 rows with a value besides.
        """
        key = "".join(rng.choice(list("0123456789abcdef"), 16))
        digests = pd.util.hash_array(np.array(relation.row_ids, object), hash_key=key, categorize=False)
        order = np.argsort(digests, kind="stable")
        if len(order) <= self.sample:
            return order
        chosen = np.zeros(len(order), bool)
        chosen[order[: self.sample]] = True
        for place, column in enumerate(self.columns):
            if column.kind not in (*NUMBERS, *CODED):
                continue
            own = relation.block.column(place)
            known = own >= 0 if column.kind in CODED else np.isfinite(own)
            if hidden is not None:
                known = known & ~hidden[:, place]
            lacking = _LEAST_DONORS - int((known & chosen).sum())
            if lacking > 0:
                chosen[order[(known & ~chosen)[order]][:lacking]] = True
        return order[chosen[order]]

    def _learn(self, place: int, points: Floats, *, coded: bool) -> None:
        known = self._numbers[:, place]
        donors = np.flatnonzero(np.isfinite(known))
        own = ColumnDonors(known[donors], coded=coded, most=self.max_candidates)
        self._donors[place] = own
        if own.domain is not None or len(donors) < 3:
            return
        tried = donors[:_CALIBRATED]
        found = self._near.others(self._embedding.without(points[tried], place), place)
        own.calibrate(near(known[found.rows], found.distance), known[tried])

    def propose(
        self, relation: Relation, *, errors: pd.DataFrame | None = None, progress: Progress | None = None
    ) -> Relation:
        """Return a relation of the fitted columns with candidates; categories that either lacks are added.

        Raises
        ------
        NotFoundError, InvalidDataError
            When ``errors`` names an unknown row or column, or the columns are others than those fitted.
        """
        relation = self._aligned(relation)
        block = relation.block
        suspects = suspects_of(relation, errors)
        alternatives = block.alternatives
        free = ~alternatives.has(len(block)) if len(alternatives) else np.ones(len(block), bool)
        texts: dict[str, int] = {}
        gathered = _Gathered(_open_cells(block) + len(suspects.row), self.max_candidates)
        for start in range(0, len(block), _ROWS):
            stop = min(start + _ROWS, len(block))
            gathered.add(self._lines(relation, np.arange(start, stop), suspects, free, texts), len(self.columns))
            if progress is not None:
                progress(stop, len(block), "proposing repairs")
        table = gathered.table(tuple(texts))
        del gathered
        return relation.propose(table) if len(table) else relation

    def _aligned(self, relation: Relation) -> Relation:
        """Return the relation with the categories of both; donors' codes stay, for the model's come first."""
        names = [column.name for column in relation.columns]
        if names != [column.name for column in self.columns]:
            raise InvalidDataError(
                f"Columns {', '.join(names)}.",
                mend=f"The model was fitted on {', '.join(column.name for column in self.columns)}.",
            )
        columns = united([self.columns, relation.columns])
        if columns == relation.columns:
            return relation
        classes = (relation.classes, relation.classes)
        return Relation(relation.block.recoded(columns, classes), label=relation.label, classes=relation.classes)

    def _lines(
        self, relation: Relation, rows: Ints, suspects: Suspects, free: NDArray[np.bool_], texts: dict[str, int]
    ) -> Lines:
        """Return the candidates of some rows, by cell."""
        block = relation.block
        own = suspects.within(int(rows[0]), int(rows[-1]) + 1)
        hidden = None if suspects.hidden is None else suspects.hidden[rows]
        numbers = cells(block, rows, hidden)
        wanted = _wanted(block, numbers, rows, hidden) & free[rows][:, None]
        width = len(self.columns)
        kept = np.zeros(wanted.shape)
        kept[suspects.row[own] - rows[0], suspects.column[own]] = 1.0 - np.clip(suspects.score[own], 0.05, 0.95)
        implied, sure, source = self._implications(block, rows, wanted, hidden, texts)
        at, to = np.nonzero(sure)
        parts = [Lines(at * width + to, implied[at, to], sure[at, to] * (1 - kept[at, to]), source[at, to])]
        for place, at, found in self._neighbours(numbers, wanted):
            cell = at[found.cell]
            weight = found.probability * (1 - sure[cell, place]) * (1 - kept[cell, place])
            parts.append(Lines(cell * width + place, found.value, weight, found.source))
        proposed = joined(parts)
        # A doubted cell for which nothing else is known stays as it stands.
        first = int(rows[0]) * width
        told = np.isin(suspects.row[own] * width + suspects.column[own], proposed.cell + first)
        observed = self._observed(block, rows, suspects.row[own][told], suspects.column[own][told], kept, texts)
        table = merged(joined([proposed, observed]), self.max_candidates)
        return replace(table, cell=table.cell + first)

    def _neighbours(self, numbers: Floats, wanted: NDArray[np.bool_]) -> Iterator[tuple[int, Ints, Lines]]:
        """Yield column, rows and candidates of the cells that have donors."""
        asked = [place for place in self._donors if wanted[:, place].any()]
        rows = np.flatnonzero(wanted[:, asked].any(axis=1)) if asked else np.empty(0, np.int64)
        if not len(rows):
            return
        listed = self._near.shortlist(self._embedding.transform(numbers[rows]))
        for place in asked:
            mine = np.flatnonzero(wanted[rows, place])
            found = self._near.nearest(listed.select(mine), place)
            values = self._numbers[found.rows, place]
            yield place, rows[mine], self._donors[place].propose(near(values, found.distance))

    def _implications(
        self,
        block: Block,
        rows: Ints,
        wanted: NDArray[np.bool_],
        hidden: NDArray[np.bool_] | None,
        texts: dict[str, int],
    ) -> tuple[Floats, Floats, Ints]:
        """Return per cell the value that a dependency or the spelling implies, how sure it is, and which of both."""
        value, sure = np.zeros(wanted.shape), np.zeros(wanted.shape)
        source = np.full(wanted.shape, DEPENDENCY)
        for place, column in enumerate(self.columns):
            at = np.flatnonzero(wanted[:, place])
            if len(at) and self._implied.depends(place):
                found, trust = self._implied.implied(block, rows[at], place, None if hidden is None else hidden[at])
                known = np.flatnonzero(trust)
                value[at[known], place] = _numbers(found[known], texts)
                sure[at, place] = trust
            doubted = at[hidden[at, place]] if hidden is not None and column.kind in WORDS else at[:0]
            if len(doubted):
                self._spell(block, rows, doubted, place, (value, sure, source), texts)
        return value, sure, source

    def _spell(
        self,
        block: Block,
        rows: Ints,
        at: Ints,
        place: int,
        out: tuple[Floats, Floats, Ints],
        texts: dict[str, int],
    ) -> None:
        column, speller = self.columns[place], self._implied.speller(place)
        domain = block.columns[place].categories
        for cell in at.tolist():
            standing = block.column(place)[rows[cell]]
            word = standing if column.kind is ColumnKind.TEXT else domain[standing]
            correction = speller.correct(word)
            if correction is None or correction.score <= out[1][cell, place]:
                continue
            text = column.kind is ColumnKind.TEXT
            right = texts.setdefault(correction.right, len(texts)) if text else domain.index(correction.right)
            out[0][cell, place], out[1][cell, place], out[2][cell, place] = right, correction.score, SPELLING

    def _observed(
        self, block: Block, rows: Ints, row: Ints, column: Ints, kept: Floats, texts: dict[str, int]
    ) -> Lines:
        """Return what stands in doubted cells as their candidate."""
        value = np.empty(len(row))
        for place in np.unique(column).tolist():
            mine = column == place
            value[mine] = _numbers(block.column(place)[row[mine]], texts)
        at = row - rows[0]
        return Lines(at * len(self.columns) + column, value, kept[at, column], np.full(len(row), OBSERVED))


def _numbers(values: NDArray[Any], texts: dict[str, int]) -> Floats:
    """Return values as candidates have them: texts as indices."""
    if values.dtype != object:
        return np.asarray(values, np.float64)
    return np.array([texts.setdefault(value, len(texts)) for value in values], np.float64)


def _wanted(block: Block, numbers: Floats, rows: Ints, hidden: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return which cells are missing or doubted."""
    wanted = np.isnan(numbers)
    for place, column in enumerate(block.columns):
        if column.kind is ColumnKind.TENSOR:
            wanted[:, place] = False
        elif column.kind is ColumnKind.TEXT:
            wanted[:, place] = pd.isna(block.column(place)[rows])
            if hidden is not None:
                wanted[:, place] |= hidden[:, place]
    return wanted


def _open_cells(block: Block) -> int:
    """Return how many cells are missing, tensors aside."""
    return int(np.isnan(block.numeric).sum() + (block.codes < 0).sum() + pd.isna(block.texts).sum())


class _Gathered:
    """Lines of many cells in arrays of their largest size: pages that are not written take no memory.

    Parameters
    ----------
    most_cells, most : int
        Most cells there can be, and most candidates of one.
    """

    def __init__(self, most_cells: int, most: int) -> None:
        self.count = 0
        size = most_cells * most
        self._row, self._column = np.empty(size, np.int32), np.empty(size, np.int16)
        self._value, self._probability, self._source = np.empty(size), np.empty(size), np.empty(size, np.int8)

    def add(self, lines: Lines, width: int) -> None:
        """Take in the lines of later cells; ``width`` is the number of columns."""
        own = slice(self.count, self.count + len(lines.cell))
        self._row[own], self._column[own] = lines.cell // width, lines.cell % width
        self._value[own], self._probability[own], self._source[own] = lines.value, lines.probability, lines.source
        self.count = own.stop

    def table(self, texts: tuple[str, ...]) -> Candidates:
        """Return the lines as the table that a relation takes."""
        own = slice(0, self.count)
        used = np.unique(self._source[own])
        places = np.zeros(len(SOURCES), np.int8)
        places[used] = np.arange(len(used))
        return Candidates(
            self._row[own],
            self._column[own],
            self._value[own],
            self._probability[own],
            places[self._source[own]],
            texts,
            tuple(SOURCES[place] for place in used.tolist()),
        )
