"""Wrong labels are found on real data, and every rule does what its formula says."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score

from easeml.datamagic.supervision.label_issues import detect_label_issues, find_label_issues, out_of_fold
from easeml.errors import ConfigurationError, InvalidDataError
from easeml.relation import Relation


def flipped(labels, rate, rng):
    classes = labels.max() + 1
    wrong = np.zeros(len(labels), bool)
    wrong[rng.permutation(len(labels))[: round(rate * len(labels))]] = True
    given = labels.copy()
    given[wrong] = (labels[wrong] + rng.integers(1, classes, wrong.sum())) % classes
    return given, wrong


@pytest.mark.parametrize(("load", "least_f1"), [(load_wine, 0.88), (load_breast_cancer, 0.84)])
@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_flipped_labels_of_real_data_are_found(load, least_f1, rate):
    features, labels = load(return_X_y=True)
    given, wrong = flipped(labels, rate, np.random.default_rng(7))
    proba = out_of_fold(features, given, rng=np.random.default_rng(1))
    issues = find_label_issues(proba, given, rule="noise")
    found = np.isin(np.arange(len(labels)), issues.indices)
    assert f1_score(wrong, found) >= least_f1
    assert average_precision_score(wrong, issues.score) >= 0.89
    assert (np.diff(issues.score[issues.indices]) <= 0).all()


def test_next_to_nothing_is_wrong_in_clean_labels():
    features, labels = load_wine(return_X_y=True)
    proba = out_of_fold(features, labels, rng=np.random.default_rng(0))
    assert len(find_label_issues(proba, labels, rule="noise").indices) <= 2


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_rules_are_their_formulas(data):
    n, c = data.draw(st.integers(1, 12)), data.draw(st.integers(2, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    proba = rng.dirichlet(np.ones(c), size=n)
    labels = rng.integers(-1, c, size=n)
    argmax, confident = find_label_issues(proba, labels), find_label_issues(proba, labels, rule="confident")
    threshold = {}
    for k in range(c):
        mine = [proba[i, k] for i in range(n) if labels[i] == k]
        threshold[k] = sum(mine) / len(mine) if mine else float("inf")
    expected = {"argmax": set(), "confident": set()}
    for i in range(n):
        if labels[i] < 0:
            assert argmax.score[i] == confident.score[i] == 0
            continue
        assert argmax.score[i] == pytest.approx(1 - proba[i, labels[i]])
        if max(range(c), key=lambda k: proba[i, k]) != labels[i]:
            expected["argmax"].add(i)
        over = [k for k in range(c) if proba[i, k] >= threshold[k]]
        if over and max(over, key=lambda k: proba[i, k]) != labels[i]:
            expected["confident"].add(i)
    assert set(argmax.indices) == expected["argmax"]
    assert set(confident.indices) == expected["confident"]
    noise = find_label_issues(proba, labels, rule="noise")
    assert ((noise.score >= 0) & (noise.score <= 1)).all()
    assert set(noise.indices) == set(np.flatnonzero(noise.score > 0.5))


@pytest.mark.parametrize("features", [np.array([[np.nan, i] for i in range(30)], float), sparse.eye(30, format="csr")])
def test_folds_survive_missing_cells_rare_classes_and_sparse_rows(features):
    labels = np.repeat([0, 1, 2, -1], [20, 6, 1, 3])
    proba = out_of_fold(features, labels, rng=np.random.default_rng(0), n_classes=5)
    assert proba.shape == (30, 5)
    assert np.allclose(proba.sum(axis=1), 1)
    assert (proba[:, 3:] == 0).all()


def test_a_model_never_sees_the_rows_it_judges():
    rng = np.random.default_rng(0)
    features, labels = np.eye(40), rng.integers(2, size=40)
    proba = out_of_fold(features, labels, rng=rng, model=LogisticRegression(C=1e6), rounds=1)
    # Each row has a column of its own: only a model that saw it could tell its label.
    assert np.ptp(proba[:, 0]) < 0.35


def test_progress_counts_every_model():
    seen = []
    features, labels = load_wine(return_X_y=True)
    model = LogisticRegression(C=1e-3, max_iter=1000)
    out_of_fold(
        features, labels, rng=np.random.default_rng(0), model=model, progress=lambda *step: seen.append(step[:2])
    )
    assert seen == [(step, 10) for step in range(1, 11)]


def test_relation_with_text_numbers_and_wrong_labels():
    rng = np.random.default_rng(3)
    spam = rng.random(300) < 0.5
    words = np.where(spam, "win free money now", "see you at home tonight")
    tail = rng.choice(["ok", "yes", "well", "so"], 300)
    label = np.where(spam, "spam", "ham").astype(object)
    wrong = rng.choice(300, 30, replace=False)
    label[wrong] = np.where(spam[wrong], "ham", "spam")
    label[np.setdiff1d(np.arange(300), wrong)[:5]] = None
    frame = pd.DataFrame(
        {"text": [f"{a} {b} {i}" for i, (a, b) in enumerate(zip(words, tail, strict=True))], "x": rng.normal(size=300)},
        index=[f"r{i}" for i in range(300)],
    ).assign(label=label)
    relation = Relation.from_frame(frame, label="label")
    issues = detect_label_issues(relation, rng=np.random.default_rng(0))
    assert list(issues.columns) == ["row_id", "column", "kind", "score", "detail"]
    assert f1_score(np.isin(np.arange(300), wrong), np.isin(relation.row_ids, issues["row_id"])) > 0.95
    assert set(issues["kind"]) == set(issues["column"]) == {"label"}
    assert issues["detail"].str.startswith("labelled ").all()


def test_what_cannot_be_judged_is_refused():
    relation = Relation.from_frame(pd.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(InvalidDataError, match="no label column"):
        detect_label_issues(relation, rng=np.random.default_rng(0))
    empty = Relation.from_frame(pd.DataFrame({"a": [1.0], "y": [None]}), label="y", classes=("n", "y"))
    with pytest.raises(InvalidDataError, match="No row is labelled"):
        detect_label_issues(empty, rng=np.random.default_rng(0))
    with pytest.raises(InvalidDataError, match="Fewer than two classes"):
        out_of_fold(np.ones((3, 1)), [0, 0, 1], rng=np.random.default_rng(0))
    with pytest.raises(InvalidDataError, match="3 rows, 2 labels"):
        out_of_fold(np.ones((3, 1)), [0, 1], rng=np.random.default_rng(0))
    with pytest.raises(InvalidDataError, match=r"Row 1: .* is no distribution"):
        find_label_issues([[0.5, 0.5], [0.5, 0.6]], [0, 1])
    with pytest.raises(InvalidDataError, match="1 rows of probabilities, 2 labels"):
        find_label_issues([[0.5, 0.5]], [0, 1])
    with pytest.raises(InvalidDataError, match=r"shape \(2,\)"):
        find_label_issues([0.5, 0.5], [0, 1])
    with pytest.raises(ConfigurationError, match="No rule 'best'"):
        find_label_issues([[0.5, 0.5]], [0], rule="best")
