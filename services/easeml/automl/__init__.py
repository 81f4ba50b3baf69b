"""Which algorithm to train next, and training it.

Event in: DataVersion (train, validation), CandidateBatch, Answer, Tick. Event out: TrialRequested, TrialAssigned,
TrialProgress, TrialFinished, ModelPublished.
One scheduler for all apps keeps the belief about every algorithm's quality and gives each device to the app that gains
most (``service``, ``house``); trainers (``trainer``) are the devices, and turn each trial into a model file.
A trial that fails is a TrialFinished with its error; so is one whose trainer gives no sign of life, or that a newer
version of the data makes pointless.

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
