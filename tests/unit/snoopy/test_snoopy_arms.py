"""The race of arms, the power law and the encoding of relations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from easeml.errors import InvalidDataError
from easeml.relation import Relation
from easeml.snoopy import Encoding
from easeml.snoopy.curves import fit_power_law
from easeml.snoopy.race import LEAST_BATCH, Race


def run(race: Race, curves: dict[str, tuple[float, float]]) -> dict[str, list[int]]:
    """Let arms read whose error is floor + scale / sqrt(points); return where each stopped."""
    stops: dict[str, list[int]] = {name: [] for name in curves}
    while wanted := race.wanted():
        for name, stop in wanted.items():
            floor, scale = curves[name]
            stops[name].append(stop)
            race.tell(name, stop, floor + scale / np.sqrt(stop))
    return stops


def test_the_best_arm_reads_all_and_hopeless_ones_little():
    curves = {f"arm{place}": (0.05 * place, 1.0) for place in range(8)}
    race = Race(list(curves), 8000)
    stops = run(race, curves)
    assert race.alive == ("arm0",)
    assert stops["arm0"][-1] == 8000
    assert len(race.dropped) == 7
    assert sum(reads[-1] for reads in stops.values()) <= 0.35 * 8 * 8000


def test_no_tangent_is_trusted_below_its_batch():
    curves = {"good": (0.0, 1.0), "bad": (0.8, 0.0), "worse": (0.9, 0.0), "worst": (0.95, 0.0)}
    for reads in run(Race(list(curves), 1000), curves).values():
        steps = np.diff([0, *reads])
        assert (steps >= LEAST_BATCH).all()


def test_few_points_are_read_by_all():
    curves = {"a": (0.1, 1.0), "b": (0.5, 1.0), "c": (0.9, 1.0)}
    assert set(map(tuple, run(Race(list(curves), 999), curves).values())) == {(999,)}


@pytest.mark.parametrize("power", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("floor", [0.0, 0.08])
def test_a_power_law_is_found_again(power, floor):
    rows = np.arange(50, 1001, 50)
    law = fit_power_law(rows, floor + 0.9 * rows**-power)
    assert law.floor == pytest.approx(floor, abs=1e-3)
    assert float(law(4000)) == pytest.approx(floor + 0.9 * 4000**-power, rel=0.01)
    needed = law.rows_for(floor + 0.9 * 2000**-power)
    assert needed == pytest.approx(2000, rel=0.02)
    assert law.rows_for(floor / 2) is None


def test_a_curve_of_few_points_goes_nowhere():
    assert fit_power_law([10, 20], [0.3, 0.2]).rows_for(0.1) is None
    assert fit_power_law([10, 20], [0.3, 0.2]).rows_for(0.25) == 1


def relation(count: int = 40) -> Relation:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(size=count),
            "plan": np.array(["a", "b"])[rng.integers(0, 2, count)],
            "note": [f"note {row} of many" for row in range(count)],
            "image": [rng.normal(size=(2, 2)) for _ in range(count)],
            "churned": np.array(["no", "yes"])[rng.integers(0, 2, count)],
        }
    )
    frame.loc[3, "age"] = np.nan
    frame.loc[[5, 6], "churned"] = None
    return Relation.from_frame(frame, label="churned", row_ids=[f"r{row}" for row in range(count)])


def test_a_relation_becomes_inputs():
    rows = relation()
    encoding = Encoding.of(rows)
    inputs, labels, row_ids = encoding.rows(rows)
    assert inputs.widths == (4, True, 4)  # age, two plans, whether age was missing
    assert inputs.numbers[3, 3] == 1
    assert inputs.numbers[3, 0] == pytest.approx(np.nanmedian(rows.matrix(["age"])))
    assert len(labels) == len(row_ids) == 38
    assert {"r5", "r6"}.isdisjoint(row_ids)


def test_uncertain_cells_stand_at_their_mean_and_uncertain_labels_at_the_likeliest():
    told = pd.DataFrame(
        [
            ("r3", "age", 1.0, 0.5),
            ("r3", "age", 3.0, 0.5),
            ("r5", "churned", "yes", 0.8),
            ("r5", "churned", "no", 0.2),
        ],
        columns=["row_id", "column", "value", "probability"],
    )
    rows = relation().merge_candidates(told, source="somebody")
    inputs, labels, row_ids = Encoding.of(rows).rows(rows)
    assert inputs.numbers[3, 0] == pytest.approx(2.0)
    assert labels[row_ids.index("r5")] == rows.classes.index("yes")
    assert "r6" not in row_ids


def test_relations_without_labels_or_columns_are_refused():
    with pytest.raises(InvalidDataError, match="No row has a label"):
        Encoding.of(relation()).rows(relation().without_labels())
    bare = Relation.from_frame(pd.DataFrame({"y": ["a", "b"]}), label="y", row_ids=["1", "2"])
    with pytest.raises(InvalidDataError, match="no feature columns"):
        Encoding.of(bare)
    unnamed = Relation.from_frame(pd.DataFrame({"x": [1.0, 2.0]}), row_ids=["1", "2"])
    with pytest.raises(InvalidDataError, match="no label"):
        Encoding.of(unnamed).rows(unnamed)
