"""Who works on which question right now.

A lease is a courtesy between annotators, not a lock: it only hides a question from the others. It lives in the memory
of the server and not in the log, because losing it costs nothing worse than two people looking at the same row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Key: TypeAlias = tuple[str, str]
"""App and question."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A question reserved for one annotator.

    Parameters
    ----------
    annotator : str
        Who holds it.
    expires_at : float
        Seconds since 1970 UTC.
    """

    annotator: str
    expires_at: float


class Leases:
    """Leases on questions; expired ones count as absent.

    Examples
    --------
    >>> leases = Leases()
    >>> leases.claim(("churn", "q1"), "ada", now=0.0, seconds=60.0).expires_at
    60.0
    >>> leases.claim(("churn", "q1"), "bob", now=30.0, seconds=60.0) is None
    True
    >>> leases.holder(("churn", "q1"), now=61.0)
    ''
    """

    def __init__(self) -> None:
        self._leases: dict[Key, Lease] = {}

    def claim(self, key: Key, annotator: str, *, now: float, seconds: float) -> Lease | None:
        """Return the new or prolonged lease, or None when somebody else holds the question."""
        self._expire(now)
        held = self._leases.get(key)
        if held is not None and held.annotator != annotator:
            return None
        lease = self._leases[key] = Lease(annotator, now + seconds)
        return lease

    def release(self, key: Key, annotator: str) -> None:
        """End the annotator's lease; without one nothing happens."""
        held = self._leases.get(key)
        if held is not None and held.annotator == annotator:
            del self._leases[key]

    def holder(self, key: Key, now: float) -> str:
        """Return who holds the question; empty: nobody."""
        lease = self._leases.get(key)
        return lease.annotator if lease is not None and lease.expires_at > now else ""

    def _expire(self, now: float) -> None:
        for key in [key for key, lease in self._leases.items() if lease.expires_at <= now]:
            del self._leases[key]
