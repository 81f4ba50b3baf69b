"""How fast the portfolio spends its labels: a hard cap, quicker after a start or an alarm, all spent by the horizon.

The rate is the mean of an even one over the rows left and of one that falls with 1/sqrt(rows since the start or the
last alarm), but never above half of the contested rows, as long as the even rate is not: labels held back then find
better rows. Nothing is tuned.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

_MEMORY = 0.99
_AT_MOST = 0.5
_EARLY = 0.5
_REMAINDER = 0.1


@dataclass(slots=True)
class Pace:
    """The budget and what of it may be spent by now.

    Attributes
    ----------
    budget, horizon : int
        Labels in all, and rows over which to spread them; after it a tenth is assumed to be still to come.
    asked, row : int
        Labels asked for, and rows seen.
    start : int
        Row of the start or the last alarm.
    granted : float
        Labels that may have been asked for by now.
    rate : float
        Labels granted by the last row.
    contested, weight : float
        Discounted sums of contested rows and of the discounts.
    """

    budget: int
    horizon: int
    asked: int = 0
    row: int = 0
    start: int = 0
    granted: float = 0.0
    rate: float = 0.0
    contested: float = 0.0
    weight: float = 0.0

    @property
    def due(self) -> int:
        """Labels that may be asked for now; 0 at the cap."""
        return max(min(int(self.granted + 1e-9), self.budget) - self.asked, 0)

    @property
    def share(self) -> float:
        """Share of contested rows lately, at least 1 %."""
        return max(self.contested / self.weight, 0.01) if self.weight else 1.0

    def advance(self, *, contested: bool) -> None:
        """Let a row pass."""
        left = max(self.budget - self.granted, 0.0)
        ahead = self.horizon - self.row if self.row < self.horizon else max(_REMAINDER * self.horizon, 1.0)
        even = left / ahead
        since = self.row - self.start
        root = math.sqrt(since)
        quick = left * (math.sqrt(since + 1) - root) / (math.sqrt(since + ahead) - root)
        wanted = _EARLY * quick + (1 - _EARLY) * even
        self.rate = min(max(even, min(wanted, _AT_MOST * self.share)), left)
        self.granted += self.rate
        self.row += 1
        self.contested = _MEMORY * self.contested + contested
        self.weight = _MEMORY * self.weight + 1.0

    def restart(self) -> None:
        """Spend quicker again, after a change."""
        self.start = self.row

    def state(self) -> dict[str, Any]:
        """Return the fields as JSON-able scalars."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return what :meth:`state` described."""
        return cls(**state)
