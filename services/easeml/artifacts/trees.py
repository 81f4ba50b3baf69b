"""Bounds of tree nodes: scikit-learn's native code follows the indices in a loaded tree without looking.

A crafted file of trusted types could make prediction read outside its arrays or circle for ever; see the note in
skops on ``sklearn.tree._tree.Tree``. Every tree of a loaded model passes here first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn._loss.link import LogitLink, MultinomialLogit
from sklearn._loss.loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier
from sklearn.tree._tree import Tree

from easeml.artifacts.arrays import is_count, is_floats, need

_TREES = frozenset({DecisionTreeClassifier, ExtraTreeClassifier})
_LOSSES = {HalfBinomialLoss: LogitLink, HalfMultinomialLoss: MultinomialLogit}
_BITS = 8  # words of 32 bits for the categories of a split


def forest(model: Any, width: int, classes: int) -> None:
    """Check a random forest or extra trees over ``width`` columns that has seen ``classes`` classes.

    Raises
    ------
    ArtifactError
        When a tree leaves its nodes or its columns, or is none.
    """
    trees = model.estimators_
    need(type(trees) is list and len(trees) > 0, "holds a forest without trees")
    need(all(type(tree) in _TREES for tree in trees), "holds a forest of other things than trees")
    for tree in trees:
        _nodes(tree.tree_, width, classes)


def decision_tree(model: Any, width: int, classes: int) -> None:
    """Check a decision tree; parameters and errors of ``forest``."""
    need(
        is_count(model.n_outputs_, 1) and is_count(model.n_classes_, classes),
        "holds a tree of another shape than its classes",
    )
    _nodes(model.tree_, width, classes)


def boosted(model: Any, width: int, classes: int) -> None:
    """Check histogram gradient boosting; parameters and errors of ``forest``."""
    each = 1 if classes <= 2 else classes
    need(
        is_count(model.n_trees_per_iteration_, each) and is_floats(model._baseline_prediction, 1, each),
        "lacks trees of some classes",
    )
    loss, bins = model._loss, model._bin_mapper
    need(
        type(loss) is (HalfBinomialLoss if classes <= 2 else HalfMultinomialLoss)
        and type(loss.link) is _LOSSES[type(loss)]
        and not getattr(model, "_in_fit", False),
        "turns the sums of its trees into probabilities in another way than ours",
    )
    # Native code sets one bit for each known category without looking whether it is there.
    columns = bins.is_categorical_
    need(
        type(bins) is _BinMapper
        and type(columns) is np.ndarray
        and columns.dtype == np.uint8
        and columns.shape == (width,)
        and not columns.any()
        and model._preprocessor is None,
        "holds trees over categories, which are not made here",
    )
    need(type(model._predictors) is list, "lacks trees of some classes")
    for trees in model._predictors:
        need(type(trees) is list and len(trees) == each, "lacks trees of some classes")
        for tree in trees:
            need(type(tree) is TreePredictor, "lacks trees of some classes")
            _boosted_nodes(tree, width)


def _nodes(tree: Any, width: int, classes: int) -> None:
    need(
        type(tree) is Tree
        and tree.n_features == width
        and tree.n_outputs == 1
        and tree.value.shape == (tree.node_count, 1, classes),
        "holds a tree of another shape than its encoder",
    )
    left = tree.children_left
    inner = left != -1
    _children(left, inner)
    _children(tree.children_right, inner)
    _columns(tree.feature[inner], width)


def _boosted_nodes(tree: TreePredictor, width: int) -> None:
    nodes, bits = tree.nodes, tree.raw_left_cat_bitsets
    need(
        type(nodes) is np.ndarray
        and nodes.dtype == PREDICTOR_RECORD_DTYPE
        and nodes.ndim == 1
        and type(bits) is np.ndarray
        and bits.dtype == np.uint32
        and bits.shape == (len(bits), _BITS)
        and bool(bits.flags.c_contiguous),
        "holds trees of another shape",
    )
    inner = nodes["is_leaf"] == 0
    need(not nodes["is_categorical"].any(), "holds trees with categorical splits, which are not made here")
    _children(nodes["left"].astype(np.int64), inner)
    _children(nodes["right"].astype(np.int64), inner)
    _columns(nodes["feature_idx"][inner].astype(np.int64), width)


def _children(child: NDArray[Any], inner: NDArray[Any]) -> None:
    parents = np.flatnonzero(inner)
    # Children come after their parents in every tree that scikit-learn grows, so no walk can circle.
    inside = len(child) > 0 and bool(((child[parents] > parents) & (child[parents] < len(child))).all())
    need(inside, "holds a tree that leads nowhere")


def _columns(features: NDArray[Any], width: int) -> None:
    inside = bool(((features >= 0) & (features < width)).all())
    need(inside, "holds a tree that tests columns which do not exist")
