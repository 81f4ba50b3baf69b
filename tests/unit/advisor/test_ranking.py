"""The rules of the ranking, on evidence made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from easeml.advisor import Costs, Estimate, Evidence, Feasibility, Verdicts, advise
from easeml.advisor.curve import Curve
from easeml.advisor.damage import LabelNoise, MissingCells
from easeml.advisor.evidence import Cleaning, Values
from easeml.stream.payloads import AdviceAction, AdvicePhase, FeasibilitySignal

REACHED = Evidence(target=0.9, accuracy=Estimate(0.92, 0.9, 0.94), rows=400)
MISSED = replace(REACHED, accuracy=Estimate(0.8, 0.77, 0.83))
NOISE = LabelNoise(Estimate(0.2, 0.15, 0.25), 1e-6, np.arange(100), Estimate(0.05, 0.02, 0.09))
GAPS = MissingCells(0.1, ("age",), np.arange(200), 200, Estimate(0.02, 0.01, 0.04))


def curve(floor, scale, exponent, rows=400):
    sizes, law = np.array([rows / 4, rows / 2, float(rows)]), np.array([floor, scale, exponent])
    errors = floor + scale * sizes**-exponent
    return Curve(sizes, errors, law, np.tile(law, (20, 1)), np.array([0.0, float(errors[-1]), 0.0]))


def actions(evidence, phase=AdvicePhase.DATA, costs=None):
    return [step.action for step in advise(evidence, phase, costs)]


def test_a_reached_target_without_faults_needs_nothing():
    assert actions(REACHED) == [AdviceAction.NOTHING]
    assert actions(replace(REACHED, curve=curve(0.0, 1.0, 0.4))) == [AdviceAction.NOTHING]


def test_a_target_within_the_interval_is_not_missed():
    assert actions(replace(REACHED, accuracy=Estimate(0.89, 0.86, 0.92))) == [AdviceAction.NOTHING]


def test_faults_come_by_gain_per_minute_and_before_more_rows():
    both = replace(MISSED, noise=NOISE, missing=GAPS, curve=curve(0.0, 1.0, 0.27))
    assert actions(both) == [AdviceAction.RELABEL, AdviceAction.CLEAN, AdviceAction.COLLECT]
    assert actions(both, costs=Costs(label=60.0)) == [AdviceAction.CLEAN, AdviceAction.RELABEL, AdviceAction.COLLECT]


@pytest.mark.parametrize("gain", [Estimate(0.005, 0.004, 0.006), Estimate(-0.02, -0.05, 0.01)])
def test_a_fault_that_costs_nothing_is_left_alone(gain):
    assert actions(replace(REACHED, missing=replace(GAPS, gain=gain))) == [AdviceAction.NOTHING]


def test_rows_there_are_are_labelled_before_others_are_collected():
    steep = replace(MISSED, curve=curve(0.0, 1.0, 0.27))
    assert actions(steep) == [AdviceAction.COLLECT]
    step = advise(replace(steep, pool=5000), AdvicePhase.DATA)[0]
    assert step.action is AdviceAction.LABEL
    assert 20 <= step.count == step.cost_labels <= 1200
    assert step.gain.low <= step.gain.value <= step.gain.high


def test_a_flat_curve_relaxes_the_target_to_what_is_within_reach():
    step = advise(replace(MISSED, curve=curve(0.2, 1e-6, 1.5)), AdvicePhase.DATA)[0]
    assert step.action is AdviceAction.RELAX_TARGET
    assert step.target == pytest.approx(0.8)
    assert dict(step.evidence)["curve_floor"] == pytest.approx(0.2)


def test_few_rows_never_put_a_target_out_of_reach_unless_the_study_does():
    few = replace(MISSED, rows=40, curve=curve(0.2, 1e-6, 1.5, rows=40))
    assert actions(few) == [AdviceAction.COLLECT]
    never = Feasibility(FeasibilitySignal.UNREALISTIC, Estimate(0.2, 0.18, 0.22), 0.25)
    assert actions(replace(few, feasibility=never))[0] is AdviceAction.RELAX_TARGET


def test_neighbours_that_beat_the_model_ask_for_training():
    study = Feasibility(FeasibilitySignal.REALISTIC, Estimate(0.02, 0.01, 0.03), 0.04)
    step = advise(replace(MISSED, feasibility=study), AdvicePhase.DATA)[0]
    assert step.action is AdviceAction.TRAIN
    assert step.gain.value == pytest.approx(0.16)


def test_a_running_study_is_waited_for():
    study = Feasibility(FeasibilitySignal.UNDECIDED, Estimate(0.1, 0.05, 0.15), 0.3, final=False)
    assert actions(replace(MISSED, feasibility=study)) == [AdviceAction.WAIT]


def test_a_used_up_test_set_comes_first():
    spent = Verdicts(passed=3, failed=5, exhausted=True, examples_needed=900)
    steps = advise(replace(MISSED, noise=NOISE, verdicts=spent), AdvicePhase.DATA)
    assert [step.action for step in steps[:2]] == [AdviceAction.NEW_TEST_SET, AdviceAction.RELABEL]
    assert steps[0].count == 900


def test_reasons_are_words_and_figures():
    for step in advise(replace(MISSED, noise=NOISE, missing=GAPS, curve=curve(0.2, 1e-6, 1.5)), AdvicePhase.DATA):
        assert step.reason.endswith(".")
        assert step.evidence
        assert all(np.isfinite(value) for _, value in step.evidence)


def test_cleaning_is_advised_with_what_certain_predictions_say():
    known = Cleaning(certain=0.75, expected=0.81, reachable=0.88)
    step = advise(replace(MISSED, missing=GAPS, cleaning=known), AdvicePhase.DATA)[0]
    assert step.action is AdviceAction.CLEAN
    assert "75%" in step.reason
    assert "81.0% right to about 88.0%" in step.reason
    assert dict(step.evidence)["reachable_neighbour_accuracy"] == 0.88


def test_pool_rows_are_named_by_their_value():
    worth = Values(7, -0.02, ("p3", "p1"), np.array([100.0, 400.0, 5000.0]), np.array([0.7, 0.8, 0.9]))
    evidence = replace(MISSED, pool=5000, curve=curve(0.0, 1.0, 0.27), noise=NOISE, values=worth)
    relabel, label = advise(evidence, AdvicePhase.DATA)
    assert dict(relabel.evidence)["harmful_rows"] == 7
    assert (label.action, label.pillar, label.rows.tolist()) == (AdviceAction.LABEL, "pool", [0, 1])
    assert dict(label.evidence)["neighbour_gain"] == pytest.approx(0.1 * label.count / 4600)
    unknown = replace(worth, curve_rows=np.empty(0), curve_accuracy=np.empty(0))
    assert "neighbour_gain" not in dict(advise(replace(evidence, values=unknown), AdvicePhase.DATA)[1].evidence)
