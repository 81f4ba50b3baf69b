"""Adapted models: better under a planted shift, none without one, and files like any other model's."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from easeml.advisor import Learner, Sample, adapt, find_shift
from easeml.advisor.adaptation import coral, with_priors
from easeml.advisor.learning import right
from easeml.advisor.shift import drifted, label_shift
from easeml.artifacts import dump, load
from easeml.automl.families import build
from easeml.ci.service import CIService
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import (
    AppDefined,
    Column,
    ColumnKind,
    ModelPublished,
    Pillar,
    PredictionBatch,
    TestLabels,
)
from easeml.stream.topics import APPS, DATA_TEST_LABELS, MODELS, PREDICTIONS, VERDICTS

from .worlds import digits

SEEDS = range(2)


def unlabelled(sample):
    return Sample(sample.frame, np.full(len(sample), -1))


def adapted(learner, train, validation, production, seed=0):
    model, rng = learner.fit(train), np.random.default_rng(seed)
    shift = find_shift(learner, model, train, validation, production, rng)
    return model, adapt(learner, model, train, validation, production, shift, rng)


def test_aligned_models_win_when_sensors_change():
    gains = []
    for seed in SEEDS:
        learner, train, validation, later = digits(seed, 300, 300, 800)
        frame = later.frame.copy()
        for column in list(frame)[::2]:
            frame[column] = 2 * frame[column] - 15
        later = Sample(frame, later.labels)
        model, found = adapted(
            learner, train, validation, Sample(frame, np.where(np.arange(800) < 150, later.labels, -1))
        )
        assert found[0].technique in ("coral", "moments")
        gains.append(right(found[0].model, later).mean() - right(model, later).mean())
        assert load(dump(found[0].model)).predict(frame).tolist() == found[0].model.predict(frame).tolist()
    assert min(gains) > 0.03


def test_corrected_priors_win_when_classes_become_rare():
    gains = []
    for seed in SEEDS:
        learner, train, validation, later = digits(seed, 300, 300, 1100, level=1.5)
        later = later.at(np.random.default_rng(seed).random(1100) < np.where(later.labels < 6, 0.05, 1.0))
        model, found = adapted(learner, train, validation, unlabelled(later))
        assert found[0].technique == "label_shift"
        gains.append(right(found[0].model, later).mean() - right(model, later).mean())
        assert load(dump(found[0].model)).classes == learner.classes
    assert min(gains) > 0.03


def test_weighted_rows_win_when_production_is_another_part_of_a_bent_world():
    """A straight line cannot follow a bent boundary: weights choose the part that production needs."""
    gains, columns = [], (Column("x", ColumnKind.NUMERIC), Column("y", ColumnKind.NUMERIC))
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame({"x": rng.uniform(-2, 2, 1400), "y": rng.uniform(-2, 2, 1400)})
        labels = ((frame["y"] > frame["x"] ** 2 - 1) ^ (rng.random(1400) < 0.05)).to_numpy(np.int64)
        world = Sample(frame, labels)
        common = world.at(rng.random(1400) < np.where(frame["x"] < 0, 1.0, 0.15))
        later = world.at(rng.random(1400) < np.where(frame["x"] < 0, 0.05, 1.0))
        learner = Learner(LogisticRegression(), columns, ("no", "yes"))
        half = np.arange(len(common)) % 2 == 0
        model, found = adapted(learner, common.at(half), common.at(~half), unlabelled(later), seed)
        assert "importance" in [one.technique for one in found]
        gains.append(right(found[0].model, later).mean() - right(model, later).mean())
    assert min(gains) > 0.1


@pytest.mark.parametrize("answers", [0, 150])
def test_nothing_is_adapted_without_a_shift(answers):
    for seed in range(3):
        learner, train, validation, later = digits(seed, 300, 300, 400)
        production = Sample(later.frame, np.where(np.arange(400) < answers, later.labels, -1))
        assert adapted(learner, train, validation, production, seed)[1] == []


FAMILIES = {"knn": "{}", "lda": "{}", "linear_svm": "{}", "mlp": '{"max_iter": 20}', "boosting": '{"max_iter": 3}'}


@pytest.mark.parametrize("family", [*FAMILIES, "decision_tree", "naive_bayes"])
def test_every_family_can_be_adapted_and_stored(family):
    learner, train, validation, later = digits(0, 120, 120, 400, level=1.0)
    learner = Learner(build(family, FAMILIES.get(family, "{}"), 0), learner.columns, learner.classes)
    later = later.at(np.random.default_rng(0).random(400) < np.where(later.labels < 7, 0.05, 1.0))
    for one in adapted(learner, train, validation, unlabelled(later))[1]:
        assert load(dump(one.model)).predict(later.frame).tolist() == one.model.predict(later.frame).tolist()


def test_class_shares_are_found_from_predictions():
    learner, train, validation, later = digits(1, 400, 500, 800)
    later = later.at(np.random.default_rng(1).random(800) < np.where(later.labels == 3, 1.0, 0.2))
    model = learner.fit(train)
    found = label_shift(model.predict_proba(validation.frame), validation.labels, model.predict_proba(later.frame))
    expected = np.bincount(later.labels, minlength=10) / len(later)
    shares = found.ratios * np.bincount(validation.labels, minlength=10) / len(validation)
    assert abs(shares - expected).sum() < 0.15
    assert found.p_value < 1e-6


def test_drift_is_found_in_the_columns_that_changed():
    features, _ = load_digits(return_X_y=True, as_frame=True)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "level": features["pixel_2_3"], "gap": features["pixel_3_4"], "same": features["pixel_4_4"],
        "kind": rng.choice(["a", "b"], len(features)),
    })  # fmt: skip
    before, after = frame.iloc[:900], frame.iloc[900:].copy()
    after["level"] += 3
    after["gap"] = after["gap"].mask(rng.random(len(after)) < 0.2)
    after["kind"] = rng.choice(["a", "c"], len(after))
    columns = tuple(
        Column(name, ColumnKind.CATEGORICAL if name == "kind" else ColumnKind.NUMERIC) for name in frame.columns
    )
    assert {one.column for one in drifted(before, after, columns)} == {"level", "gap", "kind"}


def test_without_a_shift_no_adapted_model_passes_ci():
    learner, train, later = digits(0, 300, 800, level=1.5)
    production, test = later.at(np.arange(400)), later.at(np.arange(400, 800))
    model = learner.fit(train)
    move = coral(train.frame, production.frame)
    forced = {
        "coral": learner.fit(Sample(move(train.frame), train.labels)),
        "importance": learner.fit(train, np.random.default_rng(0).lognormal(size=len(train))),
        "label-shift": with_priors(model, np.random.default_rng(1).lognormal(0.0, 0.3, len(learner.classes))),
    }
    app = AppDefined(
        "digits", "digit", learner.classes, learner.columns, condition="n - o > 0.02 +/- 0.1", reliability=0.9, steps=4
    )
    cluster = MemoryCluster([CIService()])
    cluster.publish(APPS, app)
    rows = tuple(map(str, range(len(test))))
    cluster.publish(DATA_TEST_LABELS, TestLabels("digits", "v1", rows, app.classes, test.labels.astype(np.int32)))
    columns = tuple(column.name for column in learner.columns)
    guesses = {name: one.predict_proba(test.frame).argmax(axis=1) for name, one in {"first": model, **forced}.items()}
    for name, labels in {**guesses, "oracle": test.labels}.items():
        origin = "adapted" if name in forced else "automl"
        cluster.publish(
            MODELS, ModelPublished("digits", name, name, "", "", 0, "external", columns, app.classes, "v1", origin)
        )
        cluster.publish(PREDICTIONS, PredictionBatch("digits", name, Pillar.TEST, rows, labels.astype(np.int32)))
        cluster.tick(12)
    signals = {event.data.model: event.data.signal for event in cluster.events(VERDICTS)}
    assert signals == {"first": False, **dict.fromkeys(forced, False), "oracle": True}, "the first is the baseline"
