"""Relations of all column kinds: batches, folds, worlds, entropy and collapse, against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relation_strategies import APP, CLASSES, COLUMNS, VALUES, answer, distributions, proposals, relations, same, travel

from easeml.relation import Relation, RelationView, validate_batch
from easeml.stream.payloads import Pillar


@settings(max_examples=50, deadline=None)
@given(relation=relations(), rows=st.integers(1, 5))
def test_batches_carry_everything(relation, rows):
    batches = travel(relation.to_batches("churn", Pillar.TRAIN, "v1", rows_per_batch=rows))
    assert all(len(batch.row_ids) <= rows for batch in batches)
    for batch in batches:
        validate_batch(batch, APP)
    back = Relation.from_batches(batches, label="churned")
    assert same(back, relation)
    assert back.content_hash() == relation.content_hash()


@settings(max_examples=50, deadline=None)
@given(relation=relations(certain=True))
def test_a_frame_for_people_makes_the_same_relation(relation):
    frame = relation.frame()
    back = Relation.from_frame(frame, label="churned", classes=CLASSES, columns=COLUMNS)
    assert same(back, relation)


@settings(max_examples=50, deadline=None)
@given(relation=relations(), data=st.data())
def test_a_view_does_not_depend_on_order_or_repetition(relation, data):
    batches = travel(relation.to_batches("churn", Pillar.TRAIN, "v1", rows_per_batch=2))
    answers = [
        answer(row_id, data.draw(st.sampled_from(CLASSES)))
        for row_id in data.draw(st.lists(st.sampled_from(relation.row_ids), unique=True))
    ]
    events = data.draw(st.permutations([*batches, *answers]))
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=4))
    view = RelationView("churned", CLASSES)
    for event in [*events, *repeated]:
        view.fold(event)
    expected = relation
    for one in answers:
        expected = expected.collapse(one.row_id, "churned", one.text)
    assert view.rows == len(relation)
    order = sorted(relation.row_ids)
    assert same(view.relation(), expected.take(np.array([relation.row_ids.index(row_id) for row_id in order])))


@settings(max_examples=50, deadline=None)
@given(relation=relations(most=4))
def test_entropy_adds_up(relation):
    cells = distributions(relation)
    bits = {cell: -sum(p * np.log2(p) for p in values.values()) for cell, values in cells.items()}
    entropy = relation.entropy()
    got = {(line.row_id, line.column): line.bits for line in entropy.cells.itertuples()}
    assert got.keys() == bits.keys()
    assert all(got[cell] == pytest.approx(bits[cell], abs=1e-9) for cell in bits)
    assert entropy.total == pytest.approx(sum(bits.values()), abs=1e-9)
    for place, row_id in enumerate(relation.row_ids):
        assert entropy.rows[place] == pytest.approx(sum(b for (r, _), b in bits.items() if r == row_id), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(relation=relations(most=2))
def test_entropy_is_that_of_all_worlds(relation):
    """Rows and cells are independent: the entropy over the enumerated worlds is the sum over the cells."""
    cells = list(distributions(relation).values())
    if np.prod([len(values) for values in cells]) > 2000:
        return
    worlds = [np.prod(choice) for choice in itertools.product(*(values.values() for values in cells))]
    assert relation.entropy().total == pytest.approx(-sum(p * np.log2(p) for p in worlds), abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(relation=relations(most=4))
def test_worlds_take_candidates_and_nothing_else_changes(relation):
    cells = distributions(relation)
    world = relation.sample_world(np.random.default_rng(0))
    probable = relation.most_probable_world()
    assert world.entropy().total == 0.0
    assert len(world.candidates()) == 0
    before = relation.frame()
    for made in (world, probable, relation.expected_world()):
        after = made.frame()
        for row_id, column in itertools.product(relation.row_ids, before.columns):
            value = after.loc[row_id, column]
            if (row_id, column) not in cells:
                assert repr(value) == repr(before.loc[row_id, column])
            elif made is world:
                assert value in cells[row_id, column]
            elif made is probable and pd.notna(value):
                best = max(cells[row_id, column].values())
                assert cells[row_id, column][value] == pytest.approx(best)
    uniform = [r for r, code in zip(relation.row_ids, relation.labels, strict=True) if code < 0]
    spoken = set(relation.candidates().query("column == 'churned'")["row_id"])
    assert all(probable.frame().loc[row_id, "churned"] is np.nan for row_id in set(uniform) - spoken)


def test_sampled_frequencies_follow_the_priors():
    frame = pd.DataFrame({"age": [1.0, np.nan], "churned": [None, None]})
    relation = Relation.from_frame(frame, label="churned", classes=CLASSES, row_ids=["a", "b"]).merge_candidates(
        pd.DataFrame(
            {
                "row_id": ["b"] * 3 + ["b"] * 2,
                "column": ["age"] * 3 + ["churned"] * 2,
                "value": [1.0, 2.0, 3.0, "no", "yes"],
                "probability": [0.5, 0.3, 0.2, 0.9, 0.1],
            }
        ),
        source="knn",
    )
    rng = np.random.default_rng(1)
    draws = 4000
    worlds = [relation.sample_world(rng) for _ in range(draws)]
    ages = np.array([world.block.numeric[1, 0] for world in worlds])
    labels = np.array([world.labels for world in worlds])
    for got, wanted in (
        ([np.mean(ages == age) for age in (1, 2, 3)], [0.5, 0.3, 0.2]),
        ([np.mean(labels[:, 0] == code) for code in range(3)], [1 / 3] * 3),
        ([np.mean(labels[:, 1] == code) for code in range(3)], [0.9, 0.0, 0.1]),
    ):
        assert np.allclose(got, wanted, atol=5 * 0.5 / np.sqrt(draws))
    assert np.corrcoef(ages, labels[:, 1])[0, 1] == pytest.approx(0.0, abs=0.08)
    assert relation.expected_world().block.numeric[1, 0] == pytest.approx(1.7)


@settings(max_examples=50, deadline=None)
@given(relation=relations(), data=st.data())
def test_collapse_settles_one_cell_and_no_other(relation, data):
    row_id = data.draw(st.sampled_from(relation.row_ids))
    column = data.draw(st.sampled_from(sorted(VALUES)))
    value = data.draw(VALUES[column])
    settled = relation.collapse(row_id, column, value)
    assert settled.frame().loc[row_id, column] == value
    assert (row_id, column) not in distributions(settled)
    others = {cell: values for cell, values in distributions(relation).items() if cell != (row_id, column)}
    assert distributions(settled) == others
    assert same(settled.collapse(row_id, column, value), settled)
    lost = settled.entropy().total - relation.entropy().total
    assert lost <= 1e-9, "knowing more never adds uncertainty"


@settings(max_examples=50, deadline=None)
@given(relation=relations(certain=True, most=4), data=st.data())
def test_merging_is_a_pool_of_the_tools_in_any_order(relation, data):
    tools = {name: data.draw(proposals(len(relation))) for name in ("knn", "rules", "llm")}
    merged = []
    for order in data.draw(st.permutations(list(itertools.permutations(tools))))[:2]:
        one = relation
        for name in order:
            one = one.merge_candidates(tools[name], source=name, normalize=True)
        merged.append(one.merge_candidates(tools[order[0]], source=order[0], normalize=True))
    first, second = (distributions(one) for one in merged)
    assert first.keys() == second.keys()
    for cell, values in first.items():
        assert sum(values.values()) == pytest.approx(1.0)
        assert values == pytest.approx(second[cell])
        views = []
        for frame in tools.values():
            mine = frame[(frame["row_id"] == cell[0]) & (frame["column"] == cell[1])]
            if len(mine):
                views.append(
                    {v: p / mine["probability"].sum() for v, p in zip(mine["value"], mine["probability"], strict=True)}
                )
        if views:
            assert values == pytest.approx(
                {v: p for v in set().union(*views) if (p := np.mean([view.get(v, 0.0) for view in views])) > 0}
            )
