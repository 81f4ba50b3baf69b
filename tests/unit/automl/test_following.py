"""Online models learn every label that comes after their trial, and publish their next versions."""

from __future__ import annotations

import numpy as np
import pytest

from easeml.artifacts import ArtifactStore, load
from easeml.automl import following
from easeml.automl.families import FAMILIES, build
from easeml.automl.trial import seed_of
from easeml.relation import Relation
from easeml.stream.payloads import (
    AlgorithmAnnounced,
    Answer,
    AppDeleted,
    ModelPublished,
    Pillar,
    QuestionKind,
    TrialFinished,
)
from easeml.stream.topics import ANSWERS, APPS, DATA_TRAIN, MODELS, TRIALS

from .conftest import CLASSES, COLUMNS, Town, rows

ONLINE = sorted(name for name, family in FAMILIES.items() if family.online)
UNKNOWN = 6
"""Training rows without a label when the trial begins."""


def online(family="online_logistic", every=1, **parameters):
    told = "".join(f', "{name}": "{value}"' for name, value in parameters.items())
    return AlgorithmAnnounced(family, family, f'{{"follow": {every}{told}}}', 0.1)


def begun(tmp_path, *algorithms, **options):
    """Return a town whose models have learnt 40 rows, and the truth about 6 of them that nobody has labelled."""
    town = Town(tmp_path, algorithms, **options)
    train = rows(40, 1, "train")
    truth = train["label"].iloc[:UNKNOWN].to_dict()
    town.rows(Pillar.TRAIN, train.assign(label=[None] * UNKNOWN + list(train["label"].iloc[UNKNOWN:])))
    town.version(Pillar.TRAIN, 40)
    town.rows(Pillar.VALIDATION, rows(20, 2, "validation"))
    town.version(Pillar.VALIDATION, 20)
    town.cluster.run()
    return town, truth


def answer(town, row, label, kind=QuestionKind.LABEL, pillar=Pillar.TRAIN, column=None, question=""):
    code = CLASSES.index(label) if label in CLASSES else 0
    said = Answer("churn", question or f"q-{row}", kind, pillar, row, code, label, "cpclean", 1, column)
    town.cluster.publish(ANSWERS, said)
    town.cluster.run()


def models(town):
    return [event.data for event in town.cluster.events(MODELS) if isinstance(event.data, ModelPublished)]


def loaded(town, model):
    return load(ArtifactStore(town.store_uri, 10_000_000).get(model.uri, model.sha256))


def learnt_at_once(town, algorithm, frame):
    """Return what river knows after these rows in this order; columns as the trial of 40 rows encodes them."""
    (trial,) = [e.data.trial for e in town.cluster.events(TRIALS) if isinstance(e.data, TrialFinished)]
    first = models(town)[0]
    encoder = loaded(town, first).encoder
    relation = Relation.from_frame(frame, label="label", classes=CLASSES, columns=COLUMNS)
    estimator = build(algorithm.family, algorithm.parameters, seed_of(trial))
    return estimator.fit(encoder.transform(relation.features()), relation.labels.astype(np.int64))


@pytest.mark.parametrize("family", ONLINE)
def test_each_answered_label_makes_a_version_that_has_learnt_it(tmp_path, family):
    algorithm = online(family)
    town, truth = begun(tmp_path, algorithm)
    for row, label in truth.items():
        answer(town, row, label)
    published = models(town)
    assert [model.algorithm for model in published] == [family] * (1 + UNKNOWN)
    assert len({model.model for model in published}) == 1 + UNKNOWN
    assert [model.parents for model in published[1:]] == [(model.model,) for model in published[:-1]]
    assert [model.metrics["later_rows"] for model in published[1:]] == [1, 2, 3, 4, 5, 6]
    assert len({model.sha256 for model in published}) == 1 + UNKNOWN, "each has learnt something"
    validation = rows(20, 2, "validation")
    said = np.array(CLASSES)[loaded(town, published[-1]).predict(validation)]
    assert (said == validation["label"]).mean() == published[-1].metrics["accuracy"]


def test_learning_on_is_learning_the_rows_in_their_order(tmp_path):
    algorithm = online("hoeffding_tree")
    town, truth = begun(tmp_path, algorithm)
    for row, label in truth.items():
        answer(town, row, label)
    train = rows(40, 1, "train")
    whole = learnt_at_once(town, algorithm, train.iloc[[*range(UNKNOWN, 40), *range(UNKNOWN)]])
    matrix = loaded(town, models(town)[0]).encoder.transform(rows(20, 2, "validation")[["x", "colour"]])
    np.testing.assert_array_equal(
        loaded(town, models(town)[-1]).estimator.predict_proba(matrix), whole.predict_proba(matrix)
    )


def test_a_label_costs_one_step_of_learning(tmp_path, monkeypatch):
    town, truth = begun(tmp_path, online())
    answer(town, "train0", truth["train0"])
    shown = []
    learn = following.learn
    monkeypatch.setattr(following, "learn", lambda *given: (shown.append(len(given[1])), learn(*given)))
    answer(town, "train1", truth["train1"])
    assert shown == [1]
    following._LEARNERS.clear()
    answer(town, "train2", truth["train2"])
    assert shown == [1, 40 - UNKNOWN, 1, 1, 1], "begun anew where the learner is gone"


def test_new_labelled_rows_are_learnt_too(tmp_path):
    town, _ = begun(tmp_path, online())
    later = rows(5, 7, "later")
    town.rows(Pillar.TRAIN, later.assign(label=[*later["label"].iloc[:3], None, None]), "v2")
    town.cluster.run()
    assert [model.metrics.get("later_rows") for model in models(town)] == [None, 3]
    answer(town, "later4", later["label"].iloc[4])
    assert models(town)[-1].metrics["later_rows"] == 4


def test_versions_come_after_so_many_labels_as_the_algorithm_says(tmp_path):
    town, truth = begun(tmp_path, online(every=4))
    for row, label in truth.items():
        answer(town, row, label)
    assert [model.metrics.get("later_rows") for model in models(town)] == [None, 4]
    later = rows(9, 7, "later")
    town.rows(Pillar.TRAIN, later, "v2")
    town.cluster.run()
    assert [model.metrics.get("later_rows") for model in models(town)] == [None, 4, 15]


def test_what_is_no_label_of_a_training_row_teaches_nothing(tmp_path):
    town, truth = begun(tmp_path, online())
    answer(town, "train11", "0.5", QuestionKind.CELL, column="x")
    answer(town, "validation3", "yes", pillar=Pillar.VALIDATION)
    answer(town, "nobody", "yes")
    assert len(models(town)) == 1
    answer(town, "train0", truth["train0"])
    answer(town, "train0", truth["train0"], question="again")
    assert len(models(town)) == 2, "a row is learnt once"


def test_others_end_with_their_trial(tmp_path):
    logistic = AlgorithmAnnounced("logistic", "logistic", "{}", 0.1)
    town, truth = begun(tmp_path, logistic, online(every=0))
    for row, label in truth.items():
        answer(town, row, label)
    assert len(models(town)) == 2


def test_steps_before_the_learner_stay_as_the_trial_fitted_them(tmp_path):
    town, truth = begun(tmp_path, online(scale="clip"))
    answer(town, "train0", truth["train0"])
    first, second = (loaded(town, model).estimator for model in models(town))
    assert (
        [type(step).__name__ for step in second.steps] == [type(step).__name__ for step in first.steps] == ["Clipped"]
    )


@pytest.mark.parametrize("restart_after", [1, 3])
def test_a_trainer_that_dies_goes_on_as_if_nothing_had_happened(tmp_path, restart_after):
    whole, truth = begun(tmp_path / "whole", online("adaptive_forest"))
    broken, _ = begun(tmp_path / "broken", online("adaptive_forest"))
    for place, (row, label) in enumerate(truth.items()):
        answer(whole, row, label)
        if place == restart_after:
            broken.cluster.kill("trainer", "after_outputs", 1)
            following._LEARNERS.clear()
        answer(broken, row, label)
    assert broken.cluster.restarts
    by_id = {event.id: event.data for event in broken.cluster.events(MODELS)}
    said = [(model.model, model.sha256) for model in by_id.values()]
    assert said == [(model.model, model.sha256) for model in models(whole)]
    assert all(by_id[event.id].sha256 == event.data.sha256 for event in broken.cluster.events(MODELS))


def test_a_new_round_begins_anew(tmp_path):
    town, truth = begun(tmp_path, online())
    answer(town, "train0", truth["train0"])
    later = rows(20, 7, "later")
    town.rows(Pillar.TRAIN, later, "v2")
    town.version(Pillar.TRAIN, 60, "v2")
    town.cluster.run()
    before = models(town)
    assert [model.metrics["train_rows"] for model in before][-1] == 60
    answer(town, "train1", truth["train1"])
    assert models(town)[-1].parents == (before[-1].model,)
    assert models(town)[-1].metrics["later_rows"] == 1


def test_a_model_that_cannot_be_stored_leaves_the_one_before(tmp_path, monkeypatch):
    town, truth = begun(tmp_path, online())
    monkeypatch.setattr(following, "dump", lambda model: b"x" * 20_000_000)
    answer(town, "train0", truth["train0"])
    assert len(models(town)) == 1
    monkeypatch.undo()
    answer(town, "train1", truth["train1"])
    assert [model.metrics.get("later_rows") for model in models(town)] == [None, 2]
    assert models(town)[1].parents == (models(town)[0].model,)


def test_a_deleted_app_is_followed_no_more(tmp_path):
    town, truth = begun(tmp_path, online())
    town.cluster.publish(APPS, AppDeleted("churn"))
    town.cluster.run()
    answer(town, "train0", truth["train0"])
    assert len(models(town)) == 1
    assert not town.cluster.dead_letters(DATA_TRAIN)
