"""The feasibility study against a count over all pairs of rows, whatever came in which order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.snoopy import FeasibilityStudy
from easeml.snoopy.neighbours import Neighbours, tie_limit
from easeml.snoopy.transformations import TRANSFORMATIONS

ARMS = ("standardised", "min-max", "cosine standardised")


def disagreement(vectors: np.ndarray, labels: np.ndarray, nearest: int) -> float:
    """Return the leave-one-out error of the nearest rows, rows that tie asked in equal parts."""
    if len(labels) < 2:
        return 1.0
    total = 0.0
    for row, label in enumerate(labels):
        far = ((vectors - vectors[row]) ** 2).sum(axis=1)
        far[row] = np.inf
        left, wrong, floor = min(nearest, len(labels) - 1), 0.0, -1.0
        asked = left
        while left > 0:
            distance = far[far > floor].min()
            floor = float(tie_limit(np.array(distance)))
            tied = (far >= distance) & (far <= floor)
            taken = min(left, int(tied.sum()))
            wrong += taken * (labels[tied] != label).mean()
            left -= taken
        total += wrong / asked
    return total / len(labels)


@st.composite
def rows(draw, least: int = 2, most: int = 40, classes: int = 3):
    """Draw rows on a small grid, so that many tie or are equal, and labels."""
    count = draw(st.integers(least, most))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    width = draw(st.integers(1, 4))
    if draw(st.booleans()):
        features = rng.integers(0, 4, (count, width)).astype(float)
    else:
        # Rows far out make differences of large squares.
        features = rng.normal(size=(count, width)) * rng.choice([1.0, 1e4], (count, 1))
    return features, rng.integers(0, classes, count)


def ids(count: int, start: int = 0) -> list[str]:
    return [f"r{row}" for row in range(start, start + count)]


def check(study: FeasibilityStudy, table: dict[str, tuple[np.ndarray, int]]) -> None:
    """Hold every arm to the count over all pairs of rows."""
    if not table:
        return
    features = np.array([row for row, _ in table.values()])
    labels = np.array([label for _, label in table.values()])
    points = study.points
    inputs = type(points.features())(features)
    for name, arm in study.arms.items():
        vectors = np.asarray(TRANSFORMATIONS[name].apply(inputs, arm.fit))
        count, near, soft = arm.measured(points.counts)
        assert count == len(table)
        assert near == pytest.approx(disagreement(vectors, labels, 1), abs=1e-9)
        assert soft == pytest.approx(disagreement(vectors, labels, 3), abs=1e-9)


def same_state(one: FeasibilityStudy, other: FeasibilityStudy) -> None:
    np.testing.assert_array_equal(one.points.keys, other.points.keys)
    np.testing.assert_array_equal(one.points.counts, other.points.counts)
    assert list(one.arms) == list(other.arms)
    for ours, theirs in zip(one.arms.values(), other.arms.values(), strict=True):
        np.testing.assert_array_equal(ours.curve, theirs.curve)
        for name, fitted in ours.fit.items():
            np.testing.assert_array_equal(fitted, theirs.fit[name])


@settings(max_examples=25, deadline=None)
@given(rows(), st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_after_every_batch_arms_count_as_over_all_pairs(table, sizes):
    features, labels = table
    study = FeasibilityStudy(3, ARMS, rng=np.random.default_rng(0))
    start, turn, known = 0, 0, {}
    while start < len(labels):
        stop = start + sizes[turn % len(sizes)]
        part = ids(len(labels[start:stop]), start)
        study.add(features[start:stop], labels[start:stop], part)
        known |= {row_id: (features[start + k], labels[start + k]) for k, row_id in enumerate(part)}
        check(study, known)
        start, turn = stop, turn + 1


@settings(max_examples=60, deadline=None)
@given(rows(least=6), st.integers(0, 2**32 - 1))
def test_relabelled_removed_and_edited_rows_count_as_if_they_had_come_so(table, seed):
    features, labels = table
    rng = np.random.default_rng(seed)
    study = FeasibilityStudy(3, ARMS, rng=np.random.default_rng(0))
    study.add(features, labels, ids(len(labels)))
    known = {row_id: (features[row], int(labels[row])) for row, row_id in enumerate(ids(len(labels)))}
    for _ in range(6):
        chosen = rng.choice(sorted(known), min(len(known), int(rng.integers(1, 4))), replace=False).tolist()
        match rng.integers(0, 3):
            case 0:
                new = rng.integers(0, 3, len(chosen))
                study.relabel(chosen, new)
                known |= {row_id: (known[row_id][0], int(label)) for row_id, label in zip(chosen, new, strict=True)}
            case 1 if len(known) > len(chosen) + 2:
                study.remove(chosen)
                known = {row_id: row for row_id, row in known.items() if row_id not in chosen}
            case _:
                moved = features[rng.integers(0, len(features), len(chosen))] + rng.integers(0, 2)
                study.edit(chosen, moved)
                known |= {row_id: (row, known[row_id][1]) for row_id, row in zip(chosen, moved, strict=True)}
        check(study, known)
    study.refit()
    fresh = FeasibilityStudy(3, ARMS, rng=np.random.default_rng(0))
    fresh.hold(np.array([row for row, _ in known.values()]), [label for _, label in known.values()], list(known))
    fresh.refit()
    same_state(study, fresh)


@settings(max_examples=30, deadline=None)
@given(rows(least=10, most=60), st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_after_a_refit_neither_order_nor_batches_matter(table, seed, size):
    features, labels = table
    order = np.random.default_rng(seed).permutation(len(labels))
    names = np.array(ids(len(labels)))
    one = FeasibilityStudy(3, rng=np.random.default_rng(1))
    one.add(features, labels, names.tolist())
    other = FeasibilityStudy(3, rng=np.random.default_rng(1))
    for start in range(0, len(order), size):
        part = order[start : start + size]
        other.add(features[part], labels[part], names[part].tolist())
    one.refit()
    other.refit()
    same_state(one, other)


@settings(max_examples=60, deadline=None)
@given(rows(most=60), st.lists(st.integers(1, 20), min_size=1, max_size=6), st.data())
def test_neighbours_are_the_three_nearest_and_their_ties(table, sizes, data):
    vectors = np.unique(table[0], axis=0)
    keys = np.arange(len(vectors), dtype=np.uint64)
    found = Neighbours(vectors[:0], keys[:0])
    start, turn = 0, 0
    while start < len(vectors):
        stop = start + sizes[turn % len(sizes)]
        found.add(vectors[start:stop], keys[start:stop])
        start, turn = stop, turn + 1
    gone = np.array(data.draw(st.lists(st.booleans(), min_size=len(vectors), max_size=len(vectors))), bool)
    for left in (vectors, vectors[~gone]):
        if len(left) < len(vectors):
            found.remove(gone)
        for point, own in enumerate(left):
            far = ((left - own) ** 2).sum(axis=1)
            far[point] = np.inf
            third = np.sort(far)[min(2, len(left) - 1)]
            wanted = np.flatnonzero((far <= tie_limit(third)) & np.isfinite(far))
            if len(wanted) <= 64:
                np.testing.assert_array_equal(np.sort(found.other[found.owner == point]), wanted)
