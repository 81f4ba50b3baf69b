"""Which tenant trains which algorithm next, on devices that become free one by one.

Sources: Li et al., PVLDB 2018 (ease.ml): GP-UCB with costs within a tenant, GREEDY (algorithm 2) and HYBRID (section
4.4) between tenants. HYBRID returns to GREEDY when any tenant improves; the published one never does.
Deterministic given its calls (and the seed, for ``random``); ``state()`` and ``from_state()`` round-trip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from easeml.automl.belief import Belief, Floats, Prior
from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError

POLICIES = ("hybrid", "greedy", "round_robin", "random", "fcfs")
"""``greedy``: the tenant with most to gain; ``hybrid``: greedy, in turn while it is frozen; ``round_robin``: in turn;
``random``: any run; ``fcfs``: in order."""

FREEZE = 10
"""s: steps without a change of the candidates or an improvement after which GREEDY counts as frozen."""


@dataclass
class _Tenant:
    priority: float
    costs: dict[str, float]
    belief: Belief
    running: dict[str, tuple[int, float]] = field(default_factory=dict)  # algorithm -> (device, bound when chosen)
    runs: list[tuple[str, float, float, float]] = field(default_factory=list)  # algorithm, quality, cost, bound
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> float:
        return max((quality for _, quality, _, _ in self.runs), default=0.0)

    @property
    def started(self) -> int:
        return len(self.running) + len(self.runs) + len(self.failed)


class Scheduler:
    """Multi-tenant, multi-device scheduler of trials.

    Parameters
    ----------
    algorithms : sequence of str
        Algorithms known at the start, in the order of preference.
    policy : str
        One of ``POLICIES``.
    history : tuple of (float64[tasks, algorithms], float64[tasks, algorithms]), optional
        Qualities in [0, 1] and CPU seconds of the algorithms on past tasks.
    costs : mapping of str to float, optional
        Expected CPU seconds per algorithm; 1 where unknown (or the history's mean).
    delta : float
        Of the upper bounds, in (0, 1).
    rng : Generator, optional
        Needed by ``random`` alone.

    Raises
    ------
    ConfigurationError
        When the policy is unknown or lacks its generator.

    Examples
    --------
    >>> scheduler = Scheduler(["logistic", "forest"], costs={"logistic": 0.1, "forest": 1.0})
    >>> scheduler.add_tenant("churn")
    >>> scheduler.next()
    ('churn', 'logistic')
    >>> scheduler.finish("churn", "logistic", quality=0.8, cost=0.1)
    >>> scheduler.next(), scheduler.next()
    (('churn', 'forest'), None)
    """

    def __init__(
        self,
        algorithms: Sequence[str],
        *,
        policy: str = "hybrid",
        history: tuple[Floats, Floats] | None = None,
        costs: Mapping[str, float] | None = None,
        delta: float = 0.1,
        rng: np.random.Generator | None = None,
    ) -> None:
        if policy not in POLICIES:
            raise ConfigurationError(
                f"The scheduler has no policy {policy!r}.", mend=f"Use one of {', '.join(POLICIES)}."
            )
        if policy == "random" and rng is None:
            raise ConfigurationError(
                "The policy 'random' needs a generator.", mend="Pass rng=np.random.default_rng(0)."
            )
        if history is not None and history[0].shape[1] != len(algorithms):
            raise InvalidDataError(
                f"The history has {history[0].shape[1]} columns, there are {len(algorithms)} algorithms.",
                mend="Pass one column of qualities and costs per algorithm.",
            )
        self.policy = policy
        self.delta = delta
        self.algorithms = list(dict.fromkeys(algorithms))
        self._history = history
        self._costs = dict(costs or {})
        self._rng = rng
        self._tenants: dict[str, _Tenant] = {}
        self._turn = 0
        self._still = 0
        self._candidates: list[str] = []
        self._prior = self._make_prior()

    def add_tenant(self, tenant: str, costs: Mapping[str, float] | None = None, priority: float = 1.0) -> None:
        """Admit a tenant; ``costs`` are its own expected CPU seconds, ``priority`` (> 0) weighs its turns.

        Raises
        ------
        ConflictError
            When it is known already.
        """
        if tenant in self._tenants:
            raise ConflictError(f"The tenant {tenant!r} is scheduled already.", mend="Remove it first.")
        if not priority > 0:
            raise InvalidDataError(f"The priority of {tenant!r} was {priority}.", mend="Give a number above 0.")
        self._tenants[tenant] = _Tenant(float(priority), dict(costs or {}), Belief(self._prior))

    def remove_tenant(self, tenant: str) -> None:
        """Forget a tenant and its running trials."""
        self._tenant(tenant)
        del self._tenants[tenant]

    def add_algorithm(self, algorithm: str, cost_hint: float = 1.0) -> None:
        """Announce a new algorithm: every tenant is reconsidered. A known one only changes its cost hint."""
        self._costs[algorithm] = float(cost_hint)
        if algorithm in self.algorithms:
            return
        self.algorithms.append(algorithm)
        self._prior = self._make_prior()
        for tenant in self._tenants.values():
            self._rebuild(tenant)

    def next(self, device: int = 0) -> tuple[str, str] | None:
        """Return the (tenant, algorithm) that ``device`` is to train, marked as running; None: nothing is left."""
        open_runs = {name: choice for name in self._tenants if (choice := self._open(name))}
        if not open_runs:
            return None
        name = self._pick(open_runs)
        algorithm, bound = self._arm(name, open_runs[name])
        self._tenants[name].running[algorithm] = (device, bound)
        self._turn += 1
        return name, algorithm

    def finish(self, tenant: str, algorithm: str, quality: float, cost: float) -> None:
        """Record a finished run: ``quality`` in [0, 1], ``cost`` in CPU seconds.

        A late result of a run that was given up counts as well.

        Raises
        ------
        NotFoundError
            When the tenant or the run is unknown.
        ConflictError
            When the run is finished already.
        InvalidDataError
            When quality or cost is not a finite number.
        """
        entry = self._tenant(tenant)
        if any(done == algorithm for done, *_ in entry.runs):
            raise ConflictError(f"{algorithm!r} of {tenant!r} is finished already.", mend="Report a run once.")
        if algorithm not in entry.running and algorithm not in entry.failed:
            raise NotFoundError(f"{algorithm!r} of {tenant!r} is not running.", mend="Ask next() first.")
        if not (math.isfinite(quality) and math.isfinite(cost) and cost >= 0):
            raise InvalidDataError(
                f"{algorithm!r} of {tenant!r} has quality {quality} and cost {cost}.", mend="Report it with fail()."
            )
        _, bound = entry.running.pop(algorithm, (0, 1.0))
        entry.failed.pop(algorithm, None)
        if quality > entry.best:
            self._still = 0
        entry.runs.append((algorithm, float(quality), float(cost), bound))
        entry.belief.observe(self.algorithms.index(algorithm), quality)

    def fail(self, tenant: str, algorithm: str, reason: str) -> None:
        """Record that a running trial gave no model; it is not tried again.

        Raises
        ------
        NotFoundError
            When the tenant or the run is unknown.
        """
        entry = self._tenant(tenant)
        if algorithm not in entry.running:
            raise NotFoundError(f"{algorithm!r} of {tenant!r} is not running.", mend="Ask next() first.")
        del entry.running[algorithm]
        entry.failed[algorithm] = reason

    def regret(self, best: Mapping[str, float] | None = None) -> tuple[dict[str, float], float]:
        """Return the cost-weighted regret per tenant and its average over the tenants.

        Parameters
        ----------
        best : mapping of str to float, optional
            Best quality that each tenant could reach; where unknown, the best it has seen.

        Returns
        -------
        tuple
            Sum over a tenant's runs of cost times (best - best so far before the run, from 0), in CPU seconds.
            Source: Li et al., section 3.2.
        """
        each: dict[str, float] = {}
        for name, tenant in self._tenants.items():
            top = (best or {}).get(name, tenant.best)
            so_far, total = 0.0, 0.0
            for _, quality, cost, _ in tenant.runs:
                total += cost * max(top - so_far, 0.0)
                so_far = max(so_far, quality)
            each[name] = total
        return each, float(np.mean(list(each.values()))) if each else 0.0

    def state(self) -> dict[str, Any]:
        """Return everything that decides later choices, as JSON values."""
        return {
            "policy": self.policy,
            "delta": self.delta,
            "algorithms": list(self.algorithms),
            "costs": dict(self._costs),
            "history": [part.tolist() for part in self._history] if self._history is not None else None,
            "turn": self._turn,
            "still": self._still,
            "candidates": list(self._candidates),
            "rng": self._rng.bit_generator.state if self._rng is not None else None,
            "tenants": {
                name: {
                    "priority": tenant.priority,
                    "costs": dict(tenant.costs),
                    "running": {algorithm: list(run) for algorithm, run in tenant.running.items()},
                    "runs": [list(run) for run in tenant.runs],
                    "failed": dict(tenant.failed),
                }
                for name, tenant in self._tenants.items()
            },
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the scheduler whose ``state()`` this is."""
        rng = None
        if state["rng"] is not None:
            rng = np.random.default_rng()
            rng.bit_generator.state = state["rng"]
        scheduler = cls([], policy=state["policy"], costs=state["costs"], delta=state["delta"], rng=rng)
        scheduler.algorithms = list(state["algorithms"])
        if state["history"] is not None:
            qualities, costs = state["history"]
            scheduler._history = (np.array(qualities), np.array(costs))
        scheduler._turn = state["turn"]
        scheduler._still = state["still"]
        scheduler._candidates = list(state["candidates"])
        scheduler._prior = scheduler._make_prior()
        for name, document in state["tenants"].items():
            scheduler.add_tenant(name, document["costs"], document["priority"])
            tenant = scheduler._tenants[name]
            tenant.running = {algorithm: (run[0], run[1]) for algorithm, run in document["running"].items()}
            tenant.runs = [(run[0], run[1], run[2], run[3]) for run in document["runs"]]
            tenant.failed = dict(document["failed"])
            scheduler._rebuild(tenant)
        return scheduler

    def _tenant(self, name: str) -> _Tenant:
        if name not in self._tenants:
            raise NotFoundError(f"The tenant {name!r} is not scheduled.", mend="Call add_tenant first.")
        return self._tenants[name]

    def _make_prior(self) -> Prior:
        return Prior(len(self.algorithms), self._history[0] if self._history is not None else None)

    def _rebuild(self, tenant: _Tenant) -> None:
        tenant.belief = Belief(self._prior)
        for algorithm, quality, _, _ in tenant.runs:
            tenant.belief.observe(self.algorithms.index(algorithm), quality)

    def _open(self, name: str) -> list[int]:
        tenant = self._tenants[name]
        taken = set(tenant.running) | set(tenant.failed) | {algorithm for algorithm, *_ in tenant.runs}
        return [index for index, algorithm in enumerate(self.algorithms) if algorithm not in taken]

    def _bounds(self, name: str) -> NDArray[np.float64]:
        tenant = self._tenants[name]
        return tenant.belief.upper_bounds(self._expected(tenant), tenant.started + 1, self.delta)

    def _expected(self, tenant: _Tenant) -> Floats:
        past = self._history[1].mean(axis=0) if self._history is not None else ()
        known = dict(zip(self.algorithms, past, strict=False)) | self._costs | tenant.costs
        return np.array([float(known.get(algorithm, 1.0)) for algorithm in self.algorithms])

    def _arm(self, name: str, choice: list[int]) -> tuple[str, float]:
        if self._rng is not None and self.policy == "random":
            index = int(self._rng.choice(choice))
            return self.algorithms[index], 1.0
        bounds = self._bounds(name)
        index = max(choice, key=lambda arm: (bounds[arm], -arm))
        return self.algorithms[index], float(bounds[index])

    def _pick(self, open_runs: Mapping[str, list[int]]) -> str:
        names = list(open_runs)
        if self._rng is not None and self.policy == "random":
            return names[int(self._rng.integers(len(names)))]
        if self.policy == "fcfs":
            return names[0]
        in_turn = min(names, key=lambda name: self._tenants[name].started / self._tenants[name].priority)
        if self.policy == "round_robin":
            return in_turn
        fresh = [name for name in names if not self._tenants[name].started]
        if fresh:  # every tenant runs once
            return fresh[0]
        if not all(self._tenants[name].runs for name in names):
            return in_turn
        candidates = self._below_average(names)
        self._still = self._still + 1 if candidates == self._candidates else 0
        self._candidates = candidates
        if self.policy == "hybrid" and self._still >= FREEZE:
            return in_turn
        return max(candidates, key=lambda name: self._gap(name, open_runs[name]))

    def _below_average(self, names: list[str]) -> list[str]:
        """Return V of algorithm 2, line 8: the tenants that know less than the average one."""
        room = {name: self._room(self._tenants[name]) for name in names}
        average = sum(room.values()) / len(room)
        return [name for name in names if room[name] >= average] or names

    def _gap(self, name: str, choice: list[int]) -> float:
        tenant = self._tenants[name]
        return (float(self._bounds(name)[choice].max()) - tenant.best) * tenant.priority

    @staticmethod
    def _room(tenant: _Tenant) -> float:
        """Return sigma~ after the last run: the least upper bound that held so far, minus the last quality."""
        return min(bound for *_, bound in tenant.runs) - tenant.runs[-1][1]
