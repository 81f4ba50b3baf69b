"""Order, cache, progress, failures and events."""

from __future__ import annotations

import json
import uuid

import numpy as np
import pytest

from easeml.errors import EaseMLError, InvalidDataError, NotFoundError
from easeml.lineage import Cache, Status, evaluate, graph_of, hold, operator, ops
from easeml.stream.payloads import RunState


def statuses(done):
    return [report.status for report in done.reports]


def test_a_second_evaluation_runs_nothing(calls, cache):
    end = ops.number(value=1).add(2)
    assert end.eval(cache=cache) == 3
    count = len(calls)
    done = end.evaluate(cache=Cache(cache.folder))
    assert done.results["result"] == 3
    assert len(calls) == count
    assert set(statuses(done)) == {Status.CACHED}


def test_a_new_step_runs_alone(calls, cache):
    start = ops.number(value=1)
    start.eval(cache=cache)
    start.add(more=1).eval(cache=cache)
    assert calls == ["number 1", "add (1,) 1"]


def test_another_version_parameter_or_input_runs_again(calls, cache):
    ops.number(value=1).eval(cache=cache)
    ops.number(value=2).eval(cache=cache)

    @operator("test.number", version=2)
    def number(*, value: int = 1) -> int:
        calls.append(f"new number {value}")
        return value

    ops.number(value=1).eval(cache=cache)
    assert calls == ["number 1", "number 2", "new number 1"]


def test_equal_results_of_different_steps_serve_the_same_next_step(calls, cache):
    ops.number(value=2).add(more=1).eval(cache=cache)
    ops.number(value=1).add(more=1).add(more=1).eval(cache=cache)
    assert calls == ["number 2", "add (2,) 1", "number 1", "add (1,) 1"]


def test_a_cached_relation_is_the_same_to_the_bit(cache, uncertain):
    end = hold(uncertain).take(first=5)
    first = end.eval(cache=cache)
    again = end.evaluate(cache=cache)
    assert statuses(again) == [Status.GIVEN, Status.CACHED]
    assert again.results["result"].content_hash() == first.content_hash() == again.content_hashes["result"]
    assert again.results["result"].label == "churned"
    assert again.results["result"].candidates().equals(first.candidates())


def test_files_count_by_their_content(registry, cache, tmp_path):
    file = tmp_path / "numbers.json"
    file.write_text("[1, 2]")
    read = []

    @operator("test.read", reads=["path"])
    def load(*, path: str) -> list[int]:
        read.append(path)
        return json.loads(open(path).read())

    end = ops.test.read(path=str(file))
    assert end.eval(cache=cache) == [1, 2]
    file.touch()
    assert end.eval(cache=cache) == [1, 2]
    assert len(read) == 1
    file.write_text("[3]")
    assert end.eval(cache=cache) == [3]
    file.write_text("[1, 2]")
    assert end.eval(cache=cache) == [1, 2]
    assert len(read) == 2
    file.unlink()
    with pytest.raises(NotFoundError, match=r"Step 1 of 1, test\.read\(path=.*There is no file"):
        end.eval(cache=cache)


def test_folders_count_by_names_and_contents(registry, cache, tmp_path):
    @operator("test.list", reads=["path"])
    def listed(*, path: str) -> list[str]:
        import pathlib

        return sorted(one.name for one in pathlib.Path(path).iterdir())

    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    end = ops.test.list(path=str(tmp_path / "texts"))
    assert end.eval(cache=cache) == ["a.txt"]
    (tmp_path / "texts" / "a.txt").rename(tmp_path / "texts" / "b.txt")
    assert end.eval(cache=cache) == ["b.txt"]


def test_a_file_that_changes_while_it_is_read_is_refused(registry, cache, tmp_path):
    file = tmp_path / "growing.txt"
    file.write_text("1")

    @operator("test.grow", reads=["path"])
    def grow(*, path: str) -> str:
        with open(path, "a") as out:
            out.write("2")
        return "12"

    with pytest.raises(InvalidDataError, match=r"growing\.txt changed while it was read\. Run again"):
        ops.grow(path=str(file)).eval(cache=cache)


def test_progress_is_told_in_steps(registry):
    @operator("test.slow")
    def slow(*, progress=None) -> int:
        progress(50, 100, "halves")
        return 1

    told = []
    ops.slow().add(1).eval(cache=False, progress=lambda *what: told.append(what)) if hasattr(ops, "add") else None
    ops.slow().eval(cache=False, progress=lambda *what: told.append(what))
    assert told[0] == (0, 1, "test.slow")
    assert told[1] == (0, 1, "test.slow: halves (50 of 100)")
    assert told[2][:2] == (1, 1)
    assert told[2][2].startswith("test.slow: run in 0.")


def test_a_failed_step_says_which_one_and_how_to_mend(calls, cache, relation):
    with pytest.raises(EaseMLError) as caught:
        ops.number(value=1).fail(why="by zero").add(1).eval(cache=cache)
    assert caught.value.message == 'Step 2 of 4, test.fail(why="by zero"): ZeroDivisionError: by zero'
    assert "explain()" in caught.value.mend
    assert "test.fail version 1" in caught.value.mend
    assert caught.value.reason == "operator_failed"
    with pytest.raises(InvalidDataError, match=r'Step 2 of 2, relation\.select\(columns=\["agee"\]\): Unknown column'):
        hold(relation).select(columns=["agee"]).eval(cache=cache)


def test_what_ran_before_a_failure_is_kept(calls, cache):
    end = ops.number(value=1).add(more=1)
    with pytest.raises(EaseMLError):
        end.fail().eval(cache=cache)
    calls.clear()
    assert end.eval(cache=cache) == 2
    assert calls == []


def test_a_failure_inside_a_chain_names_the_right_node(calls, relation):
    with pytest.raises(InvalidDataError, match=r"Step 2 of 2, relation\.filter\("):
        hold(relation).labelled().filter(column="nothing", value=1).half().eval(cache=False)


def test_a_result_that_is_no_value_is_refused(registry):
    @operator("test.odd")
    def odd():
        return {1, 2}

    with pytest.raises(InvalidDataError, match=r"test\.odd\(\): A set is neither a relation nor a JSON value"):
        ops.odd().eval(cache=False)


def test_operators_cannot_change_what_others_take(registry):
    @operator("test.spoil")
    def spoil(numbers: list[int]) -> list[int]:
        numbers.append(9)
        return numbers

    start = ops.constant(value=[1])
    done = evaluate(graph_of({"a": start.spoil(), "b": start.spoil().spoil(), "c": start}), cache=False)
    assert dict(done.results) == {"a": [1, 9], "b": [1, 9, 9], "c": [1]}


def test_events_tell_what_ran(calls, cache, tmp_path):
    told = []
    ops.number(value=1).add(more=2).eval(cache=cache, sink=told.append, app="churn")
    assert [(run.job, run.state) for run in told] == [
        ("test.number", RunState.START),
        ("test.number", RunState.COMPLETE),
        ("test.add", RunState.START),
        ("test.add", RunState.COMPLETE),
    ]
    start, end = told[2:]
    assert start.run == end.run
    uuid.UUID(end.run)
    assert end.run != told[0].run
    assert end.app == "churn"
    assert end.parameters == {"more": "2"}
    assert end.inputs == told[1].outputs
    assert end.outputs[0].name.startswith("churn/test.add/")
    assert end.outputs[0].content_hash
    told.clear()
    ops.number(value=1).add(more=2).eval(cache=cache, sink=told.append)
    assert told == []


def test_events_tell_failures_and_files(registry, tmp_path):
    (tmp_path / "a.txt").write_text("a")

    @operator("test.read", reads=["path"])
    def load(*, path: str) -> str:
        raise ValueError("unreadable")

    told = []
    with pytest.raises(EaseMLError):
        ops.test.read(path=str(tmp_path / "a.txt")).eval(cache=False, sink=told.append)
    assert [run.state for run in told] == [RunState.START, RunState.FAIL]
    assert "ValueError: unreadable" in told[1].message
    assert told[1].inputs[0].name == str(tmp_path / "a.txt")
    assert len(told[1].inputs[0].content_hash) == 64


def test_an_interrupted_run_is_told_and_passes_on(registry):
    @operator("test.stop")
    def stop() -> int:
        raise KeyboardInterrupt

    told = []
    with pytest.raises(KeyboardInterrupt):
        ops.stop().eval(cache=False, sink=told.append)
    assert [run.state for run in told] == [RunState.START, RunState.FAIL]


def test_a_damaged_entry_is_made_again(calls, cache):
    end = ops.number(value=12345)
    end.eval(cache=cache)
    (file,) = (cache.folder / "objects").iterdir()
    file.write_text("54321")
    calls.clear()
    assert end.eval(cache=cache) == 12345
    assert calls == ["number 12345"]
    calls.clear()
    assert end.eval(cache=cache) == 12345
    assert calls == []


def test_an_evicted_result_in_the_middle_is_not_needed(calls, cache):
    start = ops.number(value=7)
    end = start.add(more=1)
    end.eval(cache=cache)
    for file in (cache.folder / "objects").iterdir():
        if file.read_text() == "7":
            file.unlink()
    calls.clear()
    assert end.eval(cache=cache) == 8
    assert calls == []
    assert end.add(more=2).eval(cache=cache) == 10
    assert calls == ["add (8,) 2"]
    assert start.eval(cache=cache) == 7
    assert calls == ["add (8,) 2", "number 7"]


def test_evicted_results_of_a_long_chain_are_made_again(calls, cache):
    end = ops.number(value=0)
    for _ in range(300):
        end = end.add(more=1)
    end.eval(cache=cache)
    for file in (cache.folder / "objects").iterdir():
        file.unlink()
    calls.clear()
    assert end.eval(cache=cache) == 300
    assert len(calls) == 301


def test_code_that_changed_under_its_version_restarts_the_evaluation(registry, cache):
    results = iter([1, 2, 2])

    @operator("test.changing")
    def changing() -> int:
        return next(results)

    @operator("test.double")
    def double(number: int) -> int:
        return 2 * number

    end = ops.changing().double()
    assert end.eval(cache=cache) == 2
    for file in (cache.folder / "objects").iterdir():
        file.unlink()
    assert end.eval(cache=cache) == 4


def test_without_a_cache_nothing_is_written(calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ops.number(value=1).eval(cache=False)
    assert list(tmp_path.iterdir()) == []
    ops.number(value=1).eval()
    assert (tmp_path / ".easeml" / "cache").is_dir()
    monkeypatch.setenv("EASEML_HOME", str(tmp_path / "house"))
    ops.number(value=1).eval()
    assert (tmp_path / "house" / "cache").is_dir()


def test_chains_reuse_the_part_that_was_run(calls, cache, relation):
    first = hold(relation).half()
    first.eval(cache=cache)
    calls.clear()
    both = first.half(skip=1)
    assert len(both.eval(cache=cache)) == 4
    assert calls == ["half 6 1"]
    calls.clear()
    assert len(both.half(skip=2).eval(cache=cache)) == 4
    assert calls == ["half 4 2"]


def test_none_is_a_value(registry, cache):
    @operator("test.nothing")
    def nothing() -> None:
        return None

    assert ops.nothing().eval(cache=cache) is None
    done = ops.nothing().evaluate(cache=cache)
    assert statuses(done) == [Status.CACHED]
    assert done.results["result"] is None


def test_numpy_results_become_json(registry):
    @operator("test.array")
    def array() -> list[float]:
        return {"sum": np.float64(1.5), "counts": np.arange(3)}

    assert ops.array().eval(cache=False) == {"sum": 1.5, "counts": [0, 1, 2]}


def test_a_relation_that_is_not_at_hand_is_said(relation):
    node = hold(relation).node
    lost = type(node)(node.operator, node.version, node.parameters)
    from easeml.lineage import Staged

    with pytest.raises(NotFoundError, match=r"lineage\.given.*is not at hand"):
        Staged(lost).take(first=1).eval(cache=False)


def test_an_operator_of_the_session_is_cached_by_its_source(registry, cache):
    def one() -> int:
        return 1

    one.__module__ = "__main__"
    operator("test.session")(one)
    assert ops.session().eval(cache=cache) == 1

    def one() -> int:
        return 2

    one.__module__ = "__main__"
    operator("test.session")(one)
    assert ops.session().eval(cache=cache) == 2
    assert statuses(ops.session().evaluate(cache=cache)) == [Status.CACHED]


FACTOR = 2


def test_an_operator_that_uses_other_things_of_the_session_is_not_cached(registry, cache, monkeypatch):
    def scaled() -> int:
        return 10 * FACTOR

    scaled.__module__ = "__main__"
    operator("test.scaled")(scaled)
    assert ops.scaled().eval(cache=cache) == 20
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert ops.scaled().eval(cache=cache) == 30


def test_an_operator_of_the_session_with_a_closure_is_not_cached(registry, cache):
    many = 1

    def counted() -> int:
        return many

    counted.__module__ = "__main__"
    operator("test.counted")(counted)
    assert ops.counted().eval(cache=cache) == 1
    many = 2
    assert ops.counted().eval(cache=cache) == 2


def test_an_operator_whose_source_cannot_be_seen_is_not_cached(registry, cache):
    function = eval("lambda: 7")
    function.__module__ = "__main__"
    operator("test.hidden")(function)
    for _ in range(2):
        assert statuses(ops.hidden().evaluate(cache=cache)) == [Status.RUN]
