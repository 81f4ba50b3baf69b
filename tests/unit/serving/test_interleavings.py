"""Training and serving together, in any order of messages and with kills anywhere: the same end."""

import pickle
import random

import pytest
from automl.conftest import TREE, rows

from easeml.automl.trial import Labelled, Result, run
from easeml.stream.memory import POINTS
from easeml.stream.payloads import ModelPublished, Pillar, TrialAssigned
from easeml.stream.topics import CATALOGUE, MODELS

from .conftest import Harbour


def settle(harbour):
    harbour.data()
    harbour.test_rows(12)
    harbour.cluster.run()
    harbour.production(8)
    harbour.cluster.run()
    harbour.rows(Pillar.TRAIN, rows(20, 5, "more"), "v2")
    harbour.version(Pillar.TRAIN, 60, "v2")
    harbour.cluster.run()
    harbour.cluster.tick()
    models = {event.data.model: event.data for event in harbour.cluster.events(MODELS)}
    votes = {
        name: (harbour.predicted(name, Pillar.TEST), harbour.predicted(name, Pillar.PRODUCTION)) for name in models
    }
    return {name: (model.sha256, model.data_version, votes[name]) for name, model in models.items()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    ends = settle(Harbour(tmp_path_factory.mktemp("plain"), with_training=True))
    assert len(ends) == 4
    assert all(len(test) == 12 and len(production) == 8 for _, _, (test, production) in ends.values())
    return ends


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("point", [None, *POINTS])
def test_any_order_and_any_kill_end_alike(tmp_path, plain, seed, point):
    harbour = Harbour(tmp_path, with_training=True, rng=random.Random(seed), crash_at=point)
    assert settle(harbour) == plain
    for topic in CATALOGUE:
        assert not harbour.cluster.dead_letters(topic)
    published = [event for event in harbour.cluster.events(MODELS) if isinstance(event.data, ModelPublished)]
    assert len({event.id for event in published}) == 4


def test_a_trial_travels_to_a_worker_and_back(tmp_path):
    frame = rows(30, 1, "t")
    labelled = Labelled(frame[["x", "colour"]], (frame["label"] == "yes").to_numpy().astype("i4"))
    harbour = Harbour(tmp_path)
    trial = TrialAssigned("churn", "t", "tree", TREE.family, TREE.parameters, "", 1.0, "v", 30, 30)
    arguments = (trial, labelled, labelled, harbour.app.columns, harbour.app.classes, (harbour.store_uri, 10**7))
    function, sent = pickle.loads(pickle.dumps((run, arguments)))
    result = pickle.loads(pickle.dumps(function(*sent)))
    assert isinstance(result, Result)
    assert result.error is None
    assert result.metrics["accuracy"] > 0.9
