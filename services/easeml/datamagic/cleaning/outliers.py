"""Numbers and rows that lie too far out: each judged by its column, and by what the rest of its row lets expect.

Sources: Iglewicz & Hoaglin, How to detect and handle outliers, 1993 (robust z); Rousseeuw & Van den Bossche, Detecting
deviating data cells, Technometrics 60, 2018 (a cell is judged by the cells of its row that are not doubted). How far is
too far, the tails of the table say (``tails``), so that clean tables raise no alarm, whatever the laws of their
columns. Rows are no better judged by an isolation forest: its scores end where the cells of its sample do, so that of
5000 rows none stands out, however far.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
_DOUBTFUL = 1.0 / (1.0 + 0.5 / LEVEL)
"""Score of cells half of which are false alarms: below it a cell is rather right than wrong, and has a say."""
_LESSONS = 2
_FAR = 6.0
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
    """Yield the numbers that are too far out, by column, and the rows that are though no number of theirs is to blame.

    Parameters
    ----------
    relation : Relation
        Any rows; of fewer than twenty none is told.
    rng : Generator
        Draws the sample that expectations are learnt from.
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
    if not judged:
        return
    numbers = straight[:, judged]
    alone = np.column_stack([robust_z(column) for column in numbers.T])
    often = np.column_stack([_often(column) for column in numbers.T])
    # A usual value far from all others is a code, not a measurement, and tells nothing about the tail.
    chance = tail_chances(np.where(often & (np.abs(alone) > _CODE), np.nan, numbers))
    chance[often] = 1.0
    score, residual, filled = _explained(straight, sample, block, judged, alone, chance)
    for at, place in enumerate(judged):
        odd = np.flatnonzero(score[:, at] > _LEAST_TOLD)
        told = [_told(block, place, row, alone[row, at], residual[row, at]) for row in odd.tolist()]
        yield Found(OUTLIER, odd, block.columns[place].name, score[odd, at], told)
    whole = filled[:, np.isfinite(filled).all(axis=0)]
    if whole.size:
        yield from _rows(whole)


def _known(numbers: Floats) -> Floats:
    return numbers[np.isfinite(numbers)]


def _often(numbers: Floats) -> NDArray[np.bool_]:
    """Return which cells have a value that is usual in the column."""
    values, counts = np.unique(_known(numbers), return_counts=True)
    return np.isin(numbers, values[counts > max(2.0, _OFTEN * float(counts.sum()))])


def _explained(
    straight: Floats, sample: Ints, block: Block, places: Sequence[int], alone: Floats, chance: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return scores and residuals of the judged cells, and the cells with what is expected in place of wrong ones.

    A wrong cell spoils what is expected of all others of its row. Of normal rows, the cell of the largest residual is
    the one whose change explains the row best: where cells are doubtful it is left out, the rest expected anew, and so
    on until none is doubtful that is still in. Then what numbers have to do with each other is learnt again without the
    cells left out, and all rows are judged anew by it.

    Parameters
    ----------
    straight : ndarray of float64, shape (n, columns)
        The rows.
    sample : ndarray of int64
        Rows to learn from.
    alone, chance : ndarray of float64, shape (n, places)
        Robust z in each column, and how probable one that far is (NaN: not to be judged).
    """
    # What an almost empty column has to do with the others is chance.
    sparse = np.isfinite(straight).mean(axis=0) < _LEAST_KNOWN
    dense, every = np.where(sparse, np.nan, straight), np.arange(len(straight))
    hidden = np.zeros(alone.shape, bool)
    for _ in range(_LESSONS):
        rest, before = _Rest(_without(dense, hidden, places), sample, block, places), hidden
        expected, wide = rest.expected(dense)
        score, residual = _scores(rest, straight[:, places], expected, wide, alone, chance)
        hidden = np.zeros(alone.shape, bool)
        for _ in range(len(places) // 2):
            doubt = np.where((score > _DOUBTFUL) & ~hidden, np.abs(residual), -1.0)
            worst = np.argmax(doubt, axis=1)
            rows = np.flatnonzero(doubt[every, worst] >= 0.0)
            if not len(rows):
                break
            hidden[rows, worst[rows]] = True
            expected[rows], wide[rows] = rest.expected(_without(dense[rows], hidden[rows], places))
            score, residual = _scores(rest, straight[:, places], expected, wide, alone, chance)
        if (hidden == before).all():
            break
    return score, residual, np.where(hidden | np.isnan(alone), expected, straight[:, places])


def _without(straight: Floats, hidden: NDArray[np.bool_], places: Sequence[int]) -> Floats:
    out = straight.copy()
    out[:, places] = np.where(hidden, np.nan, out[:, places])
    return out


class _Rest:
    """What the rest of a row lets expect of its numbers, as learnt from a sample of rows."""

    def __init__(self, straight: Floats, sample: Ints, block: Block, places: Sequence[int]) -> None:
        self._places = places
        self._embedding = Embedding(block.columns, bounded=False)
        self._embedding.fit(straight[sample])
        self.free = 1.0 - self._embedding.width / len(sample)
        covered = [(at, place) for at, place in enumerate(places) if self._embedding.covers(place)]
        self._covered = covered if self.free >= 1.0 - 1.0 / _ROWS_PER_AXIS else []

    def expected(self, straight: Floats) -> tuple[Floats, Floats]:
        """Return what is expected of the judged cells of rows (NaN: nothing), and how much wider for want of cells."""
        expected = np.full((len(straight), len(self._places)), np.nan)
        wide = np.ones_like(expected)
        if not self._covered:
            return expected, wide
        missing = np.isnan(straight)
        for rows in _pieces(len(straight)):
            points = self._embedding.transform(straight[rows])
            for at, place in self._covered:
                expected[rows, at] = self._embedding.expected(points, place, missing[rows])
        own = [at for at, _ in self._covered]
        wide[:, own] = self._embedding.widening(missing, [place for _, place in self._covered])
        return expected, wide


def _scores(
    rest: _Rest, numbers: Floats, expected: Floats, wide: Floats, alone: Floats, chance: Floats
) -> tuple[Floats, Floats]:
    """Return how suspicious numbers are, alone and given the rest of their row, and the residuals' z.

    Those of the column stand for those of the residual where the rest of the row explains nothing.
    """
    residual, given = alone.copy(), np.full(alone.shape, np.nan)
    for at, own in enumerate(numbers.T):
        scale, left = _spread(own), (own - expected[:, at]) / wide[:, at]
        if np.isfinite(left).any() and _spread(left) < _LEAST_GAIN * np.sqrt(rest.free) * scale:
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


def _rows(numbers: Floats) -> Iterator[Found]:
    """Yield the rows that are far out in a direction that several columns share, so that each explains the others.

    Directions: principal components with more variance than those of independent columns have (Marchenko & Pastur,
    Mathematics of the USSR-Sbornik 1, 1967). Shape of ``numbers``: (n, columns), without gaps.
    """
    z = np.column_stack([robust_z(column) for column in numbers.T])
    near = np.clip(z, -_FAR, _FAR)
    spread = np.maximum(near.std(axis=0), _LEAST_SCALE)
    variance, axes = np.linalg.eigh(np.atleast_2d(np.cov(near / spread, rowvar=False)))
    shared = axes[:, variance > (1.0 + np.sqrt(z.shape[1] / len(z))) ** 2]
    if not shared.size:
        return
    along = (z / spread) @ shared
    # How heavy the tails of the columns are tells how heavy those of what they share may be.
    chance = tail_chances(np.column_stack([along, z]))[:, : along.shape[1]]
    score = _score(chance, chance.size)
    most, rows = score.argmax(axis=1), np.flatnonzero(score.max(axis=1) > _LEAST_TOLD)
    away = np.column_stack([robust_z(column) for column in along.T])
    told = [
        f"{abs(away[row, most[row]]):.1f} deviations from the middle in what columns share" for row in rows.tolist()
    ]
    yield Found(ROW, rows, None, score[rows, most[rows]], told)


def _pieces(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _PIECE, n)) for start in range(0, n, _PIECE))
