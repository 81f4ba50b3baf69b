"""Whose turn it is: the rules that pick a tenant for the next run.

Sources: Li et al., PVLDB 2018, algorithm 2 (GREEDY) and section 4.4 (HYBRID); Yu et al., AISTATS 2019 (MM-GP-EI).
HYBRID returns to GREEDY when any tenant improves; the published one never does. GREEDY, HYBRID and MM-GP-EI may look
away from a tenant for ever when they are wrong about it; here each is held to half of its share of the turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from easeml.automl.tenants import Tenant

FREEZE = 10
"""s: turns without a change of the candidates or an improvement after which GREEDY counts as frozen."""

PATIENCE = 2.0
"""A tenant waits at most this often the turns that its share of the priorities would give it."""


@dataclass
class Turns:
    """Picks tenants, turn by turn.

    Parameters
    ----------
    policy : str
        ``fcfs``: in order; ``round_robin``: in turn; ``greedy``: the tenant with most to gain; ``hybrid``: greedy, in
        turn while it is frozen; ``gp_ei``: the highest expected improvement per second.
    taken : int
        Turns so far.
    still : int
        Turns of GREEDY since its candidates changed or a tenant improved.
    candidates : tuple of str
        V of algorithm 2, at the last turn of GREEDY.
    """

    policy: str
    taken: int = 0
    still: int = 0
    candidates: tuple[str, ...] = ()

    def improved(self) -> None:
        """Count that a tenant has a better model than before, or that all have something new to try."""
        self.still = 0

    def pick(self, tenants: Mapping[str, Tenant]) -> str:
        """Return the next tenant of ``tenants``, those with an arm left, in the order of admission; not empty.

        Every tenant runs once first, those of highest priority first. A tenant whose runs have all failed so far has
        its turns, and no more: nothing is known about its gain.
        """
        self.taken += 1
        if self.policy == "fcfs":
            return next(iter(tenants))
        fresh = [name for name, tenant in tenants.items() if not tenant.started]
        if fresh:
            return max(fresh, key=lambda name: tenants[name].priority)
        in_turn, _ = self._first_due(tenants, 1.0)
        late, end = self._first_due(tenants, PATIENCE)
        if self.policy == "round_robin":
            return in_turn
        if end < self.taken:
            return late
        known = {name: tenant for name, tenant in tenants.items() if tenant.runs}
        only_failed = not tenants[in_turn].runs and not tenants[in_turn].running
        if not known or only_failed:
            return in_turn
        if self.policy == "gp_ei":
            return max(known, key=lambda name: known[name].choice()[1] * known[name].priority)
        return self._greedy(known) or in_turn

    @staticmethod
    def _first_due(tenants: Mapping[str, Tenant], patience: float) -> tuple[str, float]:
        """Return the tenant whose time ends first, and when: ``patience`` times the turns between two of its share."""
        total = patience * sum(tenant.priority for tenant in tenants.values())
        ends = {name: tenant.served + total / tenant.priority for name, tenant in tenants.items()}
        first = min(ends, key=lambda name: ends[name])
        return first, ends[first]

    def _greedy(self, tenants: Mapping[str, Tenant]) -> str | None:
        """Return the candidate with most to gain; None while HYBRID is frozen."""
        rooms = {name: tenant.room for name, tenant in tenants.items()}
        mean = sum(rooms.values()) / len(rooms)
        candidates = tuple(name for name in tenants if rooms[name] >= mean) or tuple(tenants)
        self.still = self.still + 1 if candidates == self.candidates else 0
        self.candidates = candidates
        if self.policy == "hybrid" and self.still >= FREEZE:
            return None
        return max(candidates, key=lambda name: _gap(tenants[name]))


def _gap(tenant: Tenant) -> float:
    """Return how far the tenant's best model may be surpassed, weighed by its priority."""
    gap = tenant.choice()[1] - tenant.best
    return gap * tenant.priority if gap > 0 else gap / tenant.priority
