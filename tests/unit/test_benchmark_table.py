"""The table of the benchmarks: figures beside their bars, and the README's copy of those that are kept."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import figures
import table
from figures import Figure, shown


def test_the_readme_shows_the_figures_that_are_kept():
    text = table.README.read_text()
    begin, end = text.index(table.BEGIN) + len(table.BEGIN) + 1, text.index(table.END)
    assert text[begin:end] == table.readme(table.kept())


def test_every_figure_with_a_bar_is_kept_and_told_what_became_of_it():
    kept = table.kept()
    assert set(kept) <= set(table.BENCHES)
    assert all(one.figures for one in kept.values())
    assert all(figure.part == name for name, one in kept.items() for figure in one.figures)


def test_every_benchmark_of_the_table_is_there():
    assert all((table.HERE / f"bench_{name}.py").is_file() for name in table.BENCHES)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.2345, "%", "23.4 %"),
        (1.0, "%", "100 %"),
        (1_234_567.0, "rows/s", "1,230,000 rows/s"),
        (0.000123456, "", "0.000123"),
        (0.0, "ms", "0 ms"),
        (99.96, "s", "100 s"),
        (float("nan"), "s", "nan s"),
    ],
)
def test_values_have_three_digits(value, unit, text):
    assert shown(value, unit) == text


def test_a_bar_is_held_or_missed_at_either_side():
    assert Figure("a", "b", 0.7, "%", least=0.7).held
    assert not Figure("a", "b", 0.69, "%", least=0.7).held
    assert not Figure("a", "b", 9.0, "s", most=8.0).held
    assert Figure("a", "b", 9.0).held
    assert Figure("a", "b", 9.0, "s", least=1, most=8).bar == "≥ 1 s and ≤ 8 s"


def test_a_benchmark_tells_its_figures_to_the_file_that_the_table_names(tmp_path, monkeypatch):
    kept = tmp_path / "told"
    monkeypatch.setattr(sys, "argv", ["somewhere/bench_broker.py"])
    figures.tell("unheard", 1.0)
    monkeypatch.setenv(figures.VARIABLE, str(kept))
    told = figures.tell("written a second", 700_000, least=660_000)
    assert [Figure(**json.loads(line)) for line in kept.read_text().splitlines()] == [told]
    assert told.part == "broker"


def test_what_is_kept_anew_stands_beside_the_rest_and_in_the_readme(tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    monkeypatch.setattr(table, "README", readme)
    monkeypatch.setattr(table, "KEPT", tmp_path / "figures.json")
    first = table.Run(
        "2026-01-01", "a", "b", [Figure("broker", "one", 1.0, "s", most=2.0), Figure("broker", "bare", 3.0)]
    )
    second = table.Run("2026-01-02", "a", "b", [Figure("house", "two", 9.0, "MiB", most=7.0, peer="theirs 8 MiB")])
    table.keep({"broker": first})
    table.keep({"house": second})
    assert {name: asdict(one) for name, one in table.kept().items()} == {
        "house": asdict(second),
        "broker": asdict(first),
    }
    lines = readme.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert "| House | two | 9 MiB (missed) | theirs 8 MiB | ≤ 7 MiB |" in lines
    assert "| Embedded broker | one | 1 s |  | ≤ 2 s |" in lines
    assert not any("bare" in line or "old" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--only", "speed"], "no benchmark 'speed'"), (["--peers", "broker=python"], "broker has no peers")],
)
def test_what_cannot_be_run_is_said(arguments, said):
    with pytest.raises(SystemExit, match=said):
        table.chosen(table.parsed(arguments))


def test_a_benchmark_gets_its_arguments_and_its_peers():
    options = table.parsed(["--only", "stream,recovery", "--peers", "stream=/some/python", "--full"])
    assert table.chosen(options) == {"stream": "--peers /some/python", "recovery": "--times 5"}
