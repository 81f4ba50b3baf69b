"""What waiting has cost a tenant.

Source: Li et al., PVLDB 2018 (multi-tenant, cost-aware regret): while any run lasts, every tenant pays for what it has
not reached yet.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Regret:
    """Cost-weighted regret of one tenant, for a best quality that may become known later.

    Parameters
    ----------
    seconds : float
        CPU seconds that all tenants' runs took since this one was admitted.
    earned : float
        The same, each second weighed by the best quality that this tenant had before the run ended.
    """

    seconds: float = 0.0
    earned: float = 0.0

    def spend(self, cost: float, best: float) -> None:
        """Count a run of any tenant: ``cost`` CPU seconds, during which this one had ``best``, from 0."""
        self.seconds += cost
        self.earned += cost * best

    def total(self, top: float) -> float:
        """Return the sum of cost times (top - best so far), in CPU seconds, for the best reachable quality ``top``."""
        return top * self.seconds - self.earned
