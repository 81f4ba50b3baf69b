"""``easeml run``: a graph built in Python, saved, and run by another process."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

import easeml.datamagic.operators
from easeml.cli.root import app as command
from easeml.errors import ConfigurationError, InvalidDataError, NotFoundError
from easeml.lineage import Parameter, evaluate, graph_of, hold, load, ops, save
from easeml.relation import Relation

PROCESS = "import sys; from easeml.cli import main; sys.exit(main())"


def relation_of(rows: int = 60) -> Relation:
    frame = pd.DataFrame(
        {
            "age": [20.0 + place if place % 4 else None for place in range(rows)],
            "plan": [("pro", "basic")[place % 2] for place in range(rows)],
            "churned": [("no", "yes", None)[place % 3] for place in range(rows)],
        }
    )
    table = pd.DataFrame(
        [("r0", "age", 1.0, 0.5), ("r0", "age", 2.0, 0.5)], columns=["row_id", "column", "value", "probability"]
    ).astype({"value": object})
    relation = Relation.from_frame(frame, label="churned", row_ids=[f"r{place}" for place in range(rows)])
    return relation.merge_candidates(table, source="knn/1")


@pytest.fixture
def workflow(tmp_path):
    """Two outputs, a parameter, and data from memory."""
    rows = hold(relation_of()).filter(column="plan", value=Parameter("plan", "pro", "which plan"))
    save(graph_of({"rows": rows.take(first=Parameter("first", 20)), "entropy": rows.entropy()}), tmp_path / "flow.json")
    return tmp_path / "flow.json"


@pytest.fixture
def easeml(tmp_path):
    def run(*arguments, as_json=False):
        options = ["--home", str(tmp_path / "home"), *(["--json"] if as_json else [])]
        shown = CliRunner().invoke(command, [*options, "run", *map(str, arguments)])
        if shown.exception is not None and not isinstance(shown.exception, SystemExit):
            raise shown.exception
        assert shown.exit_code == 0, shown.output
        return [json.loads(line) for line in shown.stdout.splitlines()] if as_json else shown.output

    return run


def in_another_process(home, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, "--home", str(home), "--json", "run", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_another_process_gets_the_same_content_hash_and_then_everything_from_the_cache(workflow, tmp_path):
    expected = evaluate(load(workflow), cache=False).content_hashes
    for statuses in ({"given", "run"}, {"given", "cached"}):
        code, lines, told = in_another_process(tmp_path / "home", workflow)
        assert code == 0, told
        steps = [line for line in lines if "step" in line]
        assert {step["status"] for step in steps} == statuses
        assert {line["output"]: line["content_hash"] for line in lines if "output" in line} == dict(expected)


def test_an_error_of_another_process_is_one_json_object(workflow, tmp_path):
    code, lines, told = in_another_process(tmp_path / "home", workflow, "--set", "plan=7", "--set", "frist=1")
    assert (code, lines) == (1, [])
    assert json.loads(told)["error"]["reason"] == "unknown_parameter"
    assert "no parameter 'frist'" in json.loads(told)["error"]["message"]


def test_people_see_progress_the_hash_and_what_to_do_next(easeml, workflow):
    shown = easeml(workflow)
    assert "2/4 relation.filter: run in 0." in shown
    assert "content hash" in shown
    assert "Next:" in shown
    assert "datamagic.propose_repairs()" in shown
    again = easeml(workflow)
    assert "relation.filter: cached, 30 rows" in again
    assert ": run in" not in again


def test_parameters_are_set(easeml, workflow):
    rows = {line["output"]: line.get("rows") for line in easeml(workflow, "--set", "first=3", as_json=True)[-2:]}
    assert rows["rows"] == 3
    other = easeml(workflow, "--set", "plan=basic", "--want", "rows", as_json=True)
    assert [line["output"] for line in other if "output" in line] == ["rows"]
    assert other[-1]["rows"] == 20
    assert other[-1]["suggestions"][0]["reason"]
    with pytest.raises(InvalidDataError, match=r"parameter first.* not 'many'"):
        easeml(workflow, "--set", "first=many")


def test_results_are_written(easeml, workflow, tmp_path):
    expected = evaluate(load(workflow), cache=False)
    easeml(workflow, "--want", "rows", "--output", tmp_path / "rows.parquet")
    assert Relation.from_parquet(tmp_path / "rows.parquet").content_hash() == expected.content_hashes["rows"]
    shown = easeml(workflow, "--want", "rows", "--output", tmp_path / "rows.csv")
    assert "uncertain cells and labels stand as observed" in " ".join(shown.split())
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 20
    easeml(workflow, "--want", "entropy", "--output", tmp_path / "entropy.json")
    assert json.loads((tmp_path / "entropy.json").read_text()) == expected.results["entropy"]
    with pytest.raises(InvalidDataError, match="is a relation"):
        easeml(workflow, "--want", "rows", "--output", tmp_path / "rows.json")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "first"], "is not NAME=VALUE"),
        (["--output", "rows.parquet"], "say which with --want"),
        (["--want", "rows", "--output", "rows.xlsx"], "is no .parquet, .csv or .json"),
        (["--want", "rows", "--output", "no/folder/rows.csv"], "there is no folder"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(workflow, tmp_path, options, words):
    shown = CliRunner().invoke(command, ["--home", str(tmp_path / "home"), "run", str(workflow), *options])
    assert shown.exit_code == 2
    assert words in " ".join(shown.output.replace("│", " ").split())
    assert not (tmp_path / "home").exists()


def test_what_does_not_exist_is_named(easeml, workflow, tmp_path):
    with pytest.raises(NotFoundError, match="There is no workflow"):
        easeml(tmp_path / "none.json")
    with pytest.raises(NotFoundError, match=r"No output 'columns'\. Outputs are rows, entropy"):
        easeml(workflow, "--want", "columns")
    with pytest.raises(ConfigurationError, match=r"operators of no_such_module cannot be imported"):
        easeml(workflow, "--operators", "no_such_module")


def test_explain_and_draw_run_nothing(easeml, workflow, tmp_path):
    shown = easeml(workflow, "--explain", "--draw", tmp_path / "flow.svg")
    assert "4 steps: 1 ready, 3 to run" in shown
    assert 'Parameter plan: "pro" unless set. which plan' in shown
    assert (tmp_path / "flow.svg").read_text().startswith("<svg ")
    assert not (tmp_path / "home").exists()


def test_own_operators_are_imported_by_name(easeml, tmp_path, monkeypatch):
    (tmp_path / "own_operators.py").write_text(
        "from easeml.lineage import operator\n\n@operator('own.three')\ndef three() -> int:\n    return 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    document = {
        "format": "easeml.workflow",
        "version": 1,
        "nodes": [{"id": "a", "operator": "own.three", "version": 1}],
        "outputs": {"result": "a"},
    }
    (tmp_path / "own.json").write_text(json.dumps(document))
    with pytest.raises(NotFoundError, match=r"Node 'a': No operator 'own\.three'"):
        easeml(tmp_path / "own.json")
    assert "result 3" in easeml(tmp_path / "own.json", "--operators", "own_operators")


def test_without_the_cache_nothing_is_kept(easeml, tmp_path):
    ops.constant(value=[1, 2]).save(tmp_path / "flow.json")
    assert "result [1, 2]" in easeml(tmp_path / "flow.json", "--no-cache")
    assert not (tmp_path / "home").exists()


def test_a_file_becomes_a_relation_with_candidates(easeml, tmp_path):
    lines = ["age,plan,churned"] + [
        f"{place % 40 or ''},{'ab'[place % 2]},{'ny'[place % 3 == 0]}" for place in range(80)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    path = Parameter("path", str(tmp_path / "rows.csv"), "file to read")
    ops.datamagic.read(path=path, label="churned").propose_repairs(max_candidates=4).save(tmp_path / "flow.json")
    first = easeml(tmp_path / "flow.json", as_json=True)
    assert [line["status"] for line in first if "step" in line] == ["run", "run"]
    assert "datamagic.propose_repairs" not in {one["operator"] for one in first[-1]["suggestions"]}
    again = easeml(tmp_path / "flow.json", as_json=True)
    assert [line["status"] for line in again if "step" in line] == ["cached", "cached"]
    assert again[-1]["content_hash"] == first[-1]["content_hash"]
    (tmp_path / "rows.csv").write_text("\n".join(lines[:-1]))
    changed = easeml(tmp_path / "flow.json", as_json=True)
    assert [line["status"] for line in changed if "step" in line] == ["run", "run"]
