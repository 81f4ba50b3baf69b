r"""The condition language: text in, a frozen :class:`Condition` out.

::

    formula  := clause ( ("and" | "/\") clause )*
    clause   := expr ( ">" | "<" | ">=" | "<=" ) bound ( "+/-" | "±" ) number
    bound    := number | expr                     an expression makes a relative condition: n > 1.02 * o
    expr     := linear combination of n, o, d: + - , constants as factors, parentheses
    n[column=value], o[...], d[...]               the same on the examples of a slice; one slice per clause

``n`` is the accuracy of the new model, ``o`` that of the old one, ``d`` the share of predictions that changed;
all lie in [0, 1]. Everything else is a :class:`~easeml.errors.ConditionError` that names the column.

Source: Renggli et al., SysML 2019, section 2.2; relative conditions and slices are ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from easeml.ci.logic import Interval, Truth
from easeml.errors import ConditionError

VARIABLES = ("n", "o", "d")
MAX_LENGTH = 2000
MAX_DEPTH = 40
MAX_WEIGHT = 1e6

_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|\[(?P<slice>[^\[\]=]*=[^\[\]]*)\]"
    r"|(?P<pm>\+/-|±)|(?P<and>/\\)|(?P<cmp>[<>]=?)|(?P<op>[-+*()])|(?P<space>[ \t\r\n]+)"
)
_MENDS = {
    "%": "Write fractions, not percent: 0.8 instead of 80%.",
    "=": "Compare with '>', '<', '>=' or '<='.",
    "|": "Only a conjunction is possible: join clauses with 'and'.",
    "[": "A slice reads like n[country=CH]: a column, '=', and one of its values.",
    "/": "Division is not possible: multiply by a constant, or join clauses with '/\\'.",
}
_ROWS = (
    # the five ways one example can turn out: (new right, old right, changed)
    (1, 1, 0),
    (0, 0, 0),
    (1, 0, 1),
    (0, 1, 1),
    (0, 0, 1),
)


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison of a linear expression: ``coefficients · (n, o, d)  >  threshold  +/-  tolerance``.

    Attributes
    ----------
    coefficients : tuple of float
        Factors of n, o and d.
    above : bool
        True for ``>`` and ``>=``.
    strict : bool
        True for ``>`` and ``<``.
    threshold, tolerance : float
        Right-hand side; the tolerance is the half-width to which the expression must be known.
    slice : str
        ``column=value`` of the examples it speaks of; empty: all.
    """

    coefficients: tuple[float, float, float]
    above: bool
    strict: bool
    threshold: float
    tolerance: float
    slice: str = ""

    @property
    def names(self) -> tuple[str, str, str]:
        """How n, o and d are written, with their slice."""
        n, o, d = (f"{name}[{self.slice}]" if self.slice else name for name in VARIABLES)
        return n, o, d

    @property
    def variables(self) -> int:
        """How many of n, o, d occur."""
        return sum(c != 0 for c in self.coefficients)

    @property
    def weight(self) -> float:
        """Return the sum of the absolute coefficients: the range of the expression, variables taken apart."""
        return sum(map(abs, self.coefficients))

    @property
    def row_values(self) -> npt.NDArray[np.float64]:
        """Value of one example in each of its five outcomes, shape (5,).

        Unchanged right, unchanged wrong, changed and only the new model right, changed and only the old
        model right, changed and both wrong. The expression is the mean of this value.
        """
        return np.array([math.fsum(c * v for c, v in zip(self.coefficients, row, strict=True)) for row in _ROWS])

    @property
    def needs_agreements(self) -> bool:
        """Whether the label of an example on which the models agree changes the expression."""
        return abs(self.coefficients[0] + self.coefficients[1]) > 1e-12

    @property
    def needs_disagreements(self) -> bool:
        """Whether the label of an example on which the models differ changes the expression."""
        return self.coefficients[0] != 0 or self.coefficients[1] != 0

    def evaluate(self, values: Mapping[str, Interval]) -> Truth:
        """Return the clause's truth by interval arithmetic over ``values`` of n, o, d (``n[country=CH]``, ...)."""
        total = Interval(0.0, 0.0)
        for name, factor in zip(self.names, self.coefficients, strict=True):
            if factor:
                total += factor * values[name]
        compare = total.above if self.above else total.below
        return compare(self.threshold, strict=self.strict)

    def __str__(self) -> str:
        text = ""
        for name, factor in zip(self.names, self.coefficients, strict=True):
            if factor:
                sign = (" - " if text else "-") if factor < 0 else (" + " if text else "")
                text += sign + (name if abs(factor) == 1 else f"{abs(factor)!r} * {name}")
        sign = (">" if self.above else "<") + ("" if self.strict else "=")
        return f"{text} {sign} {self.threshold!r} +/- {self.tolerance!r}"


@dataclass(frozen=True, slots=True)
class Condition:
    """A conjunction of clauses. ``str`` gives the canonical text, which parses to an equal condition."""

    clauses: tuple[Clause, ...]
    text: str = field(compare=False)

    @property
    def uses_old(self) -> bool:
        """Whether the old model's predictions are needed."""
        return any(c.coefficients[1] or c.coefficients[2] for c in self.clauses)

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices that clauses speak of, by name.

        >>> parse("n[b=2] > 0.8 +/- 0.05 and n > 0.7 +/- 0.05 and n[a=1] > 0.8 +/- 0.05").slices
        ('a=1', 'b=2')
        """
        return tuple(sorted({clause.slice for clause in self.clauses if clause.slice}))

    def evaluate(self, values: Mapping[str, Interval]) -> Truth:
        """Return the truth of the formula when n, o and d lie in the given intervals.

        >>> parse("n > 0.8 +/- 0.05").evaluate({"n": Interval(0.81, 0.9)})
        <Truth.TRUE: 1>
        """
        return reduce(and_, (clause.evaluate(values) for clause in self.clauses))

    def __str__(self) -> str:
        return r" /\ ".join(map(str, self.clauses))


def parse(text: str) -> Condition:
    r"""Read a condition.

    Parameters
    ----------
    text : str
        For example ``n - o > 0.02 +/- 0.01 /\ d < 0.1 +/- 0.01``.

    Returns
    -------
    Condition

    Raises
    ------
    ConditionError
        With the column (from 1) of the offending symbol and how to mend it.
    """
    if len(text) > MAX_LENGTH:
        raise ConditionError(
            f"The condition has {len(text)} characters; at most {MAX_LENGTH} are read.", mend="Shorten it."
        )
    return Condition(_Parser(text).formula(), text.strip())


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


_Linear = tuple[tuple[float, float, float], float]
"""Coefficients of n, o, d and the additive constant of a subexpression."""


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            char = text[at]
            mend = _MENDS.get(char, "A condition reads like: n - o > 0.02 +/- 0.01 and d < 0.1 +/- 0.01")
            raise ConditionError(f"Column {at + 1}: {char!r} has no meaning in a condition.", mend=mend)
        kind = str(match.lastgroup)
        said = str(match.group(kind))
        if kind == "name" and said.lower() == "and":
            kind = "and"
        if kind != "space":
            found.append(_Token(kind, said, at + 1))
        at = match.end()
    found.append(_Token("end", "the end", len(text) + 1))
    return found


class _Parser:
    """Recursive descent over the tokens; every refusal names a column."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0
        self.slice: str | None = None
        """Of the clause being read; None before its first variable."""

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.token
        self.at += 1
        return token

    def fail(self, token: _Token, wrong: str, mend: str) -> NoReturn:
        raise ConditionError(f"Column {token.column}: {wrong}", mend=mend)

    def formula(self) -> tuple[Clause, ...]:
        clauses = [self.clause()]
        while self.token.kind == "and":
            self.take()
            clauses.append(self.clause())
        if self.token.kind != "end":
            self.fail(self.token, f"{self.token.text!r} does not continue a condition.", "Join clauses with 'and'.")
        return tuple(clauses)

    def clause(self) -> Clause:
        start, self.slice = self.token, None
        left, constant = self.expression()
        if constant:
            self.fail(start, "a constant is added to the expression.", "Move it to the right-hand side.")
        if self.token.kind != "cmp":
            self.fail(self.token, f"a comparison is expected, not {self.token.text!r}.", "Write '>' or '<'.")
        comparison = self.take()
        bound = self.token
        right, threshold = self.expression()
        if any(right) and threshold:
            self.fail(bound, "the right-hand side mixes variables and a constant.", "Give a number or e.g. 1.02 * o.")
        if self.token.kind != "pm":
            self.fail(
                self.token,
                f"a tolerance is expected, not {self.token.text!r}.",
                "Every clause ends like '+/- 0.01': how exactly the expression must be known.",
            )
        self.take()
        at = self.token
        tolerance = self.number("a tolerance")
        n, o, d = (a - b for a, b in zip(left, right, strict=True))
        above, strict = comparison.text[0] == ">", len(comparison.text) == 1
        clause = Clause((n, o, d), above, strict, threshold, tolerance, self.slice or "")
        self.check(clause, start, bound, at)
        return clause

    def check(self, clause: Clause, start: _Token, bound: _Token, at: _Token) -> None:
        if not any(clause.coefficients):
            self.fail(start, "no variable is left to compare.", "Use n, o or d with a factor other than 0.")
        threshold, tolerance = clause.threshold, clause.tolerance
        if not all(map(math.isfinite, (*clause.coefficients, threshold))) or clause.weight > MAX_WEIGHT:
            self.fail(start, "a number is too large.", "Variables lie in [0, 1].")
        values = clause.row_values
        low, high = float(values.min()), float(values.max())
        if not 0 < tolerance < (high - low):
            self.fail(
                at,
                f"the tolerance {tolerance:g} is not between 0 and {high - low:g}, the range of the expression.",
                "Write fractions, e.g. '+/- 0.01' for one percentage point.",
            )
        if not low <= threshold <= high:
            self.fail(
                bound,
                f"the expression lies in [{low:g}, {high:g}] and never crosses {threshold:g}.",
                "Write fractions: 0.8 instead of 80.",
            )

    def expression(self) -> _Linear:
        (n, o, d), constant = self.term()
        while self.token.kind == "op" and self.token.text in "+-":
            sign = 1.0 if self.take().text == "+" else -1.0
            (n2, o2, d2), c2 = self.term()
            n, o, d, constant = n + sign * n2, o + sign * o2, d + sign * d2, constant + sign * c2
        return (n, o, d), constant

    def term(self) -> _Linear:
        left = self.factor()
        while self.token.kind == "op" and self.token.text == "*":
            star = self.take()
            right = self.factor()
            if any(left[0]) and any(right[0]):
                self.fail(star, "two variables are multiplied.", "Multiply by constants only.")
            scalar, other = (left[1], right) if not any(left[0]) else (right[1], left)
            (n, o, d), constant = other
            left = ((scalar * n, scalar * o, scalar * d), scalar * constant)
        return left

    def factor(self) -> _Linear:
        token = self.token
        if token.kind == "op" and token.text in "+-(":
            self.take()
            self.depth += 1
            if self.depth > MAX_DEPTH:
                self.fail(token, f"more than {MAX_DEPTH} levels are nested.", "Remove parentheses or signs.")
            if token.text == "(":
                inner = self.expression()
                if self.token.text != ")":
                    self.fail(self.token, f"')' is expected, not {self.token.text!r}.", "Close the parenthesis.")
                self.take()
            else:
                (n, o, d), constant = self.factor()
                sign = 1.0 if token.text == "+" else -1.0
                inner = ((sign * n, sign * o, sign * d), sign * constant)
            self.depth -= 1
            return inner
        if token.kind == "name":
            if token.text not in VARIABLES:
                mend = "Variables are n (new accuracy), o (old accuracy), d (share of changed predictions)."
                self.fail(token, f"{token.text!r} is not a variable.", mend)
            self.take()
            self.of_slice(token)
            return (float(token.text == "n"), float(token.text == "o"), float(token.text == "d")), 0.0
        return (0.0, 0.0, 0.0), self.number("a variable or a number")

    def of_slice(self, variable: _Token) -> None:
        """Read the slice of a variable, if it has one; a clause speaks of one slice."""
        found, at = "", self.token
        if at.kind == "slice":
            column, _, value = self.take().text.partition("=")
            if not column.strip() or not value.strip():
                self.fail(at, "a slice needs a column and a value.", "Write e.g. n[country=CH].")
            found = f"{column.strip()}={value.strip()}"
        if self.slice not in (None, found):
            self.fail(
                variable,
                f"the clause speaks of [{self.slice}] and of [{found}]."
                if self.slice and found
                else f"the clause speaks of the slice [{self.slice or found}] and of all examples.",
                "Give every variable of a clause the same slice; join clauses about different slices with 'and'.",
            )
        self.slice = found

    def number(self, what: str) -> float:
        token = self.token
        if token.kind != "number":
            self.fail(token, f"{what} is expected, not {token.text!r}.", "For example: n - o > 0.02 +/- 0.01")
        value = float(self.take().text)
        if not math.isfinite(value):
            self.fail(token, f"{token.text} is too large a number.", "Variables lie in [0, 1].")
        return value
