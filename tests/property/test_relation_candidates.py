"""Candidates of cells and alternatives of rows: merges, messages, worlds and entropy, against brute force."""

from __future__ import annotations

import heapq
import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relation_strategies import (
    APP,
    CLASSES,
    COLUMNS,
    VALUES,
    answer,
    bits,
    distributions,
    proposals,
    relations,
    same,
    travel,
    variables,
    versions,
)
from scipy import stats

from easeml.relation import Relation, RelationView, batch_of, validate_batch, validate_candidates
from easeml.relation.block import stack
from easeml.relation.candidates import Candidates
from easeml.stream.payloads import CandidateKind, Pillar

SMALL = settings(max_examples=25, deadline=None)


def merged(relation, tool, source):
    merge = relation.merge_candidates if "column" in tool else relation.merge_rows
    return merge(tool, source=source, normalize=True)


def shown(cells):
    """Cells as text, whatever type of number holds them."""
    return repr([cell.item() if isinstance(cell, np.generic) else cell for cell in cells])


LINES = st.tuples(st.integers(0, 4), st.integers(-1, 3), st.sampled_from((0.0, 1.0, 2.5)), st.integers(0, 2))


def table_of(lines):
    """Return the table of some lines, each with a probability that tells which line it is."""
    row, column, value, source = np.array(lines).T.reshape(4, -1)
    rank = 0.5 ** np.arange(1, len(lines) + 1)
    return Candidates(row.astype(int), column.astype(int), value, rank, source.astype(int), sources=("a", "b", "c"))


@given(lines=st.lists(LINES, max_size=30), few=st.integers(0, 5))
def test_tables_are_ordered_by_cell_value_and_source_and_equal_lines_stay_in_their_order(lines, few):
    # The first lines in order, the others as they come: nearly sorted tables have a way of their own.
    lines = sorted(lines[few:]) + lines[:few]
    table = table_of(lines).sort()
    places = sorted(range(len(lines)), key=lambda place: lines[place])
    got = zip(table.row.tolist(), table.column.tolist(), table.value.tolist(), table.source.tolist(), strict=True)
    assert list(got) == [lines[place] for place in places]
    assert table.probability.tolist() == [0.5 ** (place + 1) for place in places]
    assert table.sort() is table


def test_a_table_is_found_sorted_in_less_memory_than_one_number_a_line():
    lines, cells = 120_000, np.arange(40_000)
    table = Candidates(
        np.repeat(cells // 8, 3), np.repeat(cells % 8, 3), np.tile([1.0, 2.0, 3.0], 40_000), np.full(lines, 1 / 3),
        np.tile([0, 1, 0], 40_000), sources=("a", "b"),
    )  # fmt: skip
    tracemalloc.start()
    assert table.sort() is table
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * lines


@SMALL
@given(relation=relations(whole=True, most=5), rows=st.integers(1, 5), data=st.data())
def test_batches_carry_candidates_and_alternatives(relation, rows, data):
    batches = travel(relation.to_batches("churn", Pillar.TRAIN, "v1", rows_per_batch=rows))
    for batch in batches:
        validate_batch(batch, APP)
    back = Relation.from_batches(batches, label="churned")
    assert same(back, relation)
    assert back.content_hash() == relation.content_hash()
    order = np.array(data.draw(st.permutations(range(len(relation)))))
    pieces = np.array_split(order, 2)
    parts = [relation.take(piece) for piece in pieces if len(piece)]
    joined = Relation(stack([part.block for part in parts]), label="churned", classes=CLASSES)
    assert same(joined, relation.take(order))
    assert same(joined.take(np.argsort(order)), relation)


@SMALL
@given(relation=relations(certain=True, most=3), data=st.data())
def test_merging_is_commutative_and_idempotent_to_the_bit(relation, data):
    tools = {
        name: data.draw(proposals(len(relation)) if data.draw(st.booleans()) else versions(len(relation)))
        for name in ("knn", "rules", "llm", "crowd")
    }
    hashes = set()
    for order in (list(tools), data.draw(st.permutations(list(tools)))):
        made = relation
        for name in order:
            made = merged(made, tools[name], name)
            again = merged(made, tools[name], name)
            assert again.content_hash() == made.content_hash()
            made = again
        hashes.add(made.content_hash())
        assert merged(made, tools[order[0]], order[0]).content_hash() == made.content_hash()
    assert len(hashes) == 1
    for batch in made.to_batches("churn", Pillar.TRAIN, "v1"):
        validate_batch(batch, APP)


@SMALL
@given(relation=relations(certain=True, most=3), data=st.data())
def test_alternatives_are_pooled_and_win_over_cells(relation, data):
    cells = data.draw(proposals(len(relation)))
    tools = {name: data.draw(versions(len(relation))) for name in ("knn", "rules")}
    made = merged(relation, cells, "cells")
    for name, tool in tools.items():
        made = merged(made, tool, name)
    whole = {row_id for tool in tools.values() for row_id in tool["row_id"]}
    speakers = {row_id: sum(row_id in set(tool["row_id"]) for tool in tools.values()) for row_id in whole}
    table = made.alternatives()
    assert set(table["row_id"]) == whole
    for (row_id, source), lines in table.groupby(["row_id", "source"]):
        mine = tools[source][tools[source]["row_id"] == row_id]["probability"].to_numpy()
        assert lines["probability"].to_numpy() == pytest.approx(mine / mine.sum() / speakers[row_id])
    kept = made.candidates()
    assert not set(kept[kept["column"] != "churned"]["row_id"]) & whole
    assert (kept["column"] == "churned").sum() == ((cells["column"] == "churned") & (cells["probability"] > 0)).sum()
    # What a tool says last about a row, cell by cell or as a whole, is what it says.
    row_id = min(whole)
    age = pd.DataFrame({"row_id": [row_id], "column": ["age"], "value": [1.0], "probability": [1.0]})
    one = made.merge_candidates(age, source="knn")
    said = one.alternatives().query("row_id == @row_id")
    assert "knn" not in set(said["source"])
    if len(said):
        assert said["probability"].sum() == pytest.approx(1.0)
    else:
        assert one.candidates().query("row_id == @row_id and column == 'age'")["value"].tolist() == [1.0]


@SMALL
@given(relation=relations(whole=True, most=2))
def test_entropy_is_that_of_all_worlds(relation):
    found = variables(relation)
    if np.prod([len(priors) for priors in found.values()]) > 2000:
        return
    worlds = [np.prod(choice) for choice in itertools.product(*found.values())]
    entropy = relation.entropy()
    assert entropy.total == pytest.approx(bits(worlds), abs=1e-9)
    got = {(line.row_id, line.column): line.bits for line in entropy.cells.itertuples()}
    assert got.keys() == found.keys()
    for place, row_id in enumerate(relation.row_ids):
        mine = [bits(priors) for (row, _), priors in found.items() if row == row_id]
        assert entropy.rows[place] == pytest.approx(sum(mine), abs=1e-9)


@SMALL
@given(relation=relations(whole=True, most=3), data=st.data())
def test_collapse_never_adds_uncertainty(relation, data):
    before = relation.entropy()
    table = relation.alternatives()
    for row_id, column in itertools.product(relation.row_ids, sorted(VALUES)):
        mine = table[table["row_id"] == row_id]
        if column == "churned" or not len(mine):
            value = data.draw(VALUES[column])
            after = relation.collapse(row_id, column, value)
            assert after.entropy().total <= before.total + 1e-9
            assert same(after.collapse(row_id, column, value), after)
    for row_id, lines in table.groupby("row_id"):
        place = data.draw(st.integers(0, len(lines) - 1))
        after = relation.collapse_row(row_id, place)
        assert after.entropy().rows[relation.row_ids.index(row_id)] == pytest.approx(
            sum(
                bits(priors)
                for (row, column), priors in variables(relation).items()
                if (row, column) == (row_id, "churned")
            )
        )
        wanted = lines.iloc[place].drop(["row_id", "alternative", "probability", "source"])
        assert shown(after.frame().loc[row_id, wanted.index]) == shown(wanted)
        assert row_id not in set(after.alternatives()["row_id"])


@SMALL
@given(relation=relations(whole=True, most=2))
def test_a_known_cell_of_a_row_with_alternatives_is_bayes_rule(relation):
    """Averaged over the possible answers, the entropy falls by the information they hold: never a rise."""
    table = relation.alternatives()
    for row_id, lines in table.groupby("row_id"):
        place = relation.row_ids.index(row_id)
        before, label = relation.entropy().rows[place], distributions(relation).get((row_id, "churned"), {}).values()
        for column in ("paid", "plan", "note"):
            if lines[column].isna().any():
                continue
            priors = lines.groupby(lines[column].astype(object))["probability"].sum()
            after = 0.0
            for value, prior in priors.items():
                known = relation.collapse(row_id, column, value)
                left = known.alternatives().query("row_id == @row_id")
                assert (left[column] == value).all()
                agreeing = lines[lines[column] == value]["probability"].to_numpy()
                assert left["probability"].to_numpy() == pytest.approx(agreeing / agreeing.sum())
                after += prior * known.entropy().rows[place]
            assert after + bits(priors) == pytest.approx(before, abs=1e-6)
            assert bits(label) <= before + 1e-9


@SMALL
@given(relation=relations(whole=True, most=3))
def test_worlds_of_rows_are_their_alternatives(relation):
    table = relation.alternatives()
    seen = {
        row_id: {shown(line[4:]) for line in lines.itertuples(index=False)} for row_id, lines in table.groupby("row_id")
    }
    world, probable = relation.sample_world(np.random.default_rng(3)), relation.most_probable_world()
    for made in (world, probable):
        assert len(made.alternatives()) == len(made.candidates()) == 0
        frame = made.frame().drop(columns="churned")
        for row_id, contents in seen.items():
            assert shown(frame.loc[row_id]) in contents
    assert world.entropy().total == 0.0
    expected = relation.expected_world().frame()
    for row_id, lines in table.groupby("row_id"):
        ages = lines["age"].to_numpy()
        known = ~np.isnan(ages)
        if known.any():
            with np.errstate(all="ignore"):
                weights = lines["probability"].to_numpy()[known]
                mean = (ages[known] * weights).sum() / weights.sum()
            assert expected.loc[row_id, "age"] == pytest.approx(mean, rel=1e-9)
        else:
            assert np.isnan(expected.loc[row_id, "age"])
        plans = lines.groupby(lines["plan"].astype(object).where(lines["plan"].notna(), "-"))["probability"].sum()
        got = expected.loc[row_id, "plan"]
        assert plans["-" if pd.isna(got) else got] == pytest.approx(plans.max())


@SMALL
@given(relation=relations(whole=True, most=3))
def test_uncertain_cells_and_rows(relation):
    found = {}
    for (row_id, column), values in distributions(relation).items():
        found[row_id, column] = list(values.values())
    for row_id, lines in relation.alternatives().groupby("row_id"):
        for column in set(VALUES) - {"churned"}:
            texts = lines[column].map(
                lambda cell: "-" if pd.isna(cell) else repr(cell + 0.0) if isinstance(cell, float) else repr(cell)
            )
            found[row_id, column] = lines["probability"].groupby(texts).sum().tolist()
    wanted = {key: (len(priors), bits(priors)) for key, priors in found.items() if len(priors) > 1}
    cells = relation.uncertain_cells()
    got = {(line.row_id, line.column): (line.candidates, line.bits) for line in cells.itertuples()}
    assert got.keys() == wanted.keys()
    assert all(got[key] == (wanted[key][0], pytest.approx(wanted[key][1], abs=1e-9)) for key in wanted)
    assert set(np.array(relation.row_ids)[relation.uncertain_rows()]) == {row_id for row_id, _ in wanted}
    features = {row_id for row_id, column in wanted if column != "churned"}
    assert set(np.array(relation.row_ids)[relation.uncertain_rows(labels=False)]) == features


@SMALL
@given(relation=relations(most=3), k=st.integers(1, 12))
def test_joint_rows_are_the_best_of_the_product(relation, k):
    made = relation.joint(k)
    cells = {}
    for (row_id, column), values in distributions(relation).items():
        if column != "churned":
            cells.setdefault(row_id, []).append((column, values))
    table = made.alternatives()
    assert set(table["row_id"]) == set(cells)
    for row_id, lines in table.groupby("row_id"):
        options = [[(column, value, p) for value, p in values.items()] for column, values in cells[row_id]]
        every = [np.prod([p for *_, p in choice]) for choice in itertools.product(*options)]
        best = np.array(heapq.nlargest(k, every))
        assert lines["probability"].to_numpy() == pytest.approx(best / best.sum())
        for line in lines.to_dict("records"):
            product = np.prod([values[line[column]] for column, values in cells[row_id]])
            assert line["probability"] == pytest.approx(product / best.sum())
        rest = [name for name in VALUES if name != "churned" and name not in dict(cells[row_id])]
        observed = relation.frame().loc[row_id, rest].tolist()
        assert {shown(cells) for cells in lines[rest].to_numpy(object).tolist()} == {shown(observed)}
    labels = relation.candidates().query("column == 'churned'").reset_index(drop=True)
    pd.testing.assert_frame_equal(made.candidates(), labels, check_dtype=False)
    assert same(made.joint(k), made)


def test_sampled_cells_and_rows_follow_their_priors():
    """Chi-square at 1e-6, for cells, labels, rows and the independence of two variables."""
    frame = pd.DataFrame({"age": [1.0, 2.0], "plan": ["basic", "plus"], "churned": [None, None]})
    relation = Relation.from_frame(frame, label="churned", classes=CLASSES, row_ids=["a", "b"], columns=COLUMNS[:3:2])
    ages = pd.DataFrame({"row_id": "a", "column": "age", "value": [1.0, 2.0, 5.0], "probability": [0.6, 0.3, 0.1]})
    rows = pd.DataFrame(
        {"row_id": "b", "probability": [0.5, 0.3, 0.2], "age": [7.0, 8.0, 8.0], "plan": ["plus", "plus", None]}
    )
    relation = relation.merge_candidates(ages, source="knn").merge_rows(rows, source="rules")
    rng = np.random.default_rng(7)
    draws = 3000
    counts = {}
    for _ in range(draws):
        block = relation.sample_world(rng).block
        for key in (("age", block.numeric[0, 0]), ("row", (block.numeric[1, 0], block.codes[1, 0])),
                    ("label", block.labels[0]), ("both", (block.numeric[0, 0], block.numeric[1, 0]))):  # fmt: skip
            counts[key] = counts.get(key, 0) + 1
    wanted = {("age", 1.0): 0.6, ("age", 2.0): 0.3, ("age", 5.0): 0.1,
              ("row", (7.0, 1)): 0.5, ("row", (8.0, 1)): 0.3, ("row", (8.0, -1)): 0.2,
              **{("label", code): 1 / 3 for code in range(3)},
              **{("both", (a, r)): p * q for a, p in ((1.0, 0.6), (2.0, 0.3), (5.0, 0.1))
                 for r, q in ((7.0, 0.5), (8.0, 0.5))}}  # fmt: skip
    assert counts.keys() == wanted.keys()
    for what in ("age", "row", "label", "both"):
        keys = [key for key in wanted if key[0] == what]
        test = stats.chisquare([counts[key] for key in keys], [wanted[key] * draws for key in keys])
        assert test.pvalue > 1e-6, what


def messages(tool, source, columns=COLUMNS):
    """A tool's table as messages, over a certain relation of its rows."""
    ids = sorted(set(tool["row_id"]))
    nothing = pd.Series([None] * len(ids), dtype=object)
    frame = pd.DataFrame({**{column.name: nothing for column in columns}, "churned": nothing})
    empty = Relation.from_frame(frame, label="churned", classes=CLASSES, columns=columns, row_ids=ids)
    return batch_of(merged(empty, tool, source), source, "churn", Pillar.TRAIN, rows_per_batch=2)


@SMALL
@given(relation=relations(whole=True, most=4))
def test_candidate_messages_carry_what_each_tool_says(relation):
    made = Relation(
        replace(relation.block, candidates=relation.block.candidates.select(slice(0))), label="churned", classes=CLASSES
    )
    made = Relation(replace(made.block, alternatives=type(made.block.alternatives)()), label="churned", classes=CLASSES)
    for source in relation.sources:
        for batch in travel(batch_of(relation, source, "churn", Pillar.TRAIN, rows_per_batch=2)):
            validate_candidates(batch, APP)
            made = made.fold_candidates(batch)
            assert made.fold_candidates(batch).content_hash() == made.content_hash()
    assert same(made, relation)


@SMALL
@given(relation=relations(certain=True, most=4), data=st.data())
def test_a_view_lays_candidates_over_rows_in_any_order(relation, data):
    rows = travel(relation.to_batches("churn", Pillar.TRAIN, "v1", rows_per_batch=2))
    tools = {
        name: data.draw(versions(len(relation)) if data.draw(st.booleans()) else proposals(len(relation)))
        for name in ("knn", "rules", "llm")
    }
    said = [batch for name, tool in tools.items() if len(tool) for batch in travel(messages(tool, name))]
    answers = [answer(row_id, "yes") for row_id in data.draw(st.lists(st.sampled_from(relation.row_ids), unique=True))]
    expected = relation
    for batch in said:
        expected = expected.fold_candidates(batch)
    expected = expected.settle((one.row_id, "churned", one.text) for one in answers)
    order = sorted(relation.row_ids)
    expected = expected.take(np.array([relation.row_ids.index(row_id) for row_id in order]))
    events = data.draw(st.permutations([*rows, *said, *answers]))
    view = RelationView("churned", CLASSES, data.draw(st.sampled_from([(), COLUMNS])))
    for event in [*events, *data.draw(st.lists(st.sampled_from(events), max_size=3))]:
        view.fold(event)
    assert same(view.relation(), expected)
    assert view.relation().content_hash() == expected.content_hash()


@SMALL
@given(relation=relations(certain=True, most=3), data=st.data())
def test_the_last_word_of_a_source_stands(relation, data):
    """Batch by batch, a view says what a relation says that is told the same, source by source."""
    count = len(relation)
    said = []
    for source in ("knn", "rules"):
        for _ in range(data.draw(st.integers(1, 3))):
            tool = data.draw(versions(count) if data.draw(st.booleans()) else proposals(count))
            said += messages(tool, source) if len(tool) else []
    view = RelationView("churned", CLASSES)
    for batch in (*said, *relation.to_batches("churn", Pillar.TRAIN, "v1")):
        view.fold(batch)
    # Per source and row: what stands of the label, and of the features by column or (None) as a whole.
    stands = {}
    for batch in said:
        spoken = {(row_id, column) for row_id, column, _ in lines_of(batch)}
        for row_id, column in spoken:
            own = stands.setdefault((batch.source, row_id), {})
            for other in [name for name in own if name != "churned" and column != "churned" and None in (name, column)]:
                del own[other]
            own[column] = [line for *cell, line in lines_of(batch) if cell == [row_id, column]]
    stands = {key: [line for lines in own.values() for line in lines] for key, own in stands.items()}
    made = view.relation()
    speakers = {
        row_id: {s for (s, r), lines in stands.items() if r == row_id and any(line[0] is None for line in lines)}
        for row_id in made.row_ids
    }
    for source in ("knn", "rules"):
        table = made.alternatives().query("source == @source")
        assert set(table["row_id"]) == {row_id for row_id, names in speakers.items() if source in names}
        for row_id in made.row_ids:
            mine = made.candidates().query("source == @source and row_id == @row_id")
            wanted = [line for line in stands.get((source, row_id), []) if line[0] is not None]
            if speakers[row_id]:
                wanted = [line for line in wanted if line[0] == "churned"]
            assert sorted(mine["column"]) == sorted(line[0] for line in wanted)


def lines_of(batch):
    """Row, column (None: the row as a whole) and content of each candidate."""
    for place, row in enumerate(batch.row.tolist()):
        column = batch.columns[batch.column[place]] if batch.kind is CandidateKind.CELLS else None
        yield batch.row_ids[row], column, (column, place)
