"""Weak supervision or the labelled few: the choice is honest, and the end model reaches its figure."""

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from easeml.datamagic.supervision.few_labels import choose_supervision, train_on_probabilities
from easeml.datamagic.supervision.label_model import LabelModel
from easeml.errors import InvalidDataError


def youtube(folder):
    parts = []
    for split in ("train", "valid", "test"):
        place = folder / "weak" / "youtube"
        texts = pd.read_csv(place / f"{split}_text.csv")["text"].fillna("").tolist()
        parts.append((texts, np.load(place / f"{split}_votes.npy"), np.load(place / f"{split}_labels.npy")))
    words = TfidfVectorizer(ngram_range=(1, 2)).fit(parts[0][0])
    return [(words.transform(texts), votes, labels) for texts, votes, labels in parts]


def test_end_model_on_weak_labels_reaches_the_published_figure(reference_data):
    (train, votes, _), (_, valid, gold), (test, _, truth) = youtube(reference_data)
    proba = LabelModel(2).fit(votes, valid=(valid, gold)).predict_proba(votes)
    covered = (votes >= 0).any(axis=1)
    model = train_on_probabilities(LogisticRegression(max_iter=500), train[covered], proba[covered])
    assert model.score(test, truth) >= 0.936


def test_the_few_and_the_weak_together_beat_each_alone_on_real_comments(reference_data):
    (train, votes, _), few, (test, _, truth) = youtube(reference_data)
    steps = []
    result = choose_supervision(
        train,
        votes,
        few,
        n_classes=2,
        rng=np.random.default_rng(0),
        repeats=1,
        progress=lambda done, total, what: steps.append((done, total)),
    )
    assert result.chosen == "both"
    assert result.model.score(test, truth) >= 0.95
    assert result.report.loc["few", "accuracy"] < result.report.loc["both", "accuracy"]
    assert steps == [(step, 5) for step in range(1, 6)]


def numbers(noise, n=200, k=60, seed=0):
    """Return rows whose class is the sign of a number, and two sources that err with a chance of ``noise``."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n + k, 2))
    truth = (features[:, 0] > 0).astype(int)
    votes = np.where(rng.random((n + k, 2)) < noise, 1 - truth[:, None], truth[:, None])
    return features[:n], votes[:n], (features[n:], votes[n:], truth[n:])


def test_sources_that_mislead_leave_the_few():
    features, votes, few = numbers(0.1)
    result = choose_supervision(features, 1 - votes, few, n_classes=2, rng=np.random.default_rng(0))
    assert result.chosen == "few"
    assert result.report.loc["weak", "accuracy"] < 0.2
    assert result.model.score(features, features[:, 0] > 0) > 0.9


def test_rows_without_votes_leave_only_the_few():
    features, votes, few = numbers(0.1)
    result = choose_supervision(features, np.full_like(votes, -1), few, n_classes=2, rng=np.random.default_rng(0))
    assert result.report.index.tolist() == ["few"]
    assert result.report["rows"].tolist() == [60]
    assert result.model.predict(few[0]).shape == (60,)


def test_probabilities_of_one_are_labels():
    features, _, (_, _, _) = numbers(0.1)
    labels = (features[:, 0] > 0).astype(int)
    soft = train_on_probabilities(LogisticRegression(), features, np.eye(2)[labels])
    assert np.allclose(soft.coef_, LogisticRegression().fit(features, labels).coef_, atol=1e-4)


def test_wrong_shapes_are_refused():
    features, votes, (own, known, gold) = numbers(0.1)
    with pytest.raises(InvalidDataError, match="199 rows with 200 rows of votes"):
        choose_supervision(features[1:], votes, (own, known, gold), n_classes=2, rng=np.random.default_rng(0))
    with pytest.raises(InvalidDataError, match="Fewer than two classes"):
        choose_supervision(features, votes, (own, known, np.zeros(60)), n_classes=2, rng=np.random.default_rng(0))
