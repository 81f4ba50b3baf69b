"""The rows that services keep of some pillars: each where it belongs, the others passed over."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from easeml.errors import Poison
from easeml.relation import Relation
from easeml.relation.pillar_views import PillarViews, keep_version
from easeml.stream.events import Event
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    CandidateBatch,
    Column,
    ColumnKind,
    DataVersion,
    Pillar,
    QuestionKind,
)
from easeml.stream.service import Context
from easeml.stream.topics import ANSWERS, CANDIDATES, DATA_VERSIONS, PILLAR_TOPICS

APP = AppDefined("pond", "kind", ("carp", "pike"), (Column("x", ColumnKind.NUMERIC),))
CTX = Context(0.0, APP, {}, (0,))


def event(name, topic, data):
    return Event(name, "test", 0.0, data.app, data.app, data, topic.name, 0, 0)


def batch(names, pillar=Pillar.TRAIN, app="pond"):
    frame = pd.DataFrame({"x": 0.0, "kind": None}, index=list(names))
    relation = Relation.from_frame(frame, label="kind", classes=APP.classes, row_ids=tuple(names), columns=APP.columns)
    return next(iter(relation.to_batches(app, pillar, "v1")))


def rows(name, *names, pillar=Pillar.TRAIN, app="pond"):
    return event(name, PILLAR_TOPICS[pillar], batch(names, pillar, app))


def answer(row, pillar=Pillar.TRAIN):
    return event(f"a{row}", ANSWERS, Answer("pond", f"q{row}", QuestionKind.LABEL, pillar, row, 1, "pike", "market", 1))


@pytest.fixture
def views():
    return PillarViews(Pillar.TRAIN, Pillar.PRODUCTION, keep_last={Pillar.PRODUCTION: 2})


def test_every_pillar_of_every_app_has_rows_of_its_own(views):
    views.fold(rows("1", "r1", "r2"))
    views.fold(rows("2", "r3", pillar=Pillar.PRODUCTION))
    views.fold(rows("3", "r4", app="lake"))
    assert views.of("pond", Pillar.TRAIN).relation(APP).row_ids == ("r1", "r2")
    assert views.of("pond", Pillar.PRODUCTION).relation(APP).row_ids == ("r3",)
    assert views.of("lake", Pillar.TRAIN).relation(replace(APP, app="lake")).row_ids == ("r4",)
    assert views.of("lake", Pillar.PRODUCTION).count(APP) == 0


def test_old_rows_go_where_that_is_wanted(views):
    for place in range(4):
        views.fold(rows(f"t{place}", f"r{place}"))
        views.fold(rows(f"p{place}", f"r{place}", pillar=Pillar.PRODUCTION))
    assert views.of("pond", Pillar.TRAIN).count(APP) == 4
    assert views.of("pond", Pillar.PRODUCTION).relation(APP).row_ids == ("r2", "r3")


def test_what_is_said_about_rows_goes_to_their_pillar(views):
    said = CandidateBatch(
        "pond",
        Pillar.TRAIN,
        "tool",
        columns=("x",),
        row_ids=("r1",),
        values=("2.0",),
        row=np.array([0], np.int32),
        column=np.array([0], np.int32),
        probability=np.array([1.0]),
    )
    views.fold(rows("1", "r1", "r2"))
    views.fold(event("2", CANDIDATES, said))
    views.fold(answer("r2"))
    relation = views.of("pond", Pillar.TRAIN).relation(APP)
    assert relation.labels.tolist() == [-1, 1]
    assert relation.candidates()["source"].tolist() == ["tool"]


def test_what_is_said_about_other_pillars_is_passed_over(views):
    views.fold(answer("r1", Pillar.POOL))
    with pytest.raises(KeyError):
        views.of("pond", Pillar.POOL)


def test_a_batch_on_the_topic_of_another_pillar_is_refused_and_changes_nothing(views):
    stray = event("1", PILLAR_TOPICS[Pillar.PRODUCTION], batch(["r1"]))
    with pytest.raises(Poison, match="came on the topic of production rows") as refused:
        views.fold(stray)
    assert refused.value.reason == "wrong_pillar"
    assert all(views.of("pond", pillar).count(APP) == 0 for pillar in (Pillar.TRAIN, Pillar.PRODUCTION))


def test_a_batch_that_does_not_fit_its_app_is_refused(views):
    good = rows("1", "r1")
    assert views.judge(None, good, CTX) == ()
    with pytest.raises(Poison) as refused:
        views.judge(None, replace(good, data=replace(good.data, classes=("carp", "eel"))), CTX)
    assert refused.value.reason == "unknown_class"


def test_a_forgotten_app_leaves_nothing_and_the_others_stay(views):
    for place, app in enumerate(("pond", "lake")):
        for pillar in (Pillar.TRAIN, Pillar.PRODUCTION):
            views.fold(rows(f"{place}{pillar}", "r1", pillar=pillar, app=app))
    views.forget("pond")
    views.forget("unknown")
    assert [app for app, _ in views._views] == ["lake", "lake"]
    assert views.of("pond", Pillar.TRAIN).count(APP) == 0


@pytest.mark.parametrize(("pillar", "version"), [(Pillar.TRAIN, "v2"), (Pillar.POOL, "v1")])
def test_the_version_remembered_is_that_of_the_train_pillar(pillar, version):
    state = SimpleNamespace(version="v1")
    assert keep_version(state, event("1", DATA_VERSIONS, DataVersion("pond", pillar, "v2", 1, "", "")), CTX) == ()
    assert state.version == version
