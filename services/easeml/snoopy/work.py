"""What a worker process does for the service: it keeps the studies, and reads on in one for a while."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

from easeml.errors import InvalidDataError
from easeml.relation import Relation
from easeml.snoopy.following import Following
from easeml.snoopy.report import FeasibilityReport

_KEPT = 4
"""Studies that a worker process keeps; one that it has not is begun anew."""
_SECONDS = 0.7

_studies: OrderedDict[str, Following] = OrderedDict()


def read_on(
    app: str, relation: Relation, target_accuracy: float, model_error: float | None
) -> FeasibilityReport | InvalidDataError:
    """Return what the study of an app says after reading for less than a second, or why there is none.

    Parameters
    ----------
    app : str
        Names the app and its life.
    relation : Relation
        All training rows and what is known of them now.
    target_accuracy : float
        Accuracy that the user wants.
    model_error : float, optional
        Validation error of the best model so far.
    """
    study = _studies.pop(app, None) or Following(int.from_bytes(hashlib.sha256(app.encode()).digest()[:8]))
    try:
        study.follow(relation)
        study.read_on(_SECONDS, time.process_time)
        report = study.report(target_accuracy, model_error)
    except InvalidDataError as error:
        return error
    _studies[app] = study
    while len(_studies) > _KEPT:
        _studies.popitem(last=False)
    return report
