"""Certain predictions on the reference data: the cheap half of ``tests/benchmarks/bench_cpclean.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from bench_cpclean import cleaned_greedily, differences, reference


@pytest.mark.parametrize("name", ["supreme", "nursery"])
def test_all_points_are_as_in_the_reference(reference_data, name):
    data = reference(name, reference_data / "cpclean")
    wrong, mass, nats, gain = differences(data, data.predictions())
    assert wrong == 0
    assert max(mass, nats, gain) < 1e-9


def test_greedy_cleaning_ends_at_the_accuracy_of_the_true_repairs(reference_data):
    data = reference("supreme", reference_data / "cpclean")
    made = data.predictions(30)
    rows = list(cleaned_greedily(data, made))
    assert len(rows) < 300
    right = made.label_mass.argmax(axis=1) == data.point_labels[:30]
    assert right.mean() == data.accuracy(set(data.truth), data.points[:30], data.point_labels[:30])


def test_a_few_rows_close_most_of_the_gap(reference_data):
    data = reference("supreme", reference_data / "cpclean")
    made, rows = data.predictions(120), set()
    for row in cleaned_greedily(data, made):
        rows.add(row)
        if len(rows) == len(data.truth) // 10:
            break
    low, high, now = (data.accuracy(some, data.test, data.test_labels) for some in (set(), set(data.truth), rows))
    assert (now - low) / (high - low) >= 0.8


def test_the_potential_lies_above_what_is_expected(reference_data):
    belief = reference("supreme", reference_data / "cpclean").predictions(60).potential()
    assert belief.expected < 0.8
    assert 0.8 < belief.accuracy <= 1.0
    assert 0 < belief.certain < 0.2
