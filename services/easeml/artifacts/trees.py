"""Bounds of tree nodes: scikit-learn's native code follows the indices in a loaded tree without looking.

A crafted file of trusted types could make prediction read outside its arrays or circle for ever; see the note in
skops on ``sklearn.tree._tree.Tree``. Every tree of a loaded model passes here first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from easeml.artifacts.classifier import Classifier
from easeml.artifacts.compound import Pipeline, Vote
from easeml.artifacts.frozen import FrozenForest
from easeml.artifacts.kernel import FrozenKernelMachine
from easeml.errors import ArtifactError

_MEND = "Train the model again; this file was not written by easeml.artifacts.dump."


def validate_trees(model: Classifier) -> None:
    """Check that every tree of ``model`` stays within its nodes and within the encoder's columns.

    Raises
    ------
    ArtifactError
        When one does not.
    """
    estimator = model.estimator
    if not isinstance(estimator, Vote):
        _validate(estimator, model.encoder.width, len(model.classes))
        return
    if not estimator.members or estimator.weights.shape != (len(estimator.members),):
        raise ArtifactError("The model file holds a vote without one weight for each member.", mend=_MEND)
    for member in estimator.members:
        if not np.array_equal(member.classes_, estimator.classes_):
            raise ArtifactError("The model file holds a vote over different classes.", mend=_MEND)
        _validate(member, model.encoder.width, len(model.classes))


def _validate(estimator: Any, width: int, domain: int) -> None:
    """Check a model that is no vote; ``width``: columns it gets, ``domain``: classes there are."""
    if isinstance(estimator, Pipeline):
        for step in estimator.steps:
            width = step.width(width)
        estimator = estimator.estimator
    if isinstance(estimator, Pipeline | Vote):
        raise ArtifactError("The model file nests compound models deeper than they are made here.", mend=_MEND)
    codes = np.asarray(estimator.classes_)
    if codes.dtype.kind not in "iu" or not len(codes) or codes.min() < 0 or codes.max() >= domain:
        raise ArtifactError("The model file names classes outside its label domain.", mend=_MEND)
    if isinstance(estimator, RandomForestClassifier | ExtraTreesClassifier):
        for member in estimator.estimators_:
            _sklearn_tree(member.tree_, width, len(codes))
    elif isinstance(estimator, DecisionTreeClassifier):
        _sklearn_tree(estimator.tree_, width, len(codes))
    elif isinstance(estimator, HistGradientBoostingClassifier):
        _boosted(estimator, width)
    elif isinstance(estimator, FrozenForest):
        for tree in estimator.trees:
            tree.validate(width)
    elif isinstance(estimator, FrozenKernelMachine):
        estimator.validate(width)


def _sklearn_tree(tree: Any, width: int, classes: int) -> None:
    if tree.n_features != width or tree.n_outputs != 1 or tree.value.shape != (tree.node_count, 1, classes):
        raise ArtifactError("The model file holds a tree of another shape than its encoder.", mend=_MEND)
    inner = tree.children_left != -1
    _children(tree.children_left, inner)
    _children(tree.children_right, inner)
    _columns(tree.feature[inner], width)


def _boosted(model: Any, width: int) -> None:
    if model.n_features_in_ != width:
        raise ArtifactError("The model file holds trees of another shape than its encoder.", mend=_MEND)
    for trees in model._predictors:
        if len(trees) != model.n_trees_per_iteration_:
            raise ArtifactError("The model file lacks trees of some classes.", mend=_MEND)
        for tree in trees:
            nodes = tree.nodes
            inner = nodes["is_leaf"] == 0
            if nodes["is_categorical"].any():
                raise ArtifactError("The model file holds categorical splits, which are not made here.", mend=_MEND)
            _children(nodes["left"].astype(np.int64), inner)
            _children(nodes["right"].astype(np.int64), inner)
            _columns(nodes["feature_idx"][inner].astype(np.int64), width)


def _children(child: NDArray[Any], inner: NDArray[Any]) -> None:
    parents = np.flatnonzero(inner)
    # Children come after their parents in every tree that scikit-learn grows, so no walk can circle.
    if not len(child) or not ((child[parents] > parents) & (child[parents] < len(child))).all():
        raise ArtifactError("The model file holds a tree that leads nowhere.", mend=_MEND)


def _columns(features: NDArray[Any], width: int) -> None:
    if not ((features >= 0) & (features < width)).all():
        raise ArtifactError("The model file holds a tree that tests columns which do not exist.", mend=_MEND)
