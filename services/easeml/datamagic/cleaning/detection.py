"""Suspicious cells and rows: missing, clashing, extreme, repeated, contradicting a dependency, misspelt.

Relation in, table out; nothing is changed. All scores are in [0, 1] and mean the same: how probable it is that the
cell (or row) is wrong, so that one threshold serves all kinds. Sources: Iglewicz & Hoaglin, How to detect and handle
outliers, 1993 (robust z); Liu, Ting & Zhou, Isolation forest, ICDM 2008; Ilyas & Chu, Data Cleaning, 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_ndtr

from easeml.datamagic.cleaning.dependencies import column_codes, find_dependencies, groups
from easeml.datamagic.cleaning.embedding import NUMBERS, Embedding, cells
from easeml.datamagic.cleaning.implied import WORDS, word_counts
from easeml.datamagic.cleaning.schema import Clash
from easeml.datamagic.cleaning.spelling import Speller
from easeml.datamagic.cleaning.suspects import missing_cells
from easeml.relation import Block, Relation
from easeml.relation.columns import MOSTLY, cell_value, moments_of
from easeml.stream.payloads import ColumnKind

MISSING, CLASH, OUTLIER, ROW = "missing", "clash", "outlier", "outlier_row"
DUPLICATE, DEPENDENCY, TYPO, RARE = "duplicate", "dependency", "typo", "rare"
LEAST_SCORE = 0.5
_LEAST_ROWS = 20
_SAMPLE = 5000
_MOST_RARE = 0.4
_MAD = 1.4826
_PIECE = 20_000
_EXPLAINED = 3.0
_MOST_EXPLAINED = 0.45
_FEW_VALUES = 10
_OFTEN = 0.01
_LEAST_KNOWN = 0.5
_ROWS_PER_AXIS = 5
"""Fewer, and the rest of a row explains any number."""
_LEAST_GAIN = 0.9
_LEAST_SCALE = 0.01
_LEAST_DISTINCT = 0.5


@dataclass(frozen=True, slots=True)
class _Found:
    """Errors of one kind: rows, their column (None: the whole row), scores and what to tell about each."""

    kind: str
    row: NDArray[np.int64]
    column: str | None
    score: NDArray[np.float64]
    detail: Sequence[str]


def detect_errors(
    relation: Relation,
    *,
    rng: np.random.Generator,
    clashes: Sequence[Clash] = (),
    least_score: float = LEAST_SCORE,
) -> pd.DataFrame:
    """Return what looks wrong in a relation.

    Parameters
    ----------
    relation : Relation
        Any rows. Cells that have candidates already are not told again as missing.
    rng : Generator
        Draws samples, the trees of the forest and the permutations.
    clashes : sequence of Clash, optional
        Those of the schema that the relation was read by, with row ids as rows; they are listed with the rest.
    least_score : float
        Leave out what is less suspicious; 0 lists all.

    Returns
    -------
    DataFrame
        ``row_id``, ``column`` (None: the row as a whole), ``kind``, ``score`` in [0, 1], ``detail`` in words; by
        score, then as the rows and columns stand. Kinds: missing, clash, outlier, outlier_row, duplicate,
        dependency, typo, rare.

    Notes
    -----
    Score of a number z robust standard deviations away: 1 / (1 + m), m the number of values that far among as many
    normal ones as the table has numbers; z from the column (a skewed one is seen on a logarithmic scale) and from
    what the rest of the row lets expect, where that narrows the column by a tenth at least. An extreme value that the
    rest explains scores below 0.5. Columns of ten values or fewer, and values of more than a hundredth of the rows,
    are not judged by deviations. A dependency: share of its group that agrees, times its confidence. A duplicate:
    1 / (1 + m), m the number of equal rows expected were the columns independent; none where most rows are doubles.
    Cost O(n c log n) and O(c^2) for dependencies on a sample.
    """
    found = [*_missing(relation), *_clashes(relation, clashes), *_outliers(relation, rng), *_duplicates(relation)]
    found += [*_violations(relation, rng), *_words(relation)]
    ids = np.array(relation.row_ids, object)
    order = {column.name: place for place, column in enumerate(relation.columns)}
    parts = [
        pd.DataFrame(
            {
                "row_id": ids[own.row],
                "column": pd.Series([own.column] * len(own.row), dtype=object),
                "kind": own.kind,
                "score": np.clip(own.score, 0.0, 1.0),
                "detail": pd.Series(list(own.detail), dtype=object),
                "row": own.row,
                "place": order.get(own.column or "", -1),
            }
        )
        for own in found
        if len(own.row)
    ]
    names = ["row_id", "column", "kind", "score", "detail"]
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=np.float64 if name == "score" else object) for name in names})
    table = pd.concat(parts, ignore_index=True)
    table = table[table["score"] >= least_score]
    keys = [table["kind"].to_numpy(), table["place"].to_numpy(), table["row"].to_numpy(), -table["score"].to_numpy()]
    return table.iloc[np.lexsort(keys)][names].reset_index(drop=True)


def _missing(relation: Relation) -> Iterator[_Found]:
    block = relation.block
    known = set(zip(block.candidates.row.tolist(), block.candidates.column.tolist(), strict=True))
    for place, column in enumerate(block.columns):
        rows = np.flatnonzero(missing_cells(block, place))
        if known:
            rows = np.array([row for row in rows.tolist() if (row, place) not in known], np.int64)
        yield _Found(MISSING, rows, column.name, np.ones(len(rows)), ["no value"] * len(rows))


def _clashes(relation: Relation, clashes: Sequence[Clash]) -> Iterator[_Found]:
    places = {row_id: place for place, row_id in enumerate(relation.row_ids)} if clashes else {}
    for clash in clashes:
        row = places.get(str(clash.row))
        if row is not None:
            detail = f"{clash.value!r} is not of the column's kind"
            yield _Found(CLASH, np.array([row]), clash.column, np.ones(1), [detail])
    block = relation.block
    for place, column in enumerate(block.columns):
        if column.kind not in WORDS:
            continue
        codes, values = column_codes(block, None, None, (place,))
        words = [column.categories[int(v)] if column.categories else str(v) for v in values[0]]
        number = pd.to_numeric(pd.Series(words, dtype=object), errors="coerce").notna().to_numpy()
        counts = np.bincount(codes[0][codes[0] >= 0], minlength=len(words))
        share = float(counts[number].sum()) / max(int(counts.sum()), 1)
        for odd, part, what in ((~number, share, "a number"), (number, 1 - share, "a word")):
            if part >= MOSTLY and part < 1:
                rows = np.flatnonzero(np.append(odd, False)[codes[0]])
                told = [f"{words[codes[0][row]]!r}: nearly all others are {what}" for row in rows]
                yield _Found(CLASH, rows, column.name, np.full(len(rows), part), told)


def straightened(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a column, or its logarithm (with the sign kept) where that makes it less skewed; NaN stays.

    Skewness after Hinkley (Applied Statistics 24, 1975), from the 10th, 50th and 90th percentile, so that the
    outliers that are looked for have no say.
    """
    known = numbers[np.isfinite(numbers)]
    if len(known) < 3 or not ((known >= 0).all() or (known < 0).all()):
        return numbers
    # Counts may be 0.
    logs = np.log1p(numbers) if known.min() == 0 else np.sign(numbers) * np.log(np.abs(numbers))
    # Of a normal sample its standard error is 1.04 / sqrt(n); the logarithm of what is not skewed has a long tail.
    skew = abs(_skew(numbers))
    return logs if skew > 3.0 / np.sqrt(len(known)) and abs(_skew(logs)) < skew else numbers


def _skew(numbers: NDArray[np.float64]) -> float:
    low, middle, high = np.nanquantile(numbers, (0.1, 0.5, 0.9))
    return float((high + low - 2 * middle) / (high - low)) if high > low else 0.0


def robust_z(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each number is from the median, in robust standard deviations; NaN stays.

    >>> robust_z(np.array([-1.0, 0.0, 1.0, 2.0, 100.0])).round(1).tolist()
    [-1.3, -0.7, 0.0, 0.7, 66.8]
    """
    return _standard(straightened(numbers))


def _standard(numbers: NDArray[np.float64], least: float = 0.0) -> NDArray[np.float64]:
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return numbers
    spread = max(_spread(known), least)
    return (numbers - np.median(known)) / spread if spread > 0 else np.zeros_like(numbers)


def _spread(numbers: NDArray[np.float64]) -> float:
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return 0.0
    median = np.median(known)
    spread = _MAD * float(np.median(np.abs(known - median)))
    if spread == 0:
        # More than half are equal: the mean deviation of a normal law, times 1.2533, is its standard deviation.
        spread = 1.2533 * float(np.abs(known - median).mean())
    return spread


def extremeness(z: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the score of values z standard deviations away among n."""
    expected = np.log(2.0 * max(n, 1)) + log_ndtr(-np.abs(z))
    return np.where(np.isnan(z), 0.0, 1.0 / (1.0 + np.exp(np.minimum(expected, 50.0))))


def _outliers(relation: Relation, rng: np.random.Generator) -> Iterator[_Found]:
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
        if own.kind in NUMBERS and len(_counted(straight[:, place])[0]) > _FEW_VALUES
    ]
    embedding = Embedding(block.columns, bounded=False)
    points = embedding.fit(straight[sample])
    if judged:
        # What an almost empty column has to do with the others is chance.
        sparse = np.isfinite(straight).mean(axis=0) < _LEAST_KNOWN
        dense = np.where(sparse, np.nan, straight)
        alone = np.column_stack([_standard(straight[:, place]) for place in judged])
        often = np.column_stack([_often(straight[:, place]) for place in judged])
        score, residual = _scores(dense, sample, block, judged, alone)
        score[often] = 0.0
        # Of normal rows, the cell of the largest residual is the one whose change explains the row best. A wrong
        # cell spoils what is expected of the others: hide the worst of each row, and look again.
        worst = np.argmax(np.where(score >= LEAST_SCORE, np.abs(residual), -1.0), axis=1)
        rows = np.flatnonzero(score[np.arange(len(score)), worst] >= LEAST_SCORE)
        at = np.array(judged)[worst[rows]]
        kept = dense[rows, at]
        dense[rows, at] = np.nan
        score, residual = _scores(dense, sample, block, judged, alone, (rows, at, kept))
        score[often] = 0.0
        for at_place, place in enumerate(judged):
            odd = np.flatnonzero(score[:, at_place] > 0.01)
            told = [_told(block, place, row, alone[row, at_place], residual[row, at_place]) for row in odd.tolist()]
            yield _Found(OUTLIER, odd, block.columns[place].name, score[odd, at_place], told)
    if embedding.width:
        yield _forest(straight, embedding, points, rng)


def _counted(numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    values, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
    return values, counts


def _often(numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which cells have a value that is usual in the column."""
    values, counts = _counted(numbers)
    return np.isin(numbers, values[counts > max(2.0, _OFTEN * float(counts.sum()))])


def _scores(
    straight: NDArray[np.float64],
    sample: NDArray[np.int64],
    block: Block,
    places: Sequence[int],
    alone: NDArray[np.float64],
    hidden: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how suspicious numeric cells are, alone and given the rest of their row, and the residuals' z.

    Parameters
    ----------
    straight : ndarray of float64, shape (n, columns)
        The rows, hidden cells NaN.
    sample : ndarray of int64
        Rows to learn from.
    alone : ndarray of float64, shape (n, places)
        Robust z of each column; stands for that of the residual where the rest of the row explains nothing.
    hidden : tuple of ndarray, optional
        Row, column and number of the cells from which nothing is expected of others.
    """
    embedding = Embedding(block.columns, bounded=False)
    embedding.fit(straight[sample])
    free = 1.0 - embedding.width / len(sample)
    residual = alone.copy()
    if free >= 1.0 - 1.0 / _ROWS_PER_AXIS:
        covered = [(at, place) for at, place in enumerate(places) if embedding.covers(place)]
        expected = np.full(alone.shape, np.nan)
        for rows in _pieces(len(straight)):
            points, missing = embedding.transform(straight[rows]), np.isnan(straight[rows])
            for at, place in covered:
                expected[rows, at] = embedding.expected(points, place, missing)
        whole = straight.copy()
        if hidden is not None:
            whole[hidden[0], hidden[1]] = hidden[2]
        wide = np.ones(alone.shape)
        if covered:
            wide[:, [at for at, _ in covered]] = embedding.widening(np.isnan(straight), [place for _, place in covered])
        for at, place in covered:
            own = whole[:, place]
            scale = _spread(own)
            left = (own - expected[:, at]) / wide[:, at]
            if _spread(left) < _LEAST_GAIN * np.sqrt(free) * scale:
                residual[:, at] = _standard(left, _LEAST_SCALE * scale)
    score = np.maximum(extremeness(alone, alone.size), extremeness(residual, alone.size))
    # Where the rest of the row explains an extreme value, it is no error.
    return np.where(np.abs(residual) < _EXPLAINED, np.minimum(score, _MOST_EXPLAINED), score), residual


def _told(block: Block, place: int, row: int, alone: float, residual: float) -> str:
    number = block.column(place)[row]
    moment = block.columns[place].kind is ColumnKind.DATETIME
    shown = str(moments_of(np.array([number]))[0]) if moment else f"{number:g}"
    if abs(residual) > abs(alone):
        return f"{shown} is {abs(residual):.1f} deviations from what the rest of the row lets expect"
    return f"{shown} is {abs(alone):.1f} deviations from the column's median"


def _forest(
    straight: NDArray[np.float64], embedding: Embedding, points: NDArray[Any], rng: np.random.Generator
) -> _Found:
    """Return the rows that random splits tell from all others soonest."""
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - takes half a second to import

    forest = IsolationForest(random_state=int(rng.integers(2**31))).fit(points)
    raw = np.concatenate(
        [-forest.score_samples(embedding.transform(straight[rows])) for rows in _pieces(len(straight))]
    )
    # Scores are skewed: the upper tenth is taken for exponential (peaks over a threshold; Pickands, 1975).
    start, top = np.quantile(raw, (0.9, 0.99))
    excess = (raw - start) / max(float(top - start) / np.log(10.0), 1e-12)
    score = 1.0 / (1.0 + 0.1 * len(raw) * np.exp(-np.clip(excess, 0.0, 700.0)))
    rows = np.flatnonzero(score > 0.01)
    return _Found(ROW, rows, None, score[rows], [f"isolated with a score of {raw[row]:.2f}" for row in rows])


def _pieces(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _PIECE, n)) for start in range(0, n, _PIECE))


def _duplicates(relation: Relation) -> Iterator[_Found]:
    block = relation.block
    if not block.columns or not len(block):
        return
    digest, expected, used = np.zeros(len(block), np.uint64), np.full(len(block), len(block) - 1.0), 0
    for part in (block.numeric, block.codes, block.texts, block.tensor, block.labels.reshape(-1, 1)):
        for own in part.T:
            hashed = pd.util.hash_array(np.ascontiguousarray(own))
            digest = digest * np.uint64(1_000_003) + hashed
            codes, values = pd.factorize(hashed)
            if len(values) > 1:
                used += 1
                # Of the other rows, how many have the same value.
                expected *= (np.bincount(codes)[codes] - 1) / max(len(block) - 1, 1)
    _, first, place = np.unique(digest, return_index=True, return_inverse=True)
    # Numbers of a single column meet by rounding; and where most rows are doubles, chance has few rows to draw from.
    if len(first) < _LEAST_DISTINCT * len(block) or (used < 2 and block.numeric.shape[1]):
        return
    rows = np.flatnonzero(first[place] != np.arange(len(block)))
    ids = relation.row_ids
    told = [f"same as row {ids[first[place[row]]]}" for row in rows]
    yield _Found(DUPLICATE, rows, None, 1.0 / (1.0 + expected[rows]), told)


def _violations(relation: Relation, rng: np.random.Generator) -> Iterator[_Found]:
    block = relation.block
    sample = np.sort(rng.permutation(len(block))[:_SAMPLE])
    codes, _ = column_codes(block, sample)
    told: dict[str, NDArray[np.float64]] = {}
    for rule in find_dependencies(codes, rng=rng):
        whole, values = column_codes(block, None, None, (rule.determinant, rule.dependent))
        found, _, _ = groups(whole[0], whole[1])
        implied = np.append(found.value, -1)[whole[0]]
        odd = np.flatnonzero((implied >= 0) & (whole[1] >= 0) & (implied != whole[1]))
        name = block.columns[rule.dependent].name
        score = found.share[whole[0][odd]] * rule.confidence
        before = told.setdefault(name, np.zeros(len(block)))
        odd, score = odd[score > before[odd]], score[score > before[odd]]
        before[odd] = score
        by = block.columns[rule.determinant].name
        texts = [_cell(block, rule.dependent, values[1][code]) for code in implied[odd]]
        yield _Found(DEPENDENCY, odd, name, score, [f"{by} implies {text}" for text in texts])


def _cell(block: Block, place: int, value: Any) -> str:
    column = block.columns[place]
    return repr(value if column.kind is ColumnKind.TEXT else cell_value(column, float(value), ()))


def _words(relation: Relation) -> Iterator[_Found]:
    block = relation.block
    for place, column in enumerate(block.columns):
        if column.kind not in WORDS:
            continue
        words, counts = word_counts(block, place)
        if not words:
            continue
        speller, total = Speller(words, counts), int(counts.sum())
        cells_of = np.array([*words, None], object)[block.column(place)] if column.categories else block.column(place)
        hits = {
            word: hit for word, count in zip(words, counts, strict=True) if count and (hit := speller.correct(word))
        }
        rare = {
            word: _MOST_RARE / count
            for word, count in zip(words, counts.tolist(), strict=True)
            if 0 < count <= max(2, 1e-4 * total) and word not in hits and 2 * len(words) <= total
        }
        typos = {word: hit.score for word, hit in hits.items()}
        told = {word: f"{word!r} is probably {hit.right!r}" for word, hit in hits.items()}
        told |= {word: f"{word!r} hardly occurs" for word in rare}
        for kind, scores in ((TYPO, typos), (RARE, rare)):
            rows = np.flatnonzero(pd.Series(cells_of, dtype=object).isin(list(scores)).to_numpy())
            score = np.array([scores[cells_of[row]] for row in rows], np.float64)
            yield _Found(kind, rows, column.name, score, [told[cells_of[row]] for row in rows])
