"""The model file: a skops archive of types on a frozen list.

::

    data = dump(classifier)      # bytes; equal models give equal bytes
    classifier = load(data)      # ArtifactError when anything about it is not as expected

``load`` believes nothing: the archive must unpack to a bounded size, every node of its schema must be a pair
of loader and type in ``TRUSTED``, skops then audits the same types, and what native code would follow blindly and
settings that change what a type does must be as our own models have them (``validation``). No pickle is read at any
point.
"""

from __future__ import annotations

from typing import Any

import skops.io

from easeml.artifacts.archive import document_of, normalised
from easeml.artifacts.classifier import Classifier
from easeml.artifacts.schema import check_schema
from easeml.artifacts.trusted import TYPES
from easeml.artifacts.validation import validate
from easeml.errors import ArtifactError

FORMAT = "skops"
"""Value of ``ModelPublished.format`` of these files."""

MAX_EXPANDED = 2**30
"""Bytes a model file may unpack to."""

_TRAINING_ONLY = ("_optimizer", "_random_state", "_label_binarizer_cache", "_feature_subsample_rng", "_scorer")
_MEND = "Publish a model that easeml.artifacts.dump wrote; pickle and joblib files are never read."


def trimmed(estimator: Any) -> Any:
    """Return a fitted estimator itself, without what only further training needs: generators, optimizers, scorers.

    ``load`` trusts no such types, so ``dump`` refuses estimators that still hold them.
    """
    for name in _TRAINING_ONLY:
        vars(estimator).pop(name, None)
    return estimator


def dump(model: Classifier) -> bytes:
    """Return the file of ``model``.

    Raises
    ------
    ArtifactError
        When ``load`` would refuse it.
    """
    try:
        data = normalised(skops.io.dumps(model))
    except Exception as error:
        # skops raises whatever a type's own state functions raise
        raise ArtifactError(f"The model cannot be written as skops: {error!r}.", mend=_MEND) from error
    check_schema(*document_of(data, MAX_EXPANDED), MAX_EXPANDED)
    _validate(model)
    return data


def load(data: bytes, max_expanded: int = MAX_EXPANDED) -> Classifier:
    """Return the model in the file ``data``.

    Parameters
    ----------
    data : bytes
        A file that ``dump`` wrote.
    max_expanded : int
        Bytes that it may unpack to.

    Raises
    ------
    ArtifactError
        When the file is not a model of trusted types whose parts fit each other; names what was found.
    """
    check_schema(*document_of(data, max_expanded), max_expanded)
    try:
        model = skops.io.loads(data, trusted=TYPES)
    except Exception as error:
        # constructors of scikit-learn raise whatever crafted arrays make them raise
        raise ArtifactError(f"The model file cannot be read: {error!r}.", mend=_MEND) from error
    if not isinstance(model, Classifier):
        raise ArtifactError(f"The model file holds a {type(model).__name__}, not a Classifier.", mend=_MEND)
    _validate(model)
    return model


def _validate(model: Classifier) -> None:
    try:
        validate(model)
    except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
        raise ArtifactError(f"The model file is incomplete: {error!r}.", mend=_MEND) from error
