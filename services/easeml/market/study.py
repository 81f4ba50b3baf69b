"""One look at an app's rows: what they are worth, which do harm, how accuracy grows, and what to ask next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from easeml.errors import InvalidDataError
from easeml.market.acquisition import Acquisition, Batch
from easeml.market.belief import probabilities
from easeml.market.curve import learning_curve
from easeml.market.debugging import label_values, suspects
from easeml.market.encoding import Rows, encode
from easeml.market.neighbours import Floats, Ints
from easeml.market.prediction import Forecast, predicted_values
from easeml.relation import Relation

_LISTED = 100
_OWNED_POINTS, _POOL_POINTS = 12, 6


@dataclass(frozen=True, slots=True)
class Assignment:
    """What to look at.

    Parameters
    ----------
    train, validation, pool : Relation, optional
        Rows of the pillars; None: there are none.
    classes : tuple of str
        Label domain, in code order.
    price_column : str
        Numeric column with the price of a pool row's label; empty: 1 each.
    taken : tuple of str
        Rows that are asked about already.
    budget : float
        What further labels may cost together.
    questions : int
        Questions at most.
    seed : tuple of int
        All randomness.
    """

    train: Relation | None
    validation: Relation | None
    pool: Relation | None
    classes: tuple[str, ...]
    price_column: str
    taken: tuple[str, ...]
    budget: float
    questions: int
    seed: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """A question to ask.

    Parameters
    ----------
    row_id : str
        Pool row.
    information_gain : float
        Bits, see :mod:`easeml.market.information`.
    cost : float
        Price of the label.
    probabilities : list of float
        Belief about its class.
    """

    row_id: str
    information_gain: float
    cost: float
    probabilities: list[float]


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What a study found.

    Parameters
    ----------
    rows, validation_rows, pool_rows : int
        Rows studied: labelled ones, and pool rows without a label.
    unpriced : int
        Pool rows that are never asked about: their price is 0 or less.
    plan : tuple of Planned
        Questions, best first.
    value_trust, resemblance_trust : float
        How far the forecasts behind the choice could be trusted.
    harm : float
        Value of all harmful rows together.
    harmful_rows, suggested, harmful_values
        Training rows of negative value, the class with which each would be worth most, and the values.
    valuable_rows, valuable_values
        Pool rows of the highest predicted value, and the values.
    curve_rows, curve_accuracy : ndarray of float64
        Learning curve; beyond the labelled rows the pool is counted in, with the labels that are believed.
    """

    rows: int
    validation_rows: int
    pool_rows: int
    unpriced: int
    plan: tuple[Planned, ...]
    value_trust: float
    resemblance_trust: float
    harm: float
    harmful_rows: tuple[str, ...]
    suggested: tuple[str, ...]
    harmful_values: Floats
    valuable_rows: tuple[str, ...]
    valuable_values: Floats
    curve_rows: Floats
    curve_accuracy: Floats


def study(assignment: Assignment) -> Findings | InvalidDataError:
    """Return what the rows of an app say, or why they say nothing; for a worker process."""
    try:
        rows = encode(assignment.train, assignment.validation, assignment.pool, assignment.price_column)
    except InvalidDataError as error:
        return error
    classes, rng = assignment.classes, np.random.default_rng(assignment.seed)
    x, codes, sure = rows.owned.x, rows.owned.codes, rows.validation
    values = label_values(x, codes, sure.x, sure.codes, n_classes=len(classes))
    worst = suspects(values, codes)
    listed = slice(0, _LISTED)
    forecast = predicted_values(x, values[np.arange(len(codes)), codes], rows.pool.x, rng)
    valuable = _valuable(forecast)
    batch = _next(rows, assignment, rng)
    curve_rows, curve_accuracy = _curve(rows, len(classes))
    return Findings(
        len(codes),
        len(sure.codes),
        len(rows.pool.row_ids),
        rows.unpriced,
        _plan(batch),
        forecast.trust,
        batch.resemblance_trust,
        worst.harm,
        _named(rows.owned.row_ids, worst.rows[listed]),
        _named(classes, worst.suggested[listed]),
        worst.values[listed],
        _named(rows.pool.row_ids, valuable),
        forecast.scores[valuable],
        curve_rows,
        curve_accuracy,
    )


def _next(rows: Rows, assignment: Assignment, rng: np.random.Generator) -> Batch:
    market = Acquisition(budget=assignment.budget, n_classes=len(assignment.classes), rng=rng)
    market.add_owned(rows.owned.row_ids, rows.owned.x, rows.owned.codes)
    market.add_validation(rows.validation.row_ids, rows.validation.x, rows.validation.codes)
    market.add_pool(rows.pool.row_ids, rows.pool.x, rows.pool.price)
    return market.next(assignment.questions, taken=assignment.taken)


def _plan(batch: Batch) -> tuple[Planned, ...]:
    return tuple(
        Planned(row_id, float(gain), float(cost), belief.tolist())
        for row_id, gain, cost, belief in zip(
            batch.row_ids, batch.information_gain, batch.cost, batch.probabilities, strict=True
        )
    )


def _valuable(forecast: Forecast) -> Ints:
    """Return the pool rows of the highest predicted value above 0, best first."""
    best = np.argsort(-forecast.scores, kind="stable")[:_LISTED]
    return best[forecast.scores[best] > 0]


def _named(names: tuple[str, ...], places: Ints) -> tuple[str, ...]:
    return tuple(names[place] for place in places.tolist())


def _curve(rows: Rows, classes: int) -> tuple[Floats, Floats]:
    """Return the learning curve of the labelled rows, and on through the pool with the labels that are believed."""
    owned, pool, sure = rows.owned, rows.pool.x, rows.validation
    n, every = len(owned.codes), len(owned.codes) + len(pool)
    if not n or not len(sure.codes):
        return np.empty(0), np.empty(0)
    sizes = np.unique(np.geomspace(1, n, _OWNED_POINTS).round().astype(np.int64))
    accuracy = learning_curve(owned.x, owned.codes, sure.x, sure.codes, sizes)
    beyond = np.unique(np.geomspace(n, every, _POOL_POINTS + 1).round().astype(np.int64))[1:]
    if len(beyond):
        belief = np.vstack([np.eye(classes)[owned.codes], probabilities(owned.x, owned.codes, pool, classes)])
        both = np.vstack([owned.x, pool])
        more = learning_curve(both, None, sure.x, sure.codes, beyond, y_train_proba=belief)
        sizes, accuracy = np.append(sizes, beyond), np.append(accuracy, more)
    return sizes.astype(np.float64), accuracy
