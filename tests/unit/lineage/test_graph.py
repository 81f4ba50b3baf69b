"""Nodes, hashes, handles and workflow parameters."""

from __future__ import annotations

import pytest

from easeml.errors import ConflictError, InvalidDataError, NotFoundError
from easeml.lineage import Graph, Parameter, graph_of, handles_of, hold, ops, stage


def test_calling_an_operator_runs_nothing_and_returns_the_new_end(calls):
    start = ops.number(value=2)
    end = start.add(3, more=4)
    assert calls == []
    assert [node.operator for node in end.graph.nodes] == ["test.number", "lineage.constant", "test.add"]
    assert [node.operator for node in start.graph.nodes] == ["test.number"]
    assert end.eval(cache=False) == 9
    assert calls == ["number 2", "add (2, 3) 4"]


def test_the_three_ways_to_call_are_one(relation):
    data = hold(relation)
    ways = [data.take(first=2), data.relation.take(first=2), data.apply("take", first=2), stage("take", data, first=2)]
    assert len({way.node.digest for way in ways}) == 1


def test_the_structural_hash_follows_structure_alone(relation):
    data = hold(relation)
    assert data.take(first=2).node.digest == hold(relation).take(first=2, skip=0).node.digest
    assert data.take(first=2).node.digest != data.take(first=3).node.digest
    assert data.take(first=2).labelled().node.digest != data.labelled().take(first=2).node.digest
    assert ops.add(1, 2).node.digest != ops.add(2, 1).node.digest if hasattr(ops, "add") else True


def test_nodes_cannot_be_changed(relation):
    node = hold(relation).take(first=2).node
    with pytest.raises(TypeError):
        node.parameters["first"] = 3
    with pytest.raises(AttributeError):
        node.operator = "relation.filter"


def test_inputs_are_counted(relation):
    with pytest.raises(
        InvalidDataError, match=r"relation\.take was given 2 inputs\. Call it as relation\.take\(relation"
    ):
        hold(relation).take(hold(relation))
    with pytest.raises(InvalidDataError, match=r"relation\.take was given 0 inputs"):
        ops.take(first=1)


def test_what_is_neither_relation_nor_json_cannot_be_an_input(relation):
    with pytest.raises(InvalidDataError, match="object is neither a relation nor a JSON value"):
        hold(relation).stack(object())


def test_a_graph_of_several_outputs(calls):
    start = ops.number(value=2)
    graph = graph_of({"a": start.add(1), "b": start.add(2)})
    assert list(handles_of(graph)) == ["a", "b"]
    assert handles_of(graph)["b"].eval(cache=False) == 4
    assert len(graph.nodes) == 5
    narrowed = graph.want(["b"])
    assert list(narrowed.outputs) == ["b"]
    assert len(narrowed.nodes) == 5
    with pytest.raises(NotFoundError, match=r"No output 'c'\. Outputs are a, b"):
        graph.want(["c"])
    with pytest.raises(InvalidDataError, match="without an output"):
        Graph({})


def test_workflow_parameters_are_set_when_the_graph_runs(calls):
    value = Parameter("value", 5, "first number")
    more = Parameter("more")
    end = ops.number(value=value).add(more=more)
    assert list(end.graph.parameters) == ["more", "value"]
    assert end.eval(cache=False, parameters={"more": 1}) == 6
    assert end.eval(cache=False, parameters={"more": 1, "value": 0}) == 1
    with pytest.raises(InvalidDataError, match=r"'more' is not set\. Give it a value: --set more=VALUE"):
        end.eval(cache=False)
    with pytest.raises(InvalidDataError, match=r"no parameter 'less'\. It has: more, value"):
        end.eval(cache=False, parameters={"less": 1})
    with pytest.raises(InvalidDataError, match=r"parameter more: .* not 'x'\. The workflow was run with more='x'"):
        end.eval(cache=False, parameters={"more": "x"})


def test_a_default_of_a_workflow_parameter_must_fit(calls):
    with pytest.raises(InvalidDataError, match=r"test\.number: parameter value"):
        ops.number(value=Parameter("value", "five"))
    with pytest.raises(InvalidDataError, match="has no parameter 'valu'"):
        ops.number(valu=Parameter("value"))


def test_one_name_means_one_parameter(calls):
    with pytest.raises(ConflictError, match="'n' is declared twice"):
        _ = ops.number(value=Parameter("n", 1)).add(more=Parameter("n", 2)).graph
    with pytest.raises(InvalidDataError, match="cannot be called 'not a name'"):
        Parameter("not a name")


def test_the_form_of_a_reference_is_reserved():
    with pytest.raises(InvalidDataError, match="reserved key"):
        ops.constant(value={"$parameter": "x"})


def test_a_long_chain_needs_no_deep_stack(calls):
    end = ops.number(value=0)
    for _ in range(1200):
        end = end.add(more=1)
    assert len(end.graph.nodes) == 1201
    assert end.eval(cache=False) == 1200
    assert end.draw().count("test.add") == 1200


def test_pillars_of_a_split(relation):
    rows = hold(relation).stack().pillars(shares={"train": 0.5, "test": 0.5}, seed=1)
    assert list(rows) == ["train", "test", "pool"]
    sizes = {name: len(one.eval(cache=False)) for name, one in rows.items()}
    assert sizes["train"] == sizes["test"] == 2
