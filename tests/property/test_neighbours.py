"""The search for near rows and the merging of candidates, against doing it one row and one line at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.datamagic.cleaning.donors import Lines, merged
from easeml.datamagic.cleaning.neighbours import NEIGHBOURS, Neighbours


@st.composite
def samples(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows, width = draw(st.integers(1, 900)), draw(st.integers(1, 5))
    points = rng.normal(size=(rows, width))
    if draw(st.booleans()):
        points = np.rint(points)  # many are equally far
    share = draw(st.lists(st.sampled_from([0.02, 0.3, 0.9, 1.0]), min_size=1, max_size=3))
    known = rng.random((rows, len(share))) < share
    known[rng.integers(rows)] = True
    return points, known, rng.normal(size=(draw(st.integers(0, 70)), width))


def squared(points, others):
    return ((points.astype(np.float32)[:, None] - others.astype(np.float32)[None]) ** 2).sum(axis=2)


@settings(max_examples=60, deadline=None)
@given(samples())
def test_the_nearest_rows_with_a_value_are_found(case):
    sample, known, points = case
    search = Neighbours(sample, known)
    listed = search.shortlist(points)
    every = squared(points, sample)
    for column in range(known.shape[1]):
        donors = np.flatnonzero(known[:, column])
        found = search.nearest(listed, column)
        k = min(NEIGHBOURS, len(donors))
        assert found.rows.shape == found.distance.shape == (len(points), k)
        assert known[found.rows, column].all()
        assert all(len(set(row)) == k for row in found.rows.tolist())
        own = np.take_along_axis(every, found.rows.astype(np.int64), axis=1)
        assert np.allclose(found.distance, own, rtol=1e-4, atol=1e-6)
        wanted = np.sort(every[:, donors], axis=1)[:, :k]
        assert np.allclose(np.sort(found.distance, axis=1), wanted, rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(samples())
def test_a_row_is_no_neighbour_of_itself(case):
    sample, known, _ = case
    search = Neighbours(sample, known)
    for column in range(known.shape[1]):
        donors = np.flatnonzero(known[:, column])[:200]
        total = int(known[:, column].sum())
        if total < 2:
            continue
        found = search.others(sample[donors], column)
        assert found.rows.shape == (len(donors), min(NEIGHBOURS, total - 1))
        assert known[found.rows, column].all()
        assert not (found.rows == donors[:, None]).any()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(-3, 3), st.floats(0.1, 9), st.integers(0, 5)), min_size=0, max_size=40
    ),
    st.integers(1, 9),
)
def test_candidates_are_merged_as_by_hand(lines, most):
    cell, value, weight, source = np.array(lines, float).reshape(-1, 4).T
    found = merged(Lines(cell.astype(int), value, weight, source.astype(int)), most)
    expected = []
    for own in sorted({line[0] for line in lines}):
        summed = {}
        for _, number, mass, name in (line for line in lines if line[0] == own):
            total, top, said = summed.get(number, (0.0, 0.0, 9))
            top, said = max((top, -said), (mass, -name))
            summed[number] = (total + mass, top, -said)
        best = sorted(summed, key=lambda number: (-round(summed[number][0], 9), number))[:most]
        total = sum(summed[number][0] for number in best)
        expected += [(own, number, summed[number][0] / total, summed[number][2]) for number in sorted(best)]
    assert found.cell.tolist() == [line[0] for line in expected]
    assert np.allclose(found.probability, [line[2] for line in expected])
    assert found.value.tolist() == [line[1] for line in expected]
    assert found.source.tolist() == [line[3] for line in expected]
