"""From uploaded files to published models, as good as those of the search library on the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from automl_stream import AutoMLStreet
from house import PARTITIONS
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from easeml.automl import Portfolio
from easeml.automl.choice import preferred
from easeml.automl.portfolio import ARMS
from easeml.automl.trial import seed_of
from easeml.stream.payloads import AlgorithmAnnounced, Pillar

RACE = 6
SINGLES = tuple(arm for arm in ARMS if arm.algorithm in {"lda", "logistic", "svm", "knn-5"})
COMMITTEE = AlgorithmAnnounced("committee", "committee", f'{{"arms": {RACE}}}', 1.0)


@pytest.fixture
def street(tmp_path, monkeypatch):
    monkeypatch.setenv("EASEML_PARTITIONS", str(PARTITIONS))
    with AutoMLStreet(tmp_path) as running:
        yield running


def tumours():
    """Return train, validation and held-out rows of a real data set; no row is uncertain."""
    data = load_breast_cancer(as_frame=True)
    frame = data.data.assign(diagnosis=np.array(["malignant", "benign"], object)[data.target])
    rest, held_out = train_test_split(frame, test_size=0.3, random_state=0, stratify=frame["diagnosis"])
    train, validation = train_test_split(rest, test_size=0.25, random_state=0, stratify=rest["diagnosis"])
    return train, validation, held_out


@pytest.mark.timeout(240)
def test_what_is_published_is_what_the_search_library_finds(street):
    train, validation, held_out = tumours()
    rows = {Pillar.TRAIN: train, Pillar.VALIDATION: validation}
    published = street.train("tumours", "diagnosis", rows, [*SINGLES, COMMITTEE])
    assert sorted(published) == sorted(arm.algorithm for arm in (*SINGLES, COMMITTEE))

    relation, judged = (street.rows("tumours", pillar) for pillar in rows)
    assert (len(relation), len(judged)) == (len(train), len(validation))
    *_, single = Portfolio(SINGLES, members=1).fit(relation, 60.0, validation=judged, clock=lambda: 0.0)
    chosen = preferred([published[arm.algorithm] for arm in SINGLES])
    assert (chosen.algorithm, chosen.metrics["accuracy"]) == (single.algorithm, single.accuracy)
    seed = seed_of(street.ended("tumours")["committee"].trial)
    *_, vote = Portfolio(ARMS[:RACE], seed=seed).fit(relation, 60.0, clock=lambda: 0.0)
    for model, candidate in ((chosen, single), (published["committee"], vote)):
        stored, alone = street.load(model), candidate.model
        np.testing.assert_allclose(stored.predict_proba(held_out), alone.predict_proba(held_out), atol=1e-12)
        said = stored.predict(held_out)
        assert said.tolist() == alone.predict(held_out).tolist()
        labels = np.array(street.client.app("tumours").classes)[said]
        assert (labels == held_out["diagnosis"]).mean() > 0.9
