"""How probable values as far out as these are, by the tails of their columns and not by a law they need not follow.

Per column and side the squared distances from the median (exponential for a normal law), as far as they exceed a high
quantile, are taken for generalised Pareto (Pickands, Annals of Statistics 3, 1975). The farthest quarter counts only as
beyond the rest: errors, which are looked for among them, have no say in the law. Shape and scale are integrated out on
a grid; how heavy the tails of a table are is learnt from all its columns together (empirical Bayes), since a few dozen
excesses hardly tell one column's. Numbers in, numbers out; a tail of too few values says nothing.

Many cells are judged at once: ``false_share`` is the rate of false alarms among all that are as far (Benjamini &
Hochberg, JRSS B 57, 1995), which in a table without errors is the probability of any alarm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TAIL = 0.1
"""Share of a column that is the tail of a side; of short columns more, but no more than a quarter."""
_LEAST_TAIL = 30
_MOST_TAIL = 0.25
_LEAST = 8
_CENSORED = 0.25
_SURE = 0.05
_POINTS = 200
_SHAPES = np.linspace(0.0, 2.0, 21)
_SCALES = np.exp(np.linspace(np.log(0.1), np.log(10.0), 41))
_STEPS = 30
_USUAL = 0.15
"""Mean shape expected beforehand (0: normal, 2/3: Student's t of three degrees), worth as many tails as follow."""
_COUNT = 10.0
_FAR = np.expm1(np.linspace(0.0, np.log(1e15), 400))


def tail_chances(numbers: Floats) -> Floats:
    """Return, per cell, the probability of a value of its column that is as far out on its side; NaN where unknown.

    Parameters
    ----------
    numbers : ndarray of float64, shape (n, c)
        Columns, NaN: missing.

    Returns
    -------
    ndarray of float64, shape (n, c)
        Two-sided: twice that of the side; 1 for all cells that are not in a tail.
    """
    chance = np.where(np.isnan(numbers), np.nan, 1.0)
    tails = []
    for column in range(numbers.shape[1]):
        finite = np.isfinite(numbers[:, column])
        if not finite.any():
            continue
        centred = numbers[:, column] - np.median(numbers[finite, column])
        for sign in (1.0, -1.0):
            own = sign * centred * np.abs(centred)
            known = own[finite]
            size = min(max(round(_TAIL * len(known)), _LEAST_TAIL), int(_MOST_TAIL * len(known)))
            start = float(np.partition(known, len(known) - 1 - size)[len(known) - 1 - size])
            beyond = np.sort(known[known > start])
            if len(beyond) >= _LEAST:
                # What is rounded stands for all that is rounded to it: half a step less far.
                step = float(beyond[0]) - start
                start += step / 2.0
                tails.append((column, own, start, step, beyond - start, len(beyond) / len(known)))
    if not tails:
        return chance
    units = np.array([float(np.median(excess)) for _, _, _, _, excess, _ in tails])
    likely = np.stack([_likelihood(tail[4] / unit) for tail, unit in zip(tails, units, strict=True)])
    weights = _weights(likely)
    far = _survival(_FAR)
    for (column, own, start, step, _, share), unit, weight in zip(tails, units, weights, strict=True):
        rows = np.flatnonzero(own > start)
        log = np.log(np.maximum(np.einsum("sb,sbf->f", weight, far), 1e-300))
        beyond = np.interp(np.log1p(np.maximum(own[rows] - step / 2.0 - start, 0.0) / unit), np.log1p(_FAR), log)
        own_chance = np.minimum(2.0 * share * np.exp(beyond), 1.0)
        # More than the quarter that had no say: a second population, not errors.
        many = (own_chance * np.isfinite(own).sum() < _SURE).sum() > _CENSORED * len(rows)
        chance[rows, column] = 1.0 if many else own_chance
    return chance


def _survival(excess: Floats) -> Floats:
    """Return P(more than this excess) for every shape and scale; shape (shapes, scales, len(excess))."""
    ratio = excess[None, None, :] / _SCALES[None, :, None]
    shape = np.where(np.abs(_SHAPES) < 1e-9, 1e-9, _SHAPES)[:, None, None]
    return np.asarray(np.exp(-np.log1p(np.maximum(shape * ratio, -1.0 + 1e-12)) / shape), np.float64)


def _likelihood(excess: Floats) -> Floats:
    """Return the log likelihood of every shape and scale; the farthest quarter is known to be beyond the rest only."""
    kept = excess[: len(excess) - int(_CENSORED * len(excess))]
    places = np.unique(np.linspace(0, len(kept) - 1, _POINTS).astype(np.int64))
    points, each = kept[places], len(kept) / len(places)
    ratio = points[None, None, :] / _SCALES[None, :, None]
    shape = np.where(np.abs(_SHAPES) < 1e-9, 1e-9, _SHAPES)[:, None, None]
    inside = 1.0 + shape * ratio
    log = np.log(np.maximum(inside, 1e-12))
    density = -np.log(_SCALES)[None, :] * len(points) - ((1.0 + 1.0 / shape) * log).sum(axis=2)
    beyond = (len(excess) - len(kept)) * (-log[:, :, -1] / shape[:, :, 0])
    out = each * density + beyond
    return np.where((inside > 0).all(axis=2), out, -np.inf)


def _weights(likely: Floats) -> Floats:
    """Return the posterior of shape and scale per tail, the prior of the shape learnt from all tails."""
    top = likely.max(axis=(1, 2), keepdims=True)
    weight = np.exp(likely - top)
    by_shape = weight.sum(axis=2)
    light = np.exp(-_SHAPES / _USUAL)
    light /= light.sum()
    prior = light
    for _ in range(_STEPS):
        post = by_shape * prior
        post /= post.sum(axis=1, keepdims=True)
        prior = (post.sum(axis=0) + _COUNT * light) / (len(likely) + _COUNT)
    weight = weight * prior[None, :, None]
    return np.asarray(weight / weight.sum(axis=(1, 2), keepdims=True), np.float64)


def false_share(chance: Floats, tests: int) -> Floats:
    """Return the expected share of false alarms if every cell at most as probable were told; same shape.

    Parameters
    ----------
    chance : ndarray of float64
        Probabilities, NaN: not judged.
    tests : int
        How many were judged in all.
    """
    flat = np.nan_to_num(chance.ravel(), nan=np.inf)
    low = np.flatnonzero(flat * tests < len(flat))
    order = low[np.argsort(flat[low], kind="stable")]
    rate = flat[order] * tests / np.arange(1, len(order) + 1)
    out = np.full(len(flat), np.inf)
    out[order] = np.minimum.accumulate(rate[::-1])[::-1]
    return out.reshape(chance.shape)
