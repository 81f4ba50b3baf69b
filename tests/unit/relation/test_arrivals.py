"""What came for a pillar: once each, bounded where wanted, judged by the app as it is defined now."""

import gc

import numpy as np
import pandas as pd
import pytest

from easeml.relation import Relation
from easeml.relation.arrivals import Arrivals
from easeml.stream.payloads import (
    Answer,
    AppDefined,
    CandidateBatch,
    Column,
    ColumnKind,
    Pillar,
    QuestionKind,
    RelationBatch,
)

APP = AppDefined("pond", "kind", ("carp", "pike"), (Column("x", ColumnKind.NUMERIC),))


def batch(names, value=0.0):
    frame = pd.DataFrame({"x": np.full(len(names), value), "kind": None}, index=names)
    relation = Relation.from_frame(frame, label="kind", classes=APP.classes, row_ids=tuple(names), columns=APP.columns)
    return next(iter(relation.to_batches("pond", Pillar.PRODUCTION, "v1")))


def answer(row, text="pike"):
    return Answer("pond", f"q{row}", QuestionKind.LABEL, Pillar.PRODUCTION, row, 1, text, "modelpicker", 1)


def filled(keep_last, batches, size=10):
    arrivals = Arrivals(keep_last)
    for place in range(batches):
        arrivals.add(f"b{place}", batch([f"{place}-{row}" for row in range(size)]))
    return arrivals


def labels(arrivals):
    relation = arrivals.relation(APP)
    return {row: code for row, code in zip(relation.row_ids, relation.labels.tolist(), strict=True) if code >= 0}


def test_the_last_rows_stay_and_an_old_batch_does_not_come_back():
    arrivals = filled(30, 8)
    assert set(arrivals.relation(APP).row_ids) == {f"{place}-{row}" for place in (5, 6, 7) for row in range(10)}
    arrivals.add("b0", batch([f"0-{row}" for row in range(10)]))
    assert arrivals.count(APP) == 30


def test_batches_that_nobody_looks_at_are_let_go():
    arrivals = filled(30, 3)
    arrivals.relation(APP)
    for place in range(3, 40):
        arrivals.add(f"b{place}", batch([f"{place}-{row}" for row in range(10)]))
    gc.collect()
    mine = {f"{place}-0" for place in range(40)}
    assert sum(type(one) is RelationBatch and not mine.isdisjoint(one.row_ids) for one in gc.get_objects()) <= 4


def test_answers_go_with_their_rows_and_stay_with_rows_published_again():
    arrivals = filled(30, 3)
    arrivals.add("a", answer("0-1"))
    arrivals.add("b", answer("0-2"))
    arrivals.add("again", batch(["0-1"]))
    for place in range(3, 5):
        arrivals.add(f"b{place}", batch([f"{place}-{row}" for row in range(10)]))
    assert labels(arrivals) == {"0-1": 1}
    for place in range(5, 40):
        arrivals.add(f"late{place}", answer("0-3"))
        arrivals.add(f"b{place}", batch([f"{place}-{row}" for row in range(10)]))
    assert labels(arrivals) == {}
    assert len(arrivals._told) < 20


def test_the_same_event_twice_changes_nothing():
    arrivals = filled(None, 2)
    arrivals.add("a", answer("0-1"))
    before = arrivals.revision(APP)
    arrivals.add("a", answer("0-2"))
    arrivals.add("b0", batch(["new"]))
    assert (arrivals.revision(APP), labels(arrivals)) == (before, {"0-1": 1})


def test_what_does_not_fit_is_no_news():
    arrivals = filled(None, 1)
    before = arrivals.revision(APP)
    arrivals.add("x", answer("0-1", "eel"))
    assert arrivals.revision(APP) == before
    wider = AppDefined("pond", "kind", ("carp", "pike", "eel"), APP.columns)
    assert arrivals.revision(wider) == before + 1


@pytest.mark.parametrize("keep_last", [None, 500])
def test_many_small_batches_are_taken_in_turn(keep_last):
    arrivals = filled(keep_last, 3000, 1)
    assert arrivals.count(APP) == (keep_last or 3000)


def test_rows_one_by_one_are_those_of_the_relation_and_proposals_know_no_answer():
    arrivals = filled(None, 2)
    doubt = CandidateBatch(
        "pond",
        Pillar.PRODUCTION,
        "guess@1",
        ("x", "kind"),
        ("0-1",),
        ("1.0", "2.0", "carp", "pike"),
        row=np.zeros(4, np.int32),
        column=np.array([0, 0, 1, 1], np.int32),
        probability=np.full(4, 0.5),
    )
    arrivals.add("c", doubt)
    before = arrivals.revision(APP, answers=False)
    proposed = arrivals.proposed(APP)
    arrivals.add("a", answer("0-1"))
    arrivals.add("b", Answer("pond", "q", QuestionKind.CELL, Pillar.PRODUCTION, "0-1", 1, "2.0", "x", 1, "x"))
    arrivals.add("d", answer("9-9"))
    assert arrivals.revision(APP, answers=False) == before < arrivals.revision(APP)
    assert arrivals.proposed(APP) is proposed
    assert arrivals.answered(APP) == ("0-1",)
    every = arrivals.relation(APP)
    for place, row_id in enumerate(every.row_ids):
        assert arrivals.row(APP, row_id).content_hash() == every.take(np.array([place])).content_hash()
        told = arrivals.row(APP, row_id, answers=False)
        assert told.entropy().total == (2.0 if row_id == "0-1" else 1.0)
    assert arrivals.row(APP, "9-9") is None
    arrivals.add("b2", batch(["2-0"]))
    assert len(arrivals.proposed(APP)) == 21
