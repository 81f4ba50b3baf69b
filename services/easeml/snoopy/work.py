"""What a worker process does for the service: it keeps the studies, and reads on in one for a while."""

from __future__ import annotations

import math
import time
from collections import OrderedDict

from easeml.errors import InvalidDataError
from easeml.relation import Relation
from easeml.snoopy.following import Following
from easeml.snoopy.report import FeasibilityReport

_KEPT = 4
"""Studies that a worker process keeps. While so many read, a further one reads to its end at once: it would be lost."""
_SECONDS = 1.0
_SEED = 0

_studies: OrderedDict[str, Following] = OrderedDict()


def read_on(
    name: str, relation: Relation, target_accuracy: float, model_error: float | None
) -> FeasibilityReport | InvalidDataError:
    """Return what the study of an app says after it has read on for about a second, or why there is none.

    Parameters
    ----------
    name : str
        Names the study.
    relation : Relation
        All training rows and what is known of them now.
    target_accuracy : float
        Accuracy that the user wants.
    model_error : float, optional
        Validation error of the best model so far.
    """
    study = _studies.pop(name, None)
    crowded = study is None and sum(other.reading for other in _studies.values()) >= _KEPT
    study = study or Following(_SEED)
    try:
        study.follow(relation)
        study.read_on(math.inf if crowded else _SECONDS, time.monotonic)
        report = study.report(target_accuracy, model_error)
    except InvalidDataError as error:
        return error
    _studies[name] = study
    while len(_studies) > _KEPT:
        done = (other for other, kept in _studies.items() if not kept.reading)
        del _studies[next(done, name)]
    return report
