"""Three-valued logic and interval arithmetic, in which conditions are evaluated.

A condition over quantities that are known up to an interval is true, false or unknown; the conjunction of
clauses is Kleene's strong conjunction.

Source: Renggli et al., "Continuous Integration of Machine Learning Models with ease.ml/ci", SysML 2019,
section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Self

from easeml.errors import InvalidDataError


class Truth(Enum):
    """Kleene's three truth values; ``&``, ``|`` and ``~`` are his strong connectives.

    >>> Truth.FALSE & Truth.UNKNOWN
    <Truth.FALSE: -1>
    >>> Truth.TRUE & Truth.UNKNOWN
    <Truth.UNKNOWN: 0>
    """

    FALSE = -1
    UNKNOWN = 0
    TRUE = 1

    def __and__(self, other: Truth) -> Truth:
        return Truth(min(self.value, other.value))

    def __or__(self, other: Truth) -> Truth:
        return Truth(max(self.value, other.value))

    def __invert__(self) -> Truth:
        return Truth(-self.value)

    def __bool__(self) -> bool:
        # `if truth:` would silently merge FALSE and UNKNOWN; the mode decides that, never the language.
        raise TypeError("A three-valued truth has no bool: compare it with Truth.TRUE or Truth.FALSE.")


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval ``[low, high]`` of real numbers.

    >>> Interval(0.8, 0.9) - 1.1 * Interval(0.7, 0.7)
    Interval(low=0.030000000000000027, high=0.13)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high) or self.low > self.high:
            raise InvalidDataError(
                f"[{self.low}, {self.high}] is not an interval.", mend="Give low <= high, neither of them NaN."
            )

    @classmethod
    def around(cls, centre: float, half_width: float) -> Self:
        """Return ``[centre - half_width, centre + half_width]``."""
        return cls(centre - half_width, centre + half_width)

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __rmul__(self, factor: float) -> Interval:
        ends = (factor * self.low, factor * self.high)
        return Interval(min(ends), max(ends))

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def clipped(self, low: float, high: float) -> Interval:
        """Return the part inside ``[low, high]``, or the nearest end point when there is none."""
        return Interval(min(max(self.low, low), high), max(min(self.high, high), low))

    def above(self, threshold: float, *, strict: bool = True) -> Truth:
        """Return whether the quantity lies above ``threshold``.

        A closed end that touches a strict threshold leaves the comparison unknown.
        """
        if self.low > threshold or (not strict and self.low == threshold):
            return Truth.TRUE
        if self.high < threshold or (strict and self.high == threshold):
            return Truth.FALSE
        return Truth.UNKNOWN

    def below(self, threshold: float, *, strict: bool = True) -> Truth:
        """Return whether the quantity lies below ``threshold``."""
        return (-self).above(-threshold, strict=strict)
