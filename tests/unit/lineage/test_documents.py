"""Documents: what is saved comes back, and what is wrong is named."""

from __future__ import annotations

import json

import pytest
from lineage_rows import relation_of

from easeml.errors import EaseMLError, InvalidDataError, NotFoundError
from easeml.lineage import Parameter, evaluate, graph_of, hold, load, ops, save
from easeml.lineage.documents import document_of, parse


@pytest.fixture
def graph(calls):
    start = ops.number(value=Parameter("value", 5, "first"))
    return graph_of({"sum": start.add(start, more=Parameter("more")), "start": start})


def test_a_graph_comes_back_with_its_hash(graph, tmp_path):
    save(graph, tmp_path / "flow.json")
    back = load(tmp_path / "flow.json")
    assert back.digest == graph.digest
    assert dict(back.parameters) == dict(graph.parameters)
    assert dict(evaluate(back, parameters={"more": 1}, cache=False).results) == {"sum": 11, "start": 5}
    assert list(tmp_path.iterdir()) == [tmp_path / "flow.json"]


def test_the_document_is_for_people(graph):
    assert document_of(graph) == {
        "format": "easeml.workflow",
        "version": 1,
        "parameters": {"more": {}, "value": {"default": 5, "description": "first"}},
        "nodes": [
            {
                "id": "number-1",
                "operator": "test.number",
                "version": 1,
                "parameters": {"value": {"$parameter": "value"}},
                "inputs": [],
            },
            {
                "id": "add-1",
                "operator": "test.add",
                "version": 1,
                "parameters": {"more": {"$parameter": "more"}},
                "inputs": ["number-1", "number-1"],
            },
        ],
        "outputs": {"sum": "add-1", "start": "number-1"},
    }


def test_steps_that_nobody_wants_are_kept(graph, tmp_path):
    save(graph.want(["start"]), tmp_path / "flow.json")
    assert len(load(tmp_path / "flow.json").nodes) == 2


def test_a_relation_from_memory_lies_beside_the_document(tmp_path, uncertain):
    end = hold(uncertain).take(first=3)
    end.save(tmp_path / "flow.json")
    assert [one.suffix for one in (tmp_path / "flow.data").iterdir()] == [".parquet"]
    back = load(tmp_path / "flow.json")
    assert back.digest == end.graph.digest
    done = evaluate(back, cache=False)
    assert done.content_hashes["result"] == end.eval(cache=False).content_hash()


def test_data_that_is_gone_other_or_damaged_is_told(tmp_path, relation):
    hold(relation).take(first=3).save(tmp_path / "flow.json")
    (file,) = (tmp_path / "flow.data").iterdir()
    relation_of(3).to_parquet(file)
    with pytest.raises(InvalidDataError, match=r"Node 'given-1': .*holds other data"):
        load(tmp_path / "flow.json")
    file.write_bytes(b"PAR1")
    with pytest.raises(InvalidDataError, match=r"Node 'given-1': .*is damaged"):
        load(tmp_path / "flow.json")
    file.unlink()
    with pytest.raises(NotFoundError, match="is not at hand"):
        evaluate(load(tmp_path / "flow.json"), cache=False)


def test_an_address_cannot_point_elsewhere(tmp_path, relation):
    document = document_of(hold(relation).graph)
    document["nodes"][0]["parameters"]["address"] = "../../*"
    with pytest.raises(InvalidDataError, match="is no hash of a relation"):
        parse(json.dumps(document), tmp_path)


def changed(graph, **fields):
    return json.dumps(document_of(graph) | fields)


def node(**fields):
    return {"id": "n", "operator": "test.number", "version": 1} | fields


BAD = {
    "no JSON": ("{", r"No JSON: .* in line 1, column 2"),
    "no object": ("[]", "no format 'easeml.workflow'"),
    "other format": ('{"format": "x"}', "no format 'easeml.workflow'"),
    "NaN": ('{"format": NaN}', "NaN is not JSON"),
    "twice": ('{"format": 1, "format": 2}', "The key 'format' occurs twice"),
    "deep": ("[" * 100_000, "nested too deep"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_what_is_no_document_is_refused(text, words):
    with pytest.raises(InvalidDataError, match=words):
        parse(text)


WRONG = {
    "version": ({"version": 2}, "Version 2 of the format is not known here; this Ease.ML reads 1"),
    "extra": ({"colour": 1}, "colour: extra inputs are not permitted"),
    "no nodes": ({"nodes": []}, "nodes: list should have at least 1 item"),
    "no outputs": ({"outputs": {}}, "outputs: dictionary should have at least 1 item"),
    "field type": ({"nodes": [node(inputs="m")]}, "node 'n', inputs: input should be a valid list"),
    "field name": ({"nodes": [node(inptus=[])]}, "node 'n', inptus: extra inputs"),
    "no id": ({"nodes": [{"operator": "x"}]}, "node number 1, id: field required"),
    "two ids": ({"nodes": [node(), node()]}, "Two nodes are called 'n'"),
    "unknown input": ({"nodes": [node(inputs=["m"])]}, "Node 'n' takes 'm', which is not there. Nodes are n"),
    "unknown output": ({"outputs": {"a": "m"}}, "Output 'a' is node 'm', which is not there"),
    "unknown operator": ({"nodes": [node(operator="test.numbr")]}, "Node 'n': No operator 'test.numbr'"),
    "short operator": ({"nodes": [node(operator="number")]}, "Node 'n': No operator 'number'. Did you mean"),
    "unknown operator version": ({"nodes": [node(version=3)]}, "Node 'n': Operator test.number has no version 3"),
    "unknown parameter": ({"nodes": [node(parameters={"vlue": 1})]}, "Node 'n': test.number has no parameter 'vlue'"),
    "wrong parameter": ({"nodes": [node(parameters={"value": "x"})]}, "Node 'n': test.number: parameter value"),
    "wrong count": ({"nodes": [node(operator="test.fail")]}, "Node 'n': test.fail was given 0 inputs"),
    "self": ({"nodes": [node(operator="test.add", inputs=["n"])]}, "The nodes n <- n take each other's results"),
    "undeclared": (
        {"nodes": [node(parameters={"value": {"$parameter": "v"}})]},
        "Node 'n', parameter 'value': the workflow has no parameter 'v'. It has: u",
    ),
    "unused": ({"nodes": [node()]}, "The parameter 'u' is declared, and no node uses it"),
    "parameter name": ({"parameters": {"not a name": {}}}, "cannot be called 'not a name'"),
}


@pytest.mark.parametrize(("fields", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_in_a_document_is_named(calls, fields, words):
    graph = ops.number(value=Parameter("u", 1)).graph
    document = {"outputs": {"result": "n"}} if "nodes" in fields and "outputs" not in fields else {}
    import re

    with pytest.raises(EaseMLError, match=re.escape(words)):
        parse(changed(graph, **document, **fields))


def test_a_circle_names_its_nodes(calls):
    add = "test.add"
    nodes = [
        node(id="a", operator=add, inputs=["b"]),
        node(id="b", operator=add, inputs=["c"]),
        node(id="c", operator=add, inputs=["b"]),
    ]
    document = {"format": "easeml.workflow", "version": 1, "nodes": nodes, "outputs": {"x": "a"}}
    with pytest.raises(InvalidDataError, match="The nodes b <- c <- b take"):
        parse(json.dumps(document))


def test_nodes_may_stand_in_any_order(calls):
    nodes = [node(id="a", operator="test.add", inputs=["b", "b"]), node(id="b")]
    document = {"format": "easeml.workflow", "version": 1, "nodes": nodes, "outputs": {"x": "a"}}
    assert evaluate(parse(json.dumps(document)), cache=False).results["x"] == 2


def test_files_are_named_in_errors(tmp_path, graph):
    with pytest.raises(NotFoundError, match=r"There is no workflow '.*none\.json'"):
        load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidDataError, match=r"bad\.json cannot be read"):
        load(tmp_path / "bad.json")
    (tmp_path / "worse.json").write_text("{}")
    with pytest.raises(InvalidDataError, match=r"worse\.json: The document has no format"):
        load(tmp_path / "worse.json")
    with pytest.raises(InvalidDataError, match="cannot be written"):
        save(graph, tmp_path / "no" / "folder.json")
