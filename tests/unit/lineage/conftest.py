"""Relations and operators that tests stage."""

from __future__ import annotations

import pandas as pd
import pytest
from lineage_rows import relation_of

from easeml.lineage import Cache, operator, operators
from easeml.relation import Relation


@pytest.fixture
def relation() -> Relation:
    return relation_of()


@pytest.fixture
def uncertain(relation) -> Relation:
    table = pd.DataFrame(
        [("r0", "age", 30.0, 0.5), ("r0", "age", 40.0, 0.5), ("r3", "age", 20.0, 1.0), ("r2", "churned", "no", 1.0)],
        columns=["row_id", "column", "value", "probability"],
    ).astype({"value": object})
    return relation.merge_candidates(table, source="knn/1")


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def registry(monkeypatch):
    """Operators registered in a test end with it."""
    operators.names()
    monkeypatch.setattr(operators, "_registry", {name: dict(one) for name, one in operators._registry.items()})
    monkeypatch.setattr(operators, "_discovered", dict(operators._discovered))


@pytest.fixture
def calls(registry) -> list[str]:
    """What the operators of the test package were called with, in order."""
    made: list[str] = []

    @operator("test.number")
    def number(*, value: int = 1) -> int:
        made.append(f"number {value}")
        return value

    @operator("test.add")
    def add(*numbers: int, more: int = 0) -> int:
        made.append(f"add {numbers} {more}")
        return sum(numbers) + more

    @operator("test.half", rowwise=True)
    def half(relation: Relation, *, skip: int = 0) -> Relation:
        made.append(f"half {len(relation)} {skip}")
        return relation.take(relation.labels >= 0) if skip else relation

    @operator("test.fail")
    def fail(number: int, *, why: str = "no luck") -> int:
        raise ZeroDivisionError(why)

    return made
