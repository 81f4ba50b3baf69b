"""Market in any order of topics, killed anywhere: no label is asked for or paid twice, and no answer is lost."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.market.service import ACQUIRED, MarketService
from easeml.relation import Relation
from easeml.stream.memory import POINTS, MemoryCluster
from easeml.stream.payloads import Answer, AppDefined, Column, ColumnKind, Pillar
from easeml.stream.topics import ANSWERS, APPS, DATA_TRAIN, PILLAR_TOPICS, QUESTIONS

pytestmark = pytest.mark.usefixtures("few_trees")
APP = AppDefined("pond", "kind", ("carp", "pike"), (Column("x", ColumnKind.NUMERIC),), acquisition_budget=14)
SIZES = {Pillar.TRAIN: 12, Pillar.VALIDATION: 10, Pillar.POOL: 40}


def batches(pillar, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, SIZES[pillar])
    frame = pd.DataFrame({"x": 2.0 * codes + rng.normal(size=len(codes)), "kind": np.array(APP.classes, object)[codes]})
    frame = frame.set_axis([f"{pillar}-{place}" for place in range(len(frame))])
    truth = frame["kind"].to_dict()
    relation = Relation.from_frame(
        frame.assign(kind=None) if pillar is Pillar.POOL else frame,
        label="kind",
        classes=APP.classes,
        columns=APP.columns,
        row_ids=tuple(frame.index),
    )
    return relation.to_batches("pond", pillar, "v1", rows_per_batch=8), truth


@settings(max_examples=12, derandomize=True, deadline=None, database=None)
@given(seed=st.integers(0, 2**16), point=st.sampled_from([*POINTS, None]), batch=st.integers(1, 12))
def test_no_label_is_asked_or_paid_twice_and_no_answer_is_lost(seed, point, batch):
    rng = random.Random(seed)
    cluster = MemoryCluster([MarketService()], rng=rng)
    cluster.publish(APPS, APP)
    truth: dict[str, str] = {}
    rows = []
    for pillar in SIZES:
        made, known = batches(pillar, seed)
        rows += [(PILLAR_TOPICS[pillar], one) for one in made]
        truth |= known
    rng.shuffle(rows)
    for topic, data in rows:
        cluster.publish(topic, data)
    if point is not None:
        cluster.kill("market", point, batch)
    answered: dict[str, str] = {}
    for _ in range(14):
        cluster.tick(2)
        for question in {event.data.question: event.data for event in cluster.events(QUESTIONS)}.values():
            if question.question not in answered and rng.random() < 0.8:
                answered[question.question] = question.row_id
                text = truth[question.row_id]
                value = question.candidates.index(text)
                given_ = Answer(
                    "pond", question.question, question.kind, Pillar.POOL, question.row_id, value, text, "market", 1
                )
                cluster.publish(ANSWERS, given_)
    cluster.tick(2)
    asked: dict[str, str] = {}
    for event in cluster.events(QUESTIONS):
        assert asked.setdefault(event.id, event.data.row_id) == event.data.row_id, "a repetition asks the same"
    assert len(set(asked.values())) == len(asked) <= APP.acquisition_budget
    assert set(answered.values()) <= set(asked.values())
    acquired = [event.data for event in cluster.events(DATA_TRAIN) if event.data.version == ACQUIRED]
    labels = {row: APP.classes[code] for one in acquired for row, code in zip(one.row_ids, one.labels, strict=True)}
    assert labels == {row: truth[row] for row in answered.values()}
    state = cluster.state("market", "pond")
    assert state.paid == len(answered)
    assert set(state.open) == set(asked.values()) - set(answered.values())
    assert len(asked) >= 10, "it goes on asking"
