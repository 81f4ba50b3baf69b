"""Candidates for the missing cells of what was published, learnt from the training rows of the app.

As DataMagic proposes them for uploads, with one difference: they travel on the topic of candidates, as those of any
other tool do, and under one name, so that the weights of the ways in which they were found stay as they are.
Cells that anybody has candidates for are left alone: proposing again changes nothing. Source: ``RepairModel``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from easeml.datamagic.cleaning.repairs import SOURCES, VERSION, RepairModel
from easeml.errors import NotFoundError
from easeml.progress import Progress
from easeml.relation import Relation
from easeml.relation.answers import as_defined
from easeml.stream.payloads import Pillar

if TYPE_CHECKING:
    from easeml.client import Client

SOURCE = f"datamagic.repairs@{VERSION}"
REPAIRED = (Pillar.TRAIN, Pillar.VALIDATION)
"""Pillars whose missing cells get candidates: models learn from the one and are chosen by the other."""


def propose(
    client: Client, name: str, most: int, *, seed: int = 0, progress: Progress | None = None
) -> dict[Pillar, int]:
    """Propose candidates for missing cells of an app's training and validation rows.

    Parameters
    ----------
    client : Client
        The connection.
    name : str
        The app.
    most : int
        Most candidates of a cell, at least 1.
    seed : int
        Seed of the sample of training rows that candidates come from.
    progress : callable, optional
        Called with rows done, their total and what is counted.

    Returns
    -------
    dict of Pillar to int
        Cells that got candidates; pillars of which none did are left out.

    Raises
    ------
    NotFoundError
        When there is no such app, or it has no training rows.
    """
    train, app = client.relation(name, Pillar.TRAIN), client.app(name)
    # A category that only an answer names is certain where it stands, and no candidate that the app would take.
    known = as_defined(train, app.columns)
    model = RepairModel(max_candidates=most).fit(known, rng=np.random.default_rng(seed))
    found: dict[Pillar, int] = {}
    for pillar in REPAIRED:
        relation = train if pillar is Pillar.TRAIN else _held(client, name, pillar)
        if relation is None:
            continue
        proposed, cells = proposal(model, relation, progress)
        if cells:
            client.propose(name, proposed, SOURCE, pillar)
            found[pillar] = cells
    return found


def pass_on(client: Client, name: str, relation: Relation, rows: Mapping[Pillar, tuple[str, ...]]) -> dict[Pillar, int]:
    """Propose what a relation says about its rows that were published; return the cells per pillar.

    Parameters
    ----------
    client : Client
        The connection.
    name : str
        The app.
    relation : Relation
        What was published.
    rows : mapping of Pillar to tuple of str
        Ids of the rows of each pillar. Those of test and production rows are left out: what is thought of a test label
        is for nobody but CI, and production rows are as they come.

    Raises
    ------
    InvalidDataError
        When the candidates do not fit the app.
    """
    found: dict[Pillar, int] = {}
    for pillar, ids in rows.items():
        if pillar in (Pillar.TEST, Pillar.PRODUCTION):
            continue
        part = _one_voice(relation.take(np.isin(np.array(relation.row_ids, object), np.array(ids, object))))
        cells = len(part.block.candidates.distributions().row)
        for source in part.sources if cells else ():
            client.propose(name, part, source, pillar)
        if cells:
            found[pillar] = cells
    return found


def proposal(model: RepairModel, relation: Relation, progress: Progress | None = None) -> tuple[Relation, int]:
    """Return a relation with a model's candidates for cells that have none yet, and how many cells these are."""
    proposed = model.propose(relation, progress=progress).block
    before, width = relation.block.candidates, len(relation.columns) + 1
    table = proposed.candidates.select(~np.isin(proposed.candidates.keys(width), before.keys(width)))
    if not len(table):
        return relation, 0
    alone = Relation(replace(proposed, candidates=table), label=relation.label, classes=relation.classes)
    return _one_voice(alone), len(table.distributions().row)


def _one_voice(relation: Relation) -> Relation:
    """Return a relation in which the ways to find a repair speak under one name, each with its own weight."""
    table = relation.block.candidates
    names = tuple(SOURCE if source in SOURCES else source for source in table.sources)
    sources = tuple(dict.fromkeys(names))
    places = np.array([sources.index(name) for name in names], table.source.dtype)
    one = replace(table, source=places[table.source], sources=sources) if len(table) else table
    return Relation(replace(relation.block, candidates=one), label=relation.label, classes=relation.classes)


def _held(client: Client, name: str, pillar: Pillar) -> Relation | None:
    try:
        return client.relation(name, pillar)
    except NotFoundError:
        return None  # the pillar holds no rows
