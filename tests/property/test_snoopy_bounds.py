"""The algebra of the Cover-Hart bound, its interval and label noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easeml.snoopy import bounds

SHARES = st.floats(0, 1)
CLASSES = st.integers(2, 100)


@given(SHARES, SHARES, CLASSES)
def test_the_bound_rises_and_lies_between_half_the_error_and_the_error(one, other, classes):
    low, high = sorted((one, other))
    assert bounds.bayes_error(low, classes) <= bounds.bayes_error(high, classes) + 1e-15
    most = (classes - 1) / classes
    assert min(one, most) / 2 - 1e-15 <= bounds.bayes_error(one, classes) <= min(one, most) + 1e-15


@given(SHARES, CLASSES)
def test_the_error_of_neighbours_inverts_the_bound(error, classes):
    most = (classes - 1) / classes
    bound = float(bounds.bayes_error(error, classes))
    # Near chance the bound is as steep as a square root, and so are rounding errors.
    assert bounds.neighbour_error(bound, classes) == pytest.approx(min(error, most), abs=1e-9)


@given(SHARES, SHARES, st.integers(1, 10**6), CLASSES)
def test_the_interval_holds_the_estimate_rises_with_it_and_narrows_with_rows(one, other, rows, classes):
    small, large = sorted((one, other))
    low, high = bounds.interval(small, rows, classes)
    assert low - 1e-12 <= bounds.bayes_error(small, classes) <= high + 1e-12
    lower, higher = bounds.interval(large, rows, classes)
    assert low <= lower + 1e-12
    assert high <= higher + 1e-12
    assert np.diff(bounds.wilson(small, 4 * rows))[0] <= np.diff(bounds.wilson(small, rows))[0] + 1e-12


@given(SHARES, st.floats(0, 0.99), CLASSES)
def test_noise_is_added_and_taken_away_again(clean, rate, classes):
    clean *= 1 - 1 / classes
    noisy = bounds.noisy_error(clean, rate, classes)
    assert bounds.clean_error(noisy, rate, classes) == pytest.approx(clean, abs=1e-9)
    low, high = bounds.noisy_range(clean, bounds.flipped_share(rate, classes))
    assert low - 1e-12 <= noisy <= high + 1e-12


@given(st.floats(0, 0.3), st.floats(0.01, 0.9), st.floats(0.001, 0.5), st.integers(10, 10**6), CLASSES)
def test_cleaning_as_many_labels_as_told_reaches_the_target(clean, rate, allowed, rows, classes):
    noisy = bounds.noisy_error(clean, rate, classes)
    told = bounds.labels_to_clean(noisy, rate, allowed, rows, classes)
    if told is None:
        assert clean > allowed - 1e-9
        return
    left = rate * (1 - told / rows)
    assert 0 <= told <= rows
    assert bounds.noisy_error(clean, max(left, 0), classes) <= allowed + 1e-9
