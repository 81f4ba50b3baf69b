"""The overfitting meter: its published sizes, its promise under attack, its refusals."""

import json

import numpy as np
import pytest

from easeml.ci import Meter, meter_size
from easeml.errors import BudgetExhaustedError, ConfigurationError, InvalidDataError


@pytest.mark.parametrize(
    ("ranges", "monotone", "examples"),
    [(2, False, 145_443), (2, True, 52_022), (5, False, 292_049), (5, True, 89_458)],
)
def test_published_sizes(ranges, monotone, examples):
    assert meter_size(32, ranges, 0.01, 0.999, monotone=monotone) == examples


def test_size_and_tolerance_are_two_views_of_one_formula():
    meter = Meter(meter_size(20, 5, 0.02, 0.99), steps=20, edges=(0.01, 0.02, 0.05, 0.1), reliability=0.99)
    assert meter.tolerance == pytest.approx(0.02, rel=1e-3)


def test_a_monotone_meter_only_moves_up():
    gaps = (0.0, 0.03, 0.01, 0.2, 0.0)
    levels = {}
    for monotone in (True, False):
        meter = Meter(1000, steps=5, edges=(0.02, 0.1), reliability=0.9, monotone=monotone)
        levels[monotone] = [meter.read(0.3, 0.3 + gap).level for gap in gaps]
    assert levels == {True: [0, 1, 1, 2, 2], False: [0, 1, 0, 2, 0]}


def test_it_goes_on_where_it_was_and_ends():
    meter = Meter(1000, steps=3, edges=(0.02, 0.1), reliability=0.9)
    meter.read(0.3, 0.35)
    state = json.loads(json.dumps(meter.state()))
    again = Meter.from_state(state)
    assert again.read(0.3, 0.3) == meter.read(0.3, 0.3)
    assert again.read(0.3, 0.3).at_most == pytest.approx(0.1 + meter.tolerance)
    with pytest.raises(BudgetExhaustedError, match="fresh hidden test set"):
        again.read(0.3, 0.3)


def test_the_promise_holds_against_a_developer_who_climbs_the_meter():
    """Every model errs on half of the world, while validation shows 0.3: the true distance is always 0.2.

    Models are random; those on which the meter shows little are kept, and vote with the next one.
    """
    rng, runs, steps, n, broken, fooled = np.random.default_rng(2), 100, 12, 400, 0, 0
    for _ in range(runs):
        meter = Meter(n, steps=steps, edges=(0.16, 0.18, 0.19), reliability=0.9, monotone=False)
        kept = [rng.integers(2, size=n)]
        for _ in range(steps):
            votes = np.sum([*kept, rng.integers(2, size=n)], axis=0) + rng.choice([-0.5, 0.5], size=n)
            errors = votes > (len(kept) + 1) / 2
            reading = meter.read(0.3, float(errors.mean()))
            fooled += reading.high < 0.2
            broken += reading.at_most < 0.2
            if reading.level < 2:
                kept.append(errors.astype(np.int64))
    assert fooled > runs
    assert broken == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"edges": ()}, "ranges"),
        ({"edges": (0.2, 0.1)}, "ascending"),
        ({"edges": (0.0, 0.1)}, "ascending"),
        ({"reliability": 1.0}, "reliability"),
        ({"steps": 0}, "steps"),
        ({"examples": 0}, "examples"),
    ],
)
def test_refusals(wrong, says):
    given = {"examples": 100, "steps": 4, "edges": (0.1,), "reliability": 0.9} | wrong
    with pytest.raises(ConfigurationError) as caught:
        Meter(given.pop("examples"), **given)
    assert says in str(caught.value)


def test_a_loss_is_a_share():
    with pytest.raises(InvalidDataError, match=r"\[0, 1\]"):
        Meter(100, steps=4, edges=(0.1,), reliability=0.9).read(12.0, 0.1)
    with pytest.raises(ConfigurationError, match="tolerance"):
        meter_size(4, 2, 1.5, 0.9)
