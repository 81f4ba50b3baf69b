"""Suspicious cells and rows: missing, clashing, extreme, repeated, breaking a dependency, spelt in two ways, misspelt.

Relation in, table out; nothing is changed. All scores are in [0, 1] and mean the same: how probable it is that the
cell (or row) is wrong, so that one threshold serves all kinds. Source: Ilyas & Chu, Data Cleaning, 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.datamagic.cleaning.dependencies import Dependency, column_codes, find_dependencies, groups
from easeml.datamagic.cleaning.implied import WORDS, word_counts
from easeml.datamagic.cleaning.outliers import outliers
from easeml.datamagic.cleaning.schema import Clash
from easeml.datamagic.cleaning.spelling import Speller
from easeml.datamagic.cleaning.suspects import Found, missing_cells
from easeml.relation import Block, Relation
from easeml.relation.columns import MOSTLY, cell_value, shown
from easeml.stream.payloads import ColumnKind

MISSING, CLASH, DUPLICATE, DEPENDENCY = "missing", "clash", "duplicate", "dependency"
SPELLING, TYPO, RARE = "spelling", "typo", "rare"
LEAST_SCORE = 0.5
_SAMPLE = 5000
_MOST_RARE = 0.4
_LEAST_DISTINCT = 0.5
_SURE_RULE = 0.95
_MOST_LUCK = 0.1
_SURE_GROUP = 0.9
_LEAST_SUPPORT = 10


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
        Draws samples and the permutations.
    clashes : sequence of Clash, optional
        Those of the schema that the relation was read by, with row ids as rows; they are listed with the rest.
    least_score : float
        Leave out what is less suspicious; 0 lists all.

    Returns
    -------
    DataFrame
        ``row_id``, ``column`` (None: the row as a whole), ``kind``, ``score`` in [0, 1], ``detail`` in words; by
        score, then as the rows and columns stand. Kinds: missing, clash, outlier, outlier_row, duplicate,
        dependency, spelling (case, accents, spaces or punctuation differ), typo, rare.

    Notes
    -----
    Score of a number: 1 / (1 + 20 m), m the share of false alarms among all that are as far out, by the tails of the
    columns (a skewed one is seen on a logarithmic scale) and of what the rest of the row lets expect, where that
    narrows the column by a tenth at least: a table without errors raises an alarm once in twenty times, whatever its
    laws. A number that is probably wrong is no evidence against the rest of its row, so that one error is told once.
    An extreme value that the rest explains is none; its row scores by how far out it is in what the columns share.
    Columns of ten values or fewer, and values of more than a hundredth of the rows, are not judged so.
    A dependency: share of its group (ten rows at least, nine in ten agreeing) that agrees, times its confidence (0.95
    at least, a tenth of the exceptions that chance would make); columns that mostly repeat one another are none.
    A duplicate: 1 / (1 + m), m the number of equal rows expected were the columns independent; none where most rows are
    doubles.
    Cost O(n c log n) and O(c^2) for dependencies on a sample.
    """
    found = [*_missing(relation), *_clashes(relation, clashes), *outliers(relation, rng), *_duplicates(relation)]
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


def _missing(relation: Relation) -> Iterator[Found]:
    block = relation.block
    known = set(zip(block.candidates.row.tolist(), block.candidates.column.tolist(), strict=True))
    for place, column in enumerate(block.columns):
        rows = np.flatnonzero(missing_cells(block, place))
        if known:
            rows = np.array([row for row in rows.tolist() if (row, place) not in known], np.int64)
        yield Found(MISSING, rows, column.name, np.ones(len(rows)), ["no value"] * len(rows))


def _clashes(relation: Relation, clashes: Sequence[Clash]) -> Iterator[Found]:
    places = {row_id: place for place, row_id in enumerate(relation.row_ids)} if clashes else {}
    for clash in clashes:
        row = places.get(str(clash.row))
        if row is not None:
            detail = f"{shown(clash.value)} is not of the column's kind"
            yield Found(CLASH, np.array([row]), clash.column, np.ones(1), [detail])
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
                yield Found(CLASH, rows, column.name, np.full(len(rows), part), told)


def _duplicates(relation: Relation) -> Iterator[Found]:
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
    yield Found(DUPLICATE, rows, None, 1.0 / (1.0 + expected[rows]), told)


def _violations(relation: Relation, rng: np.random.Generator) -> Iterator[Found]:
    block = relation.block
    sample = np.sort(rng.permutation(len(block))[:_SAMPLE])
    codes, _ = column_codes(block, sample)
    told: dict[str, NDArray[np.float64]] = {}
    for rule in find_dependencies(codes, rng=rng):
        # A hint for a gap (and so for repairs) may fail once in ten; what is called wrong must be a rare exception,
        # and a measured quantity, whose equal values are accidents, names nothing.
        if rule.confidence < _SURE_RULE or rule.luck > _MOST_LUCK or _measured(block, rule.determinant):
            continue
        whole, values = column_codes(block, None, None, (rule.determinant, rule.dependent))
        found, _, _ = groups(whole[0], whole[1])
        decided = np.where((found.size >= _LEAST_SUPPORT) & (found.share >= _SURE_GROUP), found.value, -1)
        implied = np.append(decided, -1)[whole[0]]
        odd = np.flatnonzero((implied >= 0) & (whole[1] >= 0) & (implied != whole[1]))
        if _same(block, rule, values, decided):
            continue
        name = block.columns[rule.dependent].name
        score = found.share[whole[0][odd]] * rule.confidence
        before = told.setdefault(name, np.zeros(len(block)))
        odd, score = odd[score > before[odd]], score[score > before[odd]]
        before[odd] = score
        by = block.columns[rule.determinant].name
        texts = [_cell(block, rule.dependent, values[1][code]) for code in implied[odd]]
        yield Found(DEPENDENCY, odd, name, score, [f"{by} implies {text}" for text in texts])


def _same(block: Block, rule: Dependency, values: Sequence[pd.Index[Any]], decided: NDArray[np.int64]) -> bool:
    """Whether most values imply themselves: one thing said twice (by two models), which may well differ."""
    own = [_cell(block, rule.determinant, value) for value in values[0]]
    told = [_cell(block, rule.dependent, values[1][code]) for code in decided]
    equal = sum(a == b for a, b, code in zip(own, told, decided, strict=True) if code >= 0)
    return bool(2 * equal > int((decided >= 0).sum()))


def _measured(block: Block, place: int) -> bool:
    numbers = block.column(place) if block.columns[place].kind is ColumnKind.NUMERIC else np.empty(0)
    return bool((numbers[np.isfinite(numbers)] % 1 != 0).any())


def _cell(block: Block, place: int, value: Any) -> str:
    column = block.columns[place]
    return repr(value if column.kind is ColumnKind.TEXT else cell_value(column, float(value), ()))


def _words(relation: Relation) -> Iterator[Found]:
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
        variants = {word: hit.score for word, hit in hits.items() if not hit.distance}
        typos = {word: hit.score for word, hit in hits.items() if hit.distance}
        told = {word: f"{word!r} is probably {hit.right!r}" for word, hit in hits.items()}
        told |= {word: f"{word!r} hardly occurs" for word in rare}
        for kind, scores in ((SPELLING, variants), (TYPO, typos), (RARE, rare)):
            rows = np.flatnonzero(pd.Series(cells_of, dtype=object).isin(list(scores)).to_numpy())
            score = np.array([scores[cells_of[row]] for row in rows], np.float64)
            yield Found(kind, rows, column.name, score, [told[cells_of[row]] for row in rows])
