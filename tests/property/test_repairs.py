"""What holds of repairs and schemas whatever the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.datamagic.cleaning.amounts import AmountFormat, amount_format, amounts
from easeml.datamagic.cleaning.repairs import propose_repairs
from easeml.datamagic.cleaning.schema import infer_schema
from easeml.datamagic.cleaning.spelling import edits
from easeml.relation import Relation

NUMBERS = st.one_of(st.none(), st.integers(-5, 5), st.floats(-1e6, 1e6, allow_nan=False, width=32))


@st.composite
def frames(draw):
    rows = draw(st.integers(1, 40))
    few = draw(st.integers(1, 12))
    columns = {
        "a": st.lists(NUMBERS, min_size=rows, max_size=rows),
        "b": st.lists(st.one_of(st.none(), st.integers(0, few)), min_size=rows, max_size=rows),
        "c": st.lists(st.sampled_from([None, "u", "v", "w"]), min_size=rows, max_size=rows),
        "d": st.lists(st.sampled_from([None, True, False]), min_size=rows, max_size=rows),
    }
    frame = pd.DataFrame({name: pd.Series(draw(cells), dtype=object) for name, cells in columns.items()})
    frame[["a", "b"]] = frame[["a", "b"]].astype(float)
    frame["c"] = pd.Categorical(frame["c"], ["u", "v", "w"])
    frame["d"] = frame["d"].astype("boolean")
    return frame


def relation_of(frame):
    return Relation.from_frame(frame, row_ids=[f"r{place}" for place in frame.index])


@settings(max_examples=40, deadline=None)
@given(frames(), st.integers(1, 12))
def test_candidates_are_distributions_over_the_domain_of_exactly_the_missing_cells(frame, most):
    table = propose_repairs(relation_of(frame), max_candidates=most, rng=np.random.default_rng(0)).candidates()
    cells = table.groupby(["row_id", "column"])
    if len(table):
        assert np.allclose(cells["probability"].sum(), 1)
        assert (table["probability"] > 0).all()
        assert cells.size().max() <= most
    wanted = {
        (f"r{row}", name)
        for name in frame
        for row in frame.index
        if pd.isna(frame[name][row]) and frame[name].notna().any()
    }
    assert set(cells.groups) == wanted
    for name in frame:
        values = table.loc[table["column"] == name, "value"]
        known = frame[name].dropna()
        if name in "ab" and len(values):
            assert values.astype(float).between(known.min(), known.max()).all()
        elif len(values):
            assert set(values) <= set(known)


@settings(max_examples=20, deadline=None)
@given(frames())
def test_the_same_seed_gives_the_same_repairs(frame):
    hashes = {propose_repairs(relation_of(frame), rng=np.random.default_rng(7)).content_hash() for _ in range(2)}
    assert len(hashes) == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(5, 60))
def test_the_order_of_rows_is_no_matter(seed, rows):
    # Continuous values: without ties among the distances.
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))
    frame["e"] = pd.Categorical(np.where(frame["a"] > 0, "p", "q"))
    frame = frame.mask(rng.random(frame.shape) < 0.15)
    order = rng.permutation(rows)
    tables = []
    for own in (frame, frame.iloc[order]):
        table = propose_repairs(relation_of(own), rng=np.random.default_rng(3)).candidates()
        tables.append(table.astype({"value": str}).groupby(["row_id", "column"])["probability"].agg(["size", "max"]))
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9).map(lambda number: round(number, 2)), min_size=1, max_size=30))
def test_numbers_survive_every_way_to_write_them(numbers):
    ways = {
        "plain": ([f"{number:.2f}" for number in numbers], numbers),
        "english": ([f"{number:,.2f}" for number in numbers], numbers),
        "german": ([f"{number:,.2f}".translate(str.maketrans(",.", ".,")) for number in numbers], numbers),
        "money": ([f"${number:,.2f}" for number in numbers], numbers),
        "percent": ([f"{number:.2f} %" for number in numbers], [number / 100 for number in numbers]),
    }
    for texts, wanted in ways.values():
        distinct = list(dict.fromkeys(texts))
        style = amount_format(distinct, np.ones(len(distinct), np.int64))
        assert isinstance(style, AmountFormat)
        assert np.allclose(amounts(texts, style), wanted, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(), st.text(max_size=8), st.integers(-99, 99).map(str), st.dates().map(str), st.booleans().map(str)
        ),
        max_size=30,
    )
)
def test_any_column_is_read_and_every_value_kept_or_reported(values):
    frame = pd.DataFrame({"c": pd.Series(values, dtype=object), "x": np.arange(len(values)) + 0.5})
    schema = infer_schema(frame)
    cells, clashes = schema.clean(frame)
    assert clashes == schema.clashes
    column = schema["c"]
    if column.kind == "id":
        assert len(schema.row_ids(frame)) == len(values)
        return
    absent = round(column.missing * len(values))
    assert cells["c"].isna().sum() == absent + len(clashes)
    assert len(cells) == len(values)


@settings(max_examples=100, deadline=None)
@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_edit_distance_is_a_bounded_symmetric_one(a, b):
    distance = edits(a, b, 9)
    assert distance == edits(b, a, 9)
    assert (distance == 0) == (a == b)
    assert abs(len(a) - len(b)) <= distance <= max(len(a), len(b))
    assert edits(a, b, 1) == min(distance, 2)
