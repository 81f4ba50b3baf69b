"""The trainer with the scheduler: data in, models out."""

import math
import re

import numpy as np
import pytest

from easeml.artifacts import ArtifactStore, load
from easeml.automl import Portfolio
from easeml.automl.portfolio import ARMS
from easeml.automl.service import AutoMLService
from easeml.automl.trainer import PATIENCE, TrainerService, model_id
from easeml.automl.trial import seed_of
from easeml.errors import UnavailableError
from easeml.relation import Relation
from easeml.stream.payloads import (
    AlgorithmAnnounced,
    AppDefined,
    Column,
    ColumnKind,
    ModelPublished,
    Pillar,
    TrialAssigned,
    TrialFinished,
    TrialOutcome,
)
from easeml.stream.service import JOB_SECONDS, Job
from easeml.stream.topics import APPS, DATA_TRAIN, MODELS, PILLAR_TOPICS, TRIALS

from .conftest import CLASSES, COLUMNS, LOGISTIC, TREE, Town, rows


def models(town):
    return [event.data for event in town.cluster.events(MODELS) if isinstance(event.data, ModelPublished)]


def finished(town):
    return [event.data for event in town.cluster.events(TRIALS) if isinstance(event.data, TrialFinished)]


def test_data_becomes_models(town):
    town.data()
    town.cluster.run()
    published = models(town)
    assert [model.algorithm for model in published] == ["logistic", "tree"]
    assert [end.outcome for end in finished(town)] == [TrialOutcome.TRAINED] * 2
    for model, end in zip(published, finished(town), strict=True):
        assert (end.model, end.quality) == (model.model, model.metrics["accuracy"])
        assert (model.columns, model.classes, model.data_version) == (("x", "colour"), CLASSES, "v1")
        assert (model.origin, model.format, model.metrics["train_rows"]) == ("automl", "skops", 40)
        assert model.metrics["accuracy"] >= 0.9
        classifier = load(ArtifactStore(town.store_uri, 10_000_000).get(model.uri, model.sha256))
        frame = rows(10, 5, "p")
        assert (np.array(CLASSES)[classifier.predict(frame)] == frame["label"]).mean() >= 0.8
    assert not town.cluster.dead_letters(TRIALS)


def test_a_committee_comes_through_the_stream_as_the_batch_form_finds_it(tmp_path):
    committee = AlgorithmAnnounced("committee", "committee", '{"arms": 4, "members": 2}', 1.0)
    town = Town(tmp_path, (committee,))
    town.data()
    town.cluster.run()
    (model,) = models(town)
    assert model.metrics["judged_rows"] == 60, "by 20 validation rows, and its members by 40 training rows"
    classifier = load(ArtifactStore(town.store_uri, 10_000_000).get(model.uri, model.sha256))
    assert type(classifier.estimator).__name__ == "Vote"
    assert 1 <= len(classifier.estimator.members) <= 2
    train, validation = rows(40, 1, "train"), rows(20, 2, "validation")
    trial = finished(town)[0].trial
    portfolio = Portfolio(arms=ARMS[:4], members=2, seed=seed_of(trial))
    relation = Relation.from_frame(train, label="label", classes=CLASSES, columns=COLUMNS)
    *_, best = portfolio.fit(relation, 60.0, clock=lambda: 0.0)
    batch, stream = (one.predict_proba(validation[["x", "colour"]]) for one in (best.model, classifier))
    np.testing.assert_allclose(stream, batch, atol=1e-12)


def test_model_names_are_readable_and_follow_from_the_trial(town):
    town.data()
    town.cluster.run()
    assert [model.model[:9] for model in models(town)] == ["logistic-", "tree-" + models(town)[1].model[5:9]]
    assert model_id("weird name/Ä", "t") == model_id("weird name/Ä", "t")
    assert model_id("weird name/Ä", "t").startswith("weird-name-")
    assert model_id("///", "t").startswith("model-")


@pytest.mark.parametrize("late", [Pillar.TRAIN, Pillar.VALIDATION])
def test_a_trial_waits_for_announced_rows(town, late):
    other = Pillar.VALIDATION if late is Pillar.TRAIN else Pillar.TRAIN
    town.rows(other, rows(20, 2, "o"))
    town.version(other, 20)
    town.rows(late, rows(20, 1, "a"))
    town.version(late, 30)
    town.cluster.tick(3)
    assert not models(town)
    town.rows(late, rows(10, 3, "b"))
    town.cluster.run()
    assert len(models(town)) == 2


def test_a_trial_from_a_time_to_come_is_not_waited_with_until_then(town):
    town.data()
    town.cluster.tick()
    data = TrialAssigned("churn", "far", "lda", "lda", "{}", "", 1.0, "v", 10**6, 10**6)
    town.cluster.publish(TRIALS, data, time=town.cluster.now + 10**9)
    town.cluster.run()
    assert [end.trial for end in finished(town)].count("far") == 1


def test_rows_that_never_come_fail_the_trial_and_free_the_queue(town):
    town.data()
    town.version(Pillar.TRAIN, 100, "v2")
    town.cluster.run()
    assert all("made the trial pointless" in end.error for end in finished(town)), "those on fewer rows"
    done = len(finished(town))
    town.cluster.now += PATIENCE + 1
    town.cluster.tick(2)
    failed = finished(town)[done:]
    assert failed
    assert all("60 of the rows" in end.error and math.isnan(end.quality) for end in failed)


def test_a_trial_trains_on_the_rows_announced_whatever_came_later(tmp_path):
    def digest(extra):
        town = Town(tmp_path / str(extra), (LOGISTIC,))
        town.data()
        if extra:
            town.rows(Pillar.TRAIN, rows(30, 9, "later"), "v2")
        town.cluster.run()
        return models(town)[0].sha256

    (tmp_path / "True").mkdir()
    (tmp_path / "False").mkdir()
    assert digest(True) == digest(False)


def test_a_repeated_trial_gives_the_same_file(town):
    town.data()
    town.cluster.run()
    before = [(model.model, model.sha256) for model in models(town)]
    town.cluster.restart("trainer")
    town.cluster.run()
    assert [(model.model, model.sha256) for model in models(town)] == before


def test_unlabelled_and_missing_cells_are_no_obstacle(town):
    frame = rows(40, 1, "t")
    frame.loc[frame.index[::4], "label"] = None
    frame.loc[frame.index[::3], "colour"] = None
    frame["x"] = np.where(np.arange(40) % 2, np.nan, frame["x"])
    town.rows(Pillar.TRAIN, frame)
    town.rows(Pillar.VALIDATION, rows(20, 2, "v"))
    town.version(Pillar.TRAIN, 40)
    town.version(Pillar.VALIDATION, 20)
    town.cluster.run()
    assert len(models(town)) == 2


@pytest.mark.parametrize(
    ("algorithm", "says"),
    [
        (AlgorithmAnnounced("odd", "perceptron", "{}"), "knows? no pipeline family 'perceptron'"),
        (AlgorithmAnnounced("odd", "logistic", '{"C": -1}'), "must be a number in"),
        (AlgorithmAnnounced("odd", "logistic", "nonsense"), "not JSON"),
    ],
)
def test_an_algorithm_that_cannot_be_built_fails_its_trial(tmp_path, algorithm, says):
    town = Town(tmp_path, (algorithm, TREE))
    town.data()
    town.cluster.run()
    ends = {end.algorithm: end for end in finished(town)}
    assert ends["odd"].outcome is TrialOutcome.FAILED
    assert re.search(says, ends["odd"].error)
    assert ends["tree"].outcome is TrialOutcome.TRAINED


def test_data_that_cannot_be_learnt_from_fails_the_trial(town):
    frame = rows(40, 1, "t")
    frame["label"] = "yes"
    town.rows(Pillar.TRAIN, frame)
    town.rows(Pillar.VALIDATION, rows(20, 2, "v"))
    town.version(Pillar.TRAIN, 40)
    town.version(Pillar.VALIDATION, 20)
    town.cluster.run()
    assert [end.outcome for end in finished(town)] == [TrialOutcome.FAILED] * 2
    assert all("1 of the 3 classes" in end.error and "at least two" in end.error for end in finished(town))


def test_a_crash_of_an_algorithm_is_a_failed_trial(town, monkeypatch):
    monkeypatch.setattr("easeml.automl.trial.train", lambda *_a, **_k: 1 / 0)
    town.data()
    town.cluster.run()
    assert all("ZeroDivisionError" in end.error for end in finished(town))
    assert len(finished(town)) == 2


def busy(*_arguments, **_options):
    while True:
        math.sqrt(2.0)


def test_a_training_that_does_not_end_is_cut_off(town, monkeypatch):
    monkeypatch.setattr("easeml.automl.trial.train", busy)
    monkeypatch.setattr("easeml.automl.service.CPU_SECONDS", 0.05)
    town.data()
    town.cluster.run()
    assert len(finished(town)) == 2
    assert all("used up its 0.05 CPU seconds" in end.error for end in finished(town))
    assert all(end.cost_seconds >= 0.03 for end in finished(town))


def test_the_limits_of_a_trial_end_it_long_before_its_job_is_given_up(town, monkeypatch):
    given = []
    monkeypatch.setattr("easeml.automl.service.CPU_SECONDS", 5000.0)
    monkeypatch.setattr("easeml.automl.trainer.Job", lambda *parts: given.append(Job(*parts)) or given[-1])
    town.data()
    town.cluster.run()
    assert [job.seconds for job in given] == [JOB_SECONDS + 100 * 5000.0] * 2


def test_a_store_that_cannot_be_written_is_waited_for(town, monkeypatch):
    def away(*_arguments):
        raise UnavailableError("The store is away.")

    with monkeypatch.context() as patch:
        patch.setattr(ArtifactStore, "put", away)
        town.data()
        town.cluster.run()
        assert not finished(town)
    town.cluster.run()
    assert len(models(town)) == 2


def test_a_model_that_is_too_large_fails_its_trial(tmp_path):
    town = Town(tmp_path, (LOGISTIC,), [AutoMLService(), TrainerService((tmp_path / "s").as_uri(), 100)])
    town.data()
    town.cluster.run()
    assert "EASEML_MAX_ARTIFACT_BYTES" in finished(town)[0].error


def test_rows_that_do_not_fit_the_app_are_dead_lettered_and_not_trained_on(town):
    wrong = (Column("x", ColumnKind.NUMERIC), Column("size", ColumnKind.NUMERIC))
    frame = rows(5, 1, "w").drop(columns="colour").assign(size=1.0)
    for batch in town.batches(Pillar.TRAIN, frame, columns=wrong):
        town.cluster.publish(PILLAR_TOPICS[Pillar.TRAIN], batch)
    town.data()
    town.cluster.run()
    assert [letter.reason for letter in town.cluster.dead_letters(DATA_TRAIN)] == ["unknown_column"]
    assert {model.metrics["train_rows"] for model in models(town)} == {40}


def test_a_definition_that_comes_later_is_the_one_that_counts(town):
    town.data()
    town.cluster.run()
    count = len(models(town))
    town.cluster.publish(APPS, AppDefined("churn", "label", (*CLASSES, "never"), COLUMNS))
    town.version(Pillar.TRAIN, 50, "v2")
    town.rows(Pillar.TRAIN, rows(10, 7, "n"), "v2")
    town.cluster.run()
    assert [model.classes for model in models(town)[count:]] == [(*CLASSES, "never")] * 2


def test_a_deleted_app_leaves_nothing(town):
    town.data()
    town.cluster.run()
    trainer, app = town.services[1], AppDefined("churn", "label", CLASSES, COLUMNS)
    assert trainer._rows.of("churn", Pillar.TRAIN).count(app) == 40
    trainer.forget("churn")
    assert [trainer._rows.of("churn", pillar).count(app) for pillar in (Pillar.TRAIN, Pillar.VALIDATION)] == [0, 0]
