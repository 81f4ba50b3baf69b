"""The cheap half of ``tests/benchmarks/bench_market.py``: two seeds of the mixed pools, half of the bar."""

import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from market_pool import KINDS, buy, scenario


@pytest.mark.parametrize("name", ["digits", "segments"])
def test_labels_out_of_a_useless_pool_are_worth_more_than_random_ones(name):
    with threadpool_limits(1):
        rows = [scenario(name, KINDS, seed) for seed in range(2)]
        random, ours = (
            np.mean([buy(policy, some, seed)[0][-1] for seed, some in enumerate(rows)])
            for policy in ("random", "filter_margin")
        )
    assert ours >= random + 0.04
