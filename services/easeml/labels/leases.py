"""Who works on which question right now.

A lease is a courtesy between annotators, not a lock: it only hides a question from the others. It lives in the memory
of the server and not in the log, because losing it costs nothing worse than two people looking at the same row.
"""

from __future__ import annotations

from typing import TypeAlias

Key: TypeAlias = tuple[str, str]
"""App and question."""


class Leases:
    """Leases on questions; expired ones count as absent.

    Examples
    --------
    >>> leases = Leases()
    >>> leases.claim(("churn", "q1"), "ada", now=0.0, seconds=60.0)
    60.0
    >>> leases.claim(("churn", "q1"), "bob", now=30.0, seconds=60.0)
    90.0
    >>> leases.holders(("churn", "q1"), now=30.0), leases.holders(("churn", "q1"), now=61.0)
    (('ada', 'bob'), ('bob',))
    """

    def __init__(self) -> None:
        self._ends: dict[Key, dict[str, float]] = {}

    def claim(self, key: Key, annotator: str, *, now: float, seconds: float) -> float:
        """Give or prolong a lease, and return when it ends."""
        self._expire(now)
        self._ends.setdefault(key, {})[annotator] = now + seconds
        return now + seconds

    def release(self, key: Key, annotator: str) -> None:
        """End the annotator's lease; without one nothing happens."""
        self._ends.get(key, {}).pop(annotator, None)

    def holders(self, key: Key, now: float) -> tuple[str, ...]:
        """Return who holds the question, in the order in which they claimed it."""
        return tuple(annotator for annotator, end in self._ends.get(key, {}).items() if end > now)

    def _expire(self, now: float) -> None:
        for key in list(self._ends):
            left = {annotator: end for annotator, end in self._ends[key].items() if end > now}
            if left:
                self._ends[key] = left
            else:
                del self._ends[key]
