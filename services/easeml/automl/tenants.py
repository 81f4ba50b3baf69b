"""One tenant of the scheduler: its runs, what they taught about qualities and costs, and the arm it would run next."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from easeml.automl.acquisition import floored
from easeml.automl.belief import Belief
from easeml.automl.kernel import COST_NOISE, LEAST_SECONDS, QUALITY_NOISE, Floats, Prior
from easeml.automl.regret import Regret


class Run(NamedTuple):
    """A finished run: arm, quality in [0, 1], cost in CPU seconds, score of the arm when it was chosen."""

    arm: int
    quality: float
    cost: float
    score: float


class Running(NamedTuple):
    """A run under way: arm, device that trains it, score of the arm when it was chosen."""

    arm: int
    device: int
    score: float


@dataclass(frozen=True)
class Priors:
    """What is known about every tenant's qualities and log-seconds before its first run."""

    quality: Prior
    cost: Prior


class Tenant:
    """One tenant.

    Parameters
    ----------
    priority : float
        Weighs its turns and gains, > 0.
    costs : mapping of int to float
        CPU seconds of arms on this tenant's data, where known; the others follow in proportion.
    priors : Priors
        Before its first run.
    score : callable
        ``score(tenant)`` -> float64[arms], what a run of each arm promises.
    """

    def __init__(
        self, priority: float, costs: Mapping[int, float], priors: Priors, score: Callable[[Tenant], Floats]
    ) -> None:
        self.priority = priority
        self.costs = dict(costs)
        self.served = 0
        self.regret = Regret()
        self.running: dict[int, Running] = {}
        self.runs: list[Run] = []
        self.failed: dict[int, str] = {}
        self.best = 0.0
        self.ceiling = math.inf
        self._score = score
        self.learn(priors)

    @property
    def started(self) -> int:
        """Runs begun, whatever became of them."""
        return len(self.running) + len(self.runs) + len(self.failed)

    @property
    def room(self) -> float:
        """sigma~ after the last run: the least score of the runs so far minus the last quality (Li et al., alg. 2)."""
        return self.ceiling - self.runs[-1].quality

    @property
    def open(self) -> bool:
        """Whether an arm is left to run."""
        return self.started < len(self.quality.mean)

    def begun(self, arm: int) -> bool:
        """Whether a run of the arm was begun, whatever became of it."""
        return arm in self.running or arm in self.failed or any(run.arm == arm for run in self.runs)

    def widen(self, turn: int) -> None:
        """Get ready for one more arm: earlier scores do not bound it, and who had nothing to try has not waited."""
        if not self.open:
            self.served = turn
        self.ceiling = math.inf

    def learn(self, priors: Priors) -> None:
        """Take other priors, e.g. with more arms, and learn from all runs anew."""
        self.quality = Belief(priors.quality, QUALITY_NOISE)
        self._log_seconds = Belief(priors.cost, COST_NOISE)
        for arm, seconds in self.costs.items():
            self._log_seconds.observe(arm, math.log(max(seconds, LEAST_SECONDS)))
        for run in self.runs:
            self._observe(run)
        self._choice: tuple[int, float] | None = None

    def expected_seconds(self) -> Floats:
        """Return the expected CPU seconds of every arm, at least 2 % of their mean."""
        seconds = np.exp(self._log_seconds.mean)
        seconds[list(self.costs)] = list(self.costs.values())
        return floored(np.maximum(seconds, LEAST_SECONDS))

    def choice(self) -> tuple[int, float]:
        """Return the arm of highest score among those not started, the first of equals, and its score."""
        if self._choice is None:
            scores = self._score(self)
            scores[[*self.running, *self.failed, *(run.arm for run in self.runs)]] = -math.inf
            arm = int(scores.argmax())
            self._choice = arm, float(scores[arm])
        return self._choice

    def start(self, run: Running) -> None:
        """Count a run that begins."""
        self.running[run.arm] = run
        self._choice = None

    def finish(self, run: Run) -> None:
        """Count a run that ended well, under way or given up before."""
        self.running.pop(run.arm, None)
        self.failed.pop(run.arm, None)
        self._observe(run)
        self.runs.append(run)
        self.best = max(self.best, run.quality)
        self.ceiling = min(self.ceiling, run.score)
        self._choice = None

    def fail(self, arm: int, reason: str) -> None:
        """Count a run under way that gave no model."""
        del self.running[arm]
        self.failed[arm] = reason
        self._choice = None

    def state(self) -> dict[str, Any]:
        """Return everything that decides later choices, as JSON values."""
        return {
            "priority": self.priority,
            "costs": [list(item) for item in self.costs.items()],
            "served": self.served,
            "ceiling": self.ceiling if math.isfinite(self.ceiling) else None,
            "regret": [self.regret.seconds, self.regret.earned],
            "running": [list(run) for run in self.running.values()],
            "runs": [list(run) for run in self.runs],
            "failed": [list(item) for item in self.failed.items()],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], priors: Priors, score: Callable[[Tenant], Floats]) -> Tenant:
        """Return the tenant whose ``state()`` this is."""
        tenant = cls(state["priority"], dict(state["costs"]), priors, score)
        for run in state["runs"]:
            tenant.finish(Run(*run))
        for run in state["running"]:
            tenant.start(Running(*run))
        tenant.failed = dict(state["failed"])
        tenant.served = state["served"]
        tenant.ceiling = math.inf if state["ceiling"] is None else state["ceiling"]
        tenant.regret = Regret(*state["regret"])
        return tenant

    def _observe(self, run: Run) -> None:
        self.quality.observe(run.arm, run.quality)
        self._log_seconds.observe(run.arm, math.log(max(run.cost, LEAST_SECONDS)))
