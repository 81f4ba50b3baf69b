"""Which steps run, and which run as one."""

from __future__ import annotations

from easeml.lineage import Graph, evaluate, graph_of, hold, ops, plan_of


def test_branches_that_nobody_wants_are_dropped(calls):
    start = ops.number(value=1)
    graph = graph_of({"a": start.add(more=1), "b": start.add(more=2)}).want(["a"])
    plan = plan_of(graph)
    assert [step.name for step in plan.steps] == ["test.number", "test.add"]
    assert [node.parameters["more"] for node in plan.dropped] == [2]
    assert plan.notes == ("dropped 1 step that no wanted output needs: test.add",)
    assert dict(evaluate(graph, cache=False).results) == {"a": 2}
    assert calls == ["number 1", "add (1,) 1"]


def test_equal_steps_run_once(calls):
    one = ops.number(value=1).add(more=1)
    other = ops.number(value=1).add(more=1)
    end = one.add(other)
    assert len(end.graph.nodes) == 5
    plan = plan_of(end.graph)
    assert len(plan.steps) == 3
    assert plan.reused == 2
    assert "reused 2 steps that occur more than once" in plan.notes
    assert end.eval(cache=False) == 4
    assert calls == ["number 1", "add (1,) 1", "add (2, 2) 0"]


def test_unoptimised_everything_runs_as_it_stands(calls):
    end = ops.number(value=1).add(ops.number(value=1))
    extra = ops.number(value=7).node
    graph = Graph({"result": end.node}, [extra])
    assert evaluate(graph, cache=False, optimise=False).results["result"] == 2
    assert calls == ["number 1", "number 1", "add (1, 1) 0", "number 7"]


def test_row_wise_neighbours_run_as_one_step(calls, relation):
    end = hold(relation).half().half(skip=1).take(first=2).half()
    plan = plan_of(end.graph)
    assert [step.name for step in plan.steps] == [
        "lineage.given", "test.half + test.half", "relation.take", "test.half",
    ]  # fmt: skip
    assert plan.fused == 1
    assert plan.notes == ("fused row-wise steps, 1 result not materialised: test.half + test.half",)


def test_a_result_that_is_needed_elsewhere_ends_a_chain(calls, relation):
    middle = hold(relation).half()
    assert len(plan_of(middle.half(skip=1).stack(middle).graph).steps) == 4
    assert len(plan_of(graph_of({"a": middle, "b": middle.half(skip=1)})).steps) == 3
    twice = middle.half(skip=1).stack(middle.half(skip=1))
    assert [step.name for step in plan_of(twice.graph).steps] == [
        "lineage.given", "test.half + test.half", "relation.stack",
    ]  # fmt: skip


def test_an_unwanted_step_that_equals_a_wanted_one_is_not_dropped(calls):
    graph = graph_of({"a": ops.number(value=1), "b": ops.number(value=1)}).want(["a"])
    plan = plan_of(graph)
    assert plan.dropped == ()
    assert len(plan.steps) == 1
