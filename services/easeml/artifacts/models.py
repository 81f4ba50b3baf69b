"""The model file: a skops archive of types on a frozen list.

::

    data = dump(classifier)      # bytes; equal models give equal bytes
    classifier = load(data)      # ArtifactError when anything about it is not as expected

``load`` believes nothing: the archive must unpack to a bounded size, every node of its schema must be a pair
of loader and type in ``TRUSTED``, skops then audits the same types, and the arrays that native code would follow
blindly (children and columns of tree nodes) must stay inside. No pickle is read at any point.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import skops.io

from easeml.artifacts.archive import document_of, normalised
from easeml.artifacts.classifier import Classifier
from easeml.artifacts.trees import validate_trees
from easeml.artifacts.trusted import TRUSTED, TYPES
from easeml.errors import ArtifactError

FORMAT = "skops"
"""Value of ``ModelPublished.format`` of these files."""

MAX_EXPANDED = 2**30
"""Bytes a model file may unpack to."""

_PROTOCOLS = frozenset({2})
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
        When the model contains a type that ``load`` would refuse.
    """
    try:
        data = normalised(skops.io.dumps(model))
    except Exception as error:
        # skops raises whatever a type's own state functions raise
        raise ArtifactError(f"The model cannot be written as skops: {error!r}.", mend=_MEND) from error
    _check_types(document_of(data, MAX_EXPANDED))
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
        When the file is not a model of trusted types; names what was found.
    """
    document = document_of(data, max_expanded)
    _check_types(document)
    try:
        model = skops.io.loads(data, trusted=TYPES)
    except Exception as error:
        # constructors of scikit-learn raise whatever crafted arrays make them raise
        raise ArtifactError(f"The model file cannot be read: {error!r}.", mend=_MEND) from error
    if not isinstance(model, Classifier):
        raise ArtifactError(f"The model file holds a {type(model).__name__}, not a Classifier.", mend=_MEND)
    try:
        validate_trees(model)
    except (AttributeError, TypeError, ValueError, IndexError, KeyError) as error:
        raise ArtifactError(f"The model file is incomplete: {error!r}.", mend=_MEND) from error
    return model


def _check_types(document: dict[str, Any]) -> None:
    if document.get("protocol") not in _PROTOCOLS:
        raise ArtifactError(
            f"The model file has the skops protocol {document.get('protocol')!r}, read are {sorted(_PROTOCOLS)}.",
            mend=_MEND,
        )
    strange = sorted({
        f"{name} ({loader})" for name, loader in set(_nodes(document)) if name not in TRUSTED.get(loader, ())
    })  # fmt: skip
    if strange:
        raise ArtifactError(f"The model file holds types that are not trusted: {', '.join(strange[:10])}.", mend=_MEND)


def _nodes(document: Any) -> Iterator[tuple[str, str]]:
    stack = [document]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            # A key that merely looks like a node is judged as one: too strict is the safe side.
            if "__loader__" in node or "__class__" in node:
                yield f"{node.get('__module__')}.{node.get('__class__')}", str(node.get("__loader__"))
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
