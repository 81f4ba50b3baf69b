"""Acquisition on the stream: what is asked, what becomes of answers, what is reported, and when it is silent."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from easeml.market.service import BATCH, MarketService
from easeml.relation import Relation
from easeml.stream.memory import MemoryCluster
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
from easeml.stream.topics import (
    ANSWERS,
    APPS,
    CANDIDATES,
    DATA_POOL,
    DATA_TRAIN,
    DATA_VERSIONS,
    PILLAR_TOPICS,
    QUESTIONS,
    VALUES,
)

pytestmark = pytest.mark.usefixtures("few_trees")  # what is asked is judged elsewhere
COLUMNS = tuple(Column(name, ColumnKind.NUMERIC) for name in "xyz")
APP = AppDefined("pond", "kind", ("carp", "pike"), COLUMNS, acquisition_budget=25)


def fish(count, seed, name, apart=2.0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, count)
    frame = pd.DataFrame(rng.normal(size=(count, 3)), columns=[*"xyz"])
    frame["x"] += apart * codes
    frame["kind"] = np.array(APP.classes, object)[codes]
    return frame.set_axis([f"{name}{place}" for place in range(count)])


TRAIN, POOL, VALIDATION = fish(40, 1, "t"), fish(120, 2, "p"), fish(50, 3, "v")
TRUTH = POOL["kind"].to_dict()


@pytest.fixture
def pond():
    cluster = MemoryCluster([MarketService()])
    cluster.publish(APPS, APP)
    return cluster


def publish(cluster, pillar, frame, app=APP, version="v1"):
    if pillar is Pillar.POOL:
        frame = frame.assign(kind=None)
    relation = Relation.from_frame(
        frame, label="kind", classes=app.classes, row_ids=tuple(frame.index), columns=app.columns
    )
    for batch in relation.to_batches(app.app, pillar, version):
        cluster.publish(PILLAR_TOPICS[pillar], batch)
    cluster.publish(DATA_VERSIONS, DataVersion(app.app, pillar, version, len(frame), "0" * 64, "test"))
    cluster.run()


def fill(cluster, app=APP, train=TRAIN, pool=POOL, validation=VALIDATION):
    for pillar, frame in ((Pillar.TRAIN, train), (Pillar.VALIDATION, validation), (Pillar.POOL, pool)):
        if frame is not None:
            publish(cluster, pillar, frame, app)


def said(cluster, topic):
    return [event.data for event in cluster.events(topic)]


def questions(cluster):
    return said(cluster, QUESTIONS)


def acquired(cluster):
    return [batch for batch in said(cluster, DATA_TRAIN) if batch.version == "acquired"]


def answer(question, text=None, **other):
    text = TRUTH[question.row_id] if text is None else text
    given = Answer(
        question.app,
        question.question,
        question.kind,
        question.pillar,
        question.row_id,
        question.candidates.index(text),
        text,
        question.asked_by,
        1,
    )
    return replace(given, **other)


def answer_open(cluster, done):
    for question in questions(cluster):
        if question.question not in done:
            done.add(question.question)
            cluster.publish(ANSWERS, answer(question))
    cluster.run()


def test_rows_at_rest_begin_a_study_that_asks(pond):
    fill(pond)
    assert said(pond, VALUES) == []
    pond.tick(2)
    begun, last = said(pond, VALUES)
    assert (begun.final, begun.rows, begun.pool_rows, begun.validation_rows, begun.version) == (
        False,
        40,
        120,
        50,
        "v1",
    )
    assert (last.final, last.rows, last.pool_rows, last.validation_rows, last.version) == (True, 40, 120, 50, "v1")
    assert last.begun_at == begun.begun_at
    asked = questions(pond)
    assert len({question.row_id for question in asked}) == len(asked) == BATCH
    for question in asked:
        assert (question.kind, question.pillar, question.asked_by) == (QuestionKind.LABEL, Pillar.POOL, "market")
        assert (question.candidates, question.cost) == (APP.classes, 1.0)
        assert question.probabilities.sum() == pytest.approx(1)
        assert 0 <= question.information_gain <= 1
        assert "carp" in question.context["why"]
    assert max(question.information_gain for question in asked) > 0
    pond.tick(40)
    assert (len(said(pond, VALUES)), len(questions(pond))) == (2, BATCH), "nothing is new"


def test_the_report_draws_the_curve_and_names_what_helps_and_what_harms(pond):
    wrong = TRAIN.index[:6]
    flipped = TRAIN.assign(
        kind=np.where(TRAIN.index.isin(wrong), TRAIN["kind"].map({"carp": "pike", "pike": "carp"}), TRAIN["kind"])
    )
    apart = {"train": flipped.assign(x=flipped["x"] + 6 * (TRAIN["kind"] == "pike"))}
    apart["validation"] = VALIDATION.assign(x=VALIDATION["x"] + 6 * (VALIDATION["kind"] == "pike"))
    fill(pond, **apart)
    pond.tick(2)
    report = said(pond, VALUES)[-1]
    assert set(report.harmful_rows) <= set(wrong)
    assert len(report.harmful_rows) >= 4
    assert [*report.suggested] == [TRAIN.loc[row, "kind"] for row in report.harmful_rows]
    assert (np.diff(report.harmful_values) >= 0).all()
    assert report.harm == pytest.approx(report.harmful_values.sum())
    assert report.harm < 0
    assert set(report.valuable_rows) <= set(POOL.index)
    assert len(report.valuable_rows) == len(report.valuable_values)
    assert (report.valuable_values > 0).all()
    assert (np.diff(report.curve_rows) > 0).all()
    assert (report.curve_rows[0], report.curve_rows[-1]) == (1, 160)
    assert 40 in report.curve_rows
    assert ((report.curve_accuracy >= 0) & (report.curve_accuracy <= 1)).all()


def test_answers_become_training_rows_and_lead_to_the_next_questions_until_the_budget_ends(pond):
    fill(pond)
    done = set()
    for _ in range(12):
        pond.tick(3)
        answer_open(pond, done)
    asked = questions(pond)
    assert len({question.row_id for question in asked}) == len(asked) == APP.acquisition_budget
    rows = Relation.from_batches(acquired(pond), label="kind").frame()
    assert dict(rows["kind"].astype(object)) == {question.row_id: TRUTH[question.row_id] for question in asked}
    np.testing.assert_array_equal(rows[[*"xyz"]], POOL.loc[rows.index, [*"xyz"]])
    last = said(pond, VALUES)[-1]
    assert (last.rows, last.pool_rows, last.spent) == (40 + 25, 120 - 25, 25.0)
    pond.publish(APPS, replace(APP, acquisition_budget=27))
    pond.tick(40)
    assert len(questions(pond)) == 27


def test_while_most_questions_are_open_there_is_little_hurry(pond):
    fill(pond)
    pond.tick(2)
    first = questions(pond)
    for question in first[:2]:
        pond.publish(ANSWERS, answer(question))
    pond.tick(10)
    assert len(questions(pond)) == BATCH
    pond.tick(25)
    assert len(questions(pond)) == BATCH + 2
    for question in first[2:6]:
        pond.publish(ANSWERS, answer(question))
    pond.tick(4)
    assert len(questions(pond)) == BATCH + 2, "eight are open"
    pond.publish(ANSWERS, answer(first[6]))
    pond.tick(40)
    assert len(questions(pond)) == BATCH + 7


def test_what_never_comes_to_rest_is_studied_all_the_same(pond):
    fill(pond)
    for place in range(12):
        publish(pond, Pillar.TRAIN, fish(1, 50 + place, f"n{place}-"), version=f"v{place + 2}")
        pond.tick()
    assert said(pond, VALUES)[-1].final


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_a_pool_without_training_or_validation_rows_waits_for_them_a_while(pond, missing):
    fill(pond, **{missing: None})
    pond.tick(9)
    assert said(pond, VALUES) == []
    pond.tick(3)
    assert said(pond, VALUES)[-1].final
    assert len(questions(pond)) == BATCH


def test_an_answer_that_comes_before_its_row_waits_for_it(pond):
    pond.publish(ANSWERS, Answer("pond", "q", QuestionKind.LABEL, Pillar.POOL, "p7", 1, "pike", "somebody", 1))
    pond.run()
    assert acquired(pond) == []
    publish(pond, Pillar.POOL, POOL)
    (batch,) = acquired(pond)
    assert (batch.row_ids, batch.labels.tolist()) == (("p7",), [1])
    publish(pond, Pillar.POOL, POOL, version="again")
    assert len(acquired(pond)) == 1, "it is a training row already"


def test_of_contradictory_answers_the_later_one_counts_and_is_paid_once(pond):
    fill(pond)
    pond.tick(2)
    question = questions(pond)[0]
    for text in APP.classes:
        pond.publish(ANSWERS, answer(question, text))
    pond.run()
    assert [batch.labels.tolist() for batch in acquired(pond)] == [[0], [1]]
    state = pond.state("market", "pond")
    assert (state.paid, len(state.open)) == (1.0, BATCH - 1)


def test_somebody_elses_answer_labels_a_row_and_costs_nothing(pond):
    fill(pond)
    pond.tick(2)
    pond.publish(ANSWERS, answer(questions(pond)[0], row_id="p119", asked_by="teacher"))
    pond.publish(ANSWERS, answer(questions(pond)[0], row_id="p118", kind=QuestionKind.CELL, column="x"))
    pond.publish(ANSWERS, answer(questions(pond)[0], row_id="t0", pillar=Pillar.TRAIN))
    pond.run()
    assert [batch.row_ids for batch in acquired(pond)] == [("p119",)]
    assert pond.state("market", "pond").paid == 0
    assert pond.dead_letters(ANSWERS) == []


def test_rows_published_as_training_rows_are_not_asked_about(pond):
    fill(pond, train=None)
    publish(pond, Pillar.TRAIN, POOL.iloc[:117])
    pond.tick(2)
    assert {question.row_id for question in questions(pond)} == {"p117", "p118", "p119"}
    publish(pond, Pillar.TRAIN, POOL.iloc[117:], version="v2")
    pond.tick(40)
    assert said(pond, VALUES)[-1].pool_rows == 0
    assert len(questions(pond)) == 3


def test_labelled_pool_rows_are_neither_asked_about_nor_taken_for_answers(pond):
    relation = Relation.from_frame(
        POOL.assign(kind=[*POOL["kind"][:-4], *[None] * 4]),
        label="kind",
        classes=APP.classes,
        row_ids=tuple(POOL.index),
    )
    (batch,) = relation.to_batches("pond", Pillar.POOL, "v1")
    pond.publish(DATA_POOL, batch)
    pond.tick(12)
    assert {question.row_id for question in questions(pond)} == {"p116", "p117", "p118", "p119"}
    assert acquired(pond) == []


def test_candidates_travel_with_an_answered_row(pond):
    fill(pond)
    doubt = CandidateBatch(
        "pond",
        Pillar.POOL,
        "cleaner@1",
        ("x",),
        ("p0",),
        ("1.0", "2.0"),
        row=np.zeros(2, np.int32),
        column=np.zeros(2, np.int32),
        probability=np.array([0.5, 0.5]),
    )
    pond.publish(CANDIDATES, doubt)
    pond.publish(ANSWERS, Answer("pond", "q", QuestionKind.LABEL, Pillar.POOL, "p0", 0, "carp", "somebody", 1))
    pond.run()
    (batch,) = acquired(pond)
    assert batch.candidate_value.tolist() == [1.0, 2.0]
    pond.tick(2)
    assert said(pond, VALUES)[-1].final


def test_a_restart_asks_nothing_twice_and_forgets_nothing(pond):
    fill(pond)
    pond.tick(2)
    pond.restart("market")
    pond.tick(5)
    assert (len(said(pond, VALUES)), len(questions(pond))) == (2, BATCH)
    done = set()
    answer_open(pond, done)
    pond.restart("market")
    pond.tick(4)
    asked = questions(pond)
    assert len({question.row_id for question in asked}) == len(asked) == 2 * BATCH


@pytest.mark.parametrize("point", ["after_journal", "half_outputs", "after_outputs", "half_state"])
def test_a_kill_while_asking_leaves_the_same_questions(point):
    """The study's choice is made again with what came meanwhile; what was asked must not change for that."""

    def life(killed):
        cluster = MemoryCluster([MarketService()])
        cluster.publish(APPS, APP)
        fill(cluster)
        done = set()
        for step in range(6):
            if killed:
                cluster.kill("market", point, 1 + step % 3)
            cluster.tick(2)
            answer_open(cluster, done)
        asked = {event.id: event.data for event in cluster.events(QUESTIONS)}
        return sorted(question.row_id for question in asked.values()), cluster

    rows, _ = life(killed=False)
    again, cluster = life(killed=True)
    assert again == rows
    assert cluster.restarts
    state = cluster.state("market", "pond")
    assert state.spent == len(rows)


def test_a_class_that_is_added_is_among_the_candidates_of_the_next_questions(pond):
    fill(pond)
    pond.tick(2)
    pond.publish(APPS, replace(APP, classes=("carp", "pike", "eel")))
    pond.tick(40)
    answer_open(pond, set())
    pond.tick(3)
    assert [len(question.candidates) for question in questions(pond)] == [2] * BATCH + [3] * BATCH
    assert len(questions(pond)[-1].probabilities) == 3
    assert pond.restarts == 0


def test_dear_and_priceless_rows_are_asked_for_what_they_cost(pond, caplog):
    app = replace(APP, price_column="z", acquisition_budget=5)
    pond.publish(APPS, app)
    prices = np.tile([2.0, 0.0, -1.0, np.nan], len(POOL) // 4)
    fill(pond, app, pool=POOL.assign(z=prices))
    pond.tick(2)
    cost = {question.row_id: question.cost for question in questions(pond)}
    assert cost == {
        row: 2.0 if price == 2 else 1.0 for row, price in zip(POOL.index, prices, strict=True) if row in cost
    }
    assert 4 <= sum(cost.values()) <= 5
    assert "60 pool rows of pond have a price of 0 or less in column 'z'" in caplog.text


def test_a_price_column_that_is_none_stops_the_questions_and_not_the_service(pond, caplog):
    caplog.set_level("INFO")
    app = replace(APP, price_column="w")
    pond.publish(APPS, app)
    fill(pond, app)
    pond.tick(3)
    assert "price_column='w' is no numeric column of the app" in caplog.text
    assert [report.final for report in said(pond, VALUES)] == [False]
    pond.publish(APPS, APP)
    pond.tick(3)
    assert len(questions(pond)) == BATCH


def test_pool_rows_of_a_category_that_the_app_does_not_know_are_given_up_and_others_asked(pond):
    columns = (Column("x", ColumnKind.NUMERIC), Column("lake", ColumnKind.CATEGORICAL, ("Como", "Zug")))
    app = replace(APP, columns=columns)
    pond.publish(APPS, app)
    lakes = lambda frame, names: frame[["x", "kind"]].assign(lake=np.resize(names, len(frame)))[["x", "lake", "kind"]]  # noqa: E731
    fill(pond, app, *(lakes(frame, ["Como"]) for frame in (TRAIN, POOL.iloc[:20], VALIDATION)))
    known = replace(app, columns=(columns[0], replace(columns[1], categories=("Como", "Zug", "Garda"))))
    publish(pond, Pillar.POOL, lakes(POOL.iloc[20:40], ["Garda"]), known, "v2")
    publish(pond, Pillar.POOL, lakes(POOL.iloc[40:60], ["Zug"]), app, "v3")
    pond.tick(2)
    assert [letter.reason for letter in pond.dead_letters(DATA_POOL)] == ["unknown_category"]
    assert said(pond, VALUES)[-1].pool_rows == 40
    assert len(questions(pond)) == BATCH
