"""Alignments, priors, curves and intervals: what holds for every table."""

import numpy as np
import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from easeml.advisor.adaptation import coral, moments, with_priors
from easeml.advisor.coverage import uncovered
from easeml.advisor.curve import error_at, fit_power_law
from easeml.advisor.estimate import difference, mean_gain, share
from easeml.advisor.learning import Learner, Sample, folds
from easeml.stream.payloads import Column, ColumnKind

SEEDS = st.integers(0, 10**6)
MODELS = (
    LogisticRegression(),
    LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    GaussianNB(),
    ExtraTreesClassifier(10, min_samples_leaf=4, random_state=0),
    DecisionTreeClassifier(min_samples_leaf=6, random_state=0),
)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.sampled_from(MODELS), st.integers(2, 4))
def test_priors_multiply_the_posteriors(seed, estimator, classes):
    rng = np.random.default_rng(seed)
    labels = np.arange(80) % classes
    frame = pd.DataFrame(rng.normal(size=(80, 3)) + 0.7 * labels[:, None], columns=list("abc"))
    columns = tuple(Column(name, ColumnKind.NUMERIC) for name in "abc")
    model = Learner(estimator, columns, tuple(map(str, range(classes)))).fit(Sample(frame, labels))
    before = model.predict_proba(frame)
    ratios = rng.uniform(0.2, 5, classes)
    after = with_priors(model, ratios).predict_proba(frame)
    expected = before * ratios
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(after, expected, atol=1e-9)
    np.testing.assert_array_equal(model.predict_proba(frame), before)


@given(SEEDS, st.integers(1, 5))
def test_alignments_give_the_moments_of_production(seed, width):
    rng = np.random.default_rng(seed)
    names = [f"c{place}" for place in range(width)]
    source = pd.DataFrame(rng.normal(size=(400, width)) @ rng.normal(size=(width, width)) + 3, columns=names)
    target = pd.DataFrame(rng.normal(size=(300, width)) * rng.uniform(0.5, 3, width) - 5, columns=names)
    aligned = moments(source, target)(source)
    np.testing.assert_allclose(aligned.mean(), target.mean(), atol=1e-9)
    np.testing.assert_allclose(aligned.std(ddof=0), target.std(ddof=0), rtol=1e-9)
    np.testing.assert_allclose(coral(source, target)(source).mean(), target.mean(), atol=1e-6)
    holed = source.mask(rng.random(source.shape) < 0.2)
    assert (coral(holed, target)(holed).isna() == holed.isna()).all().all()


def test_coral_gives_the_covariance_of_production():
    rng = np.random.default_rng(0)
    source = pd.DataFrame(rng.normal(size=(200_000, 2)) @ [[1, 0.8], [0, 0.6]], columns=["a", "b"])
    target = pd.DataFrame(rng.normal(size=(200_000, 2)) @ [[2, -0.5], [0, 0.7]], columns=["a", "b"])
    np.testing.assert_allclose(coral(source, target)(source).cov(), target.cov(), atol=0.03)


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_uncovered_rows_do_not_depend_on_order_or_place(seed):
    rng = np.random.default_rng(seed)
    train, later = rng.normal(size=(400, 2)), np.vstack([rng.normal(size=(20, 2)), rng.normal(size=(5, 2)) + 30])
    found = uncovered(train, later)
    assert found[20:].all()
    np.testing.assert_array_equal(found, uncovered(train[rng.permutation(400)] + 7, later + 7))


def test_covered_rows_are_rarely_called_uncovered():
    rng = np.random.default_rng(0)
    wrong = [uncovered(rng.normal(size=(100, 3)), rng.normal(size=(50, 3)), alpha=0.05).any() for _ in range(100)]
    assert np.mean(wrong) <= 0.12


@given(st.floats(0, 0.4), st.floats(0.1, 3), st.sampled_from([0.3, 0.5, 1.0, 1.5]))
def test_a_power_law_is_found_again(floor, scale, exponent):
    sizes = np.array([20.0, 40.0, 90.0, 200.0, 400.0])
    law = fit_power_law(sizes, floor + scale * sizes**-exponent, np.ones(5))
    np.testing.assert_allclose(error_at(law, 1000.0), floor + scale * 1000.0**-exponent, atol=5e-3)


@example(0, 11, 0, 11)
@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 50), st.integers(1, 50))
def test_intervals_hold_their_value(hits, more, other, others):
    left, right = share(hits, hits + more), share(other, other + others)
    assert 0 <= left.low <= left.value <= left.high <= 1
    apart = difference(left, right)
    assert apart.low <= apart.value <= apart.high
    back = difference(right, left)
    np.testing.assert_allclose([back.low, back.value, back.high], [-apart.high, -apart.value, -apart.low], atol=1e-12)


@given(SEEDS, st.integers(2, 40))
def test_gains_are_turned_round_with_their_rows(seed, count):
    rng = np.random.default_rng(seed)
    before, after, weights = rng.random(count), rng.random(count), rng.random(count) + 0.1
    gain, back = mean_gain(before, after, weights), mean_gain(after, before, weights)
    np.testing.assert_allclose([gain.value, gain.low, gain.high], [-back.value, -back.high, -back.low], atol=1e-12)
    order = rng.permutation(count)
    np.testing.assert_allclose(mean_gain(before[order], after[order], weights[order]).high, gain.high)
    np.testing.assert_allclose(mean_gain(before, after, 3 * weights).low, gain.low)


@given(SEEDS, st.integers(2, 6))
def test_folds_are_even_in_rows_and_classes(seed, count):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 50)
    fold = folds(labels, count, rng)
    assert np.ptp(np.bincount(fold, minlength=count)) <= 1
    for label in range(3):
        assert np.ptp(np.bincount(fold[labels == label], minlength=count)) <= 1
