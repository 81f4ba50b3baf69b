"""The overfitting meter: how far validation and reality have drifted apart, shown as one of a few ranges.

Developers see their loss on the validation set, and after each step which of m ranges holds its distance from
the true loss, which a hidden test set estimates. As they see one of m symbols only, the estimate stays good to
``tolerance`` over all steps; a monotone meter, which only moves up, can show far fewer histories and needs far
fewer examples.

Guarantee: with probability >= reliability the true distance never exceeds the range shown by more than the
tolerance, over all steps, whatever the developers do.
Source: Hubis, Wu and Zhang, "Quantitative overfitting management for human-in-the-loop ML application
development with ease.ml/meter", 2019, sections 3 and 4.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from easeml.ci.bounds import hoeffding_half_width, hoeffding_size
from easeml.errors import BudgetExhaustedError, ConfigurationError, InvalidDataError

DEFAULT_RANGES = (0.01, 0.02, 0.05, 0.1)
MAX_STEPS = 100_000


def log_meter_histories(steps: int, ranges: int, *, monotone: bool) -> float:
    """Return the log of how many histories a meter can show: m^H, or C(H+m-1, m-1) when it only moves up.

    Raises
    ------
    ConfigurationError
        For fewer than one step or two ranges.

    >>> round(math.exp(log_meter_histories(32, 5, monotone=True)))
    58905
    """
    if not 1 <= steps <= MAX_STEPS or ranges < 2:
        raise ConfigurationError(
            f"A meter of {ranges} ranges over {steps} steps cannot be.",
            mend=f"Use at least 2 ranges, and 1 to {MAX_STEPS} steps.",
        )
    return math.log(math.comb(steps + ranges - 1, ranges - 1)) if monotone else steps * math.log(ranges)


def meter_size(steps: int, ranges: int, tolerance: float, reliability: float, *, monotone: bool = True) -> int:
    """Return the hidden test examples that a meter needs.

    Parameters
    ----------
    steps : int
        H.
    ranges : int
        m.
    tolerance : float
        In (0, 1).
    reliability : float
        In (0, 1), over all steps.
    monotone : bool
        Whether the meter only moves up.

    Raises
    ------
    ConfigurationError

    Examples
    --------
    >>> meter_size(32, 2, 0.01, 0.999, monotone=False), meter_size(32, 2, 0.01, 0.999)
    (145443, 52022)
    """
    if not 0 < tolerance < 1 or not 0 < reliability < 1:
        raise ConfigurationError(
            f"tolerance={tolerance!r} and reliability={reliability!r} are not both between 0 and 1.",
            mend="Use e.g. 0.01 and 0.999.",
        )
    log_alpha = math.log1p(-reliability) - log_meter_histories(steps, ranges, monotone=monotone)
    return math.ceil(hoeffding_size(1.0, tolerance, log_alpha) - 1e-6)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meter shows after one step.

    Attributes
    ----------
    step : int
        From 1.
    level : int
        The range shown, from 0.
    low, high : float
        Its ends.
    at_most : float
        What the true distance does not exceed, with the meter's reliability: ``high`` and the tolerance.
    """

    step: int
    level: int
    low: float
    high: float
    at_most: float


class Meter:
    """Shows, for at most ``steps`` models, in which range validation loss and true loss lie apart.

    Parameters
    ----------
    examples : int
        Size of the hidden test set.
    steps : int
        H.
    edges : sequence of float
        Ends between the ranges, ascending, in (0, 1); m - 1 of them.
    reliability : float
    monotone : bool

    Raises
    ------
    ConfigurationError

    Examples
    --------
    >>> meter = Meter(60_000, steps=32, edges=(0.05,), reliability=0.999)
    >>> meter.read(validation_loss=0.10, test_loss=0.12)
    Reading(step=1, level=0, low=0.0, high=0.05, at_most=0.0593...)
    >>> meter.read(validation_loss=0.05, test_loss=0.12).level
    1
    """

    def __init__(
        self,
        examples: int,
        *,
        steps: int,
        edges: Sequence[float] = DEFAULT_RANGES,
        reliability: float,
        monotone: bool = True,
    ) -> None:
        ascending = all(a < b for a, b in zip((0.0, *edges), (*edges, 1.0), strict=True))
        if not edges or not ascending:
            raise ConfigurationError(
                f"{tuple(edges)} do not divide [0, 1] into ranges.", mend="Give ascending numbers between 0 and 1."
            )
        if examples < 1 or not 0 < reliability < 1:
            raise ConfigurationError(
                f"{examples} examples and reliability={reliability!r} make no meter.",
                mend="Give at least one example and a reliability between 0 and 1.",
            )
        self.examples, self.steps, self.edges = examples, steps, tuple(float(edge) for edge in edges)
        self.reliability, self.monotone = reliability, monotone
        histories = log_meter_histories(steps, len(self.edges) + 1, monotone=monotone)
        self.tolerance = hoeffding_half_width(1.0, examples, math.log1p(-reliability) - histories)
        self.levels: list[int] = []

    def read(self, validation_loss: float, test_loss: float) -> Reading:
        """Show the next range; it uses up one step.

        Parameters
        ----------
        validation_loss, test_loss : float
            Mean losses in [0, 1] of one model on either set.

        Raises
        ------
        InvalidDataError
            For a loss outside [0, 1].
        BudgetExhaustedError
            When all steps are used.
        """
        if not (0 <= validation_loss <= 1 and 0 <= test_loss <= 1):
            raise InvalidDataError(
                f"Losses of {validation_loss!r} and {test_loss!r} do not both lie in [0, 1].",
                mend="Use the share of wrong predictions, or divide by the largest loss.",
            )
        if len(self.levels) >= self.steps:
            raise BudgetExhaustedError(
                f"The meter has shown all {self.steps} steps.",
                mend="Start a new one with a fresh hidden test set.",
                reason="steps_exhausted",
            )
        level = bisect_right(self.edges, abs(validation_loss - test_loss))
        if self.monotone and self.levels:
            level = max(level, self.levels[-1])
        self.levels.append(level)
        ends = (0.0, *self.edges, 1.0)
        high = ends[level + 1]
        return Reading(len(self.levels), level, ends[level], high, min(1.0, high + self.tolerance))

    def state(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        kept = ("examples", "steps", "reliability", "monotone")
        return {name: getattr(self, name) for name in kept} | {"edges": list(self.edges), "levels": list(self.levels)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the meter that :meth:`state` described."""
        given = dict(state)
        levels = given.pop("levels")
        meter = cls(given.pop("examples"), **given)
        meter.levels = list(levels)
        return meter


__all__ = ["DEFAULT_RANGES", "Meter", "Reading", "log_meter_histories", "meter_size"]
