"""Which pool rows to ask about next: one batch, from arrays alone.

Value is a good filter and a bad ranker, so the default ``filter_margin`` (1) drops rows that nearly repeat an owned or
asked one (nearer than a quarter of the median distance between neighbours) or lie farther from the validation rows than
these lie from each other, (2) keeps the half that is best by resemblance and predicted value, each weighted by how far
its forest can be trusted, and (3) takes those the current model is least sure about, without near repetitions. Where
the pool cannot be told from the validation rows, step 2 drops those of a value below 0 only, if that can be trusted.
``filter_diverse`` spreads the batch over the 4b best of step 2 instead, whatever they cost; ``value``, ``margin`` and
``random`` are what they say.

Sources: Jia et al., CVPR 2021 (value predictor); Scheffer et al., 2001 (margin); filter and weights measured, see
``tests/benchmarks/bench_market.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from easeml.errors import ConfigurationError
from easeml.market.belief import margins, probabilities
from easeml.market.diversity import k_center, nearest_distances, spacing, thin
from easeml.market.inputs import Inputs
from easeml.market.neighbours import BLOCK, Floats, Ints, squared_distances
from easeml.market.prediction import Forecast, predicted_values, ranks
from easeml.market.shapley import value_sums

POLICIES = ("filter_margin", "filter_diverse", "value", "margin", "random")
GUESSING = 0.05
"""Trust (that in values squared) below which a forest is not listened to."""
_REPEAT = 0.25
_KEPT = 0.5
_TYPICAL_NEIGHBOUR = 5
_TYPICAL_SHARE = 0.95
_DIVERSE_FROM = 4


class Known(NamedTuple):
    """What a choice is made from.

    Parameters
    ----------
    x, y : ndarray, float64[n, d] and int64[n]
        Owned rows and their classes.
    asked : ndarray of float64, shape (a, d)
        Rows whose labels are on their way.
    x_val, y_val : ndarray, float64[v, d] and int64[v]
        Validation rows.
    pool : ndarray of float64, shape (m, d)
        Rows to choose from.
    price : ndarray of float64, shape (m,)
        Price of each label, > 0.
    n_classes : int
    """

    x: Floats
    y: Ints
    asked: Floats
    x_val: Floats
    y_val: Ints
    pool: Floats
    price: Floats
    n_classes: int


class Choice(NamedTuple):
    """A batch.

    Parameters
    ----------
    rows : ndarray of int64, shape (b,)
        Places in the pool, best first.
    probabilities : ndarray of float64, shape (b, c)
        The current model's belief about their labels.
    predicted : ndarray of float64, shape (b,)
        Their predicted Shapley values; 0 where no value was predicted.
    value_trust, resemblance_trust : float
        How far each forest could be trusted.
    """

    rows: Ints
    probabilities: Floats
    predicted: Floats
    value_trust: float
    resemblance_trust: float


def choose(
    known: Known, alike: Forecast, batch: int, affordable: float, policy: str, k: int, rng: np.random.Generator
) -> Choice:
    """Choose the next rows.

    Parameters
    ----------
    known : Known
    alike : Forecast
        Resemblance of the pool rows to validation rows, see :func:`easeml.market.prediction.resemblance`.
    batch : int
        Rows at most.
    affordable : float
        What they may cost together.
    policy : str
        One of :data:`POLICIES`.
    k : int
        Neighbours of the values.
    rng : Generator
        Grows the forest, breaks ties.

    Raises
    ------
    ConfigurationError
        When the policy does not exist.
    """
    if policy not in POLICIES:
        raise ConfigurationError(f"policy={policy!r} does not exist.", mend=f"Use one of {', '.join(POLICIES)}.")
    size = len(known.pool)
    value = Forecast(np.zeros(size), 0.0)
    if policy not in {"margin", "random"} and len(known.x_val):
        owned = Inputs(known.x, known.y, known.x_val, known.y_val)
        values = owned.mean(value_sums(owned, k))
        value = predicted_values(known.x, values, known.pool, rng)
    belief = probabilities(known.x, known.y, known.pool, known.n_classes)
    order = _order(known, alike, value, belief, batch, policy, rng)
    rows = _paid(order, known.price, affordable, batch)
    return Choice(rows, belief[rows], value.scores[rows], value.trust, alike.trust)


def _order(
    known: Known, alike: Forecast, value: Forecast, belief: Floats, batch: int, policy: str, rng: np.random.Generator
) -> Ints:
    """Return places of the pool, best first; those beyond a batch are there for when the first are too dear."""
    shuffled = rng.permutation(len(known.pool))
    # 1 - margin, and a price never makes a sure row better than an unsure one of the same price
    doubt = (1 - margins(belief)) / known.price
    if policy == "random":
        return shuffled
    if policy == "margin":
        return _best(shuffled, doubt)
    if policy == "value":
        return _best(shuffled, np.where(value.scores > 0, value.scores / known.price, value.scores * known.price))
    gap = _REPEAT * _spacing(known)
    fresh = nearest_distances(known.pool, np.vstack([known.x, known.asked])) >= gap
    kept, others = _filtered(known, alike, value, shuffled, fresh, batch)
    if policy == "filter_diverse":
        top = kept[: _DIVERSE_FROM * batch]
        spread = top[k_center(known.pool[top], known.x, batch)]
        return np.concatenate([spread, kept[~np.isin(kept, spread)], others])
    kept = _best(kept, doubt)
    first = kept[thin(known.pool[kept], gap, batch)]
    return np.concatenate([first, kept[~np.isin(kept, first)], others])


def _spacing(known: Known) -> float:
    """Return how far apart rows are that do not repeat each other.

    Validation rows are clean; owned rows may be scattered by noise so far that everything else seems a repetition.
    """
    apart = [spacing(rows) for rows in (known.x, known.x_val) if len(rows) > 1]
    return min(apart, default=0.0)


def _filtered(
    known: Known, alike: Forecast, value: Forecast, shuffled: Ints, fresh: npt.NDArray[np.bool_], batch: int
) -> tuple[Ints, Ints]:
    """Return the rows kept by steps 1 and 2, best first, and the others."""
    score = alike.trust * ranks(alike.scores) + value.trust**2 * ranks(value.scores)
    informed = alike.trust >= GUESSING
    if informed:
        fit = fresh & typical(known.pool, known.x_val)
    else:
        # a pool like the validation rows: less value is no harm there, only a value below 0 is
        fit = fresh & ((value.scores >= 0) | (value.trust**2 < GUESSING))
    order = _best(shuffled, score + 10.0 * fit + 5.0 * fresh)
    count = int(fit.sum())
    count = max(round(count * _KEPT) if informed else count, min(2 * batch, int(fresh.sum())))
    return order[:count], order[count:]


def typical(rows: Floats, validation: Floats) -> npt.NDArray[np.bool_]:
    """Return whether rows are as near to validation rows as 95 % of these are to each other: bool[m].

    Near: the distance of the fifth nearest. With few validation rows everything is typical.
    """
    if len(validation) <= 2 * _TYPICAL_NEIGHBOUR:
        return np.ones(len(rows), bool)
    centred = validation - validation.mean(axis=0)
    within = np.partition(squared_distances(centred, centred), _TYPICAL_NEIGHBOUR, axis=1)[:, _TYPICAL_NEIGHBOUR]
    limit = np.quantile(within, _TYPICAL_SHARE)
    near = np.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        part = squared_distances(rows[start : start + BLOCK] - validation.mean(axis=0), centred)
        near[start : start + BLOCK] = np.partition(part, _TYPICAL_NEIGHBOUR - 1, axis=1)[:, _TYPICAL_NEIGHBOUR - 1]
    return np.asarray(near <= limit)


def _best(rows: Ints, score: Floats) -> Ints:
    """Return places of the pool by the pool's scores, the best first."""
    return rows[np.argsort(-score[rows], kind="stable")]


def _paid(order: Ints, price: Floats, affordable: float, batch: int) -> Ints:
    """Return the first rows that can be paid together."""
    chosen: list[int] = []
    for row in order.tolist():
        if len(chosen) == batch:
            break
        if price[row] <= affordable + 1e-9:
            affordable -= float(price[row])
            chosen.append(row)
    return np.array(chosen, np.int64)
