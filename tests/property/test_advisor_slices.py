"""Slices and their control against enumeration and definition."""

from itertools import combinations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from easeml.advisor.conditions import all_hold, conditions_of, describe
from easeml.advisor.multiplicity import benjamini_hochberg, holm
from easeml.advisor.slices import find_slices
from easeml.stream.payloads import Column, ColumnKind

COLUMNS = (
    Column("age", ColumnKind.NUMERIC),
    Column("region", ColumnKind.CATEGORICAL),
    Column("vip", ColumnKind.BOOLEAN),
)


def rows(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 200))
    age = np.where(rng.random(n) < 0.2, np.nan, rng.normal(50, 15, n).round())
    region = np.where(rng.random(n) < 0.1, None, rng.choice(["north", "south", "east"], n))
    frame = pd.DataFrame({"age": age, "region": region, "vip": rng.random(n) < 0.3})
    bad = (frame["age"] > 55).to_numpy() & (frame["region"] == "north").to_numpy()
    return frame, rng.random(n) < np.where(bad, rng.uniform(0.2, 0.9), 0.15)


def p_value(held, wrong):
    table = [[(held & wrong).sum(), (held & ~wrong).sum()], [(~held & wrong).sum(), (~held & ~wrong).sum()]]
    return fisher_exact(table, alternative="greater").pvalue


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 2))
def test_the_surest_slice_is_that_of_enumeration(seed, depth):
    frame, wrong = rows(seed)
    found = find_slices(frame, wrong, COLUMNS, depth=depth, support=5, beam=10**6, alpha=0.999, most=1)
    atoms = conditions_of(frame, COLUMNS)
    every = [chosen for length in range(1, depth + 1) for chosen in combinations(atoms, length)]
    best = 1.0
    for chosen in every:
        held = all_hold(chosen, frame)
        if 5 <= held.sum() <= len(frame) - 5:
            best = min(best, p_value(held, wrong))
    if found:
        np.testing.assert_allclose(found[0].p_value, best, rtol=1e-9)
    else:
        assert best > 0.999 / len(every)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_slices_say_what_they_are(seed):
    frame, wrong = rows(seed)
    found = find_slices(frame, wrong, COLUMNS, support=8)
    order = np.random.default_rng(seed).permutation(len(frame))
    again = find_slices(frame.iloc[order], wrong[order], COLUMNS, support=8)
    assert [one.text for one in found] == [one.text for one in again]
    for place, one in enumerate(found):
        assert one.text == describe(one.conditions)
        np.testing.assert_array_equal(one.rows, all_hold(one.conditions, frame))
        assert one.support >= 8
        np.testing.assert_allclose(one.error, wrong[one.rows].mean())
        np.testing.assert_allclose(one.error_elsewhere, wrong[~one.rows].mean())
        np.testing.assert_allclose(one.p_value, p_value(one.rows, wrong), rtol=1e-9)
        assert one.effect.low <= one.effect.value <= one.effect.high
        for other in found[:place]:
            assert (one.rows & other.rows).sum() <= 0.5 * (one.rows | other.rows).sum()


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.01, 0.5), st.integers(0, 60))
def test_benjamini_hochberg_by_definition(p_values, alpha, tests):
    m = max(len(p_values), tests)
    ordered = sorted(p_values)
    k = max((i for i, p in enumerate(ordered, 1) if p <= alpha * i / m), default=0)
    expected = [k > 0 and p <= ordered[k - 1] for p in p_values]
    assert benjamini_hochberg(p_values, alpha, tests).tolist() == expected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.01, 0.5))
def test_holm_by_definition(p_values, alpha):
    rejected, order = set(), sorted(range(len(p_values)), key=p_values.__getitem__)
    for step, place in enumerate(order):
        if p_values[place] > alpha / (len(p_values) - step):
            break
        rejected.add(place)
    assert set(np.flatnonzero(holm(p_values, alpha))) == rejected


def test_random_mistakes_make_no_slices():
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        frame, _ = rows(seed)
        found += bool(find_slices(frame, rng.random(len(frame)) < 0.2, COLUMNS, support=8, alpha=0.05))
    assert found <= 5
