"""The cheap half of ``tests/benchmarks/bench_relation.py``: 50,000 rows, the same bar."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import bench_relation as bench


@pytest.mark.parametrize("kind", ["numeric", "mixed"])
def test_candidates_stay_within_twice_the_memory_of_the_frame(kind):
    frame = getattr(bench, f"{kind}_frame")(50_000)
    lines = {what: (ours, peer) for what, ours, peer, _ in bench.measured(frame)}
    assert lines["uncertain cells"][0] == pytest.approx(0.05 * 50_000 * 30, rel=0.05)
    assert lines["candidates"][0] > 340_000
    ours, plain = lines["memory of the relation"]
    assert ours <= bench.BAR * plain
