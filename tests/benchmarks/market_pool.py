"""Pools of which 60 % is useless, and the loop that buys labels out of them, as a library and on the stream.

600 test rows, 200 clean validation rows, 100 owned rows (40 good, 60 bad), logistic regression (C = 0.3) on
standardised features.
"""

import warnings

import numpy as np
import pandas as pd
from river.datasets import ImageSegments
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from easeml.market import Acquisition, knn_shapley
from easeml.market.service import ACQUIRED, MarketService
from easeml.relation import Relation
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import Answer, AppDefined, Column, ColumnKind, Pillar
from easeml.stream.topics import ANSWERS, APPS, DATA_TRAIN, PILLAR_TOPICS, QUESTIONS

KINDS = ("junk", "noise", "copies", "wrong")
TEST, VALIDATION, GOOD, BAD = 600, 200, 40, 60
POOL_GOOD, POOL_BAD = 360, 540
LABELS, BATCH = 200, 50


def load(name):
    if name == "digits":
        return load_digits(return_X_y=True)
    rows = list(ImageSegments())
    features = np.array([list(row.values()) for row, _ in rows], float)
    return features, np.unique([label for _, label in rows], return_inverse=True)[1]


def useless(kind, x, y, rows, own, rng):
    """Rows of one kind: shuffled columns or heavy noise with random labels, near copies of owned rows, wrong labels."""
    n, classes, scale = len(rows), y.max() + 1, x.std(axis=0)
    if kind == "junk":
        return np.column_stack([rng.choice(column, n) for column in x.T]), rng.integers(classes, size=n)
    if kind == "noise":
        return x[rows] + rng.normal(size=(n, x.shape[1])) * 3 * scale, rng.integers(classes, size=n)
    if kind == "copies":
        source = rng.integers(len(own[1]), size=n)
        return own[0][source] + rng.normal(size=(n, x.shape[1])) * 0.02 * scale, own[1][source]
    return x[rows], (y[rows] + rng.integers(1, classes, n)) % classes


def scenario(name, kinds, seed):
    """Return owned rows, the pool with true labels and what is good in it, validation and test rows."""
    x, y = load(name)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    cuts = np.cumsum([TEST, VALIDATION, GOOD, POOL_GOOD])
    test, validation, good, pool_good, spare = np.split(order, cuts)
    own = x[good], y[good]
    # no real row serves twice: a pool must not give itself away by its repetitions
    parts = np.array_split(spare[: BAD + POOL_BAD], len(kinds))
    bad = [useless(kind, x, y, rows, own, rng) for kind, rows in zip(kinds, parts, strict=True)]
    bad_x, bad_y = np.vstack([part[0] for part in bad]), np.concatenate([part[1] for part in bad])
    mixed = rng.permutation(len(bad_y))
    bad_x, bad_y = bad_x[mixed], bad_y[mixed]
    owned = np.vstack([own[0], bad_x[:BAD]]), np.concatenate([own[1], bad_y[:BAD]])
    pool = np.vstack([x[pool_good], bad_x[BAD:]]), np.concatenate([y[pool_good], bad_y[BAD:]])
    mixed = rng.permutation(len(pool[1]))
    pool_x, pool_y, useful = pool[0][mixed], pool[1][mixed], mixed < POOL_GOOD
    scale = StandardScaler().fit(np.vstack([owned[0], pool_x])).transform
    return (
        (scale(owned[0]), owned[1]),
        (scale(pool_x), pool_y, useful),
        (scale(x[validation]), y[validation]),
        (scale(x[test]), y[test]),
    )


def accuracy(owned, test):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=0.3, max_iter=200).fit(*owned).score(*test)


def published_rule(owned, pool, validation, seed):
    """Places of the pool by a forest on values >= 0, the highest first (Jia et al., CVPR 2021)."""
    values = knn_shapley(*owned, *validation)
    kept = values >= 0
    forest = RandomForestRegressor(50, min_samples_leaf=3, random_state=seed).fit(owned[0][kept], values[kept])
    return np.argsort(-forest.predict(pool), kind="stable")


def buy(policy, rows, seed):
    """Buy 200 labels, 50 at a time; return the accuracy after 0, 50, 100, 150, 200 and the share of useful ones."""
    owned, (pool_x, pool_y, useful), validation, test = rows
    market = Acquisition(
        "random" if policy == "published" else policy,
        LABELS,
        n_classes=int(max(owned[1].max(), pool_y.max())) + 1,
        rng=np.random.default_rng(seed),
    )
    market.add_owned([f"owned-{i}" for i in range(len(owned[1]))], *owned)
    market.add_validation([f"validation-{i}" for i in range(len(validation[1]))], *validation)
    market.add_pool([str(i) for i in range(len(pool_y))], pool_x)
    curve, bought = [accuracy(owned, test)], []
    while len(bought) < LABELS:
        if policy == "published":
            order = published_rule(market.owned, pool_x, validation, seed)
            batch = order[~np.isin(order, bought)][:BATCH].tolist()
        else:
            batch = [int(row) for row in market.next(BATCH).row_ids]
        for row in batch:
            market.answer(str(row), int(pool_y[row]))
        bought += batch
        curve.append(accuracy(market.owned, test))
    return np.array(curve), float(useful[bought].mean())


def buy_on_stream(rows):
    """Answer all that the service asks, 200 labels; return the accuracy after 0, 50, 100, 150, 200."""
    owned, (pool_x, pool_y, _), validation, test = rows
    classes = tuple(str(code) for code in range(int(max(owned[1].max(), pool_y.max())) + 1))
    columns = tuple(Column(f"x{place}", ColumnKind.NUMERIC) for place in range(pool_x.shape[1]))
    cluster = MemoryCluster([MarketService()])
    cluster.publish(APPS, AppDefined("pool", "label", classes, columns, acquisition_budget=LABELS))
    parts = {Pillar.TRAIN: owned, Pillar.VALIDATION: validation, Pillar.POOL: (pool_x, [None] * len(pool_y))}
    for pillar, (x, y) in parts.items():
        frame = pd.DataFrame(x, columns=[column.name for column in columns])
        frame["label"] = [None if code is None else str(code) for code in y]
        named = [f"{pillar}-{place}" for place in range(len(frame))]
        relation = Relation.from_frame(frame, label="label", classes=classes, columns=columns, row_ids=named)
        for batch in relation.to_batches("pool", pillar, "v1"):
            cluster.publish(PILLAR_TOPICS[pillar], batch)
    answered: set[str] = set()
    for _ in range(LABELS):
        cluster.tick(3)
        asked = [event.data for event in cluster.events(QUESTIONS) if event.data.row_id not in answered]
        if not asked:
            break
        for question in asked:
            answered.add(question.row_id)
            code = int(pool_y[int(question.row_id.removeprefix("pool-"))])
            cluster.publish(
                ANSWERS,
                Answer(
                    "pool",
                    question.question,
                    question.kind,
                    Pillar.POOL,
                    question.row_id,
                    code,
                    classes[code],
                    "market",
                    1,
                ),
            )
        cluster.run()
    batches = [event.data for event in cluster.events(DATA_TRAIN) if event.data.version == ACQUIRED]
    bought = Relation.from_batches(batches, label="label")
    return np.array(
        [
            accuracy((np.vstack([owned[0], bought.matrix()[:n]]), np.append(owned[1], bought.labels[:n])), test)
            for n in range(0, LABELS + 1, BATCH)
        ]
    )
