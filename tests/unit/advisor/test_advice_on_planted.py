"""The first step is the planted cause: one draw each, the twenty of each are in the benchmark."""

from dataclasses import replace

import numpy as np
import pytest

from easeml.advisor import Sample, advise, diagnose
from easeml.advisor.conditions import all_hold
from easeml.advisor.learning import right
from easeml.errors import InvalidDataError
from easeml.stream.payloads import AdviceAction, AdvicePhase

from .worlds import digits, flipped


def first(learner, train, validation, target, *, seed=0, phase=AdvicePhase.DATA, **more):
    evidence = diagnose(learner, train, validation, target=target, rng=np.random.default_rng(seed), **more)
    return advise(evidence, phase)[0], evidence


def test_clean_rows_need_nothing():
    learner, train, validation = digits(0, 400, 400)
    step, _ = first(learner, train, validation, 0.9)
    assert step.action is AdviceAction.NOTHING


def test_wrong_labels_are_to_be_checked_and_that_gains_what_was_said():
    learner, clean, validation, test = digits(1, 400, 400, 900)
    noisy = flipped(clean, 0.35, 10, np.random.default_rng(1))
    step, evidence = first(learner, noisy, validation, 0.93)
    assert step.action is AdviceAction.RELABEL
    assert not step.condition
    assert evidence.noise.rate.low <= np.mean(noisy.labels != clean.labels) <= evidence.noise.rate.high
    mended = noisy.relabelled(step.rows, clean.labels[step.rows])
    gain = right(learner.fit(mended), test).mean() - right(learner.fit(noisy), test).mean()
    assert step.gain.low <= gain <= step.gain.high


def test_missing_cells_are_to_be_filled_in():
    learner, train, validation = digits(2, 400, 400)
    rng = np.random.default_rng(2)
    holed = replace(train, frame=train.frame.mask(rng.random(train.frame.shape) < 0.7))
    step, evidence = first(learner, holed, validation, 0.93)
    assert step.action is AdviceAction.CLEAN
    assert step.cost_labels == int(holed.frame.isna().to_numpy().sum())
    assert set(step.columns) == set(holed.frame.columns)
    assert evidence.noise is None


def test_too_few_rows_are_to_be_collected_or_labelled():
    learner, train, validation = digits(3, 50, 400)
    assert first(learner, train, validation, 0.9)[0].action is AdviceAction.COLLECT
    assert first(learner, train, validation, 0.9, pool=1000)[0].action is AdviceAction.LABEL


def test_a_target_beyond_chance_is_to_be_relaxed():
    learner, *samples = digits(4, 400, 400)
    rng = np.random.default_rng(4)
    train, validation = (flipped(sample, 0.3, 10, rng) for sample in samples)
    step, evidence = first(learner, train, validation, 0.93)
    assert step.action is AdviceAction.RELAX_TARGET
    assert step.gain.value == 0
    assert "93" in step.reason
    assert evidence.noise is None


def test_a_slice_whose_labels_mean_something_else_is_named():
    learner, train, validation = digits(5, 400, 400)
    column = learner.columns[3].name
    cut = float(train.frame[column].quantile(0.75))
    rows = np.flatnonzero(train.frame[column] > cut)
    stale = train.relabelled(rows, (train.labels[rows] + 1) % 10)
    step, evidence = first(learner, stale, validation, 0.9)
    assert step.action is AdviceAction.RELABEL
    named = next(one.found for one in evidence.slices if one.found.text == step.condition)
    found = all_hold(named.conditions, validation.frame)
    planted = (validation.frame[column] > cut).to_numpy()
    assert 2 * (found & planted).sum() / (found.sum() + planted.sum()) > 0.5


def test_a_recalibrated_sensor_asks_for_an_adapted_model_in_production_only():
    learner, train, validation, production = digits(6, 400, 300, 500)
    moved = production.frame.copy()
    for column in list(moved)[::2]:
        moved[column] = 2 * moved[column] + 15
    later = Sample(moved, np.where(np.arange(500) < 150, production.labels, -1))
    step, evidence = first(learner, train, validation, 0.9, phase=AdvicePhase.PRODUCTION, production=later)
    assert step.action is AdviceAction.ADAPT
    assert set(list(moved)[::2]) <= set(step.columns)
    assert evidence.production.answered == 150
    assert advise(replace(evidence, slices=()), AdvicePhase.DATA)[0].action is not AdviceAction.ADAPT


@pytest.mark.parametrize("target", [0.0, 1.0, -1.0, float("nan")])
def test_a_target_that_is_no_share_is_refused(target):
    learner, train, validation = digits(0, 50, 50)
    with pytest.raises(InvalidDataError, match="between 0 and 1"):
        first(learner, train, validation, target)


def test_too_few_rows_and_one_class_are_refused():
    learner, train, validation = digits(0, 50, 50)
    with pytest.raises(InvalidDataError, match="at least 20"):
        first(learner, train.at(np.arange(9)), validation, 0.9)
    with pytest.raises(InvalidDataError, match="two classes"):
        first(learner, replace(train, labels=np.zeros(50, np.int64)), validation, 0.9)
    with pytest.raises(InvalidDataError, match="labels"):
        Sample(train.frame, train.labels[:3])


def test_the_same_seed_gives_the_same_advice():
    learner, train, validation = digits(7, 60, 100)
    one, other = (first(learner, train, validation, 0.95)[0] for _ in range(2))
    assert (one.title, one.gain, one.evidence) == (other.title, other.gain, other.evidence)
