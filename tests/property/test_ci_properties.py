"""Laws that hold for every condition, interval, stream and order of arrival."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easeml.ci import Interval, TestSetLedger, Truth, parse, plan
from easeml.ci.betting import TwoSidedBet
from easeml.ci.bounds import clopper_pearson
from easeml.ci.slices import Grouped
from easeml.errors import ConditionError

truths = st.sampled_from(list(Truth))
numbers = st.floats(-2, 2, allow_nan=False)


@st.composite
def intervals(draw, low=-2.0, high=2.0):
    a, b = draw(st.floats(low, high)), draw(st.floats(low, high))
    return Interval(min(a, b), max(a, b))


@given(truths, truths, truths)
def test_kleene_laws(a, b, c):
    assert a & b is b & a
    assert a | b is b | a
    assert a & (b & c) is (a & b) & c
    assert a & (b | c) is (a & b) | (a & c)
    assert a | (b & c) is (a | b) & (a | c)
    assert ~(a & b) is (~a | ~b)
    assert ~~a is a
    assert a & (a | b) is a
    assert a & Truth.TRUE is a
    assert a & Truth.FALSE is Truth.FALSE


@given(intervals(), intervals(), numbers, st.floats(0, 1), st.floats(0, 1))
def test_interval_arithmetic_contains_the_truth(x, y, factor, s, t):
    a = min(max(x.low + s * (x.high - x.low), x.low), x.high)
    b = min(max(y.low + t * (y.high - y.low), y.low), y.high)
    assert a + b in x + y
    assert a - b in x - y
    assert factor * a in factor * x
    assert -a in -x


@given(intervals(0, 1), numbers, st.floats(0, 1), st.booleans())
def test_a_decided_comparison_is_right(x, threshold, s, strict):
    a = min(max(x.low + s * (x.high - x.low), x.low), x.high)
    for compare, right in (
        (x.above, a > threshold if strict else a >= threshold),
        (x.below, a < threshold if strict else a <= threshold),
    ):
        truth = compare(threshold, strict=strict)
        assert truth is Truth.UNKNOWN or (truth is Truth.TRUE) == right


@given(st.text(alphabet="nod 0.19e+-*()/\\<>=±and%|x[]", max_size=60))
def test_the_parser_reads_or_names_a_column(text):
    try:
        condition = parse(text)
    except ConditionError as error:
        refused = error
    else:
        assert parse(str(condition)).clauses == condition.clauses
        return
    assert "Column " in str(refused)
    assert refused.mend


factors = st.floats(0.1, 3).map(lambda x: round(x, 3))


@st.composite
def conditions(draw):
    clauses = []
    for _ in range(draw(st.integers(1, 3))):
        names = draw(st.lists(st.sampled_from("nod"), min_size=1, max_size=3, unique=True))
        terms = [f"{draw(factors)!r} * {name}" for name in names]
        sign = draw(st.sampled_from(["+", "-"]))
        clauses.append(f"({f' {sign} '.join(terms)}) {draw(st.sampled_from(['>', '<=']))} 0 +/- 0.05")
    return " and ".join(clauses)


@given(conditions())
def test_the_canonical_text_is_a_fixed_point(text):
    condition = parse(text)
    again = parse(str(condition))
    assert again.clauses == condition.clauses
    assert str(again) == str(condition)


@settings(deadline=None, max_examples=30)
@given(conditions(), st.floats(0.8, 0.9999), st.integers(1, 20))
def test_a_plan_is_ordered(text, reliability, steps):
    sizes = {
        a: plan(text, reliability=reliability, steps=steps, adaptivity=a) for a in ("none", "first_change", "full")
    }
    for figures in sizes.values():
        assert 0 <= figures.labels_expected <= figures.labels_worst <= figures.unlabelled
    assert sizes["none"].labels_worst <= sizes["full"].labels_worst
    assert sizes["none"].reference <= sizes["full"].reference


@given(st.integers(1, 60), st.data())
def test_clopper_pearson_against_exact_sums(n, data):
    successes = data.draw(st.integers(0, n))
    found = clopper_pearson(successes, n, math.log(0.05))

    def tail(p, counts):
        q = Fraction(p).limit_denominator(10**6)
        return float(sum(math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in counts))

    if successes:
        assert tail(found.low, range(successes, n + 1)) == pytest.approx(0.05, abs=1e-3)
    if successes < n:
        assert tail(found.high, range(successes + 1)) == pytest.approx(0.05, abs=1e-3)


def test_the_betting_interval_holds_at_every_time():
    """Share of streams whose interval ever misses the mean, read after each example."""
    values, probabilities = np.array([0.0, 1.0, -1.0]), np.array([0.7, 0.2, 0.1])
    rng = np.random.default_rng(20)
    bets, mean, missed, runs = TwoSidedBet.around(values, 0.05, 0.1, 0.3), 0.1, 0, 400
    for _ in range(runs):
        cells = rng.choice(3, size=600, p=probabilities)
        counts = np.cumsum(np.eye(3)[cells], axis=0)
        low = bets.rising.log_wealth(counts, mean).max() >= math.log(20)
        high = bets.falling.log_wealth(counts, -mean).max() >= math.log(20)
        missed += bool(low or high)
    # each side is wrong with probability <= 0.05; three standard errors above 0.1
    assert missed / runs <= 0.1 + 3 * math.sqrt(0.09 / runs)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(["full", "none", "first_change"]), st.data())
def test_arrival_order_duplicates_and_restarts_do_not_matter(seed, adaptivity, data):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 200))
    truth = rng.integers(3, size=n)
    old = np.where(rng.random(n) < 0.6, truth, rng.integers(3, size=n))
    new = np.where(rng.random(n) < rng.random(), truth, rng.integers(3, size=n))
    text = data.draw(
        st.sampled_from(
            [
                "n - o > 0 +/- 0.1",
                "n > 0.6 +/- 0.1 and d < 0.5 +/- 0.2",
                "n - 0.5 * o - 0.5 * d > 0 +/- 0.1",
                "n > 1.1 * o +/- 0.1 and n[third=first] > 0.4 +/- 0.2",
            ]
        )
    )

    scores = data.draw(st.sampled_from([None, [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]]))

    def book():
        return TestSetLedger(
            n,
            condition=text,
            reliability=0.9,
            steps=3,
            adaptivity=adaptivity,
            mode="fp-free",
            scores=scores,
            slices={"third=first": np.arange(n) % 3 == 0},
            rng=np.random.default_rng(seed),
        )

    straight, shaken = book(), book()
    evaluation = straight.propose("new", new, old)
    for index in evaluation:
        evaluation.observe(index, int(truth[index]))
    shaken.propose("new", new, old)
    while (running := shaken.evaluation) is not None:
        ahead = running.wanted(data.draw(st.integers(1, 9)))
        for index in [*rng.permutation(ahead), *ahead[:2]]:
            running.observe(int(index), int(truth[index]))
        if data.draw(st.booleans()):
            shaken = TestSetLedger.from_state(shaken.state())
    assert shaken.verdicts == straight.verdicts
    assert shaken.steps_used == straight.steps_used == 1


@given(data=st.data())
def test_the_first_rows_are_the_fewest_that_end_before_the_next_member(data):
    count = data.draw(st.integers(0, 12))
    slices = data.draw(st.lists(st.lists(st.booleans(), min_size=count, max_size=count), max_size=3))
    members = np.array([[True] * count, *slices], dtype=np.bool_).reshape(1 + len(slices), count)
    lacking = np.array(data.draw(st.lists(st.integers(0, 5), min_size=len(members), max_size=len(members))))
    found = Grouped(np.arange(count, dtype=np.int32), members).first(lacking)
    fits = [n for n in range(count + 1) if (members[:, :n].sum(axis=1) >= lacking).all()]
    ends = [
        next((n for n in range(count) if line[: n + 1].sum() > few), count) if few else 0
        for line, few in zip(members, lacking, strict=True)
    ]
    assert found == (max(ends) if fits else None)
    assert found is None or found >= fits[0]
