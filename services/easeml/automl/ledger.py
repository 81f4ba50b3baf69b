"""What happened on the trials topic, told in one order: requests, assignments and ends, and the scheduler they feed.

One scheduler serves all apps. Its history is what their finished trials taught: a round of an app is a past task once
every algorithm has ended on it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from easeml.automl.scheduler import Scheduler
from easeml.ids import EventId
from easeml.stream.events import Event
from easeml.stream.payloads import TrialAssigned, TrialFinished, TrialOutcome, TrialRequested

AHEAD = 2
"""Trials that a device has: one in training and one that waits, so that it never idles for an answer."""
PAST = 200
"""Tasks that the history has at most: a kernel of more learns nothing new and costs more."""
_LAST_TURN = 2**53

Table = list[list[float]]
"""Tasks by algorithms."""
Fact = Event[TrialRequested] | Event[TrialAssigned] | Event[TrialFinished]


class Choice(NamedTuple):
    """What is to be tried next, and on which device; its name is empty while none was heard of."""

    app: str
    algorithm: str
    device: str


class Task(NamedTuple):
    """What a trial is for."""

    app: str
    round: int
    algorithm: str


class Ledger:
    """Books facts in the order given and chooses what comes next; deterministic given that order.

    Parameters
    ----------
    policy : str
        Policy of the scheduler.
    """

    def __init__(self, policy: str) -> None:
        self.turn = 0
        self._policy = policy
        self._scheduler: Scheduler | None = None
        self._costs: dict[str, float] = {}
        self._asked: set[EventId] = set()
        self._requests: dict[str, Event[TrialRequested]] = {}
        self._owners: dict[int, str] = {}
        self._tasks: dict[str, Task] = {}
        self._begun: dict[Task, str] = {}
        self._outstanding: dict[str, int] = {}
        self._ends: dict[str, TrialFinished] = {}
        self._past: dict[tuple[str, int], dict[str, tuple[float, float]]] = {}
        self._news = False
        self._taught_by: tuple[Table, Table] | None = None
        self._sizes: list[int] = []

    def book(self, fact: Fact) -> None:
        """Take a fact in; one that was booked before, or is about nothing known, changes nothing."""
        match fact.data:
            case TrialRequested():
                self._requested(fact)
            case TrialAssigned():
                self._assigned(fact.data, fact.partition)
            case TrialFinished():
                self._finished(fact.data, fact.partition)

    def request(self, app: str) -> TrialRequested:
        """Return the newest request of an app that was chosen."""
        return self._requests[app].data

    def choose(self) -> Choice | None:
        """Return the next trial: of the device with the fewest, for the tenant in its reach that gains most.

        A device reaches the apps whose data it has, those of its partitions.
        """
        if self._scheduler is None:
            return None
        reach: dict[str, list[str]] = {}
        for app in sorted(self._requests):
            reach.setdefault(self._device(self._requests[app].partition), []).append(app)
        load = Counter(self._device(partition) for partition in self._outstanding.values())
        for device in sorted(reach, key=lambda name: (load[name], name)):
            choice = self._taught().peek(reach[device]) if load[device] < AHEAD else None
            if choice is not None:
                return Choice(*choice, device)
        return None

    def _device(self, partition: int) -> str:
        return self._owners.get(partition, "")

    def _requested(self, event: Event[TrialRequested]) -> None:
        asked, before = event.data, self._requests.get(event.app)
        newest = 1 if before is None else before.data.round  # rounds begin with 1
        if event.id in self._asked or asked.round < newest or not asked.costs:
            return
        self._asked.add(event.id)
        self._requests[event.app] = event
        scheduler = self._introduce({name: positive(cost) for name, cost in asked.costs.items()})
        if before is None or asked.round > before.data.round:
            if before is not None:
                scheduler.remove_tenant(event.app)
            scheduler.add_tenant(event.app, priority=positive(asked.priority))

    def _introduce(self, costs: Mapping[str, float]) -> Scheduler:
        if self._scheduler is None:
            self._scheduler = Scheduler(list(costs), policy=self._policy, costs=costs)
        else:
            for name, cost in costs.items():
                if self._costs.get(name) != cost:
                    self._scheduler.add_algorithm(name, cost)
        self._costs |= costs
        if len(self._costs) not in self._sizes:
            self._sizes.append(len(self._costs))
        return self._scheduler

    def _assigned(self, trial: TrialAssigned, partition: int) -> None:
        self.turn = max(self.turn, turn_of(trial))
        task = Task(trial.app, trial.round, trial.algorithm)
        # Somebody else may have said the name of this trial before, too early or of another task: what is not begun
        # here would be chosen for ever.
        if self._tasks.get(trial.trial) == task and (task in self._begun or not self._current(task)):
            return
        self._tasks[trial.trial] = task
        self._outstanding[trial.trial] = partition
        if self._current(task) and task not in self._begun:
            self._begun[task] = trial.trial
            among = [app for app in sorted(self._requests) if self._reaches(trial.device, app)]
            self._taught().begin(trial.app, trial.algorithm, among=among)
        end = self._ends.pop(trial.trial, None)
        if end is not None:  # heard of before: partitions are read side by side
            self._finished(end, partition)

    def _reaches(self, device: str, app: str) -> bool:
        return self._device(self._requests[app].partition) == device

    def _current(self, task: Task) -> bool:
        asked = self._requests.get(task.app)
        return asked is not None and asked.data.round == task.round and task.algorithm in self._costs

    def _finished(self, end: TrialFinished, partition: int) -> None:
        trained = end.outcome is TrialOutcome.TRAINED
        before = self._ends.get(end.trial)
        if before is not None and (before.outcome is TrialOutcome.TRAINED or not trained):
            return  # only a late result of a trial that was given up says something new
        self._ends[end.trial] = end
        if end.device:
            self._owners[partition] = end.device
        task = self._tasks.get(end.trial)
        self._outstanding.pop(end.trial, None)
        if task is None or not self._current(task) or self._begun.get(task) != end.trial:
            return
        assert self._scheduler is not None
        if trained:
            self._scheduler.finish(task.app, task.algorithm, end.quality, end.cost_seconds)
        else:
            self._scheduler.fail(task.app, task.algorithm, end.error or "")
        self._learn(task, end.quality if trained else 0.0, end.cost_seconds)

    def _learn(self, task: Task, quality: float, cost: float) -> None:
        """Make a round part of the history once it is complete.

        An algorithm that failed gave a quality of 0 for its cost. Where it cost nothing it was not the algorithm that
        failed: its rows did not come, or its trainer was lost.
        """
        if not (quality > 0 or 0 < cost < math.inf):
            return
        self._past.setdefault((task.app, task.round), {})[task.algorithm] = (quality, cost)
        self._news = True

    def _taught(self) -> Scheduler:
        """Return the scheduler with the history that the rounds so far make.

        It follows from which trials have ended, whatever the order in which they did between two choices.
        """
        assert self._scheduler is not None
        if self._news:
            self._news = False
            history = self._history(self._scheduler.algorithms)
            if history is not None and history != self._taught_by:
                self._taught_by = history
                self._scheduler.learn(history)
        return self._scheduler

    def _history(self, names: list[str]) -> tuple[Table, Table] | None:
        """Return qualities and costs of the rounds that are complete, as of the newest algorithms that two have."""
        for size in reversed(self._sizes):
            known = names[:size]
            past = sorted(key for key, row in self._past.items() if all(name in row for name in known))[-PAST:]
            if len(past) > 1:
                qualities, costs = (
                    [[self._past[key][name][part] for name in known] for key in past] for part in (0, 1)
                )
                return qualities, costs
        return None


def turn_of(trial: TrialAssigned) -> int:
    """Return the number of a decision; one that cannot be counted on from is 0, as one made by hand."""
    return trial.turn if 0 <= trial.turn < _LAST_TURN else 0


def positive(value: float) -> float:
    """Return an announced cost or priority; one that is no positive number counts as not given."""
    return value if 0 < value < math.inf else 1.0
