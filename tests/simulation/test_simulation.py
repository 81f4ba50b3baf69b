"""A hundred short simulated days of the whole house; ``simulate.py`` lives through more and longer ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from simulate import report, simulate
from simulated_day import tiny

SEEDS, PART = 100, 10


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tiny():
        yield tmp_path_factory.mktemp("simulation").as_uri()


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_whatever_the_order_the_house_does_what_a_batch_would(store, first):
    for seed in range(first, first + PART):
        outcome = simulate(seed, store, short=True)
        assert not outcome.faults, report(seed, outcome, short=True)
        assert outcome.done


def test_the_same_seed_is_the_same_day(store):
    assert simulate(3, store).digest == simulate(3, store).digest != simulate(4, store).digest
