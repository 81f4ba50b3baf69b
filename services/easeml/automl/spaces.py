"""Declarative search spaces: a family and what may be set, as the few arms that the scheduler chooses among.

::

    {"name": "boosting-wide", "family": "boosting", "arms": 8, "cost_hint": 0.5, "parameters": {
        "max_iter": {"low": 30, "high": 300, "log": true}, "scale": ["standard", "rank"], "min_samples_leaf": 5}}

The scheduler's domain is finite, so a space becomes arms before it is announced: points of the Halton sequence, which
fill it evenly however few they are.

Source: Halton, Numerische Mathematik 1960.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from scipy.stats import qmc

from easeml.errors import ConfigurationError
from easeml.stream.payloads import AlgorithmAnnounced

MOST = 200
"""Arms of a space at most: the scheduler decides among a few hundred within a millisecond."""

_Number = Annotated[int | float, Field(ge=-1e15, le=1e15)]


class Between(BaseModel):
    """A number in [low, high]; an integer where both are, evenly on the logarithm where ``log``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    low: _Number
    high: _Number
    log: bool = False

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not (self.low < self.high and (self.low > 0 or not self.log)):
            raise ValueError("low must be below high, and above 0 for log")
        return self

    def at(self, share: float) -> int | float:
        """Return the number at a share of the way from low to high, in [0, 1)."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            # every integer has the same room, the last as much as the others
            return min(self.high, math.floor(self._between(self.low, self.high + 1, share)))
        return self._between(self.low, self.high, share)

    def _between(self, low: float, high: float, share: float) -> float:
        return low * (high / low) ** share if self.log else low + (high - low) * share


def _form(value: Any) -> str:
    if isinstance(value, Between | dict):
        return "range"
    return "choices" if isinstance(value, list) else "value"


_Value = str | int | float | None
_Setting = Annotated[
    Annotated[Between, Tag("range")]
    | Annotated[list[_Value], Field(min_length=1), Tag("choices")]
    | Annotated[_Value, Tag("value")],
    Discriminator(_form),
]


class Space(BaseModel):
    """A search space.

    Parameters
    ----------
    name : str
        Name of its algorithm; with more than one arm they are called name-1, name-2, ...
    family : str
        Pipeline family.
    parameters : mapping of str to value, list of choices, or {"low", "high", "log"}
        What is set, and what may be.
    arms : int
        How many, at most 200.
    cost_hint : float
        CPU seconds of one training on about 1,000 rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=60)
    family: str
    parameters: Mapping[str, _Setting] = {}
    arms: int = Field(1, ge=1, le=MOST)
    cost_hint: float = Field(1.0, gt=0, allow_inf_nan=False)

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """Return the space that a JSON object describes.

        Raises
        ------
        ConfigurationError
            Names the part that is wrong.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"]) or "it"
            raise ConfigurationError(
                f"The search space cannot be read: {where}: {first['msg']}.",
                mend='Write {"name": ..., "family": ..., "parameters": {"C": {"low": 0.1, "high": 10, "log": true}}}.',
            ) from error

    def algorithms(self) -> list[AlgorithmAnnounced]:
        """Return the arms, no two alike.

        Examples
        --------
        >>> space = Space(name="svm", family="svm", parameters={"C": Between(low=1.0, high=16.0, log=True)}, arms=3)
        >>> [arm.parameters for arm in space.algorithms()]
        ['{"C": 4.0}', '{"C": 2.0}', '{"C": 8.0}']
        """
        free = [name for name, value in self.parameters.items() if isinstance(value, Between | list)]
        points = qmc.Halton(max(len(free), 1), scramble=False).random(self.arms + 1)[1:]  # the first is a corner
        settings = [json.dumps(self._at(dict(zip(free, point.tolist(), strict=False)))) for point in points]
        distinct = list(dict.fromkeys(settings))
        names = [self.name] if len(distinct) == 1 else [f"{self.name}-{n + 1}" for n in range(len(distinct))]
        return [
            AlgorithmAnnounced(name, self.family, setting, self.cost_hint)
            for name, setting in zip(names, distinct, strict=True)
        ]

    def _at(self, shares: Mapping[str, float]) -> dict[str, Any]:
        return {name: _value(value, shares.get(name, 0.0)) for name, value in self.parameters.items()}


def _value(value: Any, share: float) -> Any:
    if isinstance(value, Between):
        return value.at(share)
    return value[int(share * len(value))] if isinstance(value, list) else value
