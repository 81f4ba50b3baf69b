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
    Uncertain cells are a CSR table: row ``i`` owns the candidates ``candidate_ptr[i]:candidate_ptr[i + 1]``. A row that
    is uncertain as a whole owns the alternatives ``alternative_ptr[i]:alternative_ptr[i + 1]``, each a row of features.
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
    alternative_texts: tuple[str, ...] = ()  #: text cells of the alternatives, row-major
    labels: I32 = ints()  #: label code per row, -1: unknown (uniform over the classes); empty: no labels
    codes: I32 = ints()  #: categorical and boolean cells, row-major, -1: missing
    candidate_ptr: I32 = ints()  #: CSR pointer per row plus one; empty: no uncertain cell
    candidate_column: I32 = ints()  #: index into columns; -1: the label
    candidate_source: I32 = ints()  #: index into sources
    missing_texts: I32 = ints()  #: indices into texts of the missing ones, ascending; their text is empty
    alternative_ptr: I32 = ints()  #: CSR pointer per row plus one; empty: no row has alternatives
    alternative_source: I32 = ints()  #: index into sources
    alternative_codes: I32 = ints()  #: categorical and boolean cells of the alternatives, row-major
    alternative_missing_texts: I32 = ints()  #: indices into alternative_texts of the missing ones, ascending
    alternative_probability: F64 = floats()  #: prior of the alternative; sums to 1 per row
    alternative_numeric: F64 = floats()  #: numeric cells and datetimes of the alternatives, row-major
    alternative_tensor: F64 = floats()  #: tensor cells of the alternatives, row-major
    tensor: F64 = floats()  #: tensor cells, row-major
    candidate_value: F64 = floats()  #: numeric value, code, label code or index into candidate_texts
    candidate_probability: F64 = floats()  #: prior of the candidate; sums to 1 per cell
    numeric: F64 = floats()  #: numeric cells and datetimes (seconds since 1970 UTC), row-major, NaN: missing


class CandidateKind(StrEnum):
    """What a candidate is one possibility of."""

    CELLS = "cells"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class CandidateBatch:
    """Possible values that a cleaner, a labeller or a labelling function proposes for rows of one pillar.

    Of kind ``cells``, candidate ``i`` is a value of column ``columns[column[i]]``. Of kind ``rows``, it is a whole row:
    it has one value per item of ``columns``, row-major, and the columns that are not named keep what was observed.
    Values are text, as a person would write them: a category or class by name, a number, a date in ISO 8601.
    """

    app: str  #: name of the app
    pillar: Pillar  #: pillar of the rows
    source: str  #: tool and version that proposes; what it said before about these cells or rows is replaced
    columns: tuple[str, ...]  #: columns spoken about; the name of the label column for labels
    row_ids: tuple[str, ...]  #: rows spoken about
    values: tuple[str, ...]  #: values, for people and machines
    kind: CandidateKind = CandidateKind.CELLS  #: cells or rows
    row: I32 = ints()  #: index into row_ids of each candidate
    column: I32 = ints()  #: index into columns of each candidate; empty for rows
    missing: I32 = ints()  #: indices into values of those that say the cell is missing, ascending; their text is empty
    probability: F64 = floats()  #: prior of each candidate; sums to 1 per cell or row


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way to a relation, whole or in chunks; large files lie at a URI instead."""

    app: str  #: name of the app
    upload: str  #: identity of the upload, the same for all its chunks
    name: str  #: file name, for people; its ending tells the format unless that is given
    sha256: str  #: of the whole file, lower-case hexadecimal
    format: str = ""  #: format of the file; empty: by its name
    uri: str = ""  #: where the bytes lie, instead of the content here
    chunk: int = 0  #: number of this chunk, from 0
    chunks: int = 1  #: chunks of the upload
    pillar: str = ""  #: pillar of the rows; empty: they are split
    id_column: str = ""  #: column with the identity of each row; empty: made from the content
    group_column: str = ""  #: column whose equal values stay in one pillar; empty: no groups
    seed: int = 0  #: seed of the split
    test_rows: int = 0  #: rows that the test set of a split must have at least, for the condition; 0: no matter
    test_share: float = 0.0  #: share of the test set in the split; 0: a quarter, and up to half for test_rows
    repairs: int = 5  #: most candidates proposed for a missing cell; 0: none
    again: bool = False  #: append the same rows once more
    content: bytes = b""  #: bytes of this chunk


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
