from __future__ import annotations

import doctest
import importlib
import pkgutil
from dataclasses import replace

import numpy as np
import pytest

import easeml.labels
from easeml.labels import rows as rows_module
from easeml.labels.rows import Image, Rows
from easeml.labels.service import SHOWN
from easeml.stream.payloads import AppDeleted, Budget, Column, ColumnKind, Pillar, RelationBatch
from easeml.stream.topics import (
    ANNOTATIONS,
    ANSWERS,
    APPS,
    AUDIT,
    BUDGETS,
    CI_ANSWERS,
    CI_QUESTIONS,
    DATA_POOL,
    DATA_PRODUCTION,
    DATA_TRAIN,
    QUESTIONS,
)


def rows(*names, value=0.0, **changes):
    batch = RelationBatch(
        app="churn",
        pillar=Pillar.PRODUCTION,
        version="v",
        columns=(Column("age", ColumnKind.NUMERIC),),
        row_ids=names,
        numeric=np.full(len(names), value),
    )
    return replace(batch, **changes)


ROW = rows_module._size(rows("r"))


def test_annotation_and_question_in_any_order_over_the_stream(house, question, annotation):
    house.put(ANNOTATIONS, annotation())
    assert house.answers() == []
    house.ask(question())
    assert [answer.text for answer in house.answers()] == ["yes"]
    assert [event.data for event in house.cluster.events(BUDGETS)] == [
        Budget(app="churn", asker="modelpicker", granted=3.0, spent=0.0),
        Budget(app="churn", asker="modelpicker", granted=3.0, spent=1.0),
    ]
    assert [event.data.outcome for event in house.cluster.events(AUDIT)] == ["ok"]


@pytest.mark.parametrize("point", ["after_journal", "half_outputs", "after_outputs", "half_state", "after_state"])
def test_a_kill_at_any_point_leaves_one_answer(house, question, annotation, point):
    house.ask(question())
    house.cluster.kill("labels", point)
    house.put(ANNOTATIONS, annotation())
    house.put(ANNOTATIONS, annotation())
    assert house.cluster.restarts == 1
    assert len({event.id for event in house.cluster.events(ANSWERS)}) == 1
    assert house.cluster.state("labels", "churn").spent == {"modelpicker": 1.0}
    assert house.service.queues["churn"] is house.cluster.state("labels", "churn")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pillar": Pillar.TEST}, "restricted_pillar"),
        ({"kind": "cell"}, "no_column"),
        ({"kind": "cell", "column": "height", "candidates": ("1", "2")}, "unknown_column"),
        ({"kind": "cell", "column": "age", "candidates": ("1", "old")}, "invalid_candidates"),
        ({"kind": "cell", "column": "age", "candidates": ("1", "1.0")}, "invalid_candidates"),
        ({"candidates": ("no", "no")}, "invalid_candidates"),
        ({"candidates": ("no",)}, "invalid_candidates"),
        ({"candidates": ("no", "maybe")}, "unknown_class"),
        ({"information_gain": float("nan")}, "invalid_number"),
        ({"information_gain": -1.0}, "invalid_number"),
        ({"cost": 0.0}, "invalid_number"),
        ({"cost": float("inf")}, "invalid_number"),
        ({"expires_at": float("nan")}, "invalid_number"),
        ({"probabilities": np.array([0.5])}, "invalid_probabilities"),
        ({"probabilities": np.array([0.9, 0.9])}, "invalid_probabilities"),
        ({"probabilities": np.array([-0.5, 1.5])}, "invalid_probabilities"),
        ({"probabilities": np.array([np.nan, 1.0])}, "invalid_probabilities"),
        ({"row_id": ""}, "invalid_name"),
        ({"asked_by": "tab\t"}, "invalid_name"),
    ],
)
def test_a_bad_question_is_dead_lettered_and_the_service_goes_on(house, question, changes, reason):
    house.ask(question(**changes), question("good"))
    (letter,) = house.cluster.dead_letters(QUESTIONS)
    assert letter.reason == reason
    assert list(house.service.queues["churn"].open) == ["good"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"value": -2}, "invalid_value"), ({"value": 2}, "invalid_value"), ({"annotator": ""}, "invalid_name")],
)
def test_a_bad_annotation_is_dead_lettered_and_the_service_goes_on(house, question, annotation, changes, reason):
    house.ask(question())
    house.put(ANNOTATIONS, annotation(**{"request_id": "bad"} | changes))
    house.put(ANNOTATIONS, annotation())
    (letter,) = house.cluster.dead_letters(ANNOTATIONS)
    assert letter.reason == reason
    assert len(house.answers()) == 1


def test_rows_of_a_wrong_width_are_dead_lettered(house):
    house.put(DATA_PRODUCTION, rows("a", "b", numeric=np.zeros(3)))
    (letter,) = house.cluster.dead_letters(DATA_PRODUCTION)
    assert letter.reason == "wrong_width"
    house.put(DATA_PRODUCTION, rows("a", columns=(Column("x", ColumnKind.TENSOR, shape=(-1, -1)),)))
    assert len(house.cluster.dead_letters(DATA_PRODUCTION)) == 2
    house.put(DATA_PRODUCTION, rows("c", value=4.0))
    assert house.service.row("churn", Pillar.PRODUCTION, "c") == {"age": 4.0}


def test_rows_come_back_after_a_restart_and_go_with_their_app(house, question):
    house.put(DATA_PRODUCTION, rows("row-q", value=4.0))
    house.ask(question())
    house.cluster.restart("labels")
    assert house.service.row("churn", Pillar.PRODUCTION, "row-q") == {"age": 4.0}
    assert list(house.service.queues["churn"].open) == ["q"]
    house.put(APPS, AppDeleted(app="churn"))
    assert house.service.row("churn", Pillar.PRODUCTION, "row-q") == {}
    assert house.service.queues == {}


@pytest.mark.parametrize(
    ("topic", "pillar"), [(DATA_TRAIN, Pillar.TRAIN), (DATA_POOL, Pillar.POOL), (DATA_PRODUCTION, Pillar.PRODUCTION)]
)
def test_rows_of_each_pillar_are_shown_apart(house, question, topic, pillar):
    for place, other in enumerate((DATA_TRAIN, DATA_POOL, DATA_PRODUCTION)):
        house.put(other, rows("row-q", value=float(place), pillar=SHOWN[place]))
    house.put(topic, rows("row-q", value=7.0, pillar=pillar))
    house.ask(question(pillar=pillar))
    assert house.service.row("churn", pillar, "row-q") == {"age": 7.0}
    house.put(topic, rows("row-q", pillar=Pillar.VALIDATION))
    (letter,) = house.cluster.dead_letters(topic)
    assert letter.reason == "wrong_pillar"


def test_a_cell_that_was_answered_is_shown_as_it_is_known_now(house, question, annotation, app):
    since = Column("since", ColumnKind.DATETIME)
    columns = (*app.columns, since, Column("paid", ColumnKind.BOOLEAN), Column("plan", ColumnKind.CATEGORICAL, ("a",)))
    house.define(replace(app, columns=columns, cleaning_budget=9))
    house.put(DATA_TRAIN, rows("r", pillar=Pillar.TRAIN, columns=columns, numeric=np.full(2, np.nan),
                               codes=np.full(2, -1, np.int32)))  # fmt: skip
    said = {"age": ("33", "1", "2"), "since": ("2024-05-17", "2024-05-18", "2024-05-19"),
            "paid": ("true", "false", "true"), "plan": ("b", "a", "c")}  # fmt: skip
    for column, (text, *candidates) in said.items():
        house.ask(question(column, row_id="r", kind="cell", pillar=Pillar.TRAIN, column=column, asked_by="cpclean",
                           candidates=tuple(candidates)))  # fmt: skip
        house.put(ANNOTATIONS, annotation(column, value=-2, text=text))
    for _ in range(2):
        shown = house.service.row("churn", Pillar.TRAIN, "r")
        assert (shown["age"], shown["paid"], shown["plan"]) == (33.0, True, "b")
        assert shown["since"].isoformat() == "2024-05-17T00:00:00+00:00"
        house.cluster.restart("labels")


@pytest.mark.parametrize(
    ("asker", "field"),
    [("modelpicker", "label_budget"), ("a tool", "label_budget"), ("cpclean", "cleaning_budget"),
     ("market", "acquisition_budget")],
)  # fmt: skip
def test_every_asker_has_its_budget(house, question, annotation, app, asker, field):
    budgets = dict.fromkeys(("label_budget", "cleaning_budget", "acquisition_budget"), 0)
    house.define(replace(app, **budgets | {field: 2}))
    for name in ("a", "b", "c"):
        house.ask(question(name, asked_by=asker))
        house.put(ANNOTATIONS, annotation(name))
    assert len(house.answers()) == 2
    assert [event.data.granted for event in house.cluster.events(BUDGETS)][-1] == 2
    house.define(replace(app, **budgets | {field: 5}))
    house.cluster.tick(1)
    assert [event.data.granted for event in house.cluster.events(BUDGETS)][-1] == 5


def test_every_kind_of_cell_is_shown():
    batch = RelationBatch(
        app="churn",
        pillar=Pillar.PRODUCTION,
        version="v",
        columns=(
            Column("colour", ColumnKind.CATEGORICAL, ("red", "green")),
            Column("age", ColumnKind.NUMERIC),
            Column("paid", ColumnKind.BOOLEAN),
            Column("photo", ColumnKind.TENSOR, shape=(2, 1)),
            Column("seen", ColumnKind.DATETIME),
            Column("note", ColumnKind.TEXT),
            Column("icon", ColumnKind.TENSOR, shape=(1,)),
        ),
        row_ids=("a", "b", "c"),
        texts=("hello", "", "x"),
        missing_texts=np.array([1], np.int32),
        codes=np.array([1, 1, -1, -1, 5, 0], np.int32),
        tensor=np.arange(9.0),
        numeric=np.array([41.0, 0.0, np.nan, np.nan, 1.0, 1e300]),
    )
    shown = Rows(set)
    shown.fold(batch, 0)
    first, second, third = (shown.show(name) for name in "abc")
    assert list(first) == [column.name for column in batch.columns]
    assert first["seen"].isoformat() == "1970-01-01T00:00:00+00:00"
    assert (first["colour"], first["age"], first["paid"], first["note"]) == ("green", 41.0, True, "hello")
    assert (first["photo"], first["icon"]) == (Image((2, 1), (0.0, 1.0)), Image((1,), (2.0,)))
    assert (second["colour"], second["age"], second["paid"], second["seen"]) == (None, None, None, None)
    assert second["note"] is None
    assert second["photo"] == Image((2, 1), (3.0, 4.0))
    assert (third["colour"], third["paid"], third["seen"]) == ("5", False, 1e300)


def test_only_the_newest_rows_are_kept_and_those_asked_about():
    asked = {"r1"}
    kept = Rows(lambda: asked, keep_bytes=4 * ROW)
    for start in range(0, 10, 2):
        kept.fold(rows(f"r{start}", f"r{start + 1}", value=float(start)), 0)
    assert [name for name in (f"r{i}" for i in range(10)) if kept.show(name)] == ["r1", "r6", "r7", "r8", "r9"]
    kept.fold(rows("r9", value=-1.0), 0)
    assert kept.show("r9") == {"age": -1.0}
    asked.clear()
    kept.fold(rows("r10", "r11"), 0)
    assert not kept.show("r1")


def test_of_rows_without_end_so_many_are_kept_and_those_asked_about():
    looked = []
    kept = Rows(lambda: looked.append(1) or {"r3"}, keep_rows=100)
    for start in range(1000):
        kept.fold(rows(f"r{start}"), 0)
    shown = [place for place in range(1000) if kept.show(f"r{place}")]
    assert shown[0] == 3
    assert shown[1:] == list(range(shown[1], 1000))
    assert 100 <= len(shown) - 1 <= 125
    assert len(looked) < 50


def test_wide_rows_are_kept_in_smaller_numbers():
    wide = {"columns": (Column("photo", ColumnKind.TENSOR, shape=(100,)),), "numeric": np.empty(0)}
    kept = Rows(set, keep_bytes=20 * ROW)
    for start in range(100):
        kept.fold(rows(f"r{start}", tensor=np.zeros(100), **wide), 0)
    assert 1 < sum(bool(kept.show(f"r{i}")) for i in range(100)) < 10
    kept.fold(rows(row_ids=(), numeric=np.empty(0)), 0)
    kept.fold(rows("a", "a"), 0)
    for start in range(100):
        kept.fold(rows(f"r{start}"), 0)
    assert not kept.show("a")


def test_a_batch_that_is_larger_than_all_that_is_kept_is_shown_until_the_next_one():
    kept = Rows(set, keep_bytes=1)
    kept.fold(rows("a", "b"), 0)
    assert kept.show("b") == {"age": 0.0}
    kept.fold(rows("c"), 0)
    assert (kept.show("b"), kept.show("c")) == ({}, {"age": 0.0})


def test_the_app_says_how_many_people_must_answer_and_one_owner_decides_about_test_rows(
    house, app, question, annotation
):
    def vote(name, who, topic=ANNOTATIONS, **said):
        house.put(topic, annotation(name, annotator=who, request_id=f"{who}/{name}", **said))

    def answered():
        return {answer.question: answer.annotators for answer in house.answers()}

    house.define(replace(app, redundancy=3, test_label_budget=1))
    house.ask(question("a"), question("b"), question("c"))
    house.put(CI_QUESTIONS, question("t", pillar=Pillar.TEST, asked_by="ci"))
    vote("t", "olga", CI_ANSWERS)
    assert house.service.queues["churn"].test.spent == {"ci": 1.0}
    for who in ("ada", "bob"):
        vote("a", who)
        vote("b", who)
    vote("c", "ada")
    assert answered() == {}
    house.cluster.restart("labels")
    vote("a", "cy")
    assert answered() == {"a": 3}
    house.define(replace(app, redundancy=2))
    vote("b", "eve", value=99)  # dead-lettered; nothing that it finds on the way is lost
    assert house.cluster.dead_letters(ANNOTATIONS)
    house.cluster.tick()  # with fewer people needed, those who were heard are enough
    assert answered() == {"a": 3, "b": 2}
    house.define(replace(app, redundancy=-5))  # of a program that does not know better
    house.cluster.tick()
    assert answered() == {"a": 3, "b": 2, "c": 1}
    house.cluster.tick()
    assert len(house.answers()) == 3


@pytest.mark.parametrize(
    "name",
    sorted({module.name for module in pkgutil.iter_modules(easeml.labels.__path__)} - {"__main__", "v1"}),
)
def test_the_examples_of_the_docstrings_run(name):
    assert doctest.testmod(importlib.import_module(f"easeml.labels.{name}")).failed == 0
