"""A study of relations: how rows become matrices, what it finds, and what odd rows and prices do to it."""

import math

import numpy as np
import pandas as pd
import pytest

from easeml.errors import InvalidDataError
from easeml.market.encoding import encode
from easeml.market.study import Assignment, Findings, study
from easeml.relation import Relation
from easeml.stream.payloads import Column, ColumnKind

pytestmark = pytest.mark.usefixtures("few_trees")
CLASSES = ("no", "yes")
COLUMNS = (
    Column("age", ColumnKind.NUMERIC),
    Column("city", ColumnKind.CATEGORICAL, ("Bern", "Zug", "Uri")),
    Column("cost", ColumnKind.NUMERIC),
)


def people(count, seed, name, **changes):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, count)
    frame = pd.DataFrame(
        {
            "age": 30 + 10 * codes + rng.normal(size=count),
            "city": rng.choice(["Bern", "Zug"], count).astype(object),
            "cost": 1.0,
            "left": np.array(CLASSES, object)[codes],
        }
    )
    return frame.assign(**changes).set_axis([f"{name}{place}" for place in range(count)])


def relation(frame, columns=COLUMNS):
    return Relation.from_frame(frame, label="left", classes=CLASSES, columns=columns, row_ids=tuple(frame.index))


def look(train=None, validation=None, pool=None, price_column="cost", **other):
    given = [None if frame is None else relation(frame) for frame in (train, validation, pool)]
    wanted = {"taken": (), "budget": 100.0, "questions": 5, "seed": (1, 2)} | other
    return study(Assignment(*given, CLASSES, price_column, **wanted))


TRAIN, SURE, POOL = people(30, 1, "t"), people(30, 2, "v"), people(40, 3, "p", left=None)


def test_the_same_seed_finds_the_same():
    one, other = look(TRAIN, SURE, POOL), look(TRAIN, SURE, POOL)
    assert (one.plan, one.harmful_rows, one.valuable_rows) == (other.plan, other.harmful_rows, other.valuable_rows)
    assert len(one.plan) == 5


def test_rows_are_standardised_together_and_the_price_is_no_feature():
    rows = encode(relation(TRAIN), relation(SURE), relation(POOL.assign(cost=7.0)), "cost")
    both = np.vstack([rows.owned.x, rows.pool.x])
    assert both.shape == (70, 3)
    np.testing.assert_allclose([both[:, 0].mean(), both[:, 0].std()], [0, 1], atol=1e-12)
    np.testing.assert_array_equal(rows.pool.price, 7.0)
    assert encode(relation(TRAIN), None, None, "").owned.x.shape == (30, 4)


def test_a_pool_category_that_no_training_row_has_is_a_feature_and_an_unheard_one_is_none():
    strange = POOL.assign(city="Uri")
    assert encode(relation(TRAIN), None, relation(strange), "cost").pool.x.shape == (40, 4)
    found = look(TRAIN, SURE.assign(city="Uri"), strange)
    assert len(found.plan) == 5
    rows = encode(relation(TRAIN), relation(SURE.assign(city="Uri")), relation(POOL), "cost")
    assert (rows.validation.x[:, 1:] == 0).all()


def test_constant_columns_tell_nothing():
    flat = {"age": 5.0, "city": "Bern"}
    found = look(TRAIN.assign(**flat), SURE.assign(**flat), POOL.assign(**flat))
    assert len(found.plan) == 5
    assert found.harm <= 0
    assert np.isfinite(found.curve_accuracy).all()


def test_without_validation_rows_the_unsure_rows_are_asked_and_nothing_is_valued():
    found = look(TRAIN, None, POOL)
    assert len(found.plan) == 5
    assert {planned.information_gain for planned in found.plan} == {0.0}
    assert (found.validation_rows, found.harm, found.harmful_rows, found.valuable_rows) == (0, 0.0, (), ())
    assert len(found.curve_rows) == 0


def test_with_one_class_owned_every_label_is_as_good_as_any_other():
    found = look(TRAIN.assign(left="no"), SURE, POOL)
    assert [planned.information_gain for planned in found.plan] == [1.0] * 5
    assert all(0 < min(planned.probabilities) < 1 for planned in found.plan)


def test_a_cold_start_asks():
    for train in (None, TRAIN.assign(left=None)):
        found = look(train, SURE, POOL)
        assert (found.rows, len(found.plan)) == (0, 5)
        assert found.curve_rows.tolist() == []


def test_without_a_pool_training_rows_are_valued():
    found = look(TRAIN, SURE, None)
    assert (found.plan, found.pool_rows, found.valuable_rows) == ((), 0, ())
    assert found.curve_rows[-1] == len(TRAIN)


@pytest.mark.parametrize("frames", [{}, {"validation": SURE}, {"train": TRAIN.assign(left=None)}])
def test_without_any_row_to_look_at_it_says_so(frames):
    assert "no training row with a label" in look(**frames).message


def test_rows_asked_about_already_and_what_costs_too_much_are_left_alone():
    taken = tuple(POOL.index[:36])
    assert {planned.row_id for planned in look(TRAIN, SURE, POOL, taken=taken).plan} == {*POOL.index[36:]}
    assert look(TRAIN, SURE, POOL, budget=0.5).plan == ()
    assert len(look(TRAIN, SURE, POOL, budget=2.5).plan) == 2
    assert look(TRAIN, SURE, POOL, questions=0).plan == ()


def test_a_missing_price_is_one_and_rows_of_no_price_are_never_asked_about():
    prices = [0.0, -3.0, math.nan, *[4.0] * 2]
    pool = POOL.iloc[:5].assign(cost=prices)
    found = look(TRAIN, SURE, pool)
    assert {planned.row_id: planned.cost for planned in found.plan} == {"p2": 1.0, "p3": 4.0, "p4": 4.0}
    assert (found.unpriced, found.pool_rows) == (2, 3)
    assert look(TRAIN, SURE, pool.assign(cost=-1.0)).plan == ()


def test_of_equal_rows_the_cheap_ones_are_asked():
    pool = pd.concat([POOL.assign(cost=1.0), POOL.assign(cost=9.0).set_axis([f"dear{i}" for i in range(40)])])
    found = look(TRAIN, SURE, pool, questions=8)
    assert [planned.cost for planned in found.plan] == [1.0] * 8


@pytest.mark.parametrize("name", ["city", "weight"])
def test_a_price_column_that_is_none_is_told(name):
    error = look(TRAIN, SURE, POOL, price_column=name)
    assert isinstance(error, InvalidDataError)
    assert f"price_column='{name}' is no numeric column" in error.message
    assert "age, cost" in error.mend
    assert isinstance(look(TRAIN, SURE, None, price_column=name), Findings), "no pool row asks for it"


def test_uncertain_labels_and_cells_stand_at_what_is_most_probable():
    doubts = pd.DataFrame(
        {
            "row_id": ["t0", "t0", "t1", "t1"],
            "column": ["left", "left", "age", "age"],
            "value": ["no", "yes", 20.0, 40.0],
            "probability": [0.2, 0.8, 0.5, 0.5],
        }
    )
    certain = relation(
        TRAIN.assign(left=["yes", *TRAIN["left"][1:]], age=[TRAIN["age"].iloc[0], 30.0, *TRAIN["age"][2:]])
    )
    uncertain = relation(TRAIN).merge_candidates(doubts, source="cleaner")
    one, other = encode(certain, None, None), encode(uncertain, None, None)
    np.testing.assert_array_equal(one.owned.x, other.owned.x)
    np.testing.assert_array_equal(one.owned.codes, other.owned.codes)
