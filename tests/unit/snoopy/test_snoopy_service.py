"""Studies on the stream: what begins one, what it says, and when it is silent."""

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from easeml.relation import Relation
from easeml.snoopy.service import SnoopyService
from easeml.stream.memory import MemoryCluster
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    ArmState,
    Column,
    ColumnKind,
    DataVersion,
    FeasibilitySignal,
    ModelPublished,
    ModelRetired,
    Pillar,
    QuestionKind,
)
from easeml.stream.topics import ANSWERS, APPS, DATA_TRAIN, DATA_VERSIONS, FEASIBILITY, MODELS

APP = AppDefined("pond", "kind", ("carp", "pike"), (Column("x", ColumnKind.NUMERIC), Column("y", ColumnKind.NUMERIC)))


def fish(count, start=0, apart=4.0):
    rng = np.random.default_rng(start)
    codes = rng.integers(0, 2, count)
    frame = pd.DataFrame(rng.normal(size=(count, 2)), columns=["x", "y"])
    frame["x"] += apart * codes
    frame["kind"] = np.array(APP.classes, object)[codes]
    return frame.set_axis([f"f{place}" for place in range(start, start + count)])


@pytest.fixture
def pond():
    cluster = MemoryCluster([SnoopyService()])
    cluster.publish(APPS, APP)
    return cluster


def publish(cluster, frame, version="v1", app="pond"):
    relation = Relation.from_frame(
        frame, label="kind", classes=APP.classes, row_ids=tuple(frame.index), columns=APP.columns
    )
    for batch in relation.to_batches(app, Pillar.TRAIN, version):
        cluster.publish(DATA_TRAIN, batch)
    cluster.publish(DATA_VERSIONS, DataVersion(app, Pillar.TRAIN, version, len(frame), "0" * 64, "test"))
    cluster.run()


def reports(cluster):
    return [event.data for event in cluster.events(FEASIBILITY)]


def begun():
    """Return a report of another study that has read nothing."""
    other = MemoryCluster([SnoopyService()])
    other.publish(APPS, APP)
    publish(other, fish(20))
    other.tick()
    return reports(other)[0]


def answer(row, text):
    value = APP.classes.index(text)
    return Answer("pond", f"q-{row}-{text}", QuestionKind.LABEL, Pillar.TRAIN, row, value, text, "cpclean", 1)


def test_rows_begin_a_study_that_ends(pond):
    publish(pond, fish(200))
    assert reports(pond) == []
    pond.tick()
    begun, *between, last = reports(pond)
    assert not any(report.final for report in between), "a busy machine reads a study in several goes"
    assert (begun.final, begun.signal, begun.rows, begun.version) == (False, FeasibilitySignal.UNDECIDED, 200, "v1")
    assert (last.final, last.signal, last.rows) == (True, FeasibilitySignal.REALISTIC, 200)
    assert {arm.state for arm in last.arms} == {ArmState.DONE}
    assert last.interval_low <= last.bayes_error <= last.interval_high
    curves = np.bincount(last.curve_arm, minlength=len(last.arms))
    assert len(last.curve_rows) == len(last.curve_error) == curves.sum()
    assert (curves > 1).all()
    pond.tick(5)
    assert len(reports(pond)) == 2 + len(between), "nothing is new"


def test_an_answer_a_batch_a_model_and_a_target_begin_one_each(pond):
    frame = fish(120)
    publish(pond, frame)
    pond.tick()
    clean = reports(pond)[-1].bayes_error
    for row in frame.index[:30]:
        wrong = "pike" if frame.loc[row, "kind"] == "carp" else "carp"
        pond.publish(ANSWERS, answer(row, wrong))
    pond.tick(3)
    assert reports(pond)[-1].bayes_error > clean + 0.05
    publish(pond, fish(100, 500), "v2")
    pond.tick(3)
    assert (reports(pond)[-1].rows, reports(pond)[-1].version) == (220, "v2")
    model = ModelPublished(
        "pond", "m", "tree", "", "", 0, "external", ("x", "y"), APP.classes, "v2", "external", {"accuracy": 0.75}
    )
    pond.publish(MODELS, model)
    pond.tick(3)
    assert reports(pond)[-1].model_error == pytest.approx(0.25)
    pond.publish(APPS, AppDefined("pond", "kind", APP.classes, APP.columns, target=0.6))
    pond.tick(3)
    assert reports(pond)[-1].target_accuracy == 0.6
    assert all({report.begun_at: report.final for report in reports(pond)}.values()), "each study ends"


def test_no_more_reports_than_seconds(pond):
    frame = fish(60)
    publish(pond, frame)
    for place, row in enumerate(frame.index[:12]):
        pond.publish(ANSWERS, answer(row, APP.classes[place % 2]))
        pond.tick()
    assert len(reports(pond)) <= 12


@pytest.mark.parametrize("frame", [fish(9), fish(40).assign(kind="carp"), fish(40).assign(x=1.0, y=2.0)])
def test_rows_that_tell_nothing_are_waited_for(pond, frame):
    publish(pond, frame)
    pond.tick(5)
    assert [report.final for report in reports(pond)] == [False]
    assert pond.dead_letters(FEASIBILITY) == []
    publish(pond, fish(60, 700), "v2")
    pond.tick(5)
    assert reports(pond)[-1].final


def test_many_rows_are_reported_on_as_arms_read_them(pond, monkeypatch):
    monkeypatch.setattr("easeml.snoopy.work._SECONDS", 0.0)
    publish(pond, fish(1500, apart=1.5))
    pond.tick()
    progress = reports(pond)
    assert len(progress) > 10
    assert [report.final for report in progress].index(True) == len(progress) - 1
    shares = [max((arm.share for arm in report.arms), default=0.0) for report in progress]
    assert shares == sorted(shares)
    assert {ArmState.WAITING, ArmState.RUNNING} <= {arm.state for arm in progress[1].arms}


def test_unlabelled_rows_do_not_shrink_a_study(pond, monkeypatch):
    monkeypatch.setattr("easeml.snoopy.work._SECONDS", 0.0)
    frame = fish(2400, apart=1.5)
    frame.loc[frame.index[::2], "kind"] = None
    publish(pond, frame)
    pond.tick()
    assert [report.rows for report in reports(pond)[1:]] == [1200] * (len(reports(pond)) - 1)
    assert reports(pond)[-1].final


def test_two_studies_of_the_same_rows_both_end(pond, monkeypatch):
    monkeypatch.setattr("easeml.snoopy.work._SECONDS", 0.0)
    publish(pond, fish(1200, apart=1.5))
    pond.publish(FEASIBILITY, replace(begun(), rows=700))
    pond.tick(4)
    finals = [report for report in reports(pond) if report.final]
    assert [report.rows for report in finals] == [1200, 1200]


def test_more_studies_than_a_worker_keeps_all_end(monkeypatch):
    monkeypatch.setattr("easeml.snoopy.work._SECONDS", 0.0)
    monkeypatch.setattr("easeml.snoopy.work._KEPT", 1)
    monkeypatch.setattr("easeml.snoopy.work._studies", OrderedDict())
    cluster = MemoryCluster([SnoopyService()])
    names = [f"pond-{place}" for place in range(3)]
    for name in names:
        cluster.publish(APPS, replace(APP, app=name))
        publish(cluster, fish(1000, apart=1.5), app=name)
    cluster.tick(3)
    assert {report.app for report in reports(cluster) if report.final} == set(names)


def test_an_app_without_classes_is_waited_for(pond):
    pond.publish(APPS, replace(APP, app="sea", classes=()))
    frame = fish(30).assign(kind=None)
    relation = Relation.from_frame(frame, label="kind", classes=(), row_ids=tuple(frame.index), columns=APP.columns)
    for batch in relation.to_batches("sea", Pillar.TRAIN, "v1"):
        pond.publish(DATA_TRAIN, batch)
    pond.tick(3)
    assert reports(pond) == []
    assert pond.restarts == 0


def test_adapted_and_retired_models_say_nothing_about_the_rows(pond):
    publish(pond, fish(100))
    known = ModelPublished(
        "pond", "m", "tree", "", "", 0, "external", ("x", "y"), APP.classes, "v1", "automl", {"accuracy": 0.75}
    )
    pond.publish(MODELS, known)
    pond.publish(MODELS, replace(known, model="a", origin="adapted", metrics={"accuracy": 1.0}))
    pond.tick(3)
    assert reports(pond)[-1].model_error == pytest.approx(0.25)
    pond.publish(MODELS, ModelRetired("pond", "m", "gone"))
    pond.tick(3)
    assert reports(pond)[-1].model_error is None


def test_a_restart_begins_no_study_of_what_was_told(pond):
    publish(pond, fish(80))
    pond.tick()
    told = len(reports(pond))
    pond.restart("snoopy")
    pond.tick(3)
    assert len(reports(pond)) == told
    publish(pond, fish(20, 300), "v2")
    pond.tick()
    assert reports(pond)[-1].rows == 100
