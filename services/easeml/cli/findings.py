"""What the doctor found: one line for each thing looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the doctor looked at."""

    subject: str
    well: bool
    text: str
    waits: bool = False  #: nothing is broken, but somebody has to do something

    @property
    def state(self) -> str:
        """One word for people."""
        return "WRONG" if not self.well else "WAITS" if self.waits else "ok"


NAMED = 3
"""Things that a finding names; more are counted."""


def some(texts: list[str], between: str = ", ") -> str:
    """Name the first of several things and count the others."""
    more = len(texts) - NAMED
    return between.join(sorted(texts)[:NAMED]) + (f" and {more} more" if more > 0 else "")
