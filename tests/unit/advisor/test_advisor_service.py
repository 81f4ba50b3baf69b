"""Advice on the stream: what asks for it, what it says, and the adapted models that come with it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from easeml.advisor.learning import Learner, Sample
from easeml.advisor.service import PAUSE, AdvisorService
from easeml.advisor.work import About, Request, _sample, _usable, drawn
from easeml.artifacts import FORMAT, ArtifactStore, Classifier, dump, load
from easeml.artifacts.frozen import FrozenLinear
from easeml.errors import ConfigurationError, InvalidDataError
from easeml.relation import Relation
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import (
    AdviceAction,
    AdvicePhase,
    Answer,
    AppDefined,
    CleaningReport,
    Column,
    ColumnKind,
    DataVersion,
    FeasibilityReport,
    FeasibilitySignal,
    ModelPicked,
    ModelPublished,
    Pillar,
    QuestionKind,
    TestSetExhausted,
    TestSetNeeded,
    ValuesReport,
)
from easeml.stream.topics import (
    ADVICE,
    ANSWERS,
    APPS,
    CLEANING,
    DATA_VERSIONS,
    FEASIBILITY,
    MODELS,
    PICKS,
    PILLAR_TOPICS,
    TESTSETS,
    VALUES,
)

COLUMNS = (Column("x", ColumnKind.NUMERIC), Column("y", ColumnKind.NUMERIC))
APP = AppDefined("pond", "kind", ("carp", "pike"), COLUMNS)
MOST = 10_000_000


def fish(count, seed, moved=0.0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, count)
    frame = pd.DataFrame(rng.normal(size=(count, 2)), columns=["x", "y"])
    frame["x"] += 3.0 * codes + moved
    frame["kind"] = np.array(APP.classes, object)[codes]
    return frame.set_axis([f"{seed}-{place}" for place in range(count)])


def fitted(train):
    codes = (train["kind"] == "pike").to_numpy(np.int64)
    return Learner(LogisticRegression(), COLUMNS, APP.classes).fit(Sample(train[["x", "y"]], codes))


class Pond:
    """An app with rows, a model that is served, and the advisor alone."""

    def __init__(self, tmp_path):
        self.store = ArtifactStore((tmp_path / "store").as_uri(), MOST)
        self.cluster = MemoryCluster([AdvisorService(self.store.uri, MOST)])
        self.cluster.publish(APPS, APP)

    def rows(self, pillar, frame, version="v1", app=APP):
        labelled = frame if pillar is not Pillar.PRODUCTION else frame.assign(kind=None)
        relation = Relation.from_frame(
            labelled, label="kind", classes=app.classes, row_ids=tuple(frame.index), columns=COLUMNS
        )
        for batch in relation.to_batches("pond", pillar, version):
            self.cluster.publish(PILLAR_TOPICS[pillar], batch)
        self.cluster.publish(DATA_VERSIONS, DataVersion("pond", pillar, version, len(frame), "0" * 64, "test"))

    def serve(self, train):
        self.serve_model(fitted(train))

    def serve_model(self, model):
        stored = self.store.put(dump(model))
        self.publish_model("first", stored.uri, stored.sha256)

    def publish_model(self, name, uri, sha256, accuracy=0.93):
        published = ModelPublished(
            "pond",
            name,
            "logistic",
            uri,
            sha256,
            100,
            FORMAT,
            ("x", "y"),
            APP.classes,
            "v1",
            "automl",
            {"accuracy": accuracy},
        )
        self.cluster.publish(MODELS, published)
        self.cluster.run()

    def drift(self, model="first"):
        self.cluster.publish(PICKS, ModelPicked("pond", model, 0, 200, True, 2, {model: 1.0}))
        self.cluster.run()

    def given_up(self):
        return sum(len(self.cluster.dead_letters(topic)) for topic in (FEASIBILITY, PICKS, ANSWERS))

    def answer(self, frame):
        for row, kind in frame["kind"].items():
            value = APP.classes.index(kind)
            said = Answer("pond", f"q{row}", QuestionKind.LABEL, Pillar.PRODUCTION, row, value, kind, "modelpicker", 1)
            self.cluster.publish(ANSWERS, said)
        self.cluster.run()

    def studied(self, rows, bayes_error=0.06, signal=FeasibilitySignal.REALISTIC, upper=0.1, version="v1", run=True):
        report = FeasibilityReport(
            "pond",
            version,
            rows,
            final=True,
            target_accuracy=APP.target,
            signal=signal,
            bayes_error=bayes_error,
            bayes_error_upper=upper,
            interval_low=0.04,
            interval_high=0.09,
            best_transformation="min-max",
            distinct_row_ratio=1.0,
            begun_at=0.0,
        )
        self.cluster.publish(FEASIBILITY, report)
        if run:
            self.cluster.run()

    def advice(self):
        return [event.data for event in self.cluster.events(ADVICE)]

    def adapted(self):
        models = [event.data for event in self.cluster.events(MODELS)]
        return [model for model in models if model.origin == "adapted"]


@pytest.fixture
def pond(tmp_path):
    pond = Pond(tmp_path)
    train = fish(300, 1)
    pond.rows(Pillar.TRAIN, train)
    pond.rows(Pillar.VALIDATION, fish(200, 2))
    pond.serve(train)
    return pond


def test_advice_follows_a_study_that_differs(pond):
    pond.studied(300)
    (advice,) = pond.advice()
    assert (advice.phase, advice.version, advice.model) == (AdvicePhase.DATA, "v1", "first")
    assert advice.steps[0].action is AdviceAction.NOTHING
    assert advice.events
    pond.studied(310)
    assert len(pond.advice()) == 1, "ten rows more change nothing"
    pond.studied(310, bayes_error=0.2)
    assert len(pond.advice()) == 2
    pond.cluster.restart("advisor")
    pond.studied(320, bayes_error=0.2)
    assert len(pond.advice()) == 2


def test_advice_does_not_fall_behind_many_small_publications(pond):
    pond.studied(300)
    for number in range(2, 5):
        pond.rows(Pillar.TRAIN, fish(1, number), f"v{number}")
    pond.studied(301, bayes_error=0.2, version="v2")
    assert len(pond.advice()) == 1, "a report on newer rows will come"
    pond.studied(303, bayes_error=0.3, version="v4")
    assert [advice.version for advice in pond.advice()] == ["v1", "v4"]
    pond.cluster.now += PAUSE
    pond.studied(302, bayes_error=0.4, version="v3")
    assert len(pond.advice()) == 3, "rows that come all the time must not put advice off for ever"


def test_of_reports_that_wait_the_newest_brings_advice(pond):
    for error in (0.1, 0.2, 0.3):
        pond.cluster.now += 1
        pond.studied(300, bayes_error=error, run=False)
    pond.cluster.run()
    (advice,) = pond.advice()
    assert advice.events == (pond.cluster.events(FEASIBILITY)[-1].id,)


def test_a_version_that_comes_again_is_the_newest(pond):
    pond.studied(300)
    pond.rows(Pillar.TRAIN, fish(1, 2), "v2")
    pond.rows(Pillar.TRAIN, fish(1, 1), "v1")
    pond.studied(300, bayes_error=0.2)
    assert len(pond.advice()) == 2


def test_few_rows_are_waited_for(tmp_path):
    pond = Pond(tmp_path)
    pond.rows(Pillar.TRAIN, fish(12, 1))
    pond.studied(12)
    (step,) = pond.advice()[0].steps
    assert step.action is AdviceAction.WAIT
    assert "validation" in step.reason


def test_a_moved_sensor_brings_an_adapted_model(pond):
    production = fish(200, 3, moved=2.0)
    pond.rows(Pillar.PRODUCTION, production)
    pond.answer(production.iloc[:19])
    assert pond.advice() == []
    pond.answer(production.iloc[19:60])
    advice = pond.advice()[-1]
    assert advice.phase is AdvicePhase.PRODUCTION
    assert advice.steps[0].action is AdviceAction.ADAPT
    assert advice.steps[0].gain_low > 0
    model = pond.adapted()[0]
    assert model.parents == ("first",)
    file = load(pond.store.get(model.uri, model.sha256))
    right = file.predict_proba(production[["x", "y"]]).argmax(axis=1) == (production["kind"] == "pike")
    assert right.mean() > 0.85


def test_production_as_it_was_brings_none(pond):
    production = fish(200, 3)
    pond.rows(Pillar.PRODUCTION, production)
    pond.answer(production.iloc[:45])
    assert {step.action for step in pond.advice()[-1].steps} == {AdviceAction.NOTHING}
    assert pond.adapted() == []


def test_a_drift_alarm_and_a_used_up_test_set_ask_for_advice(pond):
    production = fish(200, 3, moved=2.0)
    pond.rows(Pillar.PRODUCTION, production)
    pond.cluster.publish(PICKS, ModelPicked("pond", "first", 0, 200, False, 1, {"first": 1.0}))
    pond.cluster.run()
    assert pond.advice() == []
    pond.cluster.publish(PICKS, ModelPicked("pond", "first", 0, 200, True, 2, {"first": 1.0}))
    pond.cluster.run()
    assert len(pond.advice()) == 1
    pond.cluster.publish(TESTSETS, TestSetNeeded("pond", 1, 100, "the first"))
    pond.cluster.run()
    assert len(pond.advice()) == 1
    pond.cluster.publish(TESTSETS, TestSetExhausted("pond", 1, "steps_exhausted"))
    pond.cluster.publish(TESTSETS, TestSetNeeded("pond", 2, 150, "worn out"))
    pond.cluster.run()
    first = pond.advice()[-1].steps[0]
    assert (first.action, first.count) == (AdviceAction.NEW_TEST_SET, 150)


def test_old_production_rows_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("easeml.advisor.service._KEPT_ROWS", {Pillar.PRODUCTION: 100})
    pond = Pond(tmp_path)
    for place in range(5):
        production = fish(60, 10 + place)
        pond.rows(Pillar.PRODUCTION, production, f"v{place}")
        pond.answer(production.iloc[:2])
    arrivals = pond.cluster._instances["advisor"].service._rows.of("pond", Pillar.PRODUCTION)
    kept = arrivals.relation(APP)
    assert set(kept.row_ids) == {f"{seed}-{place}" for seed in (13, 14) for place in range(60)}
    assert (kept.labels >= 0).sum() == 4


def test_a_wrong_store_stops_the_service_at_its_start():
    with pytest.raises(ConfigurationError):
        AdvisorService("gopher://store", MOST)


def test_a_file_that_cannot_be_used_leaves_the_default_learner(pond):
    first = next(event.data for event in pond.cluster.events(MODELS))
    for place, (where, sha256) in enumerate([(first.uri, "0" * 64), ("s3://elsewhere/x", first.sha256)]):
        pond.publish_model(f"lost{place}", where, sha256, accuracy=0.99)
        pond.studied(300, bayes_error=0.06 + place / 10)
        advice = pond.advice()[-1]
        assert len(pond.advice()) == place + 1
        assert advice.model == f"lost{place}"
        assert f"lost{place} cannot be used" in advice.steps[0].reason
    assert pond.given_up() == 0


def test_a_frozen_model_is_judged_by_itself_and_trained_as_a_forest(tmp_path):
    pond, model = Pond(tmp_path), fitted(fish(300, 1))
    pond.rows(Pillar.TRAIN, fish(300, 1))
    pond.rows(Pillar.VALIDATION, fish(200, 2))
    line = model.estimator
    frozen = FrozenLinear(
        np.array([0, 1]), np.vstack([-line.coef_, line.coef_]), np.append(-line.intercept_, line.intercept_)
    )
    pond.serve_model(Classifier(model.encoder, frozen, APP.classes))
    pond.studied(300)
    (advice,) = pond.advice()
    assert (advice.model, advice.steps[0].action) == ("first", AdviceAction.NOTHING)
    assert "cannot be used" not in advice.steps[0].reason


@pytest.mark.parametrize(
    ("classes", "usable"), [(("carp", "pike", "eel"), True), (("pike", "carp"), False), (("carp",), False)]
)
def test_a_model_is_read_over_the_classes_of_the_app(tmp_path, classes, usable):
    store, model = ArtifactStore((tmp_path / "store").as_uri(), MOST), fitted(fish(100, 1))
    stored = store.put(dump(model))
    frame = fish(60, 1)
    train = Relation.from_frame(
        frame.assign(kind=np.resize(np.array(classes, object), 60)),
        label="kind",
        classes=classes,
        row_ids=tuple(frame.index),
        columns=COLUMNS,
    )
    request = Request(
        About(AdvicePhase.DATA, "first", None),
        0.9,
        COLUMNS,
        classes,
        train,
        train,
        None,
        pool=0,
        model=(stored.uri, stored.sha256),
        seed=(1,),
    )
    found = _usable(request, store, _sample(train))
    assert (found is not None) is usable
    if found is not None:
        assert found.predict_proba(frame).shape == (60, len(classes))


def test_an_added_class_brings_advice_on_production(pond):
    app = AppDefined("pond", "kind", ("carp", "pike", "eel"), COLUMNS)
    pond.cluster.publish(APPS, app)
    eels = {Pillar.TRAIN: fish(40, 21), Pillar.VALIDATION: fish(40, 22)}
    for pillar, frame in eels.items():
        pond.rows(pillar, frame.assign(kind="eel", y=frame["y"] + 5), "v2", app)
    pond.rows(Pillar.PRODUCTION, fish(100, 3, moved=2.0), "v2", app)
    pond.drift()
    assert len(pond.advice()) == 1
    assert pond.cluster.restarts == 0


def test_adapted_models_carry_measured_accuracy_and_come_once(pond):
    production = fish(200, 3, moved=2.0)
    pond.rows(Pillar.PRODUCTION, production)
    pond.drift()
    assert len(pond.advice()) == 1
    names = [model.model for model in pond.adapted()]
    assert names
    validation = fish(200, 2)
    for model in pond.adapted():
        file = load(pond.store.get(model.uri, model.sha256))
        right = file.predict_proba(validation[["x", "y"]]).argmax(axis=1) == (validation["kind"] == "pike")
        assert model.metrics["accuracy"] == pytest.approx(right.mean())
    pond.drift()
    assert len(pond.advice()) == 1, "nothing is new"
    pond.answer(production.iloc[:1])
    pond.drift()
    assert len(pond.advice()) == 2
    again = [model.model for model in pond.adapted()]
    assert len(again) == len(set(again)) >= len(names)


@pytest.mark.parametrize("count", [1, 3])
def test_few_production_rows_are_left_alone(pond, count):
    pond.rows(Pillar.PRODUCTION, fish(count, 3, moved=2.0))
    pond.drift()
    assert len(pond.advice()) == 1
    assert pond.cluster.restarts == 0


def test_an_estimator_that_refuses_its_rows_says_so():
    train = fish(6, 1)
    codes = np.arange(6) % 2
    learner = Learner(MLPClassifier(early_stopping=True), COLUMNS, APP.classes)
    with pytest.raises(InvalidDataError, match="MLPClassifier cannot be trained on these 6 rows"):
        learner.fit(Sample(train[["x", "y"]], codes))


def test_a_study_is_advised_on_again_once_the_rows_are_there(tmp_path):
    pond = Pond(tmp_path)
    pond.rows(Pillar.TRAIN, fish(60, 1))
    pond.studied(60)
    assert [step.action for step in pond.advice()[-1].steps] == [AdviceAction.WAIT]
    pond.rows(Pillar.VALIDATION, fish(60, 2))
    pond.studied(60)
    assert len(pond.advice()) == 2
    assert pond.advice()[-1].steps[0].action is not AdviceAction.WAIT


def test_an_unrealistic_target_is_to_be_relaxed_even_with_few_rows(tmp_path):
    pond = Pond(tmp_path)
    noise = np.random.default_rng(5)
    for pillar, seed, count in ((Pillar.TRAIN, 1, 60), (Pillar.VALIDATION, 2, 200)):
        frame = fish(count, seed)
        pond.rows(pillar, frame.assign(kind=noise.permutation(frame["kind"].to_numpy())))
    pond.studied(60, bayes_error=0.45, signal=FeasibilitySignal.UNREALISTIC, upper=0.5)
    assert pond.advice()[-1].steps[0].action is AdviceAction.RELAX_TARGET


def test_what_cleaning_can_reach_and_rows_are_worth_is_told_with_the_next_advice(pond):
    def cleaning(reachable):
        return CleaningReport(
            "pond", "v1", final=True, begun_at=0.0, rows=300, uncertain_rows=50, answers=0, outside=0,
            validation_rows=200, certain=150, entropy=0.1, expected=0.8, potential=reachable,
        )  # fmt: skip

    values = ValuesReport("pond", "v1", final=True, begun_at=0.0, rows=300, pool_rows=0, harm=-0.01)
    pond.cluster.publish(CLEANING, cleaning(0.9))
    pond.cluster.run()
    assert pond.advice() == [], "advice follows the feasibility study"
    pond.studied(300)
    assert len(pond.advice()) == 1
    pond.cluster.publish(CLEANING, cleaning(0.905))
    pond.cluster.publish(VALUES, replace(values, final=False))
    pond.cluster.run()
    assert len(pond.advice()) == 1, "nothing has changed that matters"
    pond.cluster.publish(VALUES, values)
    pond.cluster.run()
    assert len(pond.advice()) == 2
    assert len(pond.advice()[-1].events) == 3, "feasibility, cleaning and values"
    pond.cluster.restart("advisor")
    pond.cluster.publish(CLEANING, cleaning(0.95))
    pond.cluster.run()
    assert len(pond.advice()) == 3


def test_a_served_model_without_a_file_is_the_one_advised_on(pond):
    pond.rows(Pillar.PRODUCTION, fish(100, 3, moved=2.0))
    pond.drift("elsewhere")
    assert pond.advice()[-1].model == "elsewhere"
    assert pond.adapted() == []


def test_at_most_so_many_rows_leave_the_service(monkeypatch):
    monkeypatch.setattr("easeml.advisor.work.MOST_ROWS", 10)
    frame = fish(30, 1)
    relation = Relation.from_frame(
        frame, label="kind", classes=APP.classes, row_ids=tuple(frame.index), columns=COLUMNS
    )
    rows = drawn(relation, np.random.default_rng(1)).row_ids
    assert len(rows) == 10
    assert sorted(rows, key=relation.row_ids.index) == list(rows)
