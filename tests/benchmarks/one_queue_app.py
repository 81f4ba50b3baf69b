"""Apps of three askers, simulated from library classes: doubtful training rows, a pool, and models to choose from.

No two apps lack the same: a seed draws how many training rows there are (40 to 160) and which share of them is doubtful
(a tenth to four fifths), which share of the pool of 300 is useless (a fifth to four fifths), and which models compete
(two to six). 100 validation rows are clean, three production rows pass per answer. Sets without doubts of their own get
them: half of the doubtful rows miss a cell (the more a column matters the oftener, and high values oftener than low
ones), the other half have a label by an annotator who is right six times in ten. A person answers one question at a
time and is always right. As in a house, models that were trained anew replace those before them and are judged on the
validation rows and on the rows answered so far, and open questions are valued anew as answers come.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from bench_cpclean import reference
from market_pool import load, useless
from river.datasets import Bananas, Phishing
from sklearn.ensemble import RandomForestClassifier

from easeml.automl.families import build
from easeml.cpclean import CandidateRows, CertainPredictions, Encoding
from easeml.datamagic import propose_repairs
from easeml.market import Acquisition
from easeml.modelpicker import ModelPicker
from easeml.relation import Relation

POOL, VALIDATION, PRODUCTION, TEST = 300, 100, 350, 400
LABELS, PER_ANSWER, EVERY = 120, 3, 5
ANNOTATOR = 0.6
KINDS = ("junk", "noise", "copies")
MODELS = (
    ("logistic", "{}"),
    ("lda", "{}"),
    ("knn", '{"n_neighbors": 5}'),
    ("knn", '{"metric": "cosine", "n_neighbors": 1}'),
    ("decision_tree", '{"min_samples_leaf": 2}'),
    ("naive_bayes", "{}"),
)
CLEANING, ACQUISITION, PICKING = "cpclean", "market", "modelpicker"
OPEN = {CLEANING: 5, ACQUISITION: 10}


@dataclass(frozen=True)
class Mix:
    """What an app has: training rows, doubtful ones among them, useless rows of the pool, and its models."""

    train: int
    doubtful: int
    useless: int
    models: tuple[tuple[str, str], ...]

    @classmethod
    def drawn(cls, seed):
        rng = np.random.default_rng([seed, 7])
        train = int(rng.integers(40, 161))
        doubtful, useless = int(train * rng.uniform(0.1, 0.8)), int(POOL * rng.uniform(0.2, 0.8))
        chosen = np.sort(rng.permutation(len(MODELS))[: int(rng.integers(2, len(MODELS) + 1))])
        return cls(train, doubtful, useless, tuple(MODELS[place] for place in chosen))


@dataclass
class Rows:
    """What an app begins with; ``truth`` is what a person says about a training row, as candidate or as features."""

    train: CandidateRows
    labels: np.ndarray
    default: np.ndarray
    truth: dict[int, int | np.ndarray]
    pool: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    production: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    classes: int
    models: tuple[tuple[str, str], ...]

    def told(self, row):
        """Features and label of a training row once a person has spoken."""
        value = self.truth[row]
        if isinstance(value, int):
            line = self.train.row_ptr[row] + value
            return self.train.features[line], self.labels[line]
        return value, self.labels[self.default[row]]

    def owned(self):
        """Training rows as they are most probable."""
        return self.train.features[self.default].copy(), self.labels[self.default].copy()


def table(name):
    if name in {"digits", "segments"}:
        return load(name)
    rows = list({"bananas": Bananas, "phishing": Phishing}[name]())
    features = np.array([list(row.values()) for row, _ in rows], float)
    return features, np.unique([int(label) for _, label in rows], return_inverse=True)[1]


def mixed_pool(good, x, y, spare, own, rng):
    """Good rows and, to the size of the pool, useless ones in any order."""
    parts = np.array_split(spare[: POOL - len(good)], len(KINDS))
    bad = [useless(kind, x, y, part, own, rng) for kind, part in zip(KINDS, parts, strict=True)]
    pool = np.vstack([x[good], *(rows for rows, _ in bad)]), np.concatenate([y[good], *(codes for _, codes in bad)])
    order = rng.permutation(len(pool[1]))
    return pool[0][order], pool[1][order]


def published(name, seed):
    """Rows of a reference set with their own doubts, its features to variance 1."""
    data, rng, mix = reference(name), np.random.default_rng(seed), Mix.drawn(seed)
    starts, sizes = data.train.row_ptr[:-1], np.diff(data.train.row_ptr)
    true = np.array([data.truth.get(row, 0) for row in range(len(sizes))])
    x, y = data.train.features[starts + true], data.labels
    order = rng.permutation(len(x))
    doubtful = order[sizes[order] > 1][: mix.doubtful]
    certain = order[sizes[order] == 1][: mix.train - len(doubtful)]
    train = rng.permutation(np.concatenate([doubtful, certain]))
    good, spare = np.split(order[~np.isin(order, train)], [POOL - mix.useless])
    pool = mixed_pool(good, x, y, spare, (x[train], y[train]), rng)
    shift, scale = x.mean(axis=0), np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    lines = np.concatenate([np.arange(starts[row], starts[row] + sizes[row]) for row in train])
    candidates = CandidateRows(
        np.append(0, np.cumsum(sizes[train])),
        (data.train.features[lines] - shift) / scale,
        data.train.prior[lines],
    )
    first = candidates.row_ptr[:-1]
    order = rng.permutation(len(data.points))
    validation, production = np.split(order[: VALIDATION + PRODUCTION], [VALIDATION])
    tested = rng.permutation(len(data.test))[:TEST]
    return Rows(
        candidates,
        np.repeat(y[train], sizes[train]),
        first + np.array([data.default.get(row, 0) for row in train.tolist()]),
        {place: int(true[row]) for place, row in enumerate(train.tolist()) if sizes[row] > 1},
        ((pool[0] - shift) / scale, pool[1]),
        ((data.points[validation] - shift) / scale, data.point_labels[validation]),
        ((data.points[production] - shift) / scale, data.point_labels[production]),
        ((data.test[tested] - shift) / scale, data.test_labels[tested]),
        2,
        mix.models,
    )


def spoilt(name, seed):
    """Rows of a clean table, cells and labels of training rows made doubtful."""
    x, y = table(name)
    rng, classes, mix = np.random.default_rng(seed), int(y.max()) + 1, Mix.drawn(seed)
    cuts = np.cumsum([TEST, VALIDATION, PRODUCTION, mix.train, POOL - mix.useless])
    test, validation, production, train, good, spare = np.split(rng.permutation(len(x)), cuts)
    pool = mixed_pool(good, x, y, spare, (x[train], y[train]), rng)
    cells, labels = np.array_split(rng.permutation(mix.train)[: mix.doubtful], 2)
    matters = RandomForestClassifier(50, random_state=seed).fit(x[train], y[train]).feature_importances_
    dirty = x[train].copy()
    for row in cells.tolist():
        chance = matters * np.where(dirty[row] >= np.median(x, axis=0), 2.0, 1.0) + 1e-12
        dirty[row, rng.choice(len(chance), p=chance / chance.sum())] = np.nan
    seen = y[train].copy()
    wrong = labels[rng.random(len(labels)) > ANNOTATOR]
    seen[wrong] = (seen[wrong] + rng.integers(1, classes, len(wrong))) % classes
    names, domain = [f"x{column}" for column in range(x.shape[1])], [f"c{code:02}" for code in range(classes)]

    def relation(features, codes):
        frame = pd.DataFrame(features, columns=names).assign(label=[domain[code] for code in codes])
        return Relation.from_frame(frame, label="label", classes=domain, row_ids=[str(i) for i in range(len(frame))])

    proposed = propose_repairs(relation(dirty, seen), rng=rng)
    encoding = Encoding(proposed)
    made, points = encoding.rows(proposed), lambda rows, codes: encoding.points(relation(rows, codes)).points
    clean = points(x[train], y[train])
    truth: dict[int, int | np.ndarray] = {row: clean[row] for row in cells.tolist()}
    # a doubtful label makes one candidate of each class, as weak supervision does
    copies = np.ones(len(made.labels), np.int64)
    owner = np.repeat(np.arange(mix.train), np.diff(made.train.row_ptr))
    copies[np.isin(owner, labels)] = classes
    lines = np.repeat(np.arange(len(copies)), copies)
    owner, label, prior = owner[lines], made.labels[lines], made.train.prior[lines]
    for row in labels.tolist():
        mine = np.flatnonzero(owner == row)
        label[mine] = np.arange(classes)
        prior[mine] = np.where(label[mine] == seen[row], ANNOTATOR, (1 - ANNOTATOR) / (classes - 1))
        truth[row] = int(y[train][row])
    pointer = np.searchsorted(owner, np.arange(mix.train + 1))
    probable = [start + int(prior[start:end].argmax()) for start, end in itertools.pairwise(pointer)]
    return Rows(
        CandidateRows(pointer, made.train.features[lines], prior),
        label,
        np.array(probable),
        truth,
        (points(*pool), pool[1]),
        (points(x[validation], y[validation]), y[validation]),
        (points(x[production], y[production]), y[production]),
        (points(x[test], y[test]), y[test]),
        classes,
        mix.models,
    )


def rows_of(name, seed):
    return published(name, seed) if name in {"supreme", "nursery"} else spoilt(name, seed)


def market_of(rows, x, y, policy, rng):
    market = Acquisition(policy, n_classes=rows.classes, rng=rng)
    market.add_validation([f"v{i}" for i in range(VALIDATION)], *rows.validation)
    market.add_pool([str(i) for i in range(len(rows.pool[1]))], rows.pool[0])
    market.add_owned([f"t{i}" for i in range(len(y))], x, y)
    return market


@dataclass(frozen=True)
class Asked:
    """An open question, as it was published."""

    asker: str
    row: int
    bits: float


class App:
    """The askers, their open questions, and the models they all work for."""

    def __init__(self, rows, seed):
        self.rows, self.classes = rows, rows.classes
        self.x, self.y = rows.owned()
        rngs = np.random.default_rng(seed).spawn(3)
        self.cleaning = CertainPredictions(
            rows.train, rows.labels, rows.validation[0], k=3, n_classes=self.classes, rng=rngs[0]
        )
        self.market = market_of(rows, self.x, self.y, "filter_margin", rngs[1])
        self.picker = ModelPicker(
            0, self.classes, budget=LABELS // 2, horizon=PRODUCTION, half_life="auto", rng=rngs[2]
        )
        self.open: list[Asked] = []
        self.passed = self.trained = 0
        self.train()

    def train(self):
        """Train every model on the most probable rows, and let it replace the one before."""
        models = [build(family, parameters, 0).fit(self.x, self.y) for family, parameters in self.rows.models]
        self.votes = np.column_stack([model.predict(self.rows.production[0]) for model in models]).astype(int)
        self.scores = [float((model.predict(self.rows.test[0]) == self.rows.test[1]).mean()) for model in models]
        former, seen = self.picker.model_ids, list(self.picker.lookback_rows)
        self.trained += 1
        self.names = [f"{place} of {self.trained}" for place in range(len(models))]
        x, y = self.rows.validation
        for name, votes, model in zip(self.names, self.votes.T, models, strict=True):
            self.picker.add_model(name, votes[seen])
            self.picker.validate(name, float((model.predict(x) == y).mean()), len(y))
        for name in former:
            self.picker.retire_model(name)

    @property
    def accuracy(self):
        """Accuracy, on test rows, of the model that is served."""
        return self.scores[self.names.index(self.picker.recommended)]

    def proceed(self):
        """Let production rows pass and every asker ask what it may."""
        seen = np.arange(self.passed, min(self.passed + PER_ANSWER, PRODUCTION))
        if len(seen):
            self.passed += len(seen)
            self.picker.step_batch(self.votes[seen], seen.tolist())
        mine = [asked.row for asked in self.open if asked.asker == CLEANING]
        if not self.cleaning.done and len(mine) < OPEN[CLEANING]:
            fresh = [row for row in self.cleaning.next(OPEN[CLEANING]).tolist() if row not in mine]
            mine += fresh[: OPEN[CLEANING] - len(mine)]
        bought = [asked for asked in self.open if asked.asker == ACQUISITION]
        if len(bought) <= OPEN[ACQUISITION] // 2:
            batch = self.market.next(OPEN[ACQUISITION] - len(bought))
            gains = zip(batch.row_ids, batch.information_gain.tolist(), strict=True)
            bought += [Asked(ACQUISITION, int(row), gain) for row, gain in gains]
        picks, _, bits = self.picker.valued()
        cleaned = self.cleaning.bits(np.array(mine, np.int64)) / VALIDATION
        self.open = [
            *(Asked(CLEANING, row, gain) for row, gain in zip(mine, cleaned.tolist(), strict=True)),
            *bought,
            *(Asked(PICKING, row, gain) for row, gain in zip(picks, bits.tolist(), strict=True)),
        ]

    def answer(self, asked):
        """Tell the truth about a question."""
        self.open.remove(asked)
        row = asked.row
        if asked.asker == PICKING:
            self.picker.answer(row, int(self.rows.production[1][row]))
        elif asked.asker == ACQUISITION:
            x, y = self.rows.pool[0][row], int(self.rows.pool[1][row])
            self.market.answer(str(row), y)
            self.cleaning.add_rows(CandidateRows(np.array([0, 1]), x[None], np.ones(1)), [y], 0)
            self.x, self.y = np.vstack([self.x, x]), np.append(self.y, y)
        else:
            self.cleaning.answer(row, self.rows.truth[row], 0)
            self.x[row], self.y[row] = self.rows.told(row)
            self.market.add_owned([f"t{row}"], self.x[[row]], self.y[[row]])
