"""What an app's definition agrees on with CI: the protocol of a test set, and what it costs."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from easeml.ci.explain import Protocol
from easeml.ci.language import parse
from easeml.ci.meter import DEFAULT_RANGES, log_meter_histories
from easeml.ci.planning import Plan
from easeml.ci.slices import check_slices
from easeml.errors import ConfigurationError
from easeml.stream.payloads import AppDefined

_LEAST_ERROR = 1e-12
"""Smallest chance of error that still is told apart from none when it is taken off 1."""


def reliability_of(app: AppDefined) -> float:
    """Return the reliability that the verdicts must keep for the app's own to hold.

    Developers who see the meter learn one of a few ranges with every verdict: the error is shared over what it can
    show, as over the verdicts themselves.

    Raises
    ------
    ConfigurationError
        When the meter can show so much that no label would be enough.
    """
    if not app.meter:
        return app.reliability
    return _shared(app, log_meter_histories(app.steps, len(DEFAULT_RANGES) + 1, monotone=True))


def meter_reliability_of(app: AppDefined) -> float:
    """Return the reliability of a meter whose readings come beside the verdicts; errors as ``reliability_of``."""
    return _shared(app, math.log(protocol_of(app).plan().histories))


def _shared(app: AppDefined, log_histories: float) -> float:
    error = (1 - app.reliability) * math.exp(-log_histories)
    if error < _LEAST_ERROR:
        raise ConfigurationError(
            f"A meter beside the verdicts of {app.steps} models tells developers too much.",
            mend="Judge fewer models per test set, give it a budget of passes, or do without the meter.",
        )
    return 1 - error


def protocol_of(app: AppDefined) -> Protocol:
    """Return the protocol that the app's test sets follow.

    Raises
    ------
    ConditionError
        When the condition does not parse, or names a slice that no row of the app can belong to.
    ConfigurationError
        As ``reliability_of``.
    """
    condition = parse(app.condition)
    if app.columns:
        check_slices(condition, app.columns)
    return Protocol(condition, reliability_of(app), app.steps, app.adaptivity, app.mode, passes=app.passes)


def plan_of(app: AppDefined) -> Plan:
    """Return what the app's condition costs; errors as ``protocol_of`` and those of ``easeml.ci.plan``."""
    protocol_of(app)  # also checks what the plan does not depend on
    return _plan(app.condition, app.reliability, app.steps, app.adaptivity, app.mode, app.passes, app.meter)


@lru_cache(maxsize=256)
def _plan(*fields: Any) -> Plan:
    names = ("condition", "reliability", "steps", "adaptivity", "mode", "passes", "meter")
    return protocol_of(AppDefined("", "", (), (), **dict(zip(names, fields, strict=True)))).plan()


def scores_of(app: AppDefined) -> npt.NDArray[np.float64] | None:
    """Return the table of scores, label x prediction, shape (classes, classes), or None: right or wrong.

    Raises
    ------
    ConfigurationError
        When a score is of no class of the app.
    """
    if not app.scores:
        return None
    place = {name: index for index, name in enumerate(app.classes)}
    table = np.eye(len(place))
    for score in app.scores:
        strange = next((name for name in (score.label, score.prediction) if name not in place), None)
        if strange is not None:
            raise ConfigurationError(
                f"A score speaks of the class {strange!r}, which app {app.app!r} does not have.",
                mend=f"Its classes are: {', '.join(app.classes)}.",
            )
        table[place[score.label], place[score.prediction]] = score.worth
    return table


def frozen(app: AppDefined) -> dict[str, Any]:
    """Return what a test set freezes when it opens, JSON-able; a change of it demands fresh rows."""
    names = ("condition", "reliability", "steps", "adaptivity", "mode", "passes", "meter", "life")
    return {name: getattr(app, name) for name in names} | {
        "scores": [[score.label, score.prediction, score.worth] for score in app.scores],
        "classes": list(app.classes),
    }
