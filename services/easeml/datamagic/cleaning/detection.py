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
    what the rest of the row lets expect. An extreme value that the rest explains scores below 0.5. A dependency:
    share of its group that agrees, times its confidence.
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
    return logs if abs(_skew(logs)) < abs(_skew(numbers)) else numbers


def _skew(numbers: NDArray[np.float64]) -> float:
    low, middle, high = np.nanquantile(numbers, (0.1, 0.5, 0.9))
    return float((high + low - 2 * middle) / (high - low)) if high > low else 0.0


def robust_z(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each number is from the median, in robust standard deviations; NaN stays.

    >>> robust_z(np.array([-1.0, 0.0, 1.0, 2.0, 100.0])).round(1).tolist()
    [-1.3, -0.7, 0.0, 0.7, 66.8]
    """
    return _standard(straightened(numbers))


def _standard(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return numbers
    median = np.median(known)
    spread = _MAD * float(np.median(np.abs(known - median)))
    if spread == 0:
        # More than half are equal: the mean deviation of a normal law, times 1.2533, is its standard deviation.
        spread = 1.2533 * float(np.abs(known - median).mean())
    return (numbers - median) / spread if spread > 0 else np.zeros_like(numbers)


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
    embedding = Embedding(block.columns, bounded=False)
    points = embedding.fit(straight[sample])
    places = [place for place, own in enumerate(block.columns) if own.kind in NUMBERS and embedding.covers(place)]
    if places:
        alone = np.column_stack([_standard(straight[:, place]) for place in places])
        score, residual = _scores(straight, embedding, places, alone)
        # Of normal rows, the cell of the largest residual is the one whose change explains the row best. A wrong
        # cell spoils what is expected of the others: hide the worst of each row, and look again.
        worst = np.argmax(np.where(score >= LEAST_SCORE, np.abs(residual), -1.0), axis=1)
        rows = np.flatnonzero(score[np.arange(len(score)), worst] >= LEAST_SCORE)
        at = np.array(places)[worst[rows]]
        kept = straight[rows, at]
        straight[rows, at] = np.nan
        again = Embedding(block.columns, bounded=False)
        again.fit(straight[sample])
        if all(again.covers(place) for place in places):
            score, residual = _scores(straight, again, places, alone, (rows, at, kept))
        straight[rows, at] = kept
        for at_place, place in enumerate(places):
            odd = np.flatnonzero(score[:, at_place] > 0.01)
            told = [_told(block, place, row, alone[row, at_place], residual[row, at_place]) for row in odd.tolist()]
            yield _Found(OUTLIER, odd, block.columns[place].name, score[odd, at_place], told)
    if embedding.width:
        yield _forest(straight, embedding, points, rng)


def _scores(
    straight: NDArray[np.float64],
    embedding: Embedding,
    places: Sequence[int],
    alone: NDArray[np.float64],
    hidden: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how suspicious numeric cells are, alone and given the rest of their row, and the residuals' z.

    Parameters
    ----------
    straight : ndarray of float64, shape (n, columns)
        The rows, hidden cells NaN.
    alone : ndarray of float64, shape (n, places)
        Robust z of each column.
    hidden : tuple of ndarray, optional
        Row, column and number of the cells from which nothing is expected of others.
    """
    residual = np.empty(alone.shape)
    for rows in _pieces(len(straight)):
        points = embedding.transform(straight[rows])
        for at, place in enumerate(places):
            residual[rows, at] = embedding.expected(points, place)
    own = straight[:, places]
    if hidden is not None:
        own[hidden[0], np.searchsorted(places, hidden[1])] = hidden[2]
    residual = own - residual
    for at in range(len(places)):
        residual[:, at] = _standard(residual[:, at])
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
    if not block.columns:
        return
    digest = np.zeros(len(block), np.uint64)
    for part in (block.numeric, block.codes, block.texts, block.tensor, block.labels.reshape(-1, 1)):
        for own in part.T:
            digest = digest * np.uint64(1_000_003) + pd.util.hash_array(np.ascontiguousarray(own))
    _, first, place = np.unique(digest, return_index=True, return_inverse=True)
    rows = np.flatnonzero(first[place] != np.arange(len(block)))
    ids = relation.row_ids
    yield _Found(DUPLICATE, rows, None, np.ones(len(rows)), [f"same as row {ids[first[place[row]]]}" for row in rows])


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
