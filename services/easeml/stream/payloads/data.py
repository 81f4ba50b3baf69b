"""Rows on the stream: the probabilistic relation in batches, test labels and data versions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from easeml.stream.payloads.apps import Column
from easeml.stream.payloads.arrays import F64, I32, floats, ints


class Pillar(StrEnum):
    """The five pillars of data, which stay apart."""

    TRAIN = "train"
    POOL = "pool"
    VALIDATION = "validation"
    TEST = "test"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class RelationBatch:
    """Rows of one pillar with their uncertain cells.

    ``numeric``, ``codes`` and ``texts`` hold the columns of their kind in the order of ``columns``, row-major.
    Uncertain cells are a CSR table: row ``i`` owns the candidates ``candidate_ptr[i]:candidate_ptr[i + 1]``.
    """

    app: str  #: name of the app
    pillar: Pillar  #: pillar the rows belong to
    version: str  #: publication the batch belongs to
    columns: tuple[Column, ...]  #: typed feature columns
    row_ids: tuple[str, ...]  #: identity of each row, unique within the app
    classes: tuple[str, ...] = ()  #: label domain, in code order; empty on test and production
    texts: tuple[str, ...] = ()  #: text cells, row-major
    sources: tuple[str, ...] = ()  #: names of the tools that proposed candidates
    candidate_texts: tuple[str, ...] = ()  #: texts of candidates of text columns; candidate_value is the index here
    labels: I32 = ints()  #: label code per row, -1: unknown (uniform over the classes); empty: no labels
    codes: I32 = ints()  #: categorical and boolean cells, row-major, -1: missing
    candidate_ptr: I32 = ints()  #: CSR pointer per row plus one; empty: no uncertain cell
    candidate_column: I32 = ints()  #: index into columns; -1: the label
    candidate_source: I32 = ints()  #: index into sources
    missing_texts: I32 = ints()  #: indices into texts of the missing ones, ascending; their text is empty
    tensor: F64 = floats()  #: tensor cells, row-major
    candidate_value: F64 = floats()  #: numeric value, code, label code or index into candidate_texts
    candidate_probability: F64 = floats()  #: prior of the candidate; sums to 1 per cell
    numeric: F64 = floats()  #: numeric cells and datetimes (seconds since 1970 UTC), row-major, NaN: missing


@dataclass(frozen=True, slots=True)
class TestLabels:
    """Labels of test rows; restricted, read by CI alone."""

    __test__ = False  # pytest collects classes by this prefix

    app: str  #: name of the app
    version: str  #: publication the rows belong to
    row_ids: tuple[str, ...]  #: rows of the test pillar
    classes: tuple[str, ...]  #: label domain, in code order
    labels: I32 = ints()  #: label code per row


@dataclass(frozen=True, slots=True)
class DataVersion:
    """A pillar has reached a new version: every batch before it is on its topic."""

    app: str  #: name of the app
    pillar: Pillar  #: pillar that changed
    version: str  #: name of the version, the one in its batches
    rows: int  #: rows of the pillar in this version and its ancestors
    content_hash: str  #: sha256 over the rows of the publication
    change: str  #: what changed, for people
    parents: tuple[str, ...] = ()  #: versions this one continues
