"""DataMagic's functions as staged operators of ``easeml.lineage``: importing this module registers them.

Randomness comes from the parameter ``seed``, so that a step's result follows from its parameters and inputs.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from easeml.datamagic import reading
from easeml.datamagic.cleaning import detection, repairs, schema
from easeml.datamagic.supervision import augmentation, label_issues, labeling
from easeml.datamagic.supervision.label_model import LabelModel
from easeml.errors import InvalidDataError
from easeml.lineage import Suggestion, View, operator, rule
from easeml.lineage.values import Json
from easeml.progress import Progress, silent
from easeml.relation import Relation
from easeml.relation.candidates import LABEL

Seed = Annotated[int, Field(ge=0)]
_SURE = 0.3


@operator("datamagic.read", version=1, reads=("path",), cost=1.0)
def read(
    *,
    path: str,
    format: str | None = None,  # noqa: A002 - the name of the reader's option
    label: str | None = None,
    classes: list[str] | None = None,
    id_column: str | None = None,
    kinds: dict[str, schema.Kind] | None = None,
    day_first: bool | None = None,
    clean: bool = True,
    progress: Progress = silent,
) -> Relation:
    """Read a file as a relation."""
    return reading.read(
        path,
        format=format,
        label=label,
        classes=classes,
        id_column=id_column,
        kinds=kinds,
        day_first=day_first,
        clean=clean,
        progress=progress,
    )


@operator("datamagic.infer_schema", version=1, cost=0.5)
def infer_schema(relation: Relation) -> list[dict[str, Json]]:
    """Tell what the columns of a relation are: kind, share missing, distinct values, role."""
    table = schema.infer_schema(relation.frame(), label=relation.label).table()
    return [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


@operator("datamagic.detect_errors", version=3, cost=10.0)
def detect_errors(relation: Relation, *, seed: Seed = 0) -> list[dict[str, Json]]:
    """List cells that look wrong: row, column, kind of error, score and why."""
    table = detection.detect_errors(relation, rng=np.random.default_rng(seed))
    return [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


@operator("datamagic.propose_repairs", version=3, cost=20.0)
def propose_repairs(
    relation: Relation,
    *,
    max_candidates: Annotated[int, Field(ge=1, le=100)] = 8,
    doubt: bool = False,
    seed: Seed = 0,
    progress: Progress = silent,
) -> Relation:
    """Propose candidates for missing cells and, with ``doubt``, for those that look wrong."""
    rng = np.random.default_rng(seed)
    errors = detection.detect_errors(relation, rng=rng) if doubt else None
    return repairs.propose_repairs(relation, max_candidates=max_candidates, errors=errors, rng=rng, progress=progress)


@operator("datamagic.label_model", version=1, cost=5.0)
def label_model(
    relation: Relation, votes: list[list[int]], *, class_balance: list[float] | None = None, source: str = ""
) -> Relation:
    """Give labels the probabilities that several sources' votes make: class codes, one list per row, -1: no vote."""
    if len(votes) != len(relation):
        raise InvalidDataError(f"{len(votes)} rows of votes for {len(relation)} rows.", mend="Give one row each.")
    table = np.array(votes, np.int64).reshape(len(relation), -1)
    known = np.flatnonzero(relation.labels >= 0)
    valid = (table[known], relation.labels[known]) if len(known) else None
    model = LabelModel(len(relation.classes), class_balance=class_balance).fit(table, valid=valid)
    return labeling.votes_to_relation(relation, model.predict_proba(table), source or "datamagic.label_model@1")


@operator("datamagic.find_label_issues", version=1, cost=30.0)
def find_label_issues(relation: Relation, *, seed: Seed = 0) -> list[dict[str, Json]]:
    """List rows whose label a model that has not seen them doubts."""
    table = label_issues.detect_label_issues(relation, rng=np.random.default_rng(seed))
    return [{str(name): _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


@operator("datamagic.augment", version=1, cost=60.0)
def augment(relation: Relation, *, seed: Seed = 0) -> Relation:
    """Add synthetic training rows where that helps on rows that are not synthetic."""
    return augmentation.augment(relation, rng=np.random.default_rng(seed)).relation


def _plain(value: Any) -> Json:
    if isinstance(value, np.generic):
        value = value.item()
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@rule
def unchecked_cells(view: View) -> Suggestion | None:
    """Numbers were never looked at for errors: do so."""
    if "datamagic.detect_errors" in view.done or not len(view.relation) or not view.relation.columns:
        return None
    cells = len(view.relation) * len(view.relation.columns)
    return Suggestion(
        "datamagic.detect_errors",
        {},
        f"Nobody has looked for wrong values among the {cells:,} cells.",
        {"cells": cells},
        _SURE / 3,
    )


@rule
def unlabelled_rows(view: View) -> Suggestion | None:
    """Many labels are unknown: labelling functions or annotators may vote, and a label model weighs them."""
    relation = view.relation
    if relation.label is None or "datamagic.label_model" in view.done or not len(relation):
        return None
    free = ~view.known & ~view.speaking[:, LABEL]
    if not free.any():
        return None
    share = float(free.mean())
    return Suggestion(
        "datamagic.label_model",
        {},
        f"{int(free.sum()):,} of {len(relation):,} rows have no label. Votes of labelling functions or of several "
        "people become probabilities, weighed by how right each is.",
        {"unlabelled": int(free.sum()), "share": share},
        _SURE * share,
    )
