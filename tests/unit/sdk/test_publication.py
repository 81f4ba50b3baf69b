"""Publications planned without a broker: sizes, splits, comparisons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from easeml.client import Client
from easeml.definition import changed, defined, with_schema
from easeml.errors import BudgetExhaustedError, InvalidDataError
from easeml.publication import draft, of_life
from easeml.relation import row_digests
from easeml.stream.payloads import AppDefined, Pillar

NEW = {"shares": None, "test_share": None, "row_ids": None, "seed": 0, "again": False}


def app(**options):
    return defined("churn", "y", {"condition": "n > 0.8 +/- 0.1", "steps": 4} | options)


def frame(rows, seed=0, values=None):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows) if values is None else rng.integers(values, size=rows).astype(float)
    return pd.DataFrame({"x": x, "y": np.where(rng.random(rows) > 0.5, "yes", "no")})


def test_one_test_set_judges_sixteen_models_by_default():
    assert AppDefined("a", "y", (), ()).steps == 16


def test_an_automatic_split_gives_the_test_set_what_the_plan_needs():
    one = app()
    needed = Client.plan(one).unlabelled
    enough = Client.rows_needed(one)
    assert enough == 2 * needed
    for rows in (enough, enough + 1, 3 * needed, 10 * needed):
        planned = draft(one, frame(rows), None, **NEW)
        assert len(planned.places[Pillar.TEST]) >= needed
        assert sum(map(len, planned.places.values())) == rows
    assert len(planned.places[Pillar.TEST]) == pytest.approx(rows / 4, abs=2), "a quarter where that is enough"
    with pytest.raises(BudgetExhaustedError, match=f"Publish at least {enough:,} rows at once"):
        draft(one, frame(enough - 10), None, **NEW)


def test_rows_without_the_label_column_go_where_no_label_is_needed():
    one = with_schema(app(), frame(40))
    bare = frame(40, seed=1).drop(columns="y")
    for pillar in ("pool", "production"):
        assert draft(one, bare, pillar, **NEW).relation.labels.tolist() == [-1] * 40
    for pillar in (None, "train", "test", "validation"):
        with pytest.raises(InvalidDataError, match="No label column 'y'"):
            draft(one, bare, pillar, **NEW)
    with pytest.raises(InvalidDataError, match="No label column 'y'"):
        with_schema(app(), bare)


def test_an_app_that_pays_for_test_labels_takes_test_rows_without_them():
    one = app()
    needed = Client.plan(one).unlabelled
    one = with_schema(app(test_label_budget=needed), frame(40))
    bare = frame(needed, seed=1).drop(columns="y")
    assert draft(one, bare, "test", **NEW).relation.labels.tolist() == [-1] * needed
    some = frame(needed, seed=1)
    some.loc[10:, "y"] = None
    part = draft(one, some, "test", **NEW).part(Pillar.TEST)
    assert sum(len(labels.row_ids) for labels in part.test_labels("churn", "v1")) == 10
    for pillar in (None, "train", "validation"):
        with pytest.raises(InvalidDataError, match="No label column 'y'"):
            draft(one, bare, pillar, **NEW)


def test_a_chosen_test_share_is_kept():
    one = app()
    planned = draft(one, frame(4000), None, **NEW | {"test_share": 0.4})
    assert len(planned.places[Pillar.TEST]) == pytest.approx(1600, abs=3)
    with pytest.raises(BudgetExhaustedError, match="Leave the shares to us"):
        draft(one, frame(Client.rows_needed(one)), None, **NEW | {"test_share": 0.1})
    with pytest.raises(InvalidDataError, match="for automatic splits alone"):
        draft(one, frame(4000), "train", **NEW | {"test_share": 0.4})


def test_versions_tell_lives_apart():
    first, second = app(), app()
    assert first.life != second.life
    one, two = (draft(a, frame(4000), None, **NEW) for a in (first, second))
    assert one.version != two.version
    assert of_life(first, one.version)
    assert not of_life(second, one.version)
    assert of_life(second, "made-elsewhere")
    assert set(one.relation.row_ids).isdisjoint(two.relation.row_ids)


def known(planned, pillar, version="v-other"):
    return {
        pillar: {
            version: dict(zip(planned.relation.row_ids, row_digests(planned.relation.block).tolist(), strict=True))
        }
    }


@pytest.mark.parametrize("values", [20, 300, 3000, 100_000])
def test_rows_that_are_equal_by_chance_are_no_leak(values):
    one = app()
    train = draft(one, frame(1500, 1, values), "train", **NEW)
    for seed in range(2, 12):
        draft(train.app, frame(1000, seed, values), "test", **NEW).check_overlap(known(train, Pillar.TRAIN))


@pytest.mark.parametrize("leaked", [40, 300])
@pytest.mark.parametrize("values", [None, 100_000])
def test_a_part_of_the_training_rows_in_the_test_set_is_a_leak(leaked, values):
    one = app()
    rows = frame(1500, 1, values)
    train = draft(one, rows, "train", **NEW)
    mixed = pd.concat([frame(1000 - leaked, 2, values), rows.head(leaked)], ignore_index=True)
    with pytest.raises(InvalidDataError, match="of 1,000 test rows are already in train") as refused:
        draft(train.app, mixed, "test", **NEW).check_overlap(known(train, Pillar.TRAIN))
    assert refused.value.reason == "shared_rows"


def test_rows_are_named_as_the_caller_knows_them():
    one = app()
    bad = frame(1500).assign(x=lambda f: f["x"].astype(object))
    bad.iloc[1200, 0] = "oops"
    fixed = draft(one, frame(1500), "train", **NEW).app
    for options, rows, name in (
        ({}, bad, r"row 1200 \(of the frame\)"),
        ({"row_ids": [f"id-{i}" for i in range(1500)]}, bad, "row 'id-1200'"),
        ({}, bad.set_axis(pd.RangeIndex(2, 1502, name="line")), "line 1202"),
    ):
        with pytest.raises(InvalidDataError, match=f"Column 'x', {name}: 'oops' is not a numeric value"):
            draft(fixed, rows, "train", **NEW | options)


@pytest.mark.parametrize(
    ("options", "classes", "categories", "text"),
    [
        ({"target": 1.5}, (), {}, "target=1.5"),
        ({"label_budget": -1}, (), {}, "label_budget=-1"),
        ({"horizon": 0}, (), {}, "horizon=0"),
        ({"redundancy": 0}, (), {}, "redundancy=0"),
        ({}, ("",), {}, "empty name"),
        ({}, (), {"x": ["red"]}, "Column 'x' of app 'churn' has no categories"),
    ],
)
def test_impossible_changes_are_refused(options, classes, categories, text):
    fixed = draft(app(), frame(1500), "train", **NEW).app
    with pytest.raises(InvalidDataError, match=text):
        changed(fixed, options, classes, categories)


def test_classes_cannot_be_added_before_there_are_any():
    with pytest.raises(InvalidDataError, match="has no classes yet"):
        changed(app(), {}, ["maybe"], {})


def test_an_app_is_changed_in_what_may_change():
    one = changed(app(), {"cleaning_budget": 5, "acquisition_budget": 6, "target": None}, (), {})
    assert (one.cleaning_budget, one.acquisition_budget, one.target) == (5, 6, app().target)
    for options in ({"mode": "fn-free"}, {"life": "x"}, {"cleaning_budget": -1}, {"acquisition_budget": -1}):
        with pytest.raises(InvalidDataError, match=next(iter(options))):
            changed(app(), options, (), {})


def test_prices_are_a_numeric_column_as_soon_as_columns_are_known():
    assert with_schema(app(price_column="x"), frame(20)).price_column == "x"
    for wrong in ("y", "gone"):
        with pytest.raises(InvalidDataError, match="is no numeric column") as caught:
            with_schema(app(price_column=wrong), frame(20))
        assert "Numeric columns are: x" in caught.value.mend
    fixed = with_schema(app(), frame(20))
    assert changed(fixed, {"price_column": "x"}, (), {}).price_column == "x"
    with pytest.raises(InvalidDataError, match="is no numeric column"):
        changed(fixed, {"price_column": "z"}, (), {})
