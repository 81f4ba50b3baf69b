"""Numbers and rows that lie too far out: each judged by its column, and by what the rest of its row lets expect.

Sources: Iglewicz & Hoaglin, How to detect and handle outliers, 1993 (robust z); Liu, Ting & Zhou, Isolation forest,
ICDM 2008. How far is too far, the tails of the table say (``tails``), so that clean tables raise no alarm, whatever the
laws of their columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from easeml.datamagic.cleaning.embedding import NUMBERS, Embedding, cells
from easeml.datamagic.cleaning.suspects import Found
from easeml.datamagic.cleaning.tails import false_share, tail_chances
from easeml.relation import Block, Relation
from easeml.relation.columns import moments_of
from easeml.stream.payloads import ColumnKind

OUTLIER, ROW = "outlier", "outlier_row"
LEVEL = 0.05
"""Rate of false alarms at a score of a half; in a table without errors, the probability of any."""
_LEAST_ROWS = 20
_SAMPLE = 5000
_MAD = 1.4826
_PIECE = 20_000
_EXPLAINED = 3.0
_FEW_VALUES = 10
_OFTEN = 0.01
_CODE = 5.0
_LEAST_KNOWN = 0.5
_ROWS_PER_AXIS = 5
"""Fewer, and the rest of a row explains any number."""
_LEAST_GAIN = 0.9
_LEAST_SCALE = 0.01
_LEAST_TOLD = 0.01
_LEVELS = (0.05, 0.1, 0.2)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def straightened(numbers: Floats) -> Floats:
    """Return a column, or its logarithm (with the sign kept) where that makes it less skewed; NaN stays.

    Skewness after Hinkley (Applied Statistics 24, 1975), from the median and the 5th, 10th and 20th percentile of each
    side, so that the outliers that are looked for have no say and steps of whole numbers little.
    """
    known = numbers[np.isfinite(numbers)]
    if len(known) < 3 or not ((known >= 0).all() or (known < 0).all()):
        return numbers
    # Counts may be 0.
    logs = np.log1p(numbers) if known.min() == 0 else np.sign(numbers) * np.log(np.abs(numbers))
    # Of a normal sample its standard error is 1.04 / sqrt(n); the logarithm of what is not skewed has a long tail.
    skew = abs(_skew(numbers))
    return logs if skew > 3.0 / np.sqrt(len(known)) and abs(_skew(logs)) < skew else numbers


def _skew(numbers: Floats) -> float:
    low, high = (np.nanquantile(numbers, levels) for levels in (_LEVELS, np.subtract(1.0, _LEVELS)))
    width = np.where(high > low, high - low, np.inf)
    return float(np.mean((high + low - 2.0 * np.nanmedian(numbers)) / width))


def robust_z(numbers: Floats, least: float = 0.0) -> Floats:
    """Return how far each number is from the median, in robust standard deviations of at least ``least``; NaN stays.

    >>> robust_z(np.array([-2.0, -1.0, 0.0, 1.0, 100.0])).round(1).tolist()
    [-1.3, -0.7, 0.0, 0.7, 67.4]
    """
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return numbers
    spread = max(_spread(known), least)
    return (numbers - np.median(known)) / spread if spread > 0 else np.zeros_like(numbers)


def _spread(numbers: Floats) -> float:
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return 0.0
    median = np.median(known)
    spread = _MAD * float(np.median(np.abs(known - median)))
    if spread == 0:
        # More than half are equal: the mean deviation of a normal law, times 1.2533, is its standard deviation.
        spread = 1.2533 * float(np.abs(known - median).mean())
    return spread


def _score(chance: Floats, tests: int) -> Floats:
    return np.asarray(1.0 / (1.0 + false_share(chance, tests) / LEVEL), np.float64)


def outliers(relation: Relation, rng: np.random.Generator) -> Iterator[Found]:
    """Yield the numbers that are too far out, by column, and the rows that are.

    Parameters
    ----------
    relation : Relation
        Any rows; of fewer than twenty none is told.
    rng : Generator
        Draws the sample that expectations are learnt from, and the trees of the forest.
    """
    block = relation.block
    if len(block) < _LEAST_ROWS:
        return
    sample = np.sort(rng.permutation(len(block))[:_SAMPLE])
    straight = cells(block, slice(None))
    for place, column in enumerate(block.columns):
        if column.kind in NUMBERS:
            straight[:, place] = straightened(straight[:, place])
    judged = [
        place
        for place, own in enumerate(block.columns)
        if own.kind in NUMBERS and len(np.unique(_known(straight[:, place]))) > _FEW_VALUES
    ]
    embedding = Embedding(block.columns, bounded=False)
    points = embedding.fit(straight[sample])
    if judged:
        yield from _cells(straight, sample, block, judged)
    if embedding.width:
        yield _forest(straight, embedding, points, rng)


def _known(numbers: Floats) -> Floats:
    return numbers[np.isfinite(numbers)]


def _often(numbers: Floats) -> NDArray[np.bool_]:
    """Return which cells have a value that is usual in the column."""
    values, counts = np.unique(_known(numbers), return_counts=True)
    return np.isin(numbers, values[counts > max(2.0, _OFTEN * float(counts.sum()))])


def _cells(straight: Floats, sample: Ints, block: Block, judged: Sequence[int]) -> Iterator[Found]:
    # What an almost empty column has to do with the others is chance.
    sparse = np.isfinite(straight).mean(axis=0) < _LEAST_KNOWN
    dense = np.where(sparse, np.nan, straight)
    own = straight[:, judged]
    alone = np.column_stack([robust_z(column) for column in own.T])
    often = np.column_stack([_often(column) for column in own.T])
    # A usual value far from all others is a code, not a measurement, and tells nothing about the tail.
    chance = tail_chances(np.where(often & (np.abs(alone) > _CODE), np.nan, own))
    chance[often] = 1.0
    score, residual = _scores(dense, sample, block, judged, alone, chance)
    # Of normal rows, the cell of the largest residual is the one whose change explains the row best. A wrong
    # cell spoils what is expected of the others: hide the worst of each row, and look again.
    worst = np.argmax(np.where(score >= 0.5, np.abs(residual), -1.0), axis=1)
    rows = np.flatnonzero(score[np.arange(len(score)), worst] >= 0.5)
    at = np.array(judged)[worst[rows]]
    kept = dense[rows, at]
    dense[rows, at] = np.nan
    score, residual = _scores(dense, sample, block, judged, alone, chance, (rows, at, kept))
    for at_place, place in enumerate(judged):
        odd = np.flatnonzero(score[:, at_place] > _LEAST_TOLD)
        told = [_told(block, place, row, alone[row, at_place], residual[row, at_place]) for row in odd.tolist()]
        yield Found(OUTLIER, odd, block.columns[place].name, score[odd, at_place], told)


def _scores(
    straight: Floats,
    sample: Ints,
    block: Block,
    places: Sequence[int],
    alone: Floats,
    chance: Floats,
    hidden: tuple[Ints, Ints, Floats] | None = None,
) -> tuple[Floats, Floats]:
    """Return how suspicious numeric cells are, alone and given the rest of their row, and the residuals' z.

    Parameters
    ----------
    straight : ndarray of float64, shape (n, columns)
        The rows, hidden cells NaN.
    sample : ndarray of int64
        Rows to learn from.
    alone, chance : ndarray of float64, shape (n, places)
        Robust z in each column, and how probable one that far is (NaN: not to be judged); they stand for those of the
        residual where the rest of the row explains nothing.
    hidden : tuple of ndarray, optional
        Row, column and number of the cells from which nothing is expected of others.
    """
    residual, given = alone.copy(), np.full(alone.shape, np.nan)
    embedding = Embedding(block.columns, bounded=False)
    embedding.fit(straight[sample])
    free = 1.0 - embedding.width / len(sample)
    covered = [(at, place) for at, place in enumerate(places) if embedding.covers(place)]
    if covered and free >= 1.0 - 1.0 / _ROWS_PER_AXIS:
        expected = np.full(alone.shape, np.nan)
        for rows in _pieces(len(straight)):
            points, missing = embedding.transform(straight[rows]), np.isnan(straight[rows])
            for at, place in covered:
                expected[rows, at] = embedding.expected(points, place, missing)
        whole = straight.copy()
        if hidden is not None:
            whole[hidden[0], hidden[1]] = hidden[2]
        wide = embedding.widening(np.isnan(straight), [place for _, place in covered])
        for width, (at, place) in zip(wide.T, covered, strict=True):
            own = whole[:, place]
            scale = _spread(own)
            left = (own - expected[:, at]) / width
            if _spread(left) < _LEAST_GAIN * np.sqrt(free) * scale:
                residual[:, at] = robust_z(left, _LEAST_SCALE * scale)
                given[:, at] = left
    given = tail_chances(given)
    least = np.fmin(chance, given)
    # Where the rest of the row explains an extreme value, it is no error.
    least[(np.abs(residual) < _EXPLAINED) & np.isfinite(chance)] = 1.0
    return _score(least, int(np.isfinite(chance).sum() + np.isfinite(given).sum())), residual


def _told(block: Block, place: int, row: int, alone: float, residual: float) -> str:
    number = block.column(place)[row]
    moment = block.columns[place].kind is ColumnKind.DATETIME
    shown = str(moments_of(np.array([number]))[0]) if moment else f"{number:g}"
    if abs(residual) > abs(alone):
        return f"{shown} is {abs(residual):.1f} deviations from what the rest of the row lets expect"
    return f"{shown} is {abs(alone):.1f} deviations from the column's median"


def _forest(straight: Floats, embedding: Embedding, points: NDArray[Any], rng: np.random.Generator) -> Found:
    """Return the rows that random splits tell from all others soonest."""
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - takes half a second to import

    forest = IsolationForest(random_state=int(rng.integers(2**31))).fit(points)
    raw = np.concatenate(
        [-forest.score_samples(embedding.transform(straight[rows])) for rows in _pieces(len(straight))]
    )
    chance = tail_chances(raw[:, None])[:, 0]
    score = np.where(raw > np.median(raw), _score(chance, len(raw)), 0.0)
    rows = np.flatnonzero(score > _LEAST_TOLD)
    return Found(ROW, rows, None, score[rows], [f"isolated with a score of {raw[row]:.2f}" for row in rows])


def _pieces(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _PIECE, n)) for start in range(0, n, _PIECE))
