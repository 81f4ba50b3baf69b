import dataclasses

import pytest

from easeml.artifacts import dump
from easeml.errors import ArtifactError
from easeml.serving.live import LiveModels, Model


@pytest.fixture
def models(harbour):
    made = []
    for family in ("logistic", "lda", "naive_bayes"):
        classifier = harbour.classifier(family)
        stored = harbour.store.put(dump(classifier))
        made.append(Model(family, *stored, classifier.columns, classifier.classes))
    return made


def reads(harbour, monkeypatch):
    seen = []
    whole = type(harbour.store).get

    def get(store, uri, sha256):
        seen.append(uri)
        return whole(store, uri, sha256)

    monkeypatch.setattr(type(harbour.store), "get", get)
    return seen


def test_a_model_is_loaded_once(harbour, models, monkeypatch):
    seen = reads(harbour, monkeypatch)
    live = LiveModels(harbour.store)
    assert [live.load(model) for model in models] == [live.load(model) for model in models]
    assert len(seen) == 3


def test_the_least_recently_used_model_is_dropped(harbour, models, monkeypatch):
    one, two, three = models
    seen = reads(harbour, monkeypatch)
    live = LiveModels(harbour.store, capacity=sum(model.size for model in models) - 1)
    for model in (one, two, one, three):
        live.load(model)
    assert len(seen) == 3
    live.load(one)
    live.load(three)
    assert len(seen) == 3
    live.load(two)
    assert len(seen) == 4


def test_a_model_larger_than_the_room_is_served_all_the_same(harbour, models):
    live = LiveModels(harbour.store, capacity=1)
    for model in models:
        assert live.load(model).classes == model.classes


def test_a_file_of_another_signature_is_not_kept(harbour, models):
    live = LiveModels(harbour.store)
    with pytest.raises(ArtifactError, match="announced were"):
        live.load(dataclasses.replace(models[0], columns=("x",)))
    assert live.held == 0
