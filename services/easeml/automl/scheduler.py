"""Which tenant trains which algorithm next, on devices that become free one by one.

Sources: Li et al., PVLDB 2018 (ease.ml): cost-aware GP-UCB within a tenant, GREEDY and HYBRID between tenants; Yu et
al., AISTATS 2019: MM-GP-EI; Desautels et al., JMLR 2014: runs under way narrow the variance, as if they had ended as
expected, so that devices do not try twins of one another.
Deterministic given its calls (and the seed, for ``random``); ``state()`` and ``from_state()`` round-trip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from easeml.automl.acquisition import expected_improvement, upper_bounds
from easeml.automl.kernel import Floats, cost_prior, quality_prior
from easeml.automl.tenants import Priors, Run, Running, Tenant
from easeml.automl.turns import Turns
from easeml.errors import ConfigurationError, ConflictError, InvalidDataError, NotFoundError

POLICIES = ("hybrid", "greedy", "round_robin", "random", "fcfs", "gp_ei")
"""See ``Turns``; ``random``: any run."""


class Scheduler:
    """Multi-tenant, multi-device scheduler of trials.

    Parameters
    ----------
    algorithms : sequence of str
        Algorithms known at the start, in the order of preference.
    policy : str
        One of ``POLICIES``.
    history : tuple of (float64[tasks, algorithms], float64[tasks, algorithms]), optional
        Qualities in [0, 1] and CPU seconds of the algorithms on past tasks, two at least.
    costs : mapping of str to float, or float64[algorithms], optional
        Expected CPU seconds per algorithm, > 0; the history's where missing, else 1.
    delta : float
        Of the upper bounds, in (0, 1).
    rng : Generator, optional
        Needed by ``random`` alone.

    Raises
    ------
    ConfigurationError
        When the policy is unknown or lacks its generator, or ``delta`` is out of range.
    InvalidDataError
        When algorithms repeat, or history or costs do not fit them.
    NotFoundError
        When costs name an unknown algorithm.

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
        history: tuple[ArrayLike, ArrayLike] | None = None,
        costs: Mapping[str, float] | ArrayLike | None = None,
        delta: float = 0.1,
        rng: np.random.Generator | None = None,
    ) -> None:
        _check_settings(policy, delta, rng)
        self.policy = policy
        self.delta = float(delta)
        self.algorithms = list(algorithms)
        if len(set(self.algorithms)) < len(self.algorithms):
            raise InvalidDataError("An algorithm is named twice.", mend="Name every algorithm once.")
        self._history = _checked_history(history, len(self.algorithms))
        self._costs = self._named(costs)
        self._rng = rng
        self._tenants: dict[str, Tenant] = {}
        self._turns = Turns(policy)
        self._priors = self._learn_priors()

    def add_tenant(
        self, tenant: str, costs: Mapping[str, float] | ArrayLike | None = None, priority: float = 1.0
    ) -> None:
        """Admit a tenant.

        Parameters
        ----------
        tenant : str
            Its name.
        costs : mapping of str to float, or float64[algorithms], optional
            CPU seconds on its data, > 0, where known. One cheap probe tells much about the others.
        priority : float
            Weighs its turns and gains, > 0.

        Raises
        ------
        ConflictError
            When it is known already.
        InvalidDataError
            When costs or priority are not positive numbers.
        NotFoundError
            When costs name an unknown algorithm.
        """
        if tenant in self._tenants:
            raise ConflictError(f"The tenant {tenant!r} is scheduled already.", mend="Remove it first.")
        if not 0 < priority < math.inf:
            raise InvalidDataError(f"The priority of {tenant!r} was {priority}.", mend="Give a number above 0.")
        known = {self.algorithms.index(name): cost for name, cost in self._named(costs).items()}
        self._tenants[tenant] = Tenant(float(priority), known, self._priors, self._scores)
        self._tenants[tenant].served = self._turns.taken

    def remove_tenant(self, tenant: str) -> None:
        """Forget a tenant and its running trials."""
        self._tenant(tenant)
        del self._tenants[tenant]

    def add_algorithm(self, algorithm: str, cost_hint: float = 1.0) -> None:
        """Announce a new algorithm: every tenant is reconsidered. A known one only changes its cost hint.

        Raises
        ------
        InvalidDataError
            When the hint, CPU seconds, is not a positive number.
        """
        self._costs[algorithm] = _checked_cost(algorithm, cost_hint)
        if algorithm not in self.algorithms:
            for tenant in self._tenants.values():
                tenant.widen(self._turns.taken)
            self.algorithms.append(algorithm)
            self._turns.improved()
        self._priors = self._learn_priors()
        for tenant in self._tenants.values():
            tenant.learn(self._priors)

    def learn(self, history: tuple[ArrayLike, ArrayLike]) -> None:
        """Take another history: every tenant is reconsidered.

        Parameters
        ----------
        history : tuple of (float64[tasks, known], float64[tasks, known])
            Qualities in [0, 1] and CPU seconds of the first ``known`` algorithms on past tasks, two at least.

        Raises
        ------
        InvalidDataError
            When it does not fit.
        """
        known = min(np.shape(history[0])[-1], len(self.algorithms))
        self._history = _checked_history(history, known)
        self._priors = self._learn_priors()
        for tenant in self._tenants.values():
            if tenant.open:  # the others believe what they believed until there is something to try
                tenant.learn(self._priors)

    def next(self, device: int = 0) -> tuple[str, str] | None:
        """Return the (tenant, algorithm) that ``device`` is to train, marked as running; None: nothing is left."""
        choice = self.peek()
        if choice is not None:
            self.begin(*choice, device)
        return choice

    def peek(self, among: Sequence[str] | None = None) -> tuple[str, str] | None:
        """Return what ``next`` would, of these tenants alone where they are given; nothing is marked.

        Raises
        ------
        NotFoundError
            When one of the tenants is unknown.
        """
        waiting = self._waiting(among)
        if not waiting:
            return None
        if self._rng is not None and self.policy == "random":
            name = list(waiting)[int(self._rng.integers(len(waiting)))]
        else:
            name = replace(self._turns).pick(waiting)
        return name, self.algorithms[waiting[name].choice()[0]]

    def begin(self, tenant: str, algorithm: str, device: int = 0, among: Sequence[str] | None = None) -> None:
        """Mark a run that ``peek`` of the same tenants, or anybody else, chose.

        Raises
        ------
        NotFoundError
            When tenant or algorithm is unknown.
        ConflictError
            When that run was begun already.
        """
        entry, arm = self._tenant(tenant), self._arm(algorithm)
        if entry.begun(arm):
            raise ConflictError(f"{algorithm!r} of {tenant!r} was begun already.", mend="Ask peek() or next().")
        waiting = self._waiting(among)
        if waiting and self.policy != "random":
            self._turns.pick(waiting)  # for what it counts: a turn was taken, whoever has it
        chosen, score = entry.choice()
        entry.start(Running(arm, device, score if arm == chosen else float(self._scores(entry)[arm])))
        entry.served = self._turns.taken

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
            When quality or cost is out of range or not a number.
        """
        entry, arm = self._tenant(tenant), self._arm(algorithm)
        if any(run.arm == arm for run in entry.runs):
            raise ConflictError(f"{algorithm!r} of {tenant!r} is finished already.", mend="Report a run once.")
        if arm not in entry.running and arm not in entry.failed:
            raise NotFoundError(f"{algorithm!r} of {tenant!r} is not running.", mend="Ask next() first.")
        if not (0 <= quality <= 1 and 0 <= cost < math.inf):
            raise InvalidDataError(
                f"{algorithm!r} of {tenant!r} has quality {quality} and cost {cost}.",
                mend="Quality lies in [0, 1], cost is finite and not negative; report a run without them with fail().",
            )
        for other in self._tenants.values():
            other.regret.spend(float(cost), other.best)
        if quality > entry.best:
            self._turns.improved()
        score = entry.running[arm].score if arm in entry.running else 1.0
        entry.finish(Run(arm, float(quality), float(cost), score))

    def fail(self, tenant: str, algorithm: str, reason: str) -> None:
        """Record that a running trial gave no model; it is not tried again.

        Raises
        ------
        NotFoundError
            When the tenant or the run is unknown.
        """
        entry, arm = self._tenant(tenant), self._arm(algorithm)
        if arm not in entry.running:
            raise NotFoundError(f"{algorithm!r} of {tenant!r} is not running.", mend="Ask next() first.")
        entry.fail(arm, reason)

    def regret(self, best: Mapping[str, float] | None = None) -> tuple[dict[str, float], float]:
        """Return the cost-weighted regret per tenant and its average over the tenants, in CPU seconds.

        Parameters
        ----------
        best : mapping of str to float, optional
            Best quality that each tenant could reach; where unknown or surpassed, the best it has seen.

        Returns
        -------
        tuple
            Over all finished runs of anyone since the tenant was admitted, the sum of cost times (best reachable -
            best of the tenant before the run ended, from 0).
        """
        each = {
            name: tenant.regret.total(max((best or {}).get(name, 0.0), tenant.best))
            for name, tenant in self._tenants.items()
        }
        return each, sum(each.values()) / len(each) if each else 0.0

    def state(self) -> dict[str, Any]:
        """Return everything that decides later choices, as JSON values."""
        return {
            "policy": self.policy,
            "delta": self.delta,
            "algorithms": list(self.algorithms),
            "costs": dict(self._costs),
            "history": [part.tolist() for part in self._history] if self._history is not None else None,
            "turns": asdict(self._turns) | {"candidates": list(self._turns.candidates)},
            "rng": self._rng.bit_generator.state if self._rng is not None else None,
            "tenants": {name: tenant.state() for name, tenant in self._tenants.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the scheduler whose ``state()`` this is."""
        rng = None
        if state["rng"] is not None:
            rng = np.random.default_rng()
            rng.bit_generator.state = state["rng"]
        known = len(state["history"][0][0]) if state["history"] is not None else len(state["algorithms"])
        scheduler = cls(
            state["algorithms"][:known],
            policy=state["policy"],
            history=state["history"],
            delta=state["delta"],
            rng=rng,
        )
        scheduler.algorithms = list(state["algorithms"])
        scheduler._costs = dict(state["costs"])
        scheduler._turns = Turns(**state["turns"] | {"candidates": tuple(state["turns"]["candidates"])})
        scheduler._priors = scheduler._learn_priors()
        for name, tenant in state["tenants"].items():
            scheduler._tenants[name] = Tenant.from_state(tenant, scheduler._priors, scheduler._scores)
        return scheduler

    def _waiting(self, among: Sequence[str] | None) -> dict[str, Tenant]:
        names = self._tenants if among is None else among
        return {name: tenant for name in names if (tenant := self._tenant(name)).open}

    def _tenant(self, name: str) -> Tenant:
        if name not in self._tenants:
            raise NotFoundError(f"The tenant {name!r} is not scheduled.", mend="Call add_tenant first.")
        return self._tenants[name]

    def _arm(self, algorithm: str) -> int:
        if algorithm not in self.algorithms:
            raise NotFoundError(f"There is no algorithm {algorithm!r}.", mend="Call add_algorithm first.")
        return self.algorithms.index(algorithm)

    def _named(self, costs: Mapping[str, float] | ArrayLike | None) -> dict[str, float]:
        """Return costs by algorithm, whichever way they were given."""
        if costs is None:
            return {}
        if not isinstance(costs, Mapping):
            values = np.asarray(costs, float)
            if values.shape != (len(self.algorithms),):
                raise InvalidDataError(
                    f"There are costs of shape {values.shape} for {len(self.algorithms)} algorithms.",
                    mend="Pass one cost per algorithm, or a mapping of those that are known.",
                )
            costs = dict(zip(self.algorithms, values.tolist(), strict=True))
        for algorithm in costs:
            self._arm(algorithm)
        return {algorithm: _checked_cost(algorithm, cost) for algorithm, cost in costs.items()}

    def _learn_priors(self) -> Priors:
        qualities, seconds = self._history if self._history is not None else (None, None)
        cost = cost_prior(seconds, np.array([self._costs.get(name, math.nan) for name in self.algorithms]))
        return Priors(quality_prior(qualities, cost.mean), cost)

    def _scores(self, tenant: Tenant) -> Floats:
        """Return what a run of each arm promises the tenant, by the policy."""
        if self._rng is not None and self.policy == "random":
            return self._rng.random(len(self.algorithms))
        variance = tenant.quality.variance_after(tenant.running)
        seconds = tenant.expected_seconds()
        if self.policy == "gp_ei":
            return expected_improvement(tenant.quality.mean, variance, tenant.best) / seconds
        return upper_bounds(tenant.quality.mean, variance, seconds, tenant.started + 1, self.delta)


def _check_settings(policy: str, delta: float, rng: np.random.Generator | None) -> None:
    if policy not in POLICIES:
        raise ConfigurationError(f"The scheduler has no policy {policy!r}.", mend=f"Use one of {', '.join(POLICIES)}.")
    if policy == "random" and rng is None:
        raise ConfigurationError("The policy 'random' needs a generator.", mend="Pass rng=np.random.default_rng(0).")
    if not 0 < delta < 1:
        raise ConfigurationError(f"The scheduler's delta was {delta}.", mend="Give a number between 0 and 1.")


def _checked_cost(algorithm: str, cost: float) -> float:
    if not 0 < cost < math.inf:
        raise InvalidDataError(f"The cost of {algorithm!r} was {cost}.", mend="Give CPU seconds above 0.")
    return float(cost)


def _checked_history(history: tuple[ArrayLike, ArrayLike] | None, algorithms: int) -> tuple[Floats, Floats] | None:
    """Return the history as arrays, or raise what is wrong with it."""
    if history is None:
        return None
    qualities, costs = (np.asarray(part, float) for part in history)
    if qualities.shape != costs.shape or qualities.ndim != 2 or qualities.shape[1] != algorithms:
        raise InvalidDataError(
            f"The history has qualities of shape {qualities.shape} and costs of shape {costs.shape}, there are "
            f"{algorithms} algorithms.",
            mend="Pass one row per past task and one column per algorithm in both.",
        )
    if len(qualities) < 2 or not algorithms:
        raise InvalidDataError("The history has less than two tasks or no algorithm.", mend="Pass history=None.")
    # NaN fails the comparisons too.
    if not (np.all((qualities >= 0) & (qualities <= 1)) and np.all((costs >= 0) & (costs < math.inf))):
        raise InvalidDataError(
            "The history has qualities or costs that are out of range or not numbers.",
            mend="Quality lies in [0, 1], cost is finite and not negative; leave tasks out that miss an algorithm.",
        )
    return qualities, costs
