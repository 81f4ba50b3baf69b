"""What a feasibility study says, and the rows it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from easeml.errors import InvalidDataError, NotFoundError
from easeml.snoopy import FeasibilityStudy, Inputs, estimate
from easeml.snoopy.report import signal_of
from easeml.snoopy.wording import headline, meaning
from easeml.stream.payloads import ArmState, FeasibilitySignal


def blobs(count: int = 300, apart: float = 2.0, width: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    return rng.normal(size=(count, width)) + apart * labels[:, None], labels


def judged(target: float, **options):
    return estimate(*blobs(), target, rng=np.random.default_rng(0), **options)


@pytest.mark.parametrize(
    ("target", "signal"),
    [(0.7, FeasibilitySignal.REALISTIC), (0.96, FeasibilitySignal.UNDECIDED), (0.999, FeasibilitySignal.UNREALISTIC)],
)
def test_the_signal_follows_the_target(target, signal):
    report = judged(target)
    assert report.signal is signal
    assert report.final
    low, high = report.bayes_error.interval
    assert low <= report.bayes_error.lower <= high
    assert report.bayes_error.lower <= report.bayes_error.upper


def test_a_model_that_reaches_the_target_settles_it():
    report = judged(0.999, model_error=0.0005)
    assert report.signal is FeasibilitySignal.REALISTIC
    assert report.bayes_error.upper == 0.0005
    assert "a model gets" in headline(report)


def test_out_of_reach_is_said_only_when_all_arms_are_done():
    assert signal_of((0.2, 0.3), 0.9, None, final=False) is FeasibilitySignal.UNDECIDED
    assert signal_of((0.2, 0.3), 0.9, None, final=True) is FeasibilitySignal.UNREALISTIC
    assert signal_of((0.02, 0.03), 0.9, None, final=False) is FeasibilitySignal.REALISTIC


def test_noise_tells_what_clean_labels_allow():
    features, labels = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(len(labels)) < 0.3, rng.integers(0, 2, len(labels)), labels)
    report = estimate(features, noisy, 0.94, rng=rng, noise_rate=0.3)
    assert report.signal is FeasibilitySignal.UNREALISTIC
    assert report.clean_bayes_error == pytest.approx(0.02, abs=0.04)
    assert 200 < report.labels_to_clean < len(labels)
    assert any("right label" in sentence for sentence in meaning(report))


def test_many_rows_race_and_few_do_not():
    features, labels = load_digits(return_X_y=True)
    raced = estimate(features, labels, 0.95, rng=np.random.default_rng(0))
    assert sum(arm.share for arm in raced.arms) <= 0.35 * len(raced.arms)
    assert {arm.state for arm in raced.arms} == {ArmState.DONE, ArmState.DROPPED}
    whole = estimate(features, labels, 0.95, rng=np.random.default_rng(0), halving=False)
    assert {arm.state for arm in whole.arms} == {ArmState.DONE}
    assert raced.bayes_error.lower <= whole.bayes_error.lower + 0.01


def test_reading_on_part_by_part_ends_as_at_once():
    features, labels = load_digits(return_X_y=True)
    ids = [str(row) for row in range(len(labels))]
    alone = FeasibilityStudy(10, rng=np.random.default_rng(0))
    alone.add(features, labels, ids)
    shared = FeasibilityStudy(10, rng=np.random.default_rng(0))
    shared.hold(features, labels, ids)
    shared.restart()
    before = shared.report(0.9)
    assert "no row has been read" in before.text()
    assert "<svg" not in before.html()
    seen = []
    while shared.read_on():
        seen.append(shared.report(0.9))
    seen.append(shared.report(0.9))
    assert not seen[0].final
    assert seen[-1].final
    assert {arm.state for arm in seen[0].arms} >= {ArmState.WAITING, ArmState.RUNNING}
    assert seen[-1].facts() == alone.report(0.9).facts()


def test_cleaning_a_label_moves_the_whole_curve():
    features, labels = blobs(apart=4.0)
    wrong = labels.copy()
    wrong[:60] = 1 - wrong[:60]
    study = FeasibilityStudy(2, rng=np.random.default_rng(0))
    study.add(features, wrong, [str(row) for row in range(300)])
    before = study.report(0.9)
    study.relabel([str(row) for row in range(60)], labels[:60])
    after = study.report(0.9)
    assert after.bayes_error.lower < before.bayes_error.lower - 0.1
    assert after.best.error[-5] < before.best.error[-5] - 0.05


@pytest.mark.parametrize(
    ("features", "labels", "says"),
    [
        (np.ones((20, 2)), np.arange(20) % 2, "duplicates of one"),
        (np.arange(40.0).reshape(20, 2), np.zeros(20, int), "same label"),
        (np.arange(12.0).reshape(6, 2), np.arange(6) % 2, "needs 10"),
        (np.full((20, 2), np.nan), np.arange(20) % 2, "no finite number"),
        (np.array([[0.0, 1.0]] * 19 + [[np.inf, 0.0]]), np.arange(20) % 2, "row 19, column 0"),
        (np.empty((20, 0)), np.arange(20) % 2, "no feature columns"),
        (np.arange(20.0), np.arange(20) % 2, "dimensions"),
        (np.arange(20.0)[:, None], np.arange(20) / 2, "not one integer code"),
        (np.arange(20.0)[:, None], np.arange(20) - 1, "not in 0"),
        (np.arange(20.0)[:, None], np.arange(19) % 2, "19 labels"),
        (np.array([["a"]] * 20), np.arange(20) % 2, "no matrix of numbers"),
    ],
)
def test_rows_that_tell_nothing_are_refused(features, labels, says):
    with pytest.raises(InvalidDataError, match=says):
        estimate(features, labels, 0.9, rng=np.random.default_rng(0))


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_target_outside_0_and_1_is_refused(target):
    with pytest.raises(InvalidDataError, match="target accuracy"):
        judged(target)


def test_refused_changes_leave_the_study_as_it_was():
    study = FeasibilityStudy(2, rng=np.random.default_rng(0))
    features, labels = blobs(20)
    ids = [f"r{row}" for row in range(20)]
    study.add(features, labels, ids)
    before = study.report(0.9).facts()
    for call, error in (
        (lambda: study.add(features[:2], labels[:2], ["x", "x"]), "twice"),
        (lambda: study.add(features[:1], labels[:1], ["r3"]), "twice"),
        (lambda: study.add(features[:1], [2], ["x"]), "not in 0..1"),
        (lambda: study.add(features[:1, :2], labels[:1], ["x"]), "2 numbers"),
        (lambda: study.relabel(["r0"], [7]), "not in 0..1"),
        (lambda: study.relabel(["r0", "r1"], [1]), "2 rows and 1 labels"),
        (lambda: study.edit(["r0"], features[:1, :2]), "2 numbers"),
    ):
        with pytest.raises(InvalidDataError, match=error):
            call()
    for call in (
        lambda: study.relabel(["r0", "nobody"], [1, 1]),
        lambda: study.remove(["r0", "nobody"]),
        lambda: study.edit(["nobody"], features[:1]),
    ):
        with pytest.raises(NotFoundError, match="nobody"):
            call()
    assert study.report(0.9).facts() == before


def test_one_class_and_unknown_arms_are_refused():
    with pytest.raises(InvalidDataError, match="one class"):
        FeasibilityStudy(1, rng=np.random.default_rng(0))
    with pytest.raises(InvalidDataError, match=r"'cubes'.*Transformations are min-max"):
        judged(0.9, transformations=("cubes",))


def test_texts_and_images_have_arms_of_their_own():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    words = np.array([["good", "fine", "great"], ["bad", "poor", "awful"]])
    texts = np.array([" ".join(rng.choice(words[label], 4)) + f" word{rng.integers(9)}" for label in labels], object)
    pixels = rng.normal(size=(80, 64)) + labels[:, None]
    report = estimate(Inputs(rng.normal(size=(80, 2)), texts, pixels), labels, 0.9, rng=rng)
    names = {arm.transformation for arm in report.arms}
    assert {"TF-IDF cosine", "TF-IDF + SVD", "char n-grams", "pixels", "pixels PCA 8", "all parts"} <= names
    assert report.signal is FeasibilitySignal.REALISTIC


def test_a_report_is_told_in_words_a_plot_and_a_page_for_programs_too():
    report = judged(0.999)
    text = report.text(width=80)
    assert text.startswith("✗ UNREALISTIC  The target of 99.9 % looks out of reach")
    assert "─" * 40 in text
    assert "●" in text
    assert "not a guaranteed bound" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    page = report.html()
    assert page == report._repr_html_()
    assert re.search(r"<svg .*stroke-dasharray.*</svg>", page, re.DOTALL)
    assert "http" not in page
    assert json.loads(json.dumps(report.facts()))["signal"] == "unrealistic"


def test_words_tell_what_to_do_next():
    report = judged(0.999)
    never = replace(report, samples_needed=None)
    far = replace(report, samples_needed=123_456)
    near = replace(report, samples_needed=1234)
    assert "the curve ends at" in meaning(never)[0]
    assert "about 120,000" in meaning(far)[0]
    assert "at about 1,200 rows" in meaning(near)[0]
    assert "train" in meaning(judged(0.7))[0]
    assert "still being read" in headline(replace(report, signal=FeasibilitySignal.UNDECIDED, final=False))
    assert "too close to call" in headline(replace(report, signal=FeasibilitySignal.UNDECIDED))
