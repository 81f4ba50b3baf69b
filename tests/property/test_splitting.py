"""Pillars: stratified, seeded, leak-free."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easeml.errors import InvalidDataError
from easeml.relation.splitting import DEFAULT_SHARES, chance_overlap, shares_with, split_for_test, split_pillars
from easeml.stream.payloads import Pillar


@given(
    rows=st.integers(60, 300),
    distinct=st.integers(20, 300),
    classes=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_equal_rows_stay_on_one_side(rows, distinct, classes, seed):
    rng = np.random.default_rng(seed)
    content = rng.integers(distinct, size=rows).astype(np.uint64)
    labels = rng.integers(classes, size=rows).astype(np.int32)
    try:
        assigned = split_pillars(content, labels, rng=np.random.default_rng(seed))
    except InvalidDataError:
        return  # too few distinct rows to give every pillar one; said so
    sides = pd.DataFrame({"x": content, "pillar": assigned}).groupby("x")["pillar"].nunique()
    assert (sides == 1).all()
    assert set(assigned) == set(DEFAULT_SHARES)


@given(seed=st.integers(0, 2**32 - 1))
def test_shares_hold_within_every_label(seed):
    labels = np.repeat(np.arange(3, dtype=np.int32), (100, 200, 40))
    assigned = split_pillars(np.arange(340, dtype=np.uint64), labels, rng=np.random.default_rng(seed))
    for label in range(3):
        here = assigned[labels == label]
        for pillar, share in DEFAULT_SHARES.items():
            assert abs((here == pillar).sum() - share * len(here)) <= 1


def test_same_seed_same_split():
    rows = np.arange(100, dtype=np.uint64)
    labels = np.zeros(100, np.int32)
    one, two, other = (split_pillars(rows, labels, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()


def test_shares_must_sum_to_one():
    with pytest.raises(InvalidDataError, match=r"sum to 0\.5"):
        split_pillars(np.zeros(1, np.uint64), np.zeros(1, np.int32), {Pillar.TRAIN: 0.5}, rng=np.random.default_rng(0))


@given(
    rows=st.integers(40, 400),
    classes=st.integers(1, 6),
    share=st.floats(0.0, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_test_set_grows_as_far_as_the_plan_needs(rows, classes, share, seed):
    labels = np.random.default_rng(seed).integers(classes, size=rows).astype(np.int32)
    needed = int(share * rows)
    test = int((split_for_test(np.arange(rows, dtype=np.uint64), labels, needed, seed=seed) == Pillar.TEST).sum())
    assert test >= needed
    assert test <= max(0.25 * rows, needed) + 3 * (classes + 1), "no more than needed"


def test_the_test_set_takes_no_more_than_half():
    rows, labels = np.arange(100, dtype=np.uint64), np.zeros(100, np.int32)
    assigned = split_for_test(rows, labels, 90, seed=0)
    assert {p: int((assigned == p).sum()) for p in DEFAULT_SHARES} == {
        Pillar.TRAIN: 40,
        Pillar.VALIDATION: 10,
        Pillar.TEST: 50,
    }


def test_another_test_share_keeps_the_proportions_of_the_rest():
    shares = shares_with(0.4)
    assert shares[Pillar.TEST] == 0.4
    assert shares[Pillar.TRAIN] == pytest.approx(4 * shares[Pillar.VALIDATION])
    assert sum(shares.values()) == pytest.approx(1)
    for wrong in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InvalidDataError, match="not between 0 and 1"):
            shares_with(wrong)


@given(
    domain=st.integers(10, 20_000),
    fresh=st.integers(200, 2000),
    known=st.integers(500, 2000),
    seed=st.integers(0, 2**32 - 1),
)
def test_chance_explains_equal_rows_of_small_domains_and_no_others(domain, fresh, known, seed):
    rng = np.random.default_rng(seed)
    old, new = (rng.integers(domain, size=size).astype(np.uint64) for size in (known, fresh))
    share = np.isin(new, old).mean()
    bound = chance_overlap([old, new], fresh, known)
    assert share <= bound + 0.03
    assert bound <= 1 - np.exp(-2 * max(known, fresh) / domain) + 0.12


def test_chance_explains_nothing_where_all_rows_differ():
    rows = np.arange(9, dtype=np.uint64)
    assert chance_overlap([rows, rows], 9, 18) == 0, "the same rows twice are two versions"
