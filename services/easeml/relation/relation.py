"""The relation: immutable rows with uncertain cells, made from a pandas frame or from batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError, NotFoundError
from easeml.relation import frames
from easeml.relation.batches import batches_of, block_of_batches, without_labels
from easeml.relation.block import Block
from easeml.relation.candidates import LABEL, Candidates, concatenate
from easeml.relation.columns import cell_number, cell_value, text_of
from easeml.relation.ingest import Reading, Unseen, block_of_frame
from easeml.stream import codec
from easeml.stream.payloads import Column, ColumnKind, Pillar, RelationBatch, TestLabels

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False)
class Entropy:
    """Uncertainty in bits; rows and cells are independent, so it adds up.

    Parameters
    ----------
    cells : DataFrame
        ``row_id``, ``column`` and ``bits`` of every uncertain cell; unlabelled labels included.
    rows : ndarray of float64, shape (n,)
        Sum per row.
    total : float
        Sum over all rows.
    """

    cells: pd.DataFrame
    rows: NDArray[np.float64]
    total: float


class Relation:
    """Rows of typed columns with labels and uncertain cells.

    Parameters
    ----------
    block : Block
        The rows.
    label : str, optional
        Name of the label column; None: the relation has no labels.
    classes : sequence of str
        Label domain, in code order.
    unseen : sequence of (int, str, str)
        Place of the row, column and value of each unknown category that reading a frame made missing; what is
        derived from the relation does not keep it.

    Notes
    -----
    A cell without candidates is certain (a missing one is certainly missing). A label without candidates is certain
    when known and uniform over the classes when not. Every operation returns a new relation.
    """

    __slots__ = ("_places", "block", "classes", "label", "unseen")

    def __init__(
        self, block: Block, *, label: str | None = None, classes: Sequence[str] = (), unseen: Sequence[Unseen] = ()
    ) -> None:
        self.block = block
        self.label = label
        self.classes = tuple(classes)
        self.unseen = tuple(unseen)
        self._places: dict[str, int] = {}

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        label: str | None = None,
        classes: Sequence[str] | None = None,
        columns: Sequence[Column] | None = None,
        row_ids: Sequence[str] | None = None,
        ids_generated: bool = False,
        require_labels: bool = False,
        unseen: Literal["refuse", "missing"] = "refuse",
    ) -> Self:
        """Return the relation of a frame.

        Parameters
        ----------
        frame : DataFrame
            One row per example. NaN, None and NaT are missing.
        label : str, optional
            Column that holds the label; a missing label is unknown.
        classes : sequence of str, optional
            Label domain; without it, the sorted labels of the frame.
        columns : sequence of Column, optional
            Feature columns the frame must have, in this order; without it they are inferred.
        row_ids : sequence of str, optional
            Identities. Without it, the frame's index if it is named or made of strings, else a hash of each row's
            content (a repeated row gets a number), so that the same upload makes the same rows.
        ids_generated : bool
            Whether nobody has seen ``row_ids`` yet: errors then name a row by its place in the frame's index.
        require_labels : bool
            Whether every row must be labelled.
        unseen : {"refuse", "missing"}
            What becomes of a category that ``columns`` does not name: an error, or a missing value that the
            relation's ``unseen`` tells.

        Raises
        ------
        InvalidDataError
            When columns are unknown or missing, or a value does not fit; names row and column.
        """
        reading = Reading(label, classes, columns, row_ids, ids_generated, require_labels, unseen)
        block, domain, replaced = block_of_frame(frame, reading)
        return cls(block, label=label, classes=domain, unseen=replaced)

    @classmethod
    def from_batches(cls, batches: Iterable[RelationBatch], *, label: str | None = None) -> Self:
        """Return the rows of batches in their order; ``label`` names the label column where there are classes."""
        block, classes = block_of_batches(batches)
        return cls(block, label=(label or "label") if classes else None, classes=classes)

    def __len__(self) -> int:
        return len(self.block)

    def __repr__(self) -> str:
        uncertain = len(self.block.candidates.distributions().row)
        return (
            f"Relation({len(self)} rows x {len(self.columns)} columns, label={self.label!r}, "
            f"{int((self.labels < 0).sum())} unlabelled, {uncertain} uncertain cells)"
        )

    def _repr_html_(self) -> str:
        from easeml.relation import rendering  # noqa: PLC0415 - only those who look need it

        return rendering.html_of(self)

    def show(self, rows: int = 20) -> str:
        """Return the first rows as a table for a terminal, uncertain cells marked."""
        from easeml.relation import rendering  # noqa: PLC0415 - only those who look need it

        return rendering.text_of_relation(self, rows)

    def to_arrow(self) -> pa.Table:
        """Return everything the relation holds, candidates included, as an Arrow table (extra ``files``)."""
        from easeml.relation import arrow  # noqa: PLC0415 - pyarrow is an extra

        return arrow.table_of(self)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Relation:
        """Return the relation that ``to_arrow`` wrote."""
        from easeml.relation import arrow  # noqa: PLC0415 - pyarrow is an extra

        return arrow.relation_of(table)

    def to_parquet(self, path: str | Path) -> None:
        """Write everything the relation holds to a Parquet file (extra ``files``)."""
        from easeml.relation import arrow  # noqa: PLC0415 - pyarrow is an extra

        arrow.write_parquet(self, path)

    @classmethod
    def from_parquet(cls, path: str | Path) -> Relation:
        """Return the relation that ``to_parquet`` wrote."""
        from easeml.relation import arrow  # noqa: PLC0415 - pyarrow is an extra

        return arrow.read_parquet(path)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Feature columns."""
        return self.block.columns

    @property
    def row_ids(self) -> tuple[str, ...]:
        """Identity of each row."""
        return self.block.row_ids

    @property
    def labels(self) -> NDArray[np.int32]:
        """Label code per row, -1: unknown."""
        return self.block.labels

    def frame(self) -> pd.DataFrame:
        """Return the rows for people, the label last; uncertain cells show their observed value."""
        return frames.people_frame(self.block, self.label, self.classes)

    def features(self) -> pd.DataFrame:
        """Return the features as models take them (``easeml.relation.features``)."""
        return frames.features(self.block)

    def matrix(self, columns: Sequence[str] | None = None) -> NDArray[np.float64]:
        """Return columns as one matrix of numbers, categories one-hot; text columns have none and raise."""
        return frames.matrix(self.block, columns)[0]

    def take(self, rows: NDArray[Any]) -> Relation:
        """Return the chosen, distinct rows; ``rows`` are positions or a mask."""
        places = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return self._with(self.block.take(places))

    def labelled(self) -> Relation:
        """Return the rows whose label is certain."""
        uncertain = np.zeros(len(self), bool)
        uncertain[self.block.candidates.row[self.block.candidates.column == LABEL]] = True
        return self.take((self.labels >= 0) & ~uncertain)

    def without_labels(self) -> Relation:
        """Return the rows with every label unknown."""
        return self._with(without_labels(self.block))

    def to_batches(
        self, app: str, pillar: Pillar, version: str, rows_per_batch: int = 1000, max_bytes: int = 900_000
    ) -> list[RelationBatch]:
        """Return the rows as messages. On the test and production pillars the labels stay behind.

        Raises
        ------
        InvalidDataError
            When a row alone is larger than ``max_bytes``.
        """
        return list(
            batches_of(
                self.block,
                self.classes,
                app=app,
                pillar=pillar,
                version=version,
                rows=rows_per_batch,
                max_bytes=max_bytes,
            )
        )

    def test_labels(
        self, app: str, version: str, rows_per_batch: int = 10_000, max_bytes: int = 900_000
    ) -> list[TestLabels]:
        """Return the labels of a test set as messages; rows without a label are left out.

        Raises
        ------
        InvalidDataError
            When the label of a row, with the classes, is larger than ``max_bytes``.
        """
        known = np.flatnonzero(self.labels >= 0)
        parts = np.split(known, range(rows_per_batch, len(known), rows_per_batch))
        return [labels for part in parts if len(part) for labels in self._label_messages(app, version, part, max_bytes)]

    def _label_messages(self, app: str, version: str, rows: NDArray[np.int64], max_bytes: int) -> Iterator[TestLabels]:
        """Yield the labels of rows, halved until every message fits."""
        labels = TestLabels(app, version, tuple(self.row_ids[row] for row in rows), self.classes, self.labels[rows])
        size = len(codec.encode(labels))
        if size <= max_bytes:
            yield labels
        elif len(rows) == 1:
            raise InvalidDataError(
                f"The label of row {self.row_ids[rows[0]]!r} takes {size} bytes with the classes; "
                f"a message may hold {max_bytes}.",
                mend="Use shorter row ids and class names, or raise EASEML_MAX_MESSAGE_BYTES.",
            )
        else:
            for half in np.array_split(rows, 2):
                yield from self._label_messages(app, version, half, max_bytes)

    def content_hash(self) -> str:
        """Return the SHA-256 over the rows, labels and candidates, whatever the app, pillar and version."""
        digest = hashlib.sha256()
        for batch in self.to_batches("", Pillar.TRAIN, "", max_bytes=2**40):
            digest.update(codec.encode(batch))
        return digest.hexdigest()

    def entropy(self) -> Entropy:
        """Return the uncertainty of cells, rows and the whole relation in bits."""
        cells = self.block.candidates.distributions()
        free = self._free_labels()
        row = np.concatenate([cells.row, free])
        column = np.concatenate([cells.column, np.full(len(free), LABEL)])
        bits = np.concatenate([cells.entropy(), np.full(len(free), np.log2(max(len(self.classes), 1)))])
        order = np.lexsort((column, row))
        names = np.array([*(column.name for column in self.columns), self.label], object)
        ids = np.array(self.row_ids, object)
        table = pd.DataFrame({"row_id": ids[row[order]], "column": names[column[order]], "bits": bits[order]})
        rows = np.bincount(row, bits, minlength=len(self)).astype(np.float64)
        return Entropy(table, rows, float(rows.sum()))

    def most_probable_world(self) -> Relation:
        """Return the world of the largest probability; a label that is uniform stays unknown, for all are as likely."""
        cells = self.block.candidates.distributions()
        return self._world(cells.row, cells.column, cells.modes())

    def expected_world(self) -> Relation:
        """Return numeric cells and datetimes at their expected value, all others at the most probable one."""
        cells = self.block.candidates.distributions()
        smooth = [column.kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME) for column in self.columns]
        value = np.where(np.array([*smooth, False])[cells.column], cells.means(), cells.modes())
        return self._world(cells.row, cells.column, value)

    def sample_world(self, rng: np.random.Generator) -> Relation:
        """Return a world drawn from the priors, every label included."""
        cells = self.block.candidates.distributions()
        free = self._free_labels()
        drawn = rng.integers(max(len(self.classes), 1), size=len(free))
        return self._world(
            np.concatenate([cells.row, free]),
            np.concatenate([cells.column, np.full(len(free), LABEL)]),
            np.concatenate([cells.sample(rng), drawn]),
        )

    def collapse(self, row_id: str, column: str, value: Any) -> Relation:
        """Return the relation in which a cell or label is certain: somebody knows it. It need not be a candidate.

        Raises
        ------
        NotFoundError
            When the row is unknown.
        InvalidDataError
            When the column is unknown or the value does not fit it.
        """
        return self.settle([(row_id, column, value)])

    def settle(self, cells: Iterable[tuple[str, str, Any]]) -> Relation:
        """Return the relation with many cells collapsed at once: row id, column and value of each, no cell twice.

        Raises
        ------
        NotFoundError, InvalidDataError
            As ``collapse``.
        """
        rows, columns, values = [], [], []
        texts: list[str] = []
        for row_id, name, value in cells:
            index = self._column(name)
            rows.append(self._row(row_id))
            columns.append(index)
            if index != LABEL and self.columns[index].kind is ColumnKind.TEXT:
                values.append(float(len(texts)))
                texts.append(text_of(value))
            else:
                values.append(self._number(index, value, row_id))
        if not rows:
            return self
        row, column = np.array(rows, np.int64), np.array(columns, np.int64)
        block = self.block.with_cells(row, column, np.array(values), texts)
        return self._with(replace(block, candidates=block.candidates.without(row, column)))

    def merge_candidates(self, candidates: pd.DataFrame, *, source: str) -> Relation:
        """Return the relation with the candidates a tool proposes.

        The prior of a cell is the mean over the tools that speak about it (linear opinion pool), so the order of
        merges does not matter, and a tool that speaks again replaces what it said about that cell.

        Parameters
        ----------
        candidates : DataFrame
            ``row_id``, ``column`` (a feature or the label), ``value``, ``probability``. Weights are normalised per
            cell; those of 0 are dropped.
        source : str
            Name of the tool.

        Raises
        ------
        NotFoundError
            When a row is unknown.
        InvalidDataError
            When a column is unknown, a value does not fit, or the weights of a cell are no distribution.
        """
        table = self._table(candidates, source)
        old = self.block.candidates
        width = len(self.columns) + 1
        own = np.array([name == source for name in old.sources] or [False])
        spoken = np.isin(old.row * width + old.column + 1, table.row * width + table.column + 1)
        kept = old.select(~(spoken & own[old.source])) if len(old) else old
        text = np.array([*(column.kind is ColumnKind.TEXT for column in self.columns), False])
        merged = concatenate([kept, table], [0, 0], text)
        return self._with(replace(self.block, candidates=_pooled(merged, width)))

    def candidates(self) -> pd.DataFrame:
        """Return the candidate table for people: row_id, column, value, probability, source."""
        table = self.block.candidates
        names = [*(column.name for column in self.columns), self.label]
        values = [
            self.classes[int(value)] if place == LABEL else cell_value(self.columns[place], value, table.texts)
            for place, value in zip(table.column.tolist(), table.value.tolist(), strict=True)
        ]
        return pd.DataFrame(
            {
                "row_id": [self.row_ids[row] for row in table.row],
                "column": [names[place] for place in table.column],
                "value": pd.Series(values, dtype=object),
                "probability": table.probability,
                "source": [table.sources[place] for place in table.source],
            }
        )

    def _with(self, block: Block) -> Relation:
        return Relation(block, label=self.label, classes=self.classes)

    def _free_labels(self) -> NDArray[np.int64]:
        """Return the rows whose label is uniform over the classes."""
        if self.label is None:
            return np.empty(0, np.int64)
        free = self.labels < 0
        free[self.block.candidates.row[self.block.candidates.column == LABEL]] = False
        return np.flatnonzero(free)

    def _world(self, row: NDArray[Any], column: NDArray[Any], value: NDArray[Any]) -> Relation:
        block = self.block.with_cells(row, column, value, self.block.candidates.texts)
        return self._with(replace(block, candidates=Candidates()))

    def _row(self, row_id: str) -> int:
        if not self._places:
            self._places.update(zip(self.row_ids, range(len(self)), strict=True))
        if row_id not in self._places:
            raise NotFoundError(f"Row {row_id!r} is not in the relation.", mend="See row_ids.")
        return self._places[row_id]

    def _column(self, name: str) -> int:
        if name == self.label:
            return LABEL
        names = [column.name for column in self.columns]
        if name not in names:
            raise InvalidDataError(f"Unknown column {name!r}.", mend=f"Columns are {', '.join(names)}.")
        return names.index(name)

    def _number(self, index: int, value: Any, row_id: str) -> float:
        if index != LABEL:
            return cell_number(self.columns[index], value)
        name = text_of(value)
        if name not in self.classes:
            raise InvalidDataError(
                f"Label {self.label!r}, row {row_id!r}: {name!r} is not one of {', '.join(self.classes)}.",
                mend="Give a class of the app.",
            )
        return float(self.classes.index(name))

    def _table(self, candidates: pd.DataFrame, source: str) -> Candidates:
        """Return a tool's proposals as candidate table, normalised per cell."""
        weight = candidates["probability"].to_numpy(np.float64)
        if not (np.isfinite(weight) & (weight >= 0)).all():
            place = int(np.argmin(np.isfinite(weight) & (weight >= 0)))
            raise InvalidDataError(f"Candidate of row {candidates['row_id'].iloc[place]!r}: prior {weight[place]}.")
        row = np.array([self._row(name) for name in candidates["row_id"]], np.int64)
        column = np.array([self._column(name) for name in candidates["column"]], np.int64)
        texts: dict[str, int] = {}
        value = np.empty(len(row))
        for place, given in enumerate(candidates["value"]):
            index = column[place]
            if index != LABEL and self.columns[index].kind is ColumnKind.TEXT:
                value[place] = texts.setdefault(text_of(given), len(texts))
            else:
                value[place] = self._number(int(index), given, self.row_ids[row[place]])
        cells, inverse = np.unique(row * (len(self.columns) + 1) + column + 1, return_inverse=True)
        sums = np.bincount(inverse, weight, minlength=len(cells))
        if (sums == 0).any():
            place = int(np.argmax(sums[inverse] == 0))
            raise InvalidDataError(f"Row {self.row_ids[row[place]]!r}: all candidates of a cell have prior 0.")
        some = weight > 0
        return Candidates(
            row[some],
            column[some],
            value[some],
            (weight / sums[inverse])[some],
            np.zeros(int(some.sum()), np.int64),
            tuple(texts),
            (source,),
        ).sort()


def _pooled(table: Candidates, width: int) -> Candidates:
    """Return the table with each cell's sources weighted alike."""
    cell = table.row * width + table.column + 1
    cells, inverse = np.unique(cell, return_inverse=True)
    pair = inverse * max(len(table.sources), 1) + table.source
    pairs, place = np.unique(pair, return_inverse=True)
    voices = np.bincount(pairs // max(len(table.sources), 1), minlength=len(cells))
    weight = np.bincount(place, table.probability)
    return replace(table, probability=table.probability / (weight[place] * voices[inverse]))
