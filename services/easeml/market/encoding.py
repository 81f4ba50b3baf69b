"""The rows of an app as matrices: one encoding for training, pool and validation rows.

Training and pool rows are standardised together. Uncertain cells stand at their expected value (numbers, dates) or the
most probable one, uncertain labels at the most probable one. The price of a label is no feature of its row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from easeml.artifacts import Encoder
from easeml.errors import InvalidDataError
from easeml.market.neighbours import Floats, Ints
from easeml.relation import Relation
from easeml.stream.payloads import Column, ColumnKind


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Rows and their classes.

    Parameters
    ----------
    row_ids : tuple of str
    x : float64[n, d]
    codes : int64[n]
    """

    row_ids: tuple[str, ...]
    x: Floats
    codes: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Unlabelled:
    """Rows that may be asked about.

    Parameters
    ----------
    row_ids : tuple of str
    x : float64[m, d]
    price : float64[m]
        Of their labels; 1 where none is given.
    """

    row_ids: tuple[str, ...]
    x: Floats
    price: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """All rows of an app, encoded.

    Parameters
    ----------
    owned, validation : Labelled
        Those with a label.
    pool : Unlabelled
        Those without one that are no training rows.
    unpriced : int
        Pool rows left out because their price is 0 or less.
    """

    owned: Labelled
    validation: Labelled
    pool: Unlabelled
    unpriced: int


def encode(train: Relation | None, validation: Relation | None, pool: Relation | None, price_column: str = "") -> Rows:
    """Encode the rows of an app.

    Parameters
    ----------
    train, validation, pool : Relation, optional
        Rows of the pillars; None: there are none.
    price_column : str
        Numeric column with the price of a pool row's label; empty: 1 each.

    Raises
    ------
    InvalidDataError
        When there are neither training nor pool rows, no feature column holds anything, or the price column is none.
    """
    owned, sure = _with_label(train), _with_label(validation)
    asked = None if pool is None else _left(pool, () if train is None else train.row_ids)
    price = np.ones(0) if asked is None else _prices(asked, price_column)
    if asked is not None:
        asked = asked.take(price > 0)
    learnt = [rows.features() for rows in (owned, asked) if rows is not None and len(rows)]
    first = next((rows for rows in (owned, asked) if rows is not None and len(rows)), None)
    if first is None:
        raise InvalidDataError(
            "There is no training row with a label and no pool row without one.", mend="Publish some."
        )
    columns = tuple(column for column in first.columns if column.name != price_column)
    encoder = Encoder().fit(pd.concat(learnt), columns)
    return Rows(
        _labelled(owned, encoder),
        _labelled(sure, encoder),
        Unlabelled(() if asked is None else asked.row_ids, _matrix(asked, encoder), price[price > 0]),
        int((price <= 0).sum()),
    )


def _with_label(relation: Relation | None) -> Relation | None:
    if relation is None:
        return None
    world = relation.expected_world()
    return world.take(world.labels >= 0)


def _left(pool: Relation, trained: tuple[str, ...]) -> Relation:
    """Return the pool rows whose label nobody knows for certain."""
    known = {*pool.labelled().row_ids, *trained}
    left = np.array([row_id not in known for row_id in pool.row_ids], bool)
    return pool.expected_world().take(left)


def _prices(pool: Relation, price_column: str) -> Floats:
    if not price_column:
        return np.ones(len(pool))
    column = next((column for column in pool.columns if column.name == price_column), None)
    if column is None or column.kind is not ColumnKind.NUMERIC:
        raise InvalidDataError(
            f"price_column={price_column!r} is no numeric column of the app.",
            mend=f"Name one of {_names(pool.columns)}, or none: every label costs 1 then.",
        )
    prices = pool.matrix([price_column])[:, 0]
    return np.where(np.isnan(prices), 1.0, prices)


def _names(columns: tuple[Column, ...]) -> str:
    return ", ".join(column.name for column in columns if column.kind is ColumnKind.NUMERIC) or "its numeric columns"


def _labelled(rows: Relation | None, encoder: Encoder) -> Labelled:
    codes: npt.NDArray[np.int64] = np.empty(0, np.int64) if rows is None else rows.labels.astype(np.int64)
    return Labelled(() if rows is None else rows.row_ids, _matrix(rows, encoder), codes)


def _matrix(rows: Relation | None, encoder: Encoder) -> Floats:
    return np.empty((0, encoder.width)) if rows is None else encoder.transform(rows.features())
