"""Which algorithm to train next, and training it.

Event in: DataVersion (train, validation), TrialFinished, Tick. Event out: TrialAssigned.
A scheduler keeps the belief about every algorithm's quality and assigns at most two trials of an app at a time; the
trainer (``easeml.automl.trainer``) turns each trial into a model file and ModelPublished.
A trial that fails is a TrialFinished with its error; one that is lost loses its lease.
"""

from easeml.automl.portfolio import announcements
from easeml.automl.scheduler import Scheduler

__all__ = ["Scheduler", "announcements"]
