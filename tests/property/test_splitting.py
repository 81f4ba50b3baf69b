"""Pillars: stratified, seeded, leak-free."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easeml.errors import InvalidDataError
from easeml.relation.splitting import DEFAULT_SHARES, split_pillars
from easeml.stream.payloads import Pillar


@given(
    rows=st.integers(60, 300),
    distinct=st.integers(20, 300),
    classes=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_equal_rows_stay_on_one_side(rows, distinct, classes, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.integers(distinct, size=rows).astype(float)})
    labels = rng.integers(classes, size=rows).astype(np.int32)
    try:
        assigned = split_pillars(frame, labels, rng=np.random.default_rng(seed))
    except InvalidDataError:
        return  # too few distinct rows to give every pillar one; said so
    sides = pd.DataFrame({"x": frame["x"], "pillar": assigned}).groupby("x")["pillar"].nunique()
    assert (sides == 1).all()
    assert set(assigned) == set(DEFAULT_SHARES)


@given(seed=st.integers(0, 2**32 - 1))
def test_shares_hold_within_every_label(seed):
    labels = np.repeat(np.arange(3, dtype=np.int32), (100, 200, 40))
    frame = pd.DataFrame({"x": np.arange(340.0)})
    assigned = split_pillars(frame, labels, rng=np.random.default_rng(seed))
    for label in range(3):
        here = assigned[labels == label]
        for pillar, share in DEFAULT_SHARES.items():
            assert abs((here == pillar).sum() - share * len(here)) <= 1


def test_same_seed_same_split():
    frame = pd.DataFrame({"x": np.arange(100.0)})
    labels = np.zeros(100, np.int32)
    one, two, other = (split_pillars(frame, labels, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()


def test_shares_must_sum_to_one():
    with pytest.raises(InvalidDataError, match=r"sum to 0\.5"):
        split_pillars(
            pd.DataFrame({"x": [1.0]}), np.zeros(1, np.int32), {Pillar.TRAIN: 0.5}, rng=np.random.default_rng(0)
        )
