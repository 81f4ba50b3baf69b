"""Advice on the stream: what asks for it, what it says, and the adapted models that come with it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from easeml.advisor.learning import Learner, Sample
from easeml.advisor.service import AdvisorService
from easeml.artifacts import FORMAT, ArtifactStore, dump, load
from easeml.relation import Relation
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import (
    AdviceAction,
    AdvicePhase,
    Answer,
    AppDefined,
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
)
from easeml.stream.topics import (
    ADVICE,
    ANSWERS,
    APPS,
    DATA_VERSIONS,
    FEASIBILITY,
    MODELS,
    PICKS,
    PILLAR_TOPICS,
    TESTSETS,
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


class Pond:
    """An app with rows, a model that is served, and the advisor alone."""

    def __init__(self, tmp_path):
        self.store = ArtifactStore((tmp_path / "store").as_uri(), MOST)
        self.cluster = MemoryCluster([AdvisorService(self.store.uri, MOST)])
        self.cluster.publish(APPS, APP)

    def rows(self, pillar, frame, version="v1"):
        labelled = frame if pillar is not Pillar.PRODUCTION else frame.assign(kind=None)
        relation = Relation.from_frame(
            labelled, label="kind", classes=APP.classes, row_ids=tuple(frame.index), columns=COLUMNS
        )
        for batch in relation.to_batches("pond", pillar, version):
            self.cluster.publish(PILLAR_TOPICS[pillar], batch)
        self.cluster.publish(DATA_VERSIONS, DataVersion("pond", pillar, version, len(frame), "0" * 64, "test"))

    def serve(self, train):
        codes = (train["kind"] == "pike").to_numpy(np.int64)
        model = Learner(LogisticRegression(), COLUMNS, APP.classes).fit(Sample(train[["x", "y"]], codes))
        stored = self.store.put(dump(model))
        published = ModelPublished(
            "pond",
            "first",
            "logistic",
            stored.uri,
            stored.sha256,
            stored.size,
            FORMAT,
            ("x", "y"),
            APP.classes,
            "v1",
            "automl",
            {"accuracy": 0.93},
        )
        self.cluster.publish(MODELS, published)

    def answer(self, frame):
        for row, kind in frame["kind"].items():
            value = APP.classes.index(kind)
            said = Answer("pond", f"q{row}", QuestionKind.LABEL, Pillar.PRODUCTION, row, value, kind, "modelpicker", 1)
            self.cluster.publish(ANSWERS, said)
        self.cluster.run()

    def studied(self, rows, bayes_error=0.06):
        report = FeasibilityReport(
            "pond",
            "v1",
            rows,
            final=True,
            target_accuracy=APP.target,
            signal=FeasibilitySignal.REALISTIC,
            bayes_error=bayes_error,
            bayes_error_upper=0.1,
            interval_low=0.04,
            interval_high=0.09,
            best_transformation="min-max",
            distinct_row_ratio=1.0,
        )
        self.cluster.publish(FEASIBILITY, report)
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
    (arrivals,) = pond.cluster._instances["advisor"].service._rows.values()
    kept = arrivals.relation(APP)
    assert set(kept.row_ids) == {f"{seed}-{place}" for seed in (13, 14) for place in range(60)}
    assert (kept.labels >= 0).sum() == 4
