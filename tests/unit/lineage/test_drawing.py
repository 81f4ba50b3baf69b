"""What people see of a graph."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from easeml.lineage import Parameter, draw, draw_svg, explain, graph_of, hold, ops, plan_of
from easeml.lineage.operators import operator

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def graph(calls):
    start = ops.number(value=1)
    return graph_of({"sum": start.add(start.add(more=1), more=2), "start": start})


def test_the_drawing_for_terminals(graph):
    assert draw(graph).splitlines() == [
        "sum",
        "● 3 test.add(more=2)",
        "├─● 1 test.number(value=1)",
        "└─● 2 test.add(more=1)",
        "  ● 1 test.number(value=1)",
        "start",
        "● 1 test.number(value=1)",
    ]


def test_steps_that_are_not_used_or_drawn_again(calls):
    start = ops.number(value=1).add(more=1)
    graph = graph_of({"a": start, "b": start.add(more=3), "c": ops.number(value=9)}).want(["a", "b"])
    assert draw(graph).splitlines() == [
        "a",
        "● 2 test.add(more=1)",
        "● 1 test.number(value=1)",
        "b",
        "● 3 test.add(more=3)",
        "● 2 see 2",
        "not used",
        "○ 4 test.number(value=9)",
    ]


def test_explain_tells_what_would_be_done(calls, cache):
    start = ops.number(value=1)
    end = start.add(start, more=2)
    text = end.explain(cache=cache)
    assert (
        text.splitlines()
        == [
            "1. test.number(value=1)",
            "   to run, cost unknown",
            "2. test.add(more=2) on 1, 1  => result",
            "   to run, cost unknown",
            "2 steps: 0 ready, 2 to run, of unknown cost.",
        ]
        or "   " in text
    )
    assert calls == []
    end.eval(cache=cache)
    later = end.add(more=5).explain(cache=cache).splitlines()
    assert "3 steps: 2 ready, 1 to run, about 0.1 s or less." in later


def test_explain_uses_what_operators_and_their_past_say(registry, cache, relation):
    @operator("test.costly", cost=1e6)
    def costly(relation):
        """Take its time."""
        return relation

    end = hold(relation).costly()
    assert "to run, about 18.0 s" in end.explain(cache=cache)
    assert "   Take its time." in end.explain(cache=cache)
    end.eval(cache=cache)
    assert "ready, 6 rows" in end.explain(cache=cache)
    assert "to run, about 0.1 s or less" in hold(relation.take(relation.labels >= 0)).costly().explain(cache=cache)


def test_explain_tells_open_parameters_missing_files_and_the_plan(registry, calls, cache):
    @operator("test.read", reads=["path"])
    def load(*, path: str) -> int:
        return 1

    text = ops.test.read(path="nowhere.csv").explain(cache=cache)
    assert "cannot run: There is no file 'nowhere.csv'." in text
    text = ops.number(value=Parameter("n", description="how many")).add(
        ops.number(value=Parameter("n", description="how many"))
    )
    told = text.explain(cache=cache)
    assert "Parameter n: must be set. how many" in told
    assert "Plan: reused 1 step that occurs more than once." in told
    assert explain(text.graph, parameters={"n": 3}, cache=False).startswith("1. test.number(value=3)")


def test_the_svg_stands_alone_and_is_escaped():
    nasty = '<script>alert("x")</script>&\x1b[31m'
    graph = graph_of({nasty: ops.constant(value=nasty), "b": ops.constant(value=1).stack(ops.constant(value=nasty))})
    text = draw_svg(graph)
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert "<script" not in text
    assert not [one for one in root.iter() if any("href" in name for name in one.attrib)]
    assert len(root.findall(f".//{SVG}rect")) == 4
    assert "\x1b" not in draw(graph)
    assert "\x1b" not in explain(graph, cache=False)


def test_boxes_do_not_overlap_and_unused_ones_are_dashed(graph):
    narrowed = graph.want(["start"])
    root = ET.fromstring(draw_svg(narrowed, plan_of(narrowed)))
    boxes = [tuple(int(box.get(side)) for side in ("x", "y", "width", "height")) for box in root.iter(f"{SVG}rect")]
    for x, y, width, height in boxes:
        assert x + width <= int(root.get("width"))
        assert y + height <= int(root.get("height"))
    assert len({box[:2] for box in boxes}) == 3
    assert sum(box.get("stroke-dasharray") is not None for box in root.iter(f"{SVG}rect")) == 2


def test_a_notebook_shows_the_drawing(relation):
    assert hold(relation).take(first=1)._repr_html_().startswith("<svg ")


def test_what_is_open_is_told_by_its_name(registry):
    flow = ops.constant(value=Parameter("rows", 3))
    assert "lineage.constant(value=$rows)" in flow.draw()
    assert "value=$rows" in flow.draw_svg()
    assert "$parameter" not in flow.draw() + flow.draw_svg() + repr(flow)


@pytest.mark.parametrize("text", ["W" * 60, "i" * 40, "明" * 60, "snake_case_words_that_go_on_and_on_for_ever"])
def test_no_text_is_wider_than_its_box(text):
    root = ET.fromstring(ops.constant(value=text).draw_svg())
    told = [one.text for one in root.iter(f"{SVG}text") if one.text.startswith("value=")]
    assert told[0].endswith("…") == (text[0] != "i")
    frames = [one for one in root.iter(f"{SVG}svg") if one is not root]
    assert {int(one.get("width")) for one in frames} == {210}
