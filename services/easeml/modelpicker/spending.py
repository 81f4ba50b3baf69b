"""How fast the label budget is spent.

The published algorithm asks about a contested row with probability max(s v, eta_t) and tunes the scale s on
labelled copies of the stream for every budget. Here s follows from the labels and rows left and from the
running mean of v, so nothing is tuned and the cap is hard. An even pace identifies the best model more often
than one that starts fast (on two public streams by 5 to 10 points), because the posterior aims later labels
better.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

_MEMORY = 0.99
_UNIFORM = 0.2
_REMAINDER = 0.1


@dataclass(slots=True)
class Spending:
    """The budget and the pace at which it is spent.

    Parameters
    ----------
    budget : int
        Labels that may ever be asked for.
    horizon : int
        Rows over which to spread them; a tenth of it is what is always assumed to be still to come.
    scale : float, optional
        A fixed s, as published; by default it is adapted.

    Attributes
    ----------
    asked : int
        Labels asked for.
    row : int
        Rows seen.
    mean_variance, mean_contested, weight : float
        Discounted sums of v and of contested rows, and of the discounts.
    """

    budget: int
    horizon: int
    scale: float | None = None
    asked: int = 0
    row: int = 0
    mean_variance: float = 0.0
    mean_contested: float = 0.0
    weight: float = 0.0

    def probability(self, variance: float, rate: float) -> tuple[float, float]:
        """Return the probability to ask about a contested row, and its floor.

        Parameters
        ----------
        variance : float
            v of the row, in (0, 1/4].
        rate : float
            Learning rate eta_t.

        Returns
        -------
        tuple of float
            Both in (0, 1] while labels are left, else 0. The floor does not depend on the row.
        """
        if self.asked >= self.budget:
            return 0.0, 0.0
        if self.scale is not None:
            return min(1.0, max(self.scale * variance, rate)), min(1.0, rate)
        ahead = max(self.horizon - self.row, _REMAINDER * self.horizon, 1.0)
        pace = (self.budget - self.asked) / ahead
        share = max(self.mean_contested / self.weight, 1e-3) if self.weight else 1.0
        floor = min(1.0, max(min(rate, pace / share), _UNIFORM * pace / share))
        usual = self.mean_variance / self.weight if self.weight else 0.25
        return min(1.0, max(pace * variance / max(usual, 1e-12), floor)), floor

    def passed(self, variance: float, *, contested: bool) -> None:
        """Take note that a row has passed."""
        self.row += 1
        self.mean_variance = _MEMORY * self.mean_variance + (variance if contested else 0.0)
        self.mean_contested = _MEMORY * self.mean_contested + contested
        self.weight = _MEMORY * self.weight + 1.0

    def state(self) -> dict[str, Any]:
        """Return the fields as JSON-able scalars."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        return cls(**state)
