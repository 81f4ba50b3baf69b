"""A loaded model, looked through before it predicts.

Its types are trusted, its contents are not: scikit-learn and NumPy's companions follow indices in native code without
looking, and some settings make a trusted type read files or search for ever. So a model of a file is believed only
when its parts are of the types that belong there, fit each other in shape, and do what our own parts do.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from easeml.artifacts.arrays import is_floats, need
from easeml.artifacts.classifier import Classifier
from easeml.artifacts.compound import Pipeline, Vote
from easeml.artifacts.encoder import Encoder
from easeml.artifacts.estimators import validate_estimator
from easeml.artifacts.steps import STEPS

_MAX_COLUMNS = 100_000
"""Columns that a pipeline may make of fewer: a few bytes of a file would fill the memory with them."""


def validate(model: Classifier) -> None:
    """Check a model that was read from a file.

    Raises
    ------
    ArtifactError
        When a part does not belong there or does not fit the others.
    AttributeError, TypeError, ValueError, IndexError, KeyError
        When one lacks what every such part has.
    """
    _no_stand_ins(model)
    classes, encoder = model.classes, model.encoder
    need(type(classes) is tuple and len(set(classes)) == len(classes) > 0, "does not name its classes")
    need(all(type(name) is str for name in classes), "does not name its classes")
    need(type(encoder) is Encoder, "holds no encoder where one belongs")
    encoder.validate()
    if type(model.estimator) is Vote:
        _vote(model.estimator, encoder.width, len(classes))
    else:
        _member(model.estimator, encoder.width, len(classes))


def _vote(vote: Vote, width: int, domain: int) -> None:
    members = vote.members
    need(
        type(members) is list and len(members) > 0 and is_floats(vote.weights, len(members)),
        "holds a vote without one weight for each member",
    )
    for member in members:
        _member(member, width, domain)
        need(np.array_equal(member.classes_, members[0].classes_), "holds a vote over different classes")


def _member(estimator: Any, width: int, domain: int) -> None:
    """Check a model that is no vote; ``width``: columns it gets, ``domain``: classes there are."""
    if type(estimator) is Pipeline:
        need(type(estimator.steps) is list, "holds a pipeline without steps")
        most = max(width, _MAX_COLUMNS)
        for step in estimator.steps:
            need(type(step) in STEPS, f"prepares rows with a {type(step).__name__}")
            width = step.width(width)
            need(width <= most, f"prepares rows of {width} columns, {most} are the most")
        need(width > 0, "prepares rows of no columns")
        estimator = estimator.estimator
    need(type(estimator) not in {Pipeline, Vote}, "nests compound models deeper than they are made here")
    validate_estimator(estimator, width, domain)


def _no_stand_ins(model: Classifier) -> None:
    """Check that no attribute of any part hides a method of its type."""
    stack: list[Any] = [model]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            stack.extend(part.values())
        elif isinstance(part, list | tuple):
            stack.extend(part)
        elif hasattr(part, "__dict__") and not isinstance(part, type):
            attributes = vars(part)
            kind: type = type(part)
            hidden = sorted(map(str, attributes.keys() & _members(kind)))
            need(not hidden, f"holds an attribute that stands in for a method: {', '.join(hidden)}")
            stack.extend(attributes.values())


@cache
def _members(kind: type) -> frozenset[str]:
    return frozenset(dir(kind))
