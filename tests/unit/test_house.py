"""The house rules that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from easeml.stream.settings import Settings

SOURCES = Path(__file__).parents[2] / "services" / "easeml"
MODULES = sorted(p for p in SOURCES.rglob("*.py") if "_pb2" not in p.name)
MAX_MODULE, MAX_FUNCTION, MAX_SETTINGS = 500, 60, 25
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager"}


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(SOURCES)))
def test_module_and_its_functions_are_short(module: Path):
    source = module.read_text()
    assert source.count("\n") <= MAX_MODULE
    too_long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.body[0].lineno + 1 - _docstring_lines(node) > MAX_FUNCTION
    ]
    assert too_long == []


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first.end_lineno - first.lineno + 1
    return 0


def test_no_module_is_named_for_nothing():
    assert [p for p in MODULES if set(p.relative_to(SOURCES).with_suffix("").parts) & FORBIDDEN_NAMES] == []


def test_settings_stay_few():
    assert len(Settings.model_fields) <= MAX_SETTINGS


def test_every_module_says_what_it_is():
    silent = [p for p in MODULES if ast.get_docstring(ast.parse(p.read_text())) is None]
    assert silent == []
