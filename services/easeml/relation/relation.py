"""The relation: immutable rows with uncertain cells, made from a pandas frame or from batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.errors import InvalidDataError, NotFoundError
from easeml.relation import frames, people, worlds
from easeml.relation.batches import batches_of, block_of_batches, without_labels
from easeml.relation.block import Block
from easeml.relation.candidates import LABEL, Candidates
from easeml.relation.collapse import with_known_cells, with_known_row
from easeml.relation.columns import cell_number, text_of
from easeml.relation.ingest import Reading, Unseen, block_of_frame
from easeml.relation.joint import joint_rows
from easeml.relation.merging import merge_alternatives, merge_cells
from easeml.relation.proposals import check_shape, frame_of
from easeml.relation.tables import Terms, alternatives_of, cells_of_frame, checked_cells, versions_of_frame
from easeml.relation.worlds import Entropy
from easeml.stream import codec
from easeml.stream.payloads import (
    CandidateBatch,
    CandidateKind,
    Column,
    ColumnKind,
    Pillar,
    RelationBatch,
    TestLabels,
)

if TYPE_CHECKING:
    import pyarrow as pa


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
            Column that holds the label; a missing label is unknown. Where ``classes`` are given and labels are not
            required, the frame need not have it: then no row is labelled.
        classes : sequence of str, optional
            Label domain; without it, the sorted labels of the frame.
        columns : sequence of Column, optional
            Feature columns the frame must have, in this order; without it they are inferred.
        row_ids : sequence of str, optional
            Identities. Without it, the frame's index if it is named or made of strings, else a hash of each row's
            content (a repeated row gets a number), so that the same upload makes the same rows.
        ids_generated : bool
            Whether nobody has seen ``row_ids`` yet: errors then name a row by its place in the frame's index, and
            without ``row_ids`` they are made of the content even where the index is named.
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
        uncertain, whole = int(self.block.candidates.cells().sum()), len(np.unique(self.block.alternatives.row))
        return (
            f"Relation({len(self)} rows x {len(self.columns)} columns, label={self.label!r}, "
            f"{int((self.labels < 0).sum())} unlabelled, {uncertain} uncertain cells"
            + (f", {whole} rows with alternatives)" if whole else ")")
        )

    def _repr_html_(self) -> str:
        from easeml.relation import rendering  # noqa: PLC0415 - only those who look need it

        return rendering.html_of(self)

    def show(self, rows: int = 20) -> None:
        """Print the first rows as a table for a terminal, uncertain cells marked."""
        from easeml.relation import rendering  # noqa: PLC0415 - only those who look need it

        print(rendering.text_of_relation(self, rows))

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
    def sources(self) -> tuple[str, ...]:
        """Names of the tools whose candidates the relation holds, sorted."""
        tables = (self.block.candidates, self.block.alternatives)
        return tuple(sorted({table.sources[place] for table in tables for place in np.unique(table.source).tolist()}))

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
        return worlds.entropy_of(self.block, self._uncertainty(), self.label)

    def uncertain_cells(self) -> pd.DataFrame:
        """Return the cells that may have two values or more: row_id, column, candidates (how many) and bits.

        Unlabelled labels are among them, and cells in which the alternatives of a row differ; ``bits`` is the entropy
        of the cell by itself.
        """
        return worlds.uncertain_cells(self.block, self._uncertainty(), self.label)

    def uncertain_rows(self, *, labels: bool = True) -> NDArray[np.bool_]:
        """Return the mask of the rows with an uncertain cell; without ``labels`` only features count."""
        return worlds.uncertain_rows(self.block, self._uncertainty(), labels=labels)

    def most_probable_world(self) -> Relation:
        """Return the world of the largest probability; a label that is uniform stays unknown, for all are as likely."""
        return self._with(worlds.likeliest_world(self.block, self._uncertainty()))

    def expected_world(self) -> Relation:
        """Return numeric cells and datetimes at their expected value, all others at the most probable one."""
        return self._with(worlds.expected_world(self.block, self._uncertainty()))

    def sample_world(self, rng: np.random.Generator) -> Relation:
        """Return a world drawn from the priors, every label included."""
        return self._with(worlds.sampled_world(self.block, self._uncertainty(), rng))

    def collapse(self, row_id: str, column: str, value: Any) -> Relation:
        """Return the relation in which a cell or label is certain: somebody knows it. It need not be a candidate.

        A row with alternatives keeps those that agree with the known cell; if none does, all take it over.

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
        terms = self._terms()
        for row_id, name, value in cells:
            index = terms.place(name)
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
        return self._with(with_known_cells(self.block, row, column, np.array(values), texts))

    def collapse_row(self, row_id: str, alternative: int) -> Relation:
        """Return the relation in which a row is one of its alternatives, by its number in ``alternatives()``.

        Raises
        ------
        NotFoundError
            When the row is unknown or has no alternatives.
        InvalidDataError
            When it has no such alternative.
        """
        return self._with(with_known_row(self.block, self._row(row_id), alternative))

    def merge_candidates(self, candidates: pd.DataFrame, *, source: str, normalize: bool = False) -> Relation:
        """Return the relation with the candidates a tool proposes for cells.

        The prior of a cell is the mean over the tools that speak about it (linear opinion pool), so the order of
        merges does not matter, and a tool that speaks again replaces what it said about that cell. Feature cells of a
        row with alternatives of other tools stay as these tell: who speaks about a whole row counts first.

        Parameters
        ----------
        candidates : DataFrame
            ``row_id``, ``column`` (a feature or the label), ``value``, ``probability``. Priors of a cell sum to 1;
            those of 0 are dropped.
        source : str
            Name of the tool.
        normalize : bool
            Whether the priors are weights, to be divided by their sum per cell.

        Raises
        ------
        NotFoundError
            When a row is unknown.
        InvalidDataError
            When a column is unknown, a value does not fit, or the priors of a cell are no distribution; names row
            and column.
        """
        table = cells_of_frame(self._terms(), candidates, source, normalize=normalize)
        return self._with(merge_cells(self.block, table))

    def merge_rows(self, table: pd.DataFrame, *, source: str, normalize: bool = False) -> Relation:
        """Return the relation with the alternatives a tool proposes for whole rows.

        They replace candidates of these rows' feature cells; what several tools propose is pooled as for cells.

        Parameters
        ----------
        table : DataFrame
            ``row_id``, ``probability`` and any feature columns; a column that is not there is as observed.
        source : str
            Name of the tool.
        normalize : bool
            Whether the priors are weights, to be divided by their sum per row.

        Raises
        ------
        NotFoundError, InvalidDataError
            As ``merge_candidates``.
        """
        versions = versions_of_frame(self._terms(), table, normalize=normalize)
        return self._with(merge_alternatives(self.block, alternatives_of(self.block, versions, source)))

    def propose(self, cells: Candidates) -> Relation:
        """Return the relation with candidates that are coded already, merged as by ``merge_candidates``.

        Parameters
        ----------
        cells : Candidates
            Rows and columns by place, values as codes, sources by name; priors sum to 1 per cell.

        Raises
        ------
        InvalidDataError
            When an index is out of range, a value does not fit or priors do not sum to 1; names row and column.
        """
        return self._with(merge_cells(self.block, checked_cells(self._terms(), cells)))

    def fold_candidates(self, batch: CandidateBatch) -> Relation:
        """Return the relation with the proposals of a message.

        Raises
        ------
        NotFoundError, InvalidDataError
            As ``merge_candidates`` and ``merge_rows``.
        """
        check_shape(batch)
        merge = self.merge_rows if batch.kind is CandidateKind.ROWS else self.merge_candidates
        return merge(frame_of(batch, self.columns), source=batch.source)

    def joint(self, k: int = 8) -> Relation:
        """Return the relation whose rows with uncertain cells have their ``k`` most probable versions instead.

        The priors are those of the product over the cells, renormalised; labels stay as they are.
        """
        return self._with(joint_rows(self.block, k))

    def candidates(self) -> pd.DataFrame:
        """Return the candidates of cells for people: row_id, column, value, probability, source."""
        return people.candidate_frame(self.block, self.label, self.classes)

    def alternatives(self) -> pd.DataFrame:
        """Return the alternatives of rows for people: row_id, alternative, probability, source and the features."""
        return people.alternative_frame(self.block)

    def _with(self, block: Block) -> Relation:
        made = Relation(block, label=self.label, classes=self.classes)
        if block.row_ids is self.row_ids:
            made._places = self._places
        return made

    def _terms(self) -> Terms:
        return Terms(self.columns, self.label, self.classes, self.row_ids)

    def _uncertainty(self) -> worlds.Uncertainty:
        return worlds.uncertainty_of(self.block, len(self.classes), labelled=self.label is not None)

    def _row(self, row_id: str) -> int:
        if not self._places:
            self._places.update(zip(self.row_ids, range(len(self)), strict=True))
        if row_id not in self._places:
            raise NotFoundError(f"Row {row_id!r} is not in the relation.", mend="See row_ids.")
        return self._places[row_id]

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
