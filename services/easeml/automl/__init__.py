"""Which algorithm to train next, and training it.

Event in: DataVersion (train, validation), TrialFinished, Tick. Event out: TrialAssigned.
A scheduler keeps the belief about every algorithm's quality and assigns at most two trials of an app at a time; the
trainer (``easeml.automl.trainer``) turns each trial into a model file and ModelPublished.
A trial that fails is a TrialFinished with its error; one that is lost loses its lease.

For one tenant and without a broker: ``for candidate in fit(relation, budget_cpu_seconds=10): ...``
"""

from importlib import import_module
from typing import Any

from easeml.automl.portfolio import announcements
from easeml.automl.scheduler import Scheduler

_HOME = dict.fromkeys(("Candidate", "Portfolio", "Search", "fit"), "search")

__all__ = ["Candidate", "Portfolio", "Scheduler", "Search", "announcements", "fit"]


def __getattr__(name: str) -> Any:
    # On demand: the scheduler decides without what trains models.
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
