"""What a pipeline family declares: its parameters, with types and ranges.

So an announced algorithm is judged before it costs anything, and a package can bring families of its own
(``easeml.automl.contributions``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a family: a number in [low, high], integral or not, or one of ``choices``."""

    default: float | int | str | None
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()

    def accepts(self, value: Any) -> bool:
        """Whether ``value`` may stand for this parameter."""
        if self.choices:
            return value in self.choices
        if value is None:
            return self.default is None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if isinstance(self.default, int) and not isinstance(value, int):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kind = "an integer" if isinstance(self.default, int) else "a number"
        return f"{kind} in [{self.low:g}, {self.high:g}]" + (" or null" if self.default is None else "")


PREPARATION: dict[str, Parameter] = {
    "scale": Parameter("standard", choices=("standard", "clip", "rank")),
    "products": Parameter("none", choices=("none", "pairs")),
    "select": Parameter(1.0, 1e-3, 1.0),
    "reduce": Parameter(0, 0, 1000),
    "whiten": Parameter("no", choices=("no", "yes")),
}
"""Parameters that families take besides their own (``easeml.automl.preprocessing``)."""

WORLDS: dict[str, Parameter] = {"worlds": Parameter(0, 0, 32)}
"""How many possible worlds a trial samples uncertain rows from; 0: each row at its most probable."""

FOLLOW: dict[str, Parameter] = {"follow": Parameter(0, 0, 100_000)}
"""How many labels that come after the trial a learner learns before its next version is published; 0: it ends there."""


@dataclass(frozen=True, slots=True)
class Family:
    """One family.

    Parameters
    ----------
    make : callable
        ``make(seed, **parameters)`` -> unfitted estimator with ``fit(matrix, codes)``.
    parameters : mapping of str to Parameter
        What may be set.
    prepared : bool
        Whether it takes the parameters of ``PREPARATION`` and ``WORLDS`` too.
    online : bool
        Whether its estimators are ``easeml.automl.incremental.Online``, and it takes ``FOLLOW``.
    """

    make: Callable[..., Any]
    parameters: Mapping[str, Parameter]
    prepared: bool = True
    online: bool = False

    def takes(self) -> dict[str, Parameter]:
        """Return every parameter that may be set."""
        shared = (PREPARATION | WORLDS if self.prepared else {}) | (FOLLOW if self.online else {})
        return {**self.parameters, **shared}
