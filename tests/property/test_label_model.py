"""Label model and Dawid-Skene against plain Python loops, and what no renaming may change."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from easeml.datamagic.supervision.dawid_skene import DawidSkene
from easeml.datamagic.supervision.label_model import LabelModel
from easeml.datamagic.supervision.votes import Votes

MOST = 60


@st.composite
def ballots(draw, *, classes=None, rows=(1, 12), sources=(1, 5)):
    c = classes or draw(st.integers(2, 4))
    shape = (draw(st.integers(*rows)), draw(st.integers(*sources)))
    return c, draw(hnp.arrays(np.int8, shape, elements=st.integers(-1, c - 1)))


@st.composite
def labelled_ballots(draw):
    c, votes = draw(ballots())
    k = draw(st.integers(0, 6))
    valid = draw(hnp.arrays(np.int8, (k, votes.shape[1]), elements=st.integers(-1, c - 1)))
    return c, votes, valid, draw(hnp.arrays(np.int8, (k,), elements=st.integers(0, c - 1)))


def posterior_by_loops(row, precision, balance):
    scores = []
    for c in range(len(balance)):
        score = math.log(balance[c])
        for source, vote in enumerate(row):
            if vote < 0:
                continue
            a, p = precision[source][vote], balance[vote]
            score += math.log(a / p) if c == vote else math.log((1 - a) / (1 - p))
        scores.append(score)
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    return [weight / sum(weights) for weight in weights]


def label_model_by_loops(votes, valid, labels, classes, steps):
    """Run the precision model of the design page, one cell at a time."""
    counts = [1 + sum(int(label) == c for label in labels) for c in range(classes)]
    balance = (
        [count / sum(counts) for count in counts] if labels is not None and len(labels) else [1 / classes] * classes
    )
    sources = votes.shape[1]
    precision = [[0.0] * classes for _ in range(sources)]
    several = [len({*votes[:, j].tolist(), *valid[:, j].tolist()} - {-1}) > 1 for j in range(sources)]

    def prior_mean(j, c):
        odds = 7 / 3 * (classes - 1) * balance[c] / (1 - balance[c])
        return odds / (1 + odds) if several[j] else 0.7

    def step(posteriors):
        for j in range(sources):
            for c in range(classes):
                mine = [i for i in range(len(votes)) if votes[i, j] == c]
                gold = [i for i in range(len(valid)) if valid[i, j] == c]
                strength = len(mine) + 5
                hits = prior_mean(j, c) * strength + 10 * sum(labels[i] == c for i in gold)
                total = strength + 10 * len(gold)
                if posteriors is not None:
                    hits += sum(posteriors[i][c] for i in mine)
                    total += len(mine)
                precision[j][c] = hits / total if gold else max(hits / total, balance[c])

    step(None)
    for _ in range(steps):
        step([posterior_by_loops(row, precision, balance) for row in votes])
    return np.array(precision), balance


@settings(max_examples=MOST, deadline=None)
@given(labelled_ballots())
def test_label_model_is_the_formula(case):
    classes, votes, valid, labels = case
    model = LabelModel(classes).fit(votes, valid=(valid, labels) if len(labels) else None)
    precision, balance = label_model_by_loops(votes, valid, labels, classes, 300)
    assert np.allclose(model.balance, balance)
    assert np.allclose(model.precision, precision, atol=1e-4)
    for row, proba in zip(votes, model.predict_proba(votes), strict=True):
        expected = np.array(posterior_by_loops(row, model.precision, model.balance))
        first = expected >= expected.max() - 1e-9
        if first.sum() == 1:
            assert np.allclose(proba, expected, atol=1e-9)
        assert np.isclose(proba[first].sum(), expected[first].sum())
        assert np.isclose(proba.sum(), 1)
        if (row < 0).all():
            assert np.allclose(proba, model.balance)


@settings(max_examples=MOST, deadline=None)
@given(labelled_ballots(), st.randoms(use_true_random=False))
def test_label_model_does_not_care_how_rows_sources_and_classes_are_numbered(case, random):
    classes, votes, valid, labels = case
    rows, sources, names = (np.array(random.sample(range(n), n)) for n in (*votes.shape, classes))
    renamed = np.append(names, -1)
    own = (valid, labels) if len(labels) else None
    other = (renamed[valid][:, sources], names[labels]) if len(labels) else None
    first = LabelModel(classes).fit(votes, valid=own).predict_proba(votes)
    again = renamed[votes[rows][:, sources]]
    second = LabelModel(classes).fit(again, valid=other).predict_proba(again)
    assert np.allclose(second[:, names], first[rows], atol=1e-5)


@settings(max_examples=MOST, deadline=None)
@given(ballots(), st.floats(0.05, 5))
def test_dawid_skene_climbs_and_answers_with_distributions(case, smoothing):
    classes, votes = case
    model = DawidSkene(classes, smoothing=smoothing).fit(votes)
    assert (np.diff(model.history) >= -1e-9 * np.abs(model.history[0])).all()
    assert np.allclose(model.confusion.sum(axis=2), 1)
    assert np.isclose(model.balance.sum(), 1)
    proba = model.predict_proba(votes)
    assert np.allclose(proba.sum(axis=1), 1)
    assert np.allclose(proba[(votes < 0).all(axis=1)], model.balance)
    assert 0 < model.temper <= 1


@settings(max_examples=MOST, deadline=None)
@given(ballots())
def test_dawid_skene_step_and_posterior_are_the_formula(case):
    classes, votes = case
    model = DawidSkene(classes, temperature=1.0).fit(votes)
    before = DawidSkene(classes, temperature=1.0).fit(votes).predict_proba(votes)
    for row, proba in zip(votes, before, strict=True):
        joint = [
            model.balance[c] * math.prod(model.confusion[w, c, vote] for w, vote in enumerate(row) if vote >= 0)
            for c in range(classes)
        ]
        expected = np.array(joint) / sum(joint)
        if (expected >= expected.max() - 1e-8).sum() == 1:
            assert np.allclose(proba, expected, atol=1e-9)


@settings(max_examples=MOST, deadline=None)
@given(ballots(), st.randoms(use_true_random=False))
def test_dawid_skene_does_not_care_how_items_workers_and_classes_are_numbered(case, random):
    classes, votes = case
    items, workers, names = (np.array(random.sample(range(n), n)) for n in (*votes.shape, classes))
    again = np.append(names, -1)[votes[items][:, workers]]
    first = DawidSkene(classes, temperature=1.0).fit(votes).predict_proba(votes)
    second = DawidSkene(classes, temperature=1.0).fit(again).predict_proba(again)
    assert np.allclose(second[:, names], first[items], atol=1e-4)


@settings(max_examples=MOST, deadline=None)
@given(ballots(), st.randoms(use_true_random=False))
def test_sparse_votes_are_the_dense_ones_in_any_order(case, random):
    classes, votes = case
    item, worker = np.nonzero(votes >= 0)
    order = np.array(random.sample(range(len(item)), len(item)), np.int64)
    triples = Votes.from_triples(item[order], worker[order], votes[item, worker][order], classes, *votes.shape)
    dense, sparse = DawidSkene(classes).fit(votes), DawidSkene(classes).fit(triples)
    assert np.allclose(dense.predict_proba(votes), sparse.predict_proba(triples), atol=1e-9)
