"""What goes beyond the paper: slices, scores, passes, relative conditions, unlabelled pools; and the plan page."""

import math

import numpy as np
import pytest

from easeml.ci import Interval, TestSetLedger, Truth, parse, plan
from easeml.ci.bounds import pass_budget_histories
from easeml.errors import BudgetExhaustedError, ConditionError, ConfigurationError, InvalidDataError

N = 1200
RNG = np.random.default_rng(8)
TRUTH = RNG.integers(3, size=N)
LEFT = RNG.random(N) < 0.5


def guesses(accuracy):
    right = RNG.random(N) < accuracy
    return np.where(right, TRUTH, (TRUTH + RNG.integers(1, 3, size=N)) % 3)


def ledger(condition, **protocol):
    given = {"reliability": 0.95, "steps": 4, "rng": np.random.default_rng(0)} | protocol
    return TestSetLedger(N, condition=condition, **given)


def verdict(book, name, new, old=None, **known):
    evaluation = book.propose(name, new, old, **known)
    asked = []
    for index in evaluation:
        asked.append(index)
        evaluation.observe(index, int(TRUTH[index]))
    return evaluation.verdict, asked


def test_a_slice_is_read_printed_and_evaluated():
    condition = parse("n[country=CH] - 1.1 * o[country=CH] > 0.1 +/- 0.05 and d < 0.2 +/- 0.05")
    clause = condition.clauses[0]
    assert clause.slice == "country=CH"
    assert parse(str(condition)) == condition
    values = {"n[country=CH]": Interval(0.9, 0.95), "o[country=CH]": Interval(0.5, 0.6), "d": Interval(0, 0.1)}
    assert condition.evaluate(values) is Truth.TRUE


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("n[country=CH] - o > 0 +/- 0.1", 17, "and of all examples"),
        ("n - o[country=CH] > 0 +/- 0.1", 5, "and of all examples"),
        ("n[a=b] - o[a=c] > 0 +/- 0.1", 10, "[a=b] and of [a=c]"),
        ("n[=CH] > 0.5 +/- 0.1", 2, "a column and a value"),
        ("n[CH] > 0.5 +/- 0.1", 2, "no meaning"),
        ("[a=b] > 0.5 +/- 0.1", 1, "expected"),
    ],
)
def test_a_wrong_slice_is_refused_with_its_column(text, column, says):
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert f"Column {column}:" in str(caught.value)
    assert says in str(caught.value)


def test_only_the_slice_is_labelled_and_decides():
    new = np.where(LEFT, guesses(0.95), guesses(0.4))
    found, asked = verdict(ledger("n[side=left] > 0.8 +/- 0.05", slices={"side=left": LEFT}), "new", new)
    assert found.outcome == "PASSED"
    assert LEFT[asked].all()
    both = "n[side=left] > 0.8 +/- 0.05 and n[side=right] > 0.8 +/- 0.05"
    found, _ = verdict(ledger(both, slices={"side=left": LEFT, "side=right": ~LEFT}), "new", new)
    assert [clause.truth for clause in found.clauses].count("FALSE") == 1
    assert found.outcome == "FAILED"


@pytest.mark.parametrize(
    ("slices", "says"),
    [
        ({}, "not known"),
        ({"side=left": LEFT[:-1]}, "shape"),
        ({"side=left": LEFT.astype(int)}, "type"),
        ({"side=left": np.zeros(N, dtype=bool)}, "No example"),
    ],
)
def test_slices_must_be_given(slices, says):
    with pytest.raises(InvalidDataError, match=says):
        ledger("n[side=left] > 0.8 +/- 0.05", slices=slices)


def test_slices_scores_and_passes_survive_in_the_state():
    costs = [[1, 0.9, 0], [0.5, 1, 0.5], [0, 0.9, 1]]
    text = "n[side=left] - o[side=left] > 0 +/- 0.05"
    book = ledger(text, slices={"side=left": LEFT}, scores=costs, passes=2)
    old, new = guesses(0.5), guesses(0.7)
    evaluation = book.propose("new", new, old, unlabelled=(40, 100))
    for index in evaluation.wanted(15):
        evaluation.observe(index, int(TRUTH[index]))
    again = TestSetLedger.from_state(book.state())
    for one in (book, again):
        running = one.evaluation
        for index in running:
            running.observe(index, int(TRUTH[index]))
    assert again.verdicts == book.verdicts
    assert again.passes == 2


def test_a_score_replaces_accuracy():
    cheap = np.array([[1, 0.9, 0.9], [0.9, 1, 0.9], [0, 0, 1]])
    new = guesses(0.5)
    score = cheap[TRUTH, new].mean()
    found, _ = verdict(ledger("n > 0.6 +/- 0.05", scores=cheap), "new", new)
    assert found.outcome == "PASSED"
    assert score in found.intervals["n"]
    assert score in found.clauses[0].interval
    assert verdict(ledger("n > 0.6 +/- 0.05"), "new", new)[0].outcome == "FAILED"


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([[1, 0]], "shape"),
        ([[1, 2], [0, 1]], r"\[0, 1\]"),
        ([[1, 1], [1, 1]], "differ"),
        (np.linspace(0, 1, 49).reshape(7, 7), "distinct"),
    ],
)
def test_scores_are_checked(scores, says):
    with pytest.raises(ConfigurationError, match=says):
        ledger("n > 0.6 +/- 0.05", scores=scores)


def test_a_label_without_scores_is_refused():
    book = ledger("n > 0.6 +/- 0.05", scores=[[1, 0], [0, 1]])
    evaluation = book.propose("new", guesses(0.5))
    with pytest.raises(InvalidDataError, match="no row in the table"):
        evaluation.observe(next(iter(evaluation)), 2)


def test_a_budget_of_passes_costs_less_and_retires_the_set():
    text = "n - o > 0.02 +/- 0.01"
    sizes = [plan(text, reliability=0.999, steps=32, passes=b, disagreement=0.1).labels_worst for b in (1, 3, 10)]
    full = plan(text, reliability=0.999, steps=32, disagreement=0.1)
    assert sizes == sorted(sizes)
    assert sizes[1] < 0.6 * full.labels_worst
    assert plan(text, reliability=0.999, steps=32, passes=3).histories == pass_budget_histories(32, 3) == 5489
    book = ledger("n - o > 0 +/- 0.05", passes=1)
    found, _ = verdict(book, "new", guesses(0.9), guesses(0.5))
    assert (found.outcome, found.alarm, found.histories_left) == ("PASSED", "passes_exhausted", 0)
    assert book.closed == "passes_exhausted"
    with pytest.raises(BudgetExhaustedError, match="let 1 models pass"):
        book.propose("next", guesses(0.95))


@pytest.mark.parametrize("wrong", [{"passes": 0}, {"passes": 5}, {"passes": 1.5}, {"passes": 1, "adaptivity": "none"}])
def test_a_senseless_budget_of_passes_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"passes|saves nothing"):
        ledger("n > 0.5 +/- 0.1", **wrong)


def test_a_relative_condition_labels_a_part_of_the_agreements():
    old = guesses(0.7)
    new = np.where(RNG.random(N) < 0.5, TRUTH, old)
    book = ledger("n > 1.05 * o +/- 0.02")
    found, asked = verdict(book, "new", new, old)
    assert found.outcome == "PASSED"
    agreed = (new == old)[asked].mean()
    assert 0 < agreed < 0.5
    assert float((new == TRUTH).mean() - 1.05 * (old == TRUTH).mean()) in found.clauses[0].interval


@pytest.mark.parametrize("seed", range(5))
def test_the_cap_is_met_on_an_example_without_a_label_too(seed):
    old = guesses(0.7)
    new = np.where(np.arange(N) % 50 == 0, TRUTH, old)
    book = ledger("n > 1.02 * o +/- 0.3", rng=np.random.default_rng(seed))
    found, asked = verdict(book, "new", new, old)
    assert found.outcome == "UNDECIDED"
    assert found.alarm is None
    assert len(asked) < 20


def test_knowing_d_better_saves_labels():
    rng = np.random.default_rng(1)
    old = guesses(0.7)
    new = np.where(rng.random(N) < 0.2, TRUTH, old)
    changed = float((new != old).mean())
    used = [
        verdict(ledger("n - o > 0.04 +/- 0.02"), "new", new, old, unlabelled=(round(changed * pool), pool))[
            0
        ].labels_used
        for pool in (0, 10**6)
    ]
    assert used[1] <= used[0]
    with pytest.raises(InvalidDataError, match="cannot have changed"):
        ledger("n - o > 0 +/- 0.02").propose("new", new, old, unlabelled=(5, 3))


def test_predictions_alone_can_decide():
    old = guesses(0.7)
    new = old.copy()
    new[:6] = (new[:6] + 1) % 3
    for text, outcome in (("n - o > -0.1 +/- 0.05", "PASSED"), ("n - o > 0.1 +/- 0.05", "FAILED")):
        found, asked = verdict(ledger(text), "new", new, old)
        assert (found.outcome, asked) == (outcome, [])


def test_the_wealth_of_two_values_is_a_likelihood_ratio():
    """Each stake of the mixture is a coin: its wealth is the coin's likelihood against the null coin's."""
    from easeml.ci.betting import LowerBet

    bet = LowerBet.against(np.array([-1.0, 1.0]), 0.2, 0.2, 0.96)
    null, coins = 0.6, 0.6 + bet.thetas[:, 0] * 0.4
    wins, fails = 70, 30
    ratio = wins * np.log(coins / null) + fails * np.log((1 - coins) / (1 - null)) + bet.log_weights
    assert float(bet.log_wealth(np.array([fails, wins]), 0.2)) == pytest.approx(math.log(np.exp(ratio).sum()))
    assert math.fsum(np.exp(bet.log_weights)) == pytest.approx(1.0)
