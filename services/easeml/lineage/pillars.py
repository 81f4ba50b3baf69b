"""Operators that split rows into pillars, leak-free and reproducible."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from easeml.errors import InvalidDataError
from easeml.lineage.operators import operator
from easeml.lineage.values import Json
from easeml.relation import Relation, row_digests
from easeml.relation.candidates import LABEL
from easeml.relation.splitting import DEFAULT_SHARES, split_pillars
from easeml.stream.payloads import Pillar

_SIGNS = {Pillar.TRAIN: "t", Pillar.POOL: "p", Pillar.VALIDATION: "v", Pillar.TEST: "s"}
_LEFT_OUT = "-"
_SHARES = dict(DEFAULT_SHARES)


@operator("relation.split", cost=0.2)
def split(
    relation: Relation,
    *,
    shares: dict[Pillar, Annotated[float, Field(ge=0, le=1)]] = _SHARES,
    group_column: str | None = None,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Json:
    """Assign each row to a pillar: labelled rows by shares within each label, unlabelled ones to the pool.

    Rows with the same features, or of the same group, stay together. An unlabelled one that belongs with validation
    or test rows is left out: labelled later, it would tell training about them.
    """
    labels = relation.labels.copy()
    uncertain = relation.block.candidates.row[relation.block.candidates.column == LABEL]
    labels[uncertain] = -1
    known = labels >= 0
    if not known.any():
        raise InvalidDataError("No row has a certain label, so none can be split.", mend="Label some rows first.")
    sides = _sides(relation, group_column)
    wanted = {pillar: shares[pillar] for pillar in Pillar if shares.get(pillar, 0.0) > 0}
    assigned = np.full(len(relation), "", object)
    assigned[known] = split_pillars(sides[known], labels[known], wanted, rng=np.random.default_rng(seed))
    held = np.isin(sides, sides[np.isin(assigned, [Pillar.VALIDATION, Pillar.TEST])])
    signs = np.where(known, [_SIGNS.get(pillar, "") for pillar in assigned], np.where(held, _LEFT_OUT, "p"))
    names = {sign: pillar.value for pillar, sign in _SIGNS.items()}
    counts = {names.get(sign, "left out"): int((signs == sign).sum()) for sign in np.unique(signs)}
    return {"rows": counts, "signs": names, "assigned": "".join(signs)}


@operator("relation.pillar", cost=0.02)
def pillar(relation: Relation, assignment: Json, *, pillar: Pillar) -> Relation:
    """Keep the rows that a split assigned to a pillar; those of the pool have no labels."""
    signs = assignment.get("assigned") if isinstance(assignment, dict) else None
    if not isinstance(signs, str) or len(signs) != len(relation):
        raise InvalidDataError(
            "The assignment is not that of a split of these rows.",
            mend="Give the relation that was split, and the result of relation.split.",
        )
    rows = relation.take(np.array(list(signs)) == _SIGNS.get(pillar, "?"))
    return rows.without_labels() if pillar is Pillar.POOL else rows


def _sides(relation: Relation, group_column: str | None) -> NDArray[np.uint64]:
    """Return one number per row, equal for rows that must stay together, directly or through others."""
    digests = row_digests(relation.block)
    if group_column is None:
        return digests
    names = [column.name for column in relation.columns]
    if group_column not in names:
        raise InvalidDataError(f"Unknown column {group_column!r}.", mend=f"Columns are {', '.join(names)}.")
    cells = relation.block.column(names.index(group_column))
    groups = _coded([tuple(cell) for cell in cells] if cells.ndim > 1 else cells)
    contents = _coded(digests)
    total = len(relation)
    inside = np.flatnonzero(groups >= 0)
    rows = np.concatenate([np.arange(total), inside])
    others = np.concatenate([total + contents, total + contents.max(initial=-1) + 1 + groups[inside]])
    size = int(max(rows.max(initial=0), others.max(initial=0))) + 1
    found: NDArray[Any] = connected_components(coo_array((np.ones(len(rows)), (rows, others)), (size, size)), False)[1]
    return found[:total].astype(np.uint64)


def _coded(cells: Any) -> NDArray[np.int64]:
    """Return codes of equal cells; -1: missing, which makes no group."""
    codes: NDArray[Any] = pd.factorize(pd.Series(cells, dtype=object if isinstance(cells, list) else None))[0]
    return codes.astype(np.int64)
