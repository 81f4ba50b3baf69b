"""Augmentation of the train pillar: class weights, interpolated rows and noisy copies, kept only if they help.

Source of the interpolation: Chawla et al. (SMOTE), JAIR 16, 2002. Class weights often do as well, and cost no rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.neighbors import NearestNeighbors

from easeml.datamagic.supervision.encoding import RowEncoder
from easeml.datamagic.supervision.folds import stratified_folds
from easeml.errors import InvalidDataError
from easeml.progress import Progress
from easeml.relation import Block, Candidates, Relation, row_digests
from easeml.relation.block import stack
from easeml.stream.payloads import ColumnKind, Pillar

Method = Literal["class_weights", "noise", "smote"]
Ints = NDArray[np.int64]

PREFIX = "datamagic.augment:"
"""Start of the row ids of synthetic rows."""
SOURCE = "datamagic.augment/1"
"""Source of the candidate, of probability 1, by which every synthetic row says what it is."""
METHODS: tuple[Method, ...] = ("class_weights", "noise", "smote")
"""From the simplest to the richest: among methods that do as well, the first one counts."""
NEIGHBOURS = 5
NOISE = 0.1
"""Standard deviation of the noise in units of the column's; share of categories drawn anew."""
MOST_ROWS = 20_000
"""Rows of a class among which neighbours are sought, and rows that a trial trains on."""
SURE = 2.0
"""Standard errors that a gain must exceed: with one, every third trial on pure noise would pass."""
_ID_PART = 120


class Augmentation(NamedTuple):
    """What an augmentation did.

    Parameters
    ----------
    relation : Relation
        The rows given, with the synthetic ones behind them if any were accepted.
    report : DataFrame
        Per method (the index, "none" first): ``score`` (mean over the folds), ``gain`` over no augmentation, ``error``
        (standard error of the gain), ``rows`` it would add to all rows and ``accepted``.
    chosen : str
        The accepted method, or "none".
    class_weights : dict of str to float
        Weight of each class for training if ``chosen`` is "class_weights"; else 1.
    """

    relation: Relation
    report: pd.DataFrame
    chosen: str
    class_weights: dict[str, float]


def is_synthetic(relation: Relation) -> NDArray[np.bool_]:
    """Return which rows were made by augmentation, shape (n,)."""
    return np.array([row_id.startswith(PREFIX) for row_id in relation.row_ids], bool)


def without_synthetic(relation: Relation) -> Relation:
    """Return the relation without the rows that augmentation made: the one before it."""
    made = is_synthetic(relation)
    return relation.take(~made) if made.any() else relation


def augment(
    relation: Relation,
    *,
    rng: np.random.Generator,
    pillar: Pillar = Pillar.TRAIN,
    methods: Sequence[Method] = METHODS,
    model: Any = None,
    metric: Literal["balanced_accuracy", "accuracy"] = "balanced_accuracy",
    folds: int = 5,
    repeats: int = 2,
    progress: Progress | None = None,
) -> Augmentation:
    """Try augmentations by cross-validation on rows that are not augmented, and keep the best if it helps.

    Parameters
    ----------
    relation : Relation
        Rows of the train pillar with labels; synthetic ones among them are dropped first. Rows with an unknown label
        stay and take no part; uncertain cells count at their most probable value.
    rng : Generator
        Source of folds and rows.
    pillar : Pillar
        Pillar of the rows; anything but train is refused, for made-up rows must not judge models.
    methods : sequence of {"class_weights", "noise", "smote"}
        What to try.
    model : scikit-learn classifier, optional
        Judge, trained with sample weights; without it, a logistic regression.
    metric : {"balanced_accuracy", "accuracy"}
        What must improve.
    folds, repeats : int
        Cross-validation; the gain must exceed two standard errors, corrected for the overlap of the folds.
    progress : callable, optional
        Called with folds done, folds in all, and what they are.

    Raises
    ------
    InvalidDataError
        When the pillar is not train, there are no features, or fewer than two classes have two labelled rows.
    """
    if pillar is not Pillar.TRAIN:
        raise InvalidDataError(
            f"Rows of the {pillar} pillar are not augmented.", mend="Models are judged there; augment the train pillar."
        )
    relation = without_synthetic(relation)
    world = _trainable(relation)
    judge = model if model is not None else LogisticRegression(max_iter=300)
    score = balanced_accuracy_score if metric == "balanced_accuracy" else accuracy_score
    labels = world.labels.astype(np.int64)
    folds = int(min(folds, np.bincount(labels).max()))
    same = row_digests(world.block)
    scores: list[list[float]] = []
    for repeat in range(repeats):
        for fold, held in enumerate(stratified_folds(labels, folds, rng, same)):
            train, test = world.take(~held), world.take(held)
            scores.append([_trial(judge, train, test, method, score, rng) for method in ("none", *methods)])
            if progress is not None:
                progress(repeat * folds + fold + 1, repeats * folds, "folds of augmentation trials")
    rows = {method: synthetic_rows(world, method, rng) for method in methods if method != "class_weights"}
    report = _report(np.array(scores), ("none", *methods), {name: len(made) for name, made in rows.items()}, folds)
    chosen = _chosen(report)
    report["accepted"] = report.index == chosen
    augmented = relation
    if chosen in rows:
        augmented = Relation(
            stack([relation.block, rows[chosen].block]), label=relation.label, classes=relation.classes
        )
    weights = _weights(labels, len(relation.classes)) if chosen == "class_weights" else np.ones(len(relation.classes))
    return Augmentation(augmented, report, chosen, dict(zip(relation.classes, weights.tolist(), strict=True)))


def _trainable(relation: Relation) -> Relation:
    """Return the labelled rows in their most probable world."""
    if relation.label is None or not relation.columns:
        raise InvalidDataError("Augmentation needs features and a label.", mend="Read the rows with label=...")
    world = relation.labelled().most_probable_world()
    if (np.bincount(world.labels, minlength=2) >= 2).sum() < 2:
        raise InvalidDataError("Fewer than two classes have two labelled rows.", mend="Label more rows first.")
    return world


def _weights(labels: Ints, classes: int) -> NDArray[np.float64]:
    """Return the weight per class under which all classes weigh alike; 1 for one without rows."""
    counts = np.bincount(labels, minlength=classes)
    return np.where(counts > 0, len(labels) / (max((counts > 0).sum(), 1) * np.maximum(counts, 1)), 1.0)


def _trial(
    judge: Any,
    train: Relation,
    test: Relation,
    method: str,
    score: Callable[[Any, Any], float],
    rng: np.random.Generator,
) -> float:
    """Return the score on untouched rows of a model trained on augmented ones."""
    if len(train) > MOST_ROWS:
        train = train.take(np.sort(rng.choice(len(train), MOST_ROWS, replace=False)))
    encoder = RowEncoder.of(train)
    blocks = [train] if method in ("none", "class_weights") else [train, synthetic_rows(train, method, rng)]
    rows = Relation(stack([one.block for one in blocks]), label=train.label, classes=train.classes)
    labels = rows.labels.astype(np.int64)
    weight = _weights(labels, len(train.classes))[labels] if method == "class_weights" else np.ones(len(labels))
    if len(np.unique(labels)) < 2:
        predicted = np.full(len(test), labels[0])
    else:
        predicted = (
            clone(judge).fit(encoder.transform(rows), labels, sample_weight=weight).predict(encoder.transform(test))
        )
    return float(score(test.labels, predicted))


def _report(scores: NDArray[np.float64], names: tuple[str, ...], rows: dict[str, int], folds: int) -> pd.DataFrame:
    gains = scores - scores[:, :1]
    # Nadeau & Bengio, Machine Learning 52, 2003: training sets overlap, so folds are not independent.
    spread = gains.std(axis=0, ddof=1) * np.sqrt(1 / len(scores) + 1 / max(folds - 1, 1))
    table = {"score": scores.mean(axis=0), "gain": gains.mean(axis=0), "error": spread}
    return pd.DataFrame(table, index=pd.Index(names, name="method")).assign(rows=[rows.get(name, 0) for name in names])


def _chosen(report: pd.DataFrame) -> str:
    """Return the simplest method that gains surely and about as much as the best one."""
    rows = zip(report.index, report["gain"], report["error"], strict=True)
    sure = {str(name): (float(gain), float(error)) for name, gain, error in rows if gain > SURE * error}
    if not sure:
        return "none"
    gain, error = max(sure.values())
    return next(name for name in METHODS if name in sure and sure[name][0] >= gain - error)


def synthetic_rows(world: Relation, method: str, rng: np.random.Generator) -> Relation:
    """Return new rows made from labelled, certain ones: tagged, without ids or sources of the old ones.

    Parameters
    ----------
    world : Relation
        Labelled rows without candidates.
    method : {"noise", "smote"}
        ``noise``: a noisy copy of each row. ``smote``: rows between two near rows of one class, until every class has
        as many rows as the largest.
    rng : Generator
        Source of rows.
    """
    labels = world.labels.astype(np.int64)
    if method == "noise":
        first = np.arange(len(world))
        second, share = rng.permutation(len(world)), np.zeros(len(world))
    else:
        first, second = _pairs(world, labels, rng)
        share = rng.random(len(first))
    block = _mixed(world, method, first, second, share, rng)
    return Relation(_tagged(block), label=world.label, classes=world.classes)


def _pairs(world: Relation, labels: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return pairs of near rows of one class, as many per class as it lacks."""
    table = RowEncoder.of(world).transform(world)
    counts = np.bincount(labels)
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for label in np.flatnonzero((counts > 0) & (counts < counts.max())):
        mine = np.flatnonzero(labels == label)
        if len(mine) > MOST_ROWS:
            mine = rng.choice(mine, MOST_ROWS, replace=False)
        wanted = int(counts.max() - counts[label])
        place = rng.integers(len(mine), size=wanted)
        near = np.arange(len(mine))[:, None]
        if len(mine) > 1:
            search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(mine) - 1)).fit(table[mine])
            near = search.kneighbors(return_distance=False)
        firsts.append(mine[place])
        seconds.append(mine[near[place, rng.integers(near.shape[1], size=wanted)]])
    return np.concatenate(firsts), np.concatenate(seconds)


def _mixed(
    world: Relation, method: str, first: Ints, second: Ints, share: NDArray[np.float64], rng: np.random.Generator
) -> Block:
    """Return rows ``share`` of the way from the first to the second row of each pair, noisy if that is the method."""
    old = world.block
    numbers = []
    for part, whole in ((old.numeric, _whole(old.numeric)), (old.tensor, _whole(old.tensor))):
        a, b = part[first], part[second]
        cells = a + share[:, None] * (b - a)
        if method == "noise":
            cells = a + NOISE * _spread(part) * rng.standard_normal(a.shape)
        # Between a known and a missing cell lies the known one.
        cells = np.where(np.isnan(cells), np.where(np.isnan(a) & (method != "noise"), b, a), cells)
        numbers.append(np.where(whole, np.rint(cells), cells))
    other = rng.random((len(first), old.codes.shape[1])) < (NOISE if method == "noise" else share[:, None])
    ids = tuple(f"{PREFIX}{method}:{n}:{old.row_ids[row][:_ID_PART]}" for n, row in enumerate(first.tolist()))
    return Block(
        columns=old.columns,
        row_ids=ids,
        numeric=numbers[0],
        codes=np.where(other, old.codes[second], old.codes[first]).astype(np.int32),
        texts=old.texts[first],
        tensor=numbers[1],
        labels=old.labels[first],
        candidates=Candidates(),
    )


def _whole(part: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which columns hold whole numbers only."""
    return np.asarray((np.isnan(part) | (part == np.rint(part))).all(axis=0), bool)


def _spread(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation per column; 0 where nothing is known."""
    known = ~np.isnan(part)
    total = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, part, 0.0).sum(axis=0) / total
    return np.asarray(np.sqrt(np.where(known, (part - mean) ** 2, 0.0).sum(axis=0) / total), np.float64)


def _tagged(block: Block) -> Block:
    """Return the rows with their first known cell as a candidate of probability 1 from the augmentation."""
    free = np.ones(len(block), bool)
    row, column, value = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    texts: dict[str, int] = {}
    for place, kind in enumerate(column.kind for column in block.columns):
        if kind is ColumnKind.TENSOR or not free.any():
            continue
        cells = block.column(place)
        if kind is ColumnKind.TEXT:
            known = free & np.array([text is not None for text in cells], bool)
            found = np.array([texts.setdefault(text, len(texts)) for text in cells[known]], np.float64)
        else:
            known = free & ((cells >= 0) if cells.dtype == np.int32 else ~np.isnan(cells))
            found = cells[known].astype(np.float64)
        row.append(np.flatnonzero(known))
        column.append(np.full(int(known.sum()), place))
        value.append(found)
        free &= ~known
    rows = np.concatenate(row)
    table = Candidates(
        rows,
        np.concatenate(column),
        np.concatenate(value),
        np.ones(len(rows)),
        np.zeros(len(rows), np.int64),
        tuple(texts),
        (SOURCE,) if len(rows) else (),
    )
    return replace(block, candidates=table.sort())
