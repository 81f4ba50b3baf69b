"""Random graphs: staged is eager, optimised is unoptimised, saved is loaded, cached is computed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.lineage import Cache, Graph, Node, Status, evaluate, load, lookup, operator, operators, plan_of, save
from easeml.lineage.documents import document_of, parse
from easeml.lineage.graph import GIVEN, make_node
from easeml.lineage.graph import given as held
from easeml.lineage.values import address_of, plain, settled
from easeml.relation import Relation

calls: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def arithmetic():
    """Operators on numbers that tell when they run; they end with this module."""
    operators.names()
    former = {name: dict(one) for name, one in operators._registry.items()}

    @operator("example.number")
    def number(*, value: int) -> int:
        calls.append(f"number {value}")
        return value

    @operator("example.sum")
    def total(*numbers: int, more: int = 0) -> int:
        calls.append(f"sum {numbers} {more}")
        return sum(numbers) + more

    yield
    operators._registry.clear()
    operators._registry.update(former)


def base(rows: int) -> Relation:
    frame = pd.DataFrame(
        {
            "x": [float(place % 4) if place % 3 else None for place in range(rows)],
            "kind": ["ab"[place % 2] for place in range(rows)],
            "y": [("no", "yes", None)[place % 3] for place in range(rows)],
        }
    )
    relation = Relation.from_frame(frame, label="y", classes=("no", "yes"), row_ids=[f"r{i}" for i in range(rows)])
    table = pd.DataFrame(
        [("r0", "x", 1.0, 0.25), ("r0", "x", 2.0, 0.75), ("r2", "y", "yes", 1.0)],
        columns=["row_id", "column", "value", "probability"],
    ).astype({"value": object})
    return relation.merge_candidates(table, source="tool/1")


BASES = [base(7), base(12)]
ROWS = st.sampled_from(
    [
        ("relation.take", {"first": 5}),
        ("relation.take", {"first": 9, "skip": 1}),
        ("relation.filter", {"column": "kind", "value": "a"}),
        ("relation.filter", {"column": "x", "comparison": "present"}),
        ("relation.filter", {"column": "x", "comparison": ">=", "value": 1}),
        ("relation.filter", {"column": "y", "comparison": "!=", "value": "yes"}),
        ("relation.select", {"columns": ["x"]}),
        ("relation.labelled", {}),
        ("relation.without_labels", {}),
        ("relation.most_probable_world", {}),
        ("relation.expected_world", {}),
        ("relation.sample_world", {"seed": 3}),
    ]
)


@st.composite
def numbers(draw):
    nodes = [make_node("example.number", (), {"value": draw(st.integers(0, 3))})]
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            inputs = draw(st.lists(st.sampled_from(nodes), max_size=3))
            nodes.append(make_node("example.sum", inputs, {"more": draw(st.integers(0, 1))}))
        else:
            nodes.append(make_node("example.number", (), {"value": draw(st.integers(0, 3))}))
    return nodes


@st.composite
def relations(draw):
    nodes = [held(BASES[0]), held(BASES[1])]
    for _ in range(draw(st.integers(0, 7))):
        name, parameters = draw(ROWS)
        source = draw(st.sampled_from(nodes))
        has_kind = not any(one.operator == "relation.select" for one in above(source))
        if has_kind or parameters.get("column") != "kind":
            nodes.append(make_node(name, [source], parameters))
    measured = draw(st.sampled_from(nodes))
    return [*nodes, make_node("relation.entropy", [measured], {})]


def above(node: Node) -> list[Node]:
    return [node, *(one for source in node.inputs for one in above(source))]


@st.composite
def graphs(draw):
    nodes = draw(numbers() | relations())
    wanted = draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3))
    return Graph({f"out{place}": node for place, node in enumerate(wanted)}, nodes)


def eager(node: Node):
    """Call the plain functions, one inside the other."""
    if node.operator == GIVEN:
        return node.value
    function = lookup(node.operator, node.version).function
    return settled(function(*map(eager, node.inputs), **node.parameters))


def same(left, right) -> bool:
    return address_of(left) == address_of(right)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_staged_evaluation_is_eager_evaluation(graph):
    done = evaluate(graph, cache=False)
    for name, node in graph.outputs.items():
        assert same(done.results[name], eager(node))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_optimised_is_unoptimised_and_never_runs_more(graph):
    calls.clear()
    plain_done = evaluate(graph, cache=False, optimise=False)
    unoptimised = len(calls)
    calls.clear()
    done = evaluate(graph, cache=False)
    assert len(calls) <= unoptimised
    assert len(set(calls)) <= len(calls)
    assert dict(done.content_hashes) == dict(plain_done.content_hashes)
    assert all(same(done.results[name], plain_done.results[name]) for name in graph.outputs)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_exactly_the_wanted_steps_are_planned_once(graph):
    plan = plan_of(graph)
    needed = {one.digest for node in graph.outputs.values() for one in above(node)}
    planned = [node.digest for step in plan.steps for node in step.nodes]
    assert sorted(planned) == sorted(needed)
    assert not {node.digest for node in plan.dropped} & needed
    assert len(plan.dropped) + plan.reused + len(planned) == len(graph.nodes)
    seen = set()
    for step in plan.steps:
        assert {node.digest for node in step.inputs} <= seen
        seen.add(step.node.digest)


@settings(max_examples=40, deadline=None)
@given(numbers(), st.data())
def test_unused_branches_never_run(nodes, data):
    wanted = data.draw(st.sampled_from(nodes))
    calls.clear()
    evaluate(Graph({"wanted": wanted}, nodes), cache=False)
    assert len(calls) == len({one.digest for one in above(wanted)})


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_save_and_load_keep_structure_and_result(graph):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "flow.json"
        save(graph, file)
        back = load(file)
        assert back.digest == graph.digest
        assert len(back.nodes) == len(graph.nodes)
        assert document_of(back) == json.loads(file.read_text())
        hashes = evaluate(back, cache=False).content_hashes
        assert dict(hashes) == dict(evaluate(graph, cache=False).content_hashes)


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_a_cache_hit_gives_the_identical_value_and_runs_nothing(graph):
    with tempfile.TemporaryDirectory() as folder:
        first = evaluate(graph, cache=Cache(folder))
        calls.clear()
        second = evaluate(graph, cache=Cache(folder))
        assert calls == []
        assert {one.status for one in second.reports} <= {Status.CACHED, Status.GIVEN}
        assert dict(second.content_hashes) == dict(first.content_hashes)
        assert all(same(second.results[name], first.results[name]) for name in graph.outputs)


@settings(max_examples=25, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_damage_and_eviction_never_change_a_result(graph, random):
    with tempfile.TemporaryDirectory() as folder:
        first = evaluate(graph, cache=Cache(folder))
        for file in sorted(Path(folder).rglob("*.*")):
            if file.is_file() and random.random() < 0.4:
                file.unlink() if random.random() < 0.5 else file.write_bytes(file.read_bytes()[1:] + b"!")
        second = evaluate(graph, cache=Cache(folder))
        assert all(same(second.results[name], first.results[name]) for name in graph.outputs)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_any_json_value_survives_a_graph(value):
    if isinstance(value, dict) and "$parameter" in value:
        return
    graph = Graph({"result": make_node("lineage.constant", (), {"value": value})})
    back = parse(json.dumps(document_of(graph)))
    assert back.digest == graph.digest
    result = evaluate(back, cache=False).results["result"]
    assert result == plain(value)
    assert repr(result) == repr(plain(value))
