"""The condition language: what it reads, and what every refusal says."""

import pytest

from easeml.ci import Interval, Truth, parse
from easeml.errors import ConditionError


@pytest.mark.parametrize(
    ("text", "coefficients", "above", "strict", "numbers"),
    [
        ("n > 0.8 +/- 0.05", (1, 0, 0), True, True, (0.8, 0.05)),
        ("n - o > 0.02 ± 1e-2", (1, -1, 0), True, True, (0.02, 0.01)),
        ("d<.1+/-.01", (0, 0, 1), False, True, (0.1, 0.01)),
        ("n >= 0.5 +/- 0.1", (1, 0, 0), True, False, (0.5, 0.1)),
        ("n - 1.1 * o <= 0.01 +/- 0.01", (1, -1.1, 0), False, False, (0.01, 0.01)),
        ("2*(n - o*0.5) - (d) > -0.1 +/- 0.2", (2, -1, -1), True, True, (-0.1, 0.2)),
        ("n > 1.02 * o +/- 0.01", (1, -1.02, 0), True, True, (0.0, 0.01)),
        ("-(-n) > 0.5 +/- 0.1", (1, 0, 0), True, True, (0.5, 0.1)),
        ("n - n + d < 0.1 +/- 0.1", (0, 0, 1), False, True, (0.1, 0.1)),
    ],
)
def test_one_clause(text, coefficients, above, strict, numbers):
    (clause,) = parse(text).clauses
    assert clause.coefficients == pytest.approx(coefficients)
    assert (clause.above, clause.strict) == (above, strict)
    assert (clause.threshold, clause.tolerance) == numbers


@pytest.mark.parametrize("joint", ["/\\", "and", "AND", "\n/\\\n"])
def test_clauses_are_joined(joint):
    condition = parse(f"n - o > 0.02 +/- 0.01 {joint} d < 0.1 +/- 0.01 {joint} n > 0.5 +/- 0.1")
    assert [clause.above for clause in condition.clauses] == [True, False, True]


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "expected"),
        ("n > 0.8", 8, "+/-"),
        ("n > 80% +/- 1", 7, "0.8 instead of 80%"),
        ("n > 80 +/- 0.01", 5, "0.8 instead of 80"),
        ("n > 0.8 +/- 5", 13, "0.01"),
        ("n > 0.8 +/- 0", 13, "between 0"),
        ("n > 0.8 +/- -0.1", 13, "tolerance"),
        ("m > 0.8 +/- 0.1", 1, "not a variable"),
        ("n = 0.8 +/- 0.1", 3, "'>'"),
        ("n * o > 0.8 +/- 0.1", 3, "constants only"),
        ("n / 2 > 0.4 +/- 0.1", 3, "Division"),
        ("n + 0.1 > 0.8 +/- 0.1", 1, "right-hand side"),
        ("n > o + 0.1 +/- 0.1", 5, "mixes"),
        ("(n > 0.8 +/- 0.1", 4, "')'"),
        ("n > 0.8 +/- 0.1 or d < 0.1 +/- 0.1", 17, "'and'"),
        ("n > 0.8 +/- 0.1 and", 20, "expected"),
        ("n - n > 0 +/- 0.1", 1, "no variable"),
        ("0.5 > 0.4 +/- 0.1", 1, "right-hand side"),
        ("n > 1e999 +/- 0.1", 5, "too large"),
        ("1e300 * n > 0.5 +/- 0.1", 1, "too large"),
        ("n > 0.8 +/- 0.1 | d < 0.1 +/- 0.1", 17, "conjunction"),
        ("(" * 100 + "n", 41, "nested"),
        ("n > ² +/- 0.1", 5, "no meaning"),
    ],
)
def test_refusal_names_the_column_and_the_mend(text, column, says):
    with pytest.raises(ConditionError) as caught:
        parse(text)
    assert f"Column {column}:" in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.mend


def test_a_very_long_text_is_refused():
    with pytest.raises(ConditionError, match="characters"):
        parse("n > 0.8 +/- 0.1 and " * 1000)


@pytest.mark.parametrize(
    ("low", "high", "truth"),
    [
        (0.81, 0.9, Truth.TRUE),
        (0.7, 0.79, Truth.FALSE),
        (0.7, 0.9, Truth.UNKNOWN),
        (0.8, 0.9, Truth.UNKNOWN),
        (0.7, 0.8, Truth.FALSE),
    ],
)
def test_a_clause_is_true_false_or_unknown(low, high, truth):
    assert parse("n > 0.8 +/- 0.05").evaluate({"n": Interval(low, high)}) is truth


def test_a_false_clause_decides_beside_an_unknown_one():
    condition = parse("n - o > 0 +/- 0.05 and d < 0.1 +/- 0.05")
    values = {"n": Interval(0.5, 0.9), "o": Interval(0.5, 0.9), "d": Interval(0.2, 0.3)}
    assert condition.evaluate(values) is Truth.FALSE
    assert condition.uses_old


def test_a_truth_is_no_bool():
    with pytest.raises(TypeError, match="three-valued"):
        bool(Truth.UNKNOWN)
