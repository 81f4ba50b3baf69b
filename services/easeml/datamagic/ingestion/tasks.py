"""What is to be done with an upload, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from easeml.datamagic.ingestion.assignment import Known
from easeml.datamagic.ingestion.shelf import Digests, Mark, read
from easeml.datamagic.ingestion.slices import Place
from easeml.stream.payloads import AppDefined, Pillar, RelationBatch, TestLabels, Upload

TOLD = 20
"""Rejected rows that are named."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done with an upload.

    Parameters
    ----------
    upload : Upload
        Without content.
    app : AppDefined
        The app.
    marks : dict of str to Mark
        Digests of what its pillars have (``shelf``): ``rows.<pillar>``, ``ids.<pillar>``, and as ``given.<pillar>`` the
        ids that the upload has given.
    groups : dict of Pillar to uint64[n]
        Groups that its judging pillars have.
    room : int
    crowded : bool
        As in ``Known``.
    roots : tuple of str
        Stores that files are read from.
    max_bytes : int
        Bytes that a message may have.
    place : Place
        Where the slice begins.
    total : int
        Rows of the whole file, about; 0: not known yet.
    known : Known
        What its judging pillars have; in the worker alone.
    """

    upload: Upload
    app: AppDefined
    marks: dict[str, Mark]
    groups: dict[Pillar, NDArray[np.uint64]]
    room: int
    crowded: bool
    roots: tuple[str, ...]
    max_bytes: int
    place: Place = field(default_factory=Place)
    total: int = 0
    known: Known = field(default_factory=Known)

    def informed(self) -> Task:
        """Return the task with what is known, read in this process."""
        digests = read(self.app.app, self.marks)
        tables: dict[str, dict[Pillar, Digests]] = {"rows": {}, "ids": {}, "given": {}}
        for name, own in digests.items():
            table, _, pillar = name.partition(".")
            tables[table][Pillar(pillar)] = own
        groups = {pillar: Digests.of(words) for pillar, words in self.groups.items()}
        known = Known(tables["rows"], tables["ids"], groups, tuple(tables["given"].values()), self.room, self.crowded)
        return replace(self, known=known)


@dataclass(slots=True)
class Made:
    """What became of an upload or a slice of it.

    Parameters
    ----------
    batches : dict of Pillar to list of RelationBatch
        The rows.
    labels : list of TestLabels
        Labels of the test rows.
    groups : dict of Pillar to uint64[n]
        Groups that each pillar has now.
    crowded : bool
        Whether they are more than can be remembered.
    rejected, clashes, candidates : int
        Rows left out; cells made missing; cells with candidates.
    told : tuple of str
        The first of the rows and cells that did not fit.
    rows : int
        Rows read, with those left out.
    next : Place or None
        Where the next slice begins; None: there is none.
    failure : str
        Why the file cannot be read further; empty: it can.
    uri : str
        Where the file lies now; empty: nowhere, it is done.
    total : int
        Rows of the whole file, about.
    """

    batches: dict[Pillar, list[RelationBatch]] = field(default_factory=dict)
    labels: list[TestLabels] = field(default_factory=list)
    groups: dict[Pillar, NDArray[np.uint64]] = field(default_factory=dict)
    crowded: bool = False
    rejected: int = 0
    clashes: int = 0
    candidates: int = 0
    told: tuple[str, ...] = ()
    rows: int = 0
    next: Place | None = None
    failure: str = ""
    uri: str = ""
    total: int = 0
