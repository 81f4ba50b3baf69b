"""Studies on the stream: what begins one, what it says, and when it is silent."""

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


def publish(cluster, frame, version="v1"):
    relation = Relation.from_frame(
        frame, label="kind", classes=APP.classes, row_ids=tuple(frame.index), columns=APP.columns
    )
    for batch in relation.to_batches("pond", Pillar.TRAIN, version):
        cluster.publish(DATA_TRAIN, batch)
    cluster.publish(DATA_VERSIONS, DataVersion("pond", Pillar.TRAIN, version, len(frame), "0" * 64, "test"))
    cluster.run()


def reports(cluster):
    return [event.data for event in cluster.events(FEASIBILITY)]


def answer(row, text):
    value = APP.classes.index(text)
    return Answer("pond", f"q-{row}-{text}", QuestionKind.LABEL, Pillar.TRAIN, row, value, text, "cpclean", 1)


def test_rows_begin_a_study_that_ends(pond):
    publish(pond, fish(200))
    assert reports(pond) == []
    pond.tick()
    begun, last = reports(pond)
    assert (begun.final, begun.signal, begun.rows, begun.version) == (False, FeasibilitySignal.UNDECIDED, 200, "v1")
    assert (last.final, last.signal, last.rows) == (True, FeasibilitySignal.REALISTIC, 200)
    assert {arm.state for arm in last.arms} == {ArmState.DONE}
    assert last.interval_low <= last.bayes_error <= last.interval_high
    curves = np.bincount(last.curve_arm, minlength=len(last.arms))
    assert len(last.curve_rows) == len(last.curve_error) == curves.sum()
    assert (curves > 1).all()
    pond.tick(5)
    assert len(reports(pond)) == 2, "nothing is new"


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
    assert all(report.final for report in reports(pond)[1::2])


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


def test_a_restart_begins_no_study_of_what_was_told(pond):
    publish(pond, fish(80))
    pond.tick()
    pond.restart("snoopy")
    pond.tick(3)
    assert len(reports(pond)) == 2
    publish(pond, fish(20, 300), "v2")
    pond.tick()
    assert reports(pond)[-1].rows == 100
