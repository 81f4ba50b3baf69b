"""The exact test of paired examples against the enumeration of everything that can happen."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom

from easeml.ci.exact import PairedDesign


@pytest.mark.parametrize(
    ("rows", "threshold", "tolerance", "all_labelled", "level"),
    [(24, 0.0, 0.3, True, 0.2), (24, 0.15, 0.25, True, 0.2), (20, -0.2, 0.3, True, 0.1), (24, 0.1, 0.4, False, 0.2)],
)
def test_it_errs_at_most_at_its_level_whatever_d_is(rows, threshold, tolerance, all_labelled, level):
    """Sum the probability of all outcomes that refute a claim which holds just so."""
    design = PairedDesign(rows, all_labelled, -1.0, 2.0, threshold, tolerance, math.log(level))
    changed = np.arange(1, rows + 1)
    caps = design.cap(changed)
    refuted = [
        (k, x) for k, cap in zip(changed, caps, strict=True) for x in range(cap + 1)
        if design.log_p_value(int(k), x) <= math.log(level)
    ]  # fmt: skip
    assert refuted
    worst = 0.0
    for d in np.linspace(max(abs(threshold), 0.05), 1.0, 41):
        p = min(max((threshold / d + 1) / 2, 0.0), 1.0)
        wrong = sum(binom.pmf(k, rows, d) * binom.pmf(x, caps[k - 1], p) for k, x in refuted)
        worst = max(worst, wrong)
    assert 0 < worst <= level


def test_it_gains_on_a_rectangle_of_two_intervals():
    """At a real size the p-value is near that of a test that knows d."""
    design = PairedDesign(12_500, True, -1.0, 2.0, 0.02, 0.01, math.log(0.000475))
    cap = int(design.cap(np.array([1250]))[0])
    assert 1100 < cap < 1200
    for ones in range(730, 800, 10):
        known = math.log(binom.sf(ones - 1, cap, 0.6))
        assert known - 0.01 < design.log_p_value(1250, ones)


def test_more_wins_never_speak_against_a_gain():
    design = PairedDesign(200, True, -1.0, 2.0, 0.05, 0.1, math.log(0.05))
    cap = int(design.cap(np.array([60]))[0])
    found = [design.log_p_value(60, ones) for ones in range(cap + 1)]
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(found))
