"""The figures of a benchmark, each beside its bar and its peer: what ``make bench`` puts in one table.

A benchmark prints whatever tables it likes, and tells each figure that somebody may ask for::

    tell("reading and decoding, share of reading alone", 0.73, "%", least=0.70, peer="raw confluent-kafka")
"""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "EASEML_FIGURES"
"""Names the file of JSON lines that figures are added to; without it they are not kept."""


@dataclass(frozen=True)
class Figure:
    """One figure.

    Parameters
    ----------
    part : str
        The benchmark, as its file is called.
    what : str
        What was measured.
    value : float
        How much of it; a share where the unit is ``%``.
    unit : str
        Of the value and its bars.
    least, most : float or None
        The bar: what it has to reach, or may reach.
    peer : str
        Who else was measured in the same run, and what came of it.
    """

    part: str
    what: str
    value: float
    unit: str = ""
    least: float | None = None
    most: float | None = None
    peer: str = ""

    @property
    def held(self) -> bool:
        """Whether the bar holds; also where there is none."""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def measured(self) -> str:
        """The value for people."""
        return shown(self.value, self.unit)

    @property
    def bar(self) -> str:
        """The bar for people; empty where there is none."""
        sides = (("≥", self.least), ("≤", self.most))
        return " and ".join(f"{sign} {shown(limit, self.unit)}" for sign, limit in sides if limit is not None)


def shown(value: float, unit: str = "") -> str:
    """Return a value with three significant digits and its unit.

    >>> shown(0.2345, "%"), shown(1234567.0, "rows/s"), shown(0.00012345), shown(40.0, "ms")
    ('23.4 %', '1,230,000 rows/s', '0.000123', '40 ms')
    """
    if unit == "%":
        value *= 100
    if not math.isfinite(value) or value == 0:
        text = f"{value:g}"
    else:
        digits = 2 - math.floor(math.log10(abs(value)))
        rounded = round(value, digits)
        text = f"{rounded:,.{max(digits, 0)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text} {unit}".strip()


def tell(
    what: str, value: float, unit: str = "", *, least: float | None = None, most: float | None = None, peer: str = ""
) -> Figure:
    """Note a figure of the benchmark that runs."""
    part = Path(sys.argv[0]).stem.removeprefix("bench_")
    figure = Figure(part, what, float(value), unit, least, most, peer)
    kept = os.environ.get(VARIABLE)
    if kept:
        with Path(kept).open("a") as file:
            file.write(json.dumps(asdict(figure)) + "\n")
    return figure
