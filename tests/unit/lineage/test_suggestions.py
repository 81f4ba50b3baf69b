"""Next steps, with their reasons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from easeml.errors import EaseMLError, InvalidDataError
from easeml.lineage import Suggestion, hold, ops, rule, suggestions
from easeml.lineage import suggestions as module_function
from easeml.relation import Relation

module = __import__("sys").modules["easeml.lineage.suggestions"]


@pytest.fixture(autouse=True)
def own_rules(monkeypatch):
    """Rules of other packages, which another test may have imported, keep out."""
    own = {name: one for name, one in module._rules.items() if name[0] == "easeml.lineage.rules"}
    monkeypatch.setattr(module, "_rules", own)


def relation_of(labels, x=None) -> Relation:
    x = np.arange(len(labels), dtype=float) if x is None else x
    frame = pd.DataFrame({"x": x, "y": labels})
    return Relation.from_frame(frame, label="y", classes=("a", "b"), row_ids=[f"r{i}" for i in range(len(labels))])


def called(relation, node=None) -> dict[str, Suggestion]:
    return {one.operator: one for one in suggestions(relation, node)}


def test_missing_cells_call_for_repairs(relation):
    found = called(relation)["datamagic.propose_repairs"]
    assert "2 cells in 2 of 6 rows are missing and have no candidates, most of them in 'age' (2)" in found.reason
    assert found.evidence["missing_cells"] == 2
    assert found.share == pytest.approx(1 / 3)


def test_cells_with_candidates_or_alternatives_are_not_missing(relation):
    lines = [("r0", "age", 1.0, 1.0), ("r3", "age", 2.0, 1.0)]
    table = pd.DataFrame(lines, columns=["row_id", "column", "value", "probability"]).astype({"value": object})
    assert "datamagic.propose_repairs" not in called(relation.merge_candidates(table, source="x"))
    rows = pd.DataFrame({"row_id": ["r0", "r3"], "probability": [1.0, 1.0], "age": [1.0, 2.0]})
    assert "datamagic.propose_repairs" not in called(relation.merge_rows(rows, source="x"))


def test_missing_cells_of_every_kind_are_counted():
    frame = pd.DataFrame(
        {
            "paid": pd.array([True, None], dtype="boolean"),
            "since": pd.to_datetime(["2020-01-01", None], utc=True),
            "note": ["some text", None],
            "pixels": [np.zeros(2), np.full(2, np.nan)],
        }
    )
    found = called(Relation.from_frame(frame, row_ids=["r0", "r1"]))["datamagic.propose_repairs"]
    assert found.evidence["missing_cells"] == 4


def test_few_labels_call_for_one_where_the_doubt_is_largest():
    found = called(relation_of(["a", "b", None, None]))["relation.collapse"]
    assert found.parameters == {"row_id": "r2", "column": "y"}
    assert found.needs == ("value",)
    assert found.call == "relation.collapse(row_id='r2', column='y', value=?)"
    assert "Only 2 of 4 rows have a certain label; 40 (20 per class)" in found.reason
    assert "1.00 bits" in found.reason


def test_the_most_uncertain_cell_is_cleaned_next(uncertain):
    found = [one for one in suggestions(uncertain) if one.parameters.get("column") == "age"]
    assert found[0].parameters == {"row_id": "r0", "column": "age"}
    assert found[0].evidence == {"uncertain_cells": 1, "rows": 1, "bits": 1.0, "top_bits": 1.0}


def test_imbalance_calls_for_augmentation_once():
    relation = relation_of(["a"] * 40 + ["b"] * 6)
    found = called(relation)["datamagic.augment"]
    assert "Class 'b' has 6 certain labels, class 'a' 40 (6.7 times as many)" in found.reason
    assert "datamagic.augment" not in called(relation_of(["a"] * 20 + ["b"] * 10))


def test_contradictory_labels_are_told():
    relation = relation_of(["a", "b", "a", "a"], x=[1.0, 1.0, 2.0, 2.0])
    found = called(relation)["datamagic.find_label_issues"]
    assert found.evidence == {"contradictory_rows": 2, "labelled": 4}


def test_a_split_is_proposed_until_there_is_one():
    relation = relation_of(["a", "b"] * 20)
    assert called(relation)["relation.split"].evidence == {"labelled": 40, "classes": 2}
    data = hold(relation)
    assert "relation.split" in {one.operator for one in data.suggest(cache=False)}
    part = data.pillars()["train"]
    assert "relation.split" not in {one.operator for one in part.suggest(cache=False)}


def test_what_needs_nothing_gets_nothing():
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    assert suggestions(Relation.from_frame(frame)) == []
    assert suggestions(Relation.from_frame(frame.iloc[:0])) == []


def test_suggestions_are_ranked_and_can_be_called(relation):
    found = suggestions(relation)
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
    assert all(0 <= one.share <= 1 for one in found)
    label = next(one for one in found if one.operator == "relation.collapse")
    settled = hold(relation).apply(label.operator, **label.parameters, value="no").eval(cache=False)
    assert (settled.labels >= 0).sum() == (relation.labels >= 0).sum() + 1


@pytest.fixture
def rules(monkeypatch):
    monkeypatch.setattr(module, "_rules", {})
    return module._rules


def test_own_rules_take_part(rules, relation):
    @rule
    def more(view):
        return [Suggestion("relation.take", {"first": len(view.relation)}, "because", {"done": len(view.done)}, 0.5)]

    assert hold(relation).take(first=3).suggest(cache=False) == [
        Suggestion("relation.take", {"first": 3}, "because", {"done": 2}, 0.5)
    ]


def test_a_rule_that_fails_or_proposes_nonsense_is_named(rules, relation):
    @rule
    def nonsense(view):
        return Suggestion("relation.take", {"frist": 1}, "because")

    with pytest.raises(EaseMLError, match=r"nonsense failed: relation\.take has no parameter 'frist'"):
        module_function(relation)
    rules.clear()

    @rule
    def broken(view):
        raise ZeroDivisionError("by zero")

    with pytest.raises(EaseMLError, match="broken failed: by zero"):
        suggestions(relation)


def test_only_relations_get_suggestions():
    with pytest.raises(InvalidDataError, match="look at a relation, not at a list"):
        ops.constant(value=[1]).suggest(cache=False)
