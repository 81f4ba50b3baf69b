"""Conditions on slices through the stream: which rows they take, what is asked, and a verdict on each clause."""

import dataclasses

import numpy as np
import pytest
from ci_house import APP, CLASSES, TRUTH, House, guesses

from easeml.ci import parse, plan
from easeml.ci.agreement import plan_of
from easeml.ci.register import Register
from easeml.ci.slices import check_slices
from easeml.errors import ConditionError
from easeml.ids import EventId
from easeml.stream.memory import POINTS
from easeml.stream.payloads import (
    Answer,
    Column,
    ColumnKind,
    Pillar,
    RelationBatch,
    TestSetExhausted,
    TestSetNeeded,
    TestSetOpened,
)
from easeml.stream.topics import (
    APPS,
    CI_ANSWERS,
    CI_QUESTIONS,
    DATA_TEST,
    TESTSETS,
    VERDICTS,
    VERDICTS_DETAIL,
)

COLUMNS = (
    Column("x", ColumnKind.NUMERIC),
    Column("country", ColumnKind.CATEGORICAL, ("CH", "DE", "LI")),
    Column("adult", ColumnKind.BOOLEAN),
)
BOTH = "n - o > 0 +/- 0.1 and n[country=CH] - o[country=CH] > -0.1 +/- 0.1"
SWISS = "n[country=CH] - o[country=CH] > 0 +/- 0.1"
SLICED = dataclasses.replace(APP, columns=COLUMNS, condition=BOTH, steps=4)
ROWS = len(TRUTH)
COUNTRY = np.where(np.random.default_rng(5).random(ROWS) < 0.4, 0, 1)
COUNTRY[::50] = -1  # nobody knows
CELLS = np.stack([COUNTRY, np.arange(ROWS) % 2], axis=1)
CH = COUNTRY == 0
FIRST = guesses(0.6)
EVERYWHERE = np.where(np.random.default_rng(2).random(ROWS) < 0.6, TRUTH, FIRST).astype(np.int32)
ELSEWHERE = np.where(CH, np.where(np.random.default_rng(3).random(ROWS) < 0.5, (TRUTH + 1) % 3, FIRST), TRUTH).astype(
    np.int32
)
"""Much better, but not in Switzerland."""
MODELS = {"first": FIRST, "elsewhere": ELSEWHERE, "everywhere": EVERYWHERE}


def play(app=SLICED, disturb=lambda house: None, first="rows"):
    """Let three models be judged on labels that were given."""
    house = House(app)
    steps = {"rows": lambda: house.rows(app, CELLS), "labels": lambda: house.labels(range(ROWS))}
    for step in sorted(steps, key=lambda name: name != first):
        steps[step]()
    for name, codes in MODELS.items():
        house.model(name)
        disturb(house)
        house.predictions(name, codes, range(ROWS))
        house.cluster.run()
    house.cluster.tick(12)
    return house


def bits(house):
    return [(v.model, v.signal) for v in {event.id: event.data for event in house.cluster.events(VERDICTS)}.values()]


def test_a_loss_in_a_slice_is_found_whatever_is_gained_elsewhere():
    house = play()
    assert bits(house) == [("first", False), ("elsewhere", False), ("everywhere", True)]
    (opened,) = house.said(TESTSETS)
    assert opened == TestSetOpened("churn", 1, ROWS, plan_of(SLICED).labels_worst, 4)
    lost, won = house.said(VERDICTS_DETAIL)
    assert [clause.clause for clause in lost.clauses] == [str(clause) for clause in parse(BOTH).clauses]
    assert lost.clauses[1].truth == "false"
    assert lost.clauses[1].high < -0.05
    assert [clause.truth for clause in won.clauses] == ["true", "true"]
    assert won.clauses[1].low <= (EVERYWHERE == TRUTH)[CH].mean() - (FIRST == TRUTH)[CH].mean() <= won.clauses[1].high
    assert all(0 < one.labels_used + one.labels_reused <= opened.planned for one in (lost, won))


@pytest.mark.parametrize("first", ["labels", "rows"])
def test_the_order_of_topics_changes_nothing(first):
    late = House(SLICED)
    for name, codes in MODELS.items():
        late.model(name)
        late.predictions(name, codes, range(ROWS))
    late.labels(range(ROWS))
    late.cluster.run()
    assert late.said(TESTSETS) == []
    late.rows(SLICED, CELLS)
    late.cluster.run()
    assert bits(late) == bits(play(first=first))


@pytest.mark.parametrize("point", POINTS)
def test_kills_change_nothing(point):
    killed = play(disturb=lambda house: house.cluster.kill("ci", point))
    killed.cluster.restart("ci")
    killed.cluster.tick(1)
    assert bits(killed) == bits(play())
    details = [{event.id: event.data for event in one.cluster.events(VERDICTS_DETAIL)} for one in (killed, play())]
    assert [[(d.model, d.clauses) for d in found.values()] for found in details[:1]] == [
        [(d.model, d.clauses) for d in found.values()] for found in details[1:]
    ]


def test_only_the_slice_is_asked_about_and_the_planned_labels_are_enough():
    app = dataclasses.replace(SLICED, condition=SWISS, test_label_budget=2000)
    house = House(app)
    house.rows(app, CELLS)
    asked = []
    for name, codes in MODELS.items():
        house.model(name)
        house.predictions(name, codes, range(ROWS))
        house.cluster.tick(12)
        while len(asked) < len(found := [q for q in house.said(CI_QUESTIONS) if q.expires_at is None]):
            for one in found[len(asked) :]:
                asked.append(int(one.row_id))
                code = int(TRUTH[asked[-1]])
                said = Answer("churn", one.question, one.kind, one.pillar, one.row_id, code, CLASSES[code], "ci", 1)
                house.publish(CI_ANSWERS, said)
            house.cluster.run()
    assert bits(house) == [("first", False), ("elsewhere", False), ("everywhere", True)]
    assert CH[asked].all()
    assert len(set(asked)) == len(asked)
    needed = plan(SWISS, reliability=app.reliability, steps=app.steps)
    (opened,) = house.said(TESTSETS)
    chosen = np.flatnonzero(house.cluster.state("ci", "churn").epochs == 1)
    numbered = [int(house.service._register("churn").row(number)) for number in chosen]
    assert opened.examples == len(chosen) < ROWS, "rows beyond the plan are kept for the next test set"
    assert CH[numbered].sum() == needed.unlabelled
    assert all(one.labels_used + one.labels_reused <= opened.planned for one in house.said(VERDICTS_DETAIL))


def test_predictions_of_rows_that_never_came_themselves_are_no_test_set():
    house = House(SLICED)
    house.labels(range(ROWS))
    house.model("first")
    house.predictions("first", FIRST, range(ROWS))
    house.cluster.tick(15)
    (needed,) = house.said(TESTSETS)
    assert "did not come themselves" in needed.reason
    assert "easeml publish churn FILE --pillar test" in needed.reason
    house.rows(SLICED, CELLS)
    house.cluster.run()
    assert house.said(TESTSETS, TestSetOpened)[0].examples == ROWS


def test_a_slice_that_nobody_is_in_is_said_once_and_waits_for_rows():
    app = dataclasses.replace(SLICED, condition="n[country=LI] > 0.3 +/- 0.1")
    house = House(app)
    house.rows(app, CELLS[:500])
    house.labels(range(500))
    house.model("first")
    house.predictions("first", FIRST, range(500))
    house.cluster.tick(15)
    assert [one.reason.count("No example belongs to the slice [country=LI]") for one in house.said(TESTSETS)] == [1]
    further = CELLS.copy()
    further[500:, 0] = 2
    house.labels(range(500, ROWS))
    house.predictions("first", FIRST, range(500, ROWS))
    house.rows(app, further, range(500, ROWS))
    house.cluster.tick(15)
    assert bits(house) == [("first", True)]
    assert house.said(TESTSETS, TestSetOpened)[0].examples == ROWS


def test_a_worn_out_set_says_how_many_rows_of_the_slice_are_needed():
    house = play(dataclasses.replace(SLICED, steps=1))
    assert house.said(TESTSETS, TestSetExhausted)[0].reason == "steps_exhausted"
    needed = house.said(TESTSETS, TestSetNeeded)[0]
    assert f"{needed.examples:,} of the slice [country=CH]" in needed.reason


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("canton=ZH", "'canton' is not there"),
        ("x=1", "'x' is numeric"),
        ("country=AT", "'country' has no value 'AT'"),
        ("adult=maybe", "'adult' has no value 'maybe'"),
    ],
)
def test_a_slice_that_cannot_be_is_refused_with_what_there_is(name, says):
    condition = f"n[{name}] > 0.5 +/- 0.1"
    with pytest.raises(ConditionError) as caught:
        check_slices(parse(condition), COLUMNS)
    assert says in str(caught.value)
    with pytest.raises(ConditionError):
        plan_of(dataclasses.replace(SLICED, condition=condition))
    house = play(dataclasses.replace(SLICED, condition=condition))
    assert [says in one.reason for one in house.said(TESTSETS)] == [True]
    house.publish(APPS, SLICED)
    house.cluster.tick(1)
    assert len(bits(house)) == len(MODELS)


def test_a_truth_value_is_a_slice_and_a_missing_cell_is_in_none():
    register = Register()
    register.cells.add(EventId("one"), batch(("a", "b", "c"), [[0, 1], [-1, 0], [1, -1]]))
    for name, inside in (("adult=true", [True, False, False]), ("country=CH", [True, False, False])):
        here, members = register.cells.members(name, COLUMNS, ("a", "b", "c"))
        assert here.all()
        assert members.tolist() == inside
    assert register.cells.members("country=CH", COLUMNS, ("d",))[0].tolist() == [False]


def batch(rows, codes, **changed):
    numeric = np.full(len(rows), 7.5)
    whole = RelationBatch(
        "churn", Pillar.TEST, "v", COLUMNS, rows, codes=np.array(codes, np.int32).ravel(), numeric=numeric
    )
    return dataclasses.replace(whole, **changed)


def test_nothing_but_the_cells_of_slices_is_kept_and_bad_batches_are_passed_over():
    house = House(SLICED)
    good = batch(("a", "b"), [[0, 1], [1, 0]])
    for again in range(2):
        assert not house.cluster.dead_letters(DATA_TEST), again
        house.publish(DATA_TEST, good)
        house.cluster.run()
    other = (*COLUMNS[:1], dataclasses.replace(COLUMNS[1], categories=("CH", "XX")), COLUMNS[2])
    for bad in (
        batch(("a", "b"), [[1, 1], [0, 1]], columns=other),
        batch(("a", "b"), [[1, 1], [0, 1], [0, 1]]),
        batch(("a", "b"), [[1, 1], [0, 1]], pillar=Pillar.TRAIN),
    ):
        house.publish(DATA_TEST, bad)
    house.cluster.run()
    letters = [letter.reason for letter in house.cluster.dead_letters(DATA_TEST)]
    assert letters == ["unknown_category", "wrong_width", "wrong_pillar"]
    cells = house.service._register("churn").cells
    assert cells.members("country=CH", COLUMNS, ("a", "b"))[1].tolist() == [True, False]
    kept = [value for part in cells._parts.values() for value in (part.row_ids, part.columns, part.codes)]
    assert not any(isinstance(value, np.ndarray) and value.dtype != np.int32 for value in kept)
