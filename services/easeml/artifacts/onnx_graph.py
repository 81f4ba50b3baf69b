"""An ONNX graph under construction, and the models that it can hold.

It is made of standard operators (ai.onnx 19, ai.onnx.ml 3) in float64 from the arrays of the fitted models, not by
skl2onnx: that knows neither our encoder nor our frozen models, and its release 1.20 cannot convert the boosted trees of
scikit-learn 1.9 and gives its binary linear discriminant other probabilities.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from easeml.artifacts.compound import Pipeline, Vote
from easeml.artifacts.extras import extra
from easeml.artifacts.frozen import FrozenLinear, FrozenNaiveBayes
from easeml.artifacts.kernel import SLOPE, FrozenKernelMachine
from easeml.artifacts.steps import Clipped, Floats, Products, Projection, Selection, Step
from easeml.errors import ArtifactError

OPSET, ML_OPSET, IR = 19, 3, 9
_ML = "ai.onnx.ml"


class Graph:
    """Nodes in the order in which they are computed.

    Raises
    ------
    ConfigurationError
        When the extra ``onnx`` is not installed.
    """

    def __init__(self) -> None:
        self.onnx = extra("onnx", "onnx", "ONNX")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: str | NDArray[Any], domain: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output; arrays among the inputs become constants."""
        names = [one if isinstance(one, str) else self._constant(one) for one in inputs]
        output = f"/{len(self._nodes)}/{operator}"
        self._nodes.append(self.onnx.helper.make_node(operator, names, [output], domain=domain, **attributes))
        return output

    def cast(self, value: str, kind: str) -> str:
        """Return a value as an ONNX type, e.g. DOUBLE."""
        return self.add("Cast", value, to=getattr(self.onnx.TensorProto, kind))

    def tensor(self, array: NDArray[Any]) -> Any:
        """Return an array as an attribute of a node."""
        return self.onnx.numpy_helper.from_array(np.ascontiguousarray(array))

    def _constant(self, array: NDArray[Any]) -> str:
        name = f"/constant/{len(self._constants)}"
        self._constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def file(self, inputs: Sequence[Any], outputs: dict[str, Any], doc: str) -> bytes:
        """Return the model file.

        Parameters
        ----------
        inputs : sequence of ValueInfoProto
            What goes in.
        outputs : dict of str to ValueInfoProto
            What comes out, by the name that it has in the graph.
        doc : str
            What somebody who meets the file must know.
        """
        helper = self.onnx.helper
        ends = [helper.make_node("Identity", [name], [told.name]) for name, told in outputs.items()]
        graph = helper.make_graph(
            [*self._nodes, *ends], "classifier", inputs, list(outputs.values()), self._constants, doc
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_ML, ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="easeml", doc_string=doc)
        try:
            self.onnx.checker.check_model(model)
        except self.onnx.checker.ValidationError as error:
            raise ArtifactError(
                f"The model makes no valid ONNX graph: {error}.", mend="Rename a column that its message names."
            ) from error
        return bytes(model.SerializeToString(deterministic=True))


def probabilities(graph: Graph, estimator: Any, matrix: str) -> str:
    """Add what ``easeml.artifacts.classifier.probabilities`` says of encoded rows: float64[n, k].

    Raises
    ------
    ArtifactError
        When a step or a model has no converter; names it.
    """
    if isinstance(estimator, Vote):
        parts = [
            graph.add("Mul", probabilities(graph, member, matrix), np.array(weight))
            for member, weight in zip(estimator.members, estimator.weights.tolist(), strict=True)
        ]
        return graph.add("Sum", *parts)
    if isinstance(estimator, Pipeline):
        for step in estimator.steps:
            matrix = _step(graph, step, matrix)
        return probabilities(graph, estimator.estimator, matrix)
    convert = _CONVERTERS.get(type(estimator))
    if convert is None:
        raise refused(f"the model {type(estimator).__name__}")
    return convert(graph, estimator, matrix)


def refused(what: str) -> ArtifactError:
    """Return the error of a part that has no converter."""
    return ArtifactError(
        f"The model cannot be written as ONNX: {what} has no converter.",
        mend="Export it to skops or mlflow, or export another model of the app.",
    )


# -- steps -------------------------------------------------------------------------------------------------------


def _step(graph: Graph, step: Step, matrix: str) -> str:
    match step:
        case Clipped():
            return clipped(graph, matrix, step.limit)
        case Selection():
            return graph.add("Gather", matrix, step.columns, axis=1)
        case Projection():
            return graph.add("MatMul", graph.add("Sub", matrix, step.centre), step.axes)
        case Products():
            pairs = [graph.add("Gather", matrix, side, axis=1) for side in (step.left, step.right)]
            return graph.add("Concat", matrix, graph.add("Mul", *pairs), axis=1)
    raise refused(f"the step {type(step).__name__}")


def clipped(graph: Graph, matrix: str, limit: float) -> str:
    """Add the matrix with every number within [-limit, limit]."""
    return graph.add("Max", graph.add("Min", matrix, np.array(limit)), np.array(-limit))


# -- models ------------------------------------------------------------------------------------------------------


def _affine(graph: Graph, matrix: str, weights: Floats, intercepts: Floats) -> str:
    """Add matrix weights^T + intercepts."""
    return graph.add("Add", graph.add("MatMul", matrix, weights.T), np.asarray(intercepts, np.float64))


def _softmax(graph: Graph, scores: str) -> str:
    return graph.add("Softmax", scores, axis=1)


def _linear(graph: Graph, model: Any, matrix: str) -> str:
    """Add softmax of the scores; of two classes the second has the score and the first 0, or minus the score."""
    weights, intercepts = model.coef_, np.broadcast_to(model.intercept_, len(model.coef_))
    if len(model.classes_) == 2:
        first = -1.0 if isinstance(model, LinearSVC) else 0.0
        weights, intercepts = np.vstack([first * weights, weights]), np.append(first * intercepts, intercepts)
    return _softmax(graph, _affine(graph, matrix, weights, intercepts))


def _frozen_linear(graph: Graph, model: FrozenLinear, matrix: str) -> str:
    each = graph.add("Sigmoid", clipped(graph, _affine(graph, matrix, model.weights, model.intercepts), 500.0))
    return graph.add("Div", each, _sum(graph, each, 1))


def _sum(graph: Graph, value: str, axis: int, *, keep: bool = True) -> str:
    return graph.add("ReduceSum", value, np.array([axis]), keepdims=int(keep))


def _distances(graph: Graph, matrix: str, means: Floats) -> str:
    """Add the squared distances of each row to each mean, column by column: float64[n, k, d]."""
    away = graph.add("Sub", graph.add("Unsqueeze", matrix, np.array([1])), means)
    return graph.add("Mul", away, away)


def _naive_bayes(graph: Graph, model: GaussianNB, matrix: str) -> str:
    constants = np.log(model.class_prior_) - 0.5 * np.log(2 * np.pi * model.var_).sum(axis=1)
    spread = graph.add("Div", _distances(graph, matrix, model.theta_), 2 * model.var_)
    return _softmax(graph, graph.add("Sub", constants, _sum(graph, spread, 2, keep=False)))


def _frozen_naive_bayes(graph: Graph, model: FrozenNaiveBayes, matrix: str) -> str:
    known = model.variances > 0
    safe = np.where(known, model.variances, 1.0)
    shape = graph.add("Exp", graph.add("Neg", graph.add("Div", _distances(graph, matrix, model.means), 2 * safe)))
    density = graph.add("Mul", shape, np.where(known, 1 / np.sqrt(2 * np.pi * safe), 0.0))
    joint = _sum(graph, graph.add("Log", graph.add("Add", density, np.array(model.floor))), 2, keep=False)
    return _softmax(graph, graph.add("Add", joint, np.log(model.priors)))


def _quadratic(graph: Graph, model: QuadraticDiscriminantAnalysis, matrix: str) -> str:
    norms = []
    for mean, rotation, scaling in zip(model.means_, model.rotations_, model.scalings_, strict=True):
        turned = graph.add("MatMul", graph.add("Sub", matrix, mean), rotation * scaling**-0.5)
        norms.append(_sum(graph, graph.add("Mul", turned, turned), 1))
    offsets = np.log(model.priors_) - 0.5 * np.array([np.log(scaling).sum() for scaling in model.scalings_])
    half = graph.add("Mul", graph.add("Concat", *norms, axis=1), np.array(0.5))
    return _softmax(graph, graph.add("Sub", offsets, half))


def _network(graph: Graph, model: MLPClassifier, matrix: str) -> str:
    if model.activation != "relu":
        raise refused(f"the network with {model.activation!r}")
    *hidden, last = zip(model.coefs_, model.intercepts_, strict=True)
    for weights, intercepts in hidden:
        matrix = graph.add("Relu", _affine(graph, matrix, weights.T, intercepts))
    weights, intercepts = last
    if len(model.classes_) == 2:
        weights, intercepts = np.hstack([np.zeros_like(weights), weights]), np.append(0.0, intercepts)
    return _softmax(graph, _affine(graph, matrix, weights.T, intercepts))


def _kernel_machine(graph: Graph, model: FrozenKernelMachine, matrix: str) -> str:
    squares = _sum(graph, graph.add("Mul", matrix, matrix), 1)
    products = graph.add("MatMul", matrix, -2 * model.points.T)
    distances = graph.add("Add", graph.add("Add", squares, (model.points**2).sum(axis=1)), products)
    kernel = graph.add("Exp", graph.add("Mul", graph.add("Relu", distances), np.array(-model.gamma)))
    decisions = graph.add("Mul", _affine(graph, kernel, model.weights, model.intercepts), np.array(SLOPE))
    # ln(1 + exp(x)) = max(x, 0) + ln(1 + exp(-|x|)), which no x overflows.
    small = graph.add("Exp", graph.add("Neg", graph.add("Abs", decisions)))
    shared = graph.add("Log", graph.add("Add", small, np.array(1.0)))
    pairs = list(itertools.combinations(range(len(model.classes_)), 2))
    joint = []
    for side, lost in ((0, graph.add("Neg", decisions)), (1, decisions)):
        member = np.array([[float(pair[side] == code) for code in range(len(model.classes_))] for pair in pairs])
        joint.append(graph.add("MatMul", graph.add("Add", graph.add("Relu", lost), shared), member))
    return _softmax(graph, graph.add("Neg", graph.add("Sum", *joint)))


# -- trees -------------------------------------------------------------------------------------------------------


class _Tree(NamedTuple):
    """A tree of m nodes: rows with at most the threshold go left."""

    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    leaf: NDArray[np.bool_]
    votes: Floats

    def told(self) -> NDArray[np.int64]:
        """Return (leaf, class) of each vote that counts: int64[t, 2]; every leaf has its first, even of 0."""
        counts = (self.votes != 0) | (np.arange(self.votes.shape[1]) == 0)
        return np.argwhere(self.leaf[:, None] & counts)


def _trees(graph: Graph, matrix: str, trees: Sequence[_Tree], number: type) -> str:
    """Add the sum of the votes of all trees: float64[n, k]; ``number``: the type in which rows are compared."""
    leaves = [tree.told() for tree in trees]
    sizes, told = [len(tree.feature) for tree in trees], [len(leaf) for leaf in leaves]

    def all_of(parts: list[NDArray[Any]]) -> list[int]:
        return [int(value) for value in np.concatenate(parts).tolist()]

    modes = np.where(np.concatenate([tree.leaf for tree in trees]), "LEAF", "BRANCH_LEQ").tolist()
    thresholds = np.concatenate([np.where(tree.leaf, 0.0, tree.threshold) for tree in trees])
    votes = np.concatenate([tree.votes[leaf[:, 0], leaf[:, 1]] for tree, leaf in zip(trees, leaves, strict=True)])
    ids = list(range(len(trees)))
    return graph.cast(
        graph.add(
            "TreeEnsembleRegressor",
            matrix,
            domain=_ML,
            n_targets=trees[0].votes.shape[1],
            nodes_treeids=np.repeat(ids, sizes).tolist(),
            nodes_nodeids=all_of([np.arange(size) for size in sizes]),
            nodes_featureids=all_of([np.where(tree.leaf, 0, tree.feature) for tree in trees]),
            nodes_truenodeids=all_of([np.where(tree.leaf, 0, tree.left) for tree in trees]),
            nodes_falsenodeids=all_of([np.where(tree.leaf, 0, tree.right) for tree in trees]),
            nodes_modes=modes,
            target_treeids=np.repeat(ids, told).tolist(),
            target_nodeids=all_of([leaf[:, 0] for leaf in leaves]),
            target_ids=all_of([leaf[:, 1] for leaf in leaves]),
            **_numbers(graph, number, nodes_values=_floored(thresholds, number), target_weights=votes),
        ),
        "DOUBLE",
    )


def _numbers(graph: Graph, number: type, **values: Floats) -> dict[str, Any]:
    if number is np.float32:
        return {name: array.astype(np.float32).tolist() for name, array in values.items()}
    return {f"{name}_as_tensor": graph.tensor(array) for name, array in values.items()}


def _floored(thresholds: Floats, number: type) -> Floats:
    """Return the largest numbers of a type that are not above the thresholds: as many rows go left."""
    rounded: NDArray[Any] = thresholds.astype(number)
    below = np.nextafter(rounded, np.asarray(-np.inf, number))
    return np.asarray(np.where(rounded > thresholds, below, rounded), np.float64)


def _forest(graph: Graph, model: Any, matrix: str) -> str:
    # scikit-learn compares rows of these as float32.
    members = [model] if isinstance(model, DecisionTreeClassifier) else model.estimators_
    trees = [
        _Tree(
            part.feature,
            part.threshold,
            part.children_left,
            part.children_right,
            part.children_left == -1,
            part.value[:, 0, :] / len(members),
        )
        for part in (member.tree_ for member in members)
    ]
    return _trees(graph, graph.cast(matrix, "FLOAT"), trees, np.float32)


def _boosted(graph: Graph, model: Any, matrix: str) -> str:
    outputs = model.n_trees_per_iteration_
    trees = []
    for iteration in model._predictors:
        for output, tree in enumerate(iteration):
            nodes, votes = tree.nodes, np.zeros((len(tree.nodes), outputs))
            votes[:, output] = nodes["value"]
            feature, left, right = (nodes[name].astype(np.int64) for name in ("feature_idx", "left", "right"))
            trees.append(_Tree(feature, nodes["num_threshold"], left, right, nodes["is_leaf"] != 0, votes))
    scores = graph.add("Add", _trees(graph, matrix, trees, np.float64), model._baseline_prediction.reshape(1, -1))
    if outputs == 1:
        scores = graph.add("MatMul", scores, np.array([[0.0, 1.0]]))
    return _softmax(graph, scores)


_CONVERTERS: dict[type, Callable[[Graph, Any, str], str]] = {
    LogisticRegression: _linear,
    LinearDiscriminantAnalysis: _linear,
    LinearSVC: _linear,
    QuadraticDiscriminantAnalysis: _quadratic,
    GaussianNB: _naive_bayes,
    MLPClassifier: _network,
    DecisionTreeClassifier: _forest,
    RandomForestClassifier: _forest,
    ExtraTreesClassifier: _forest,
    HistGradientBoostingClassifier: _boosted,
    FrozenLinear: _frozen_linear,
    FrozenNaiveBayes: _frozen_naive_bayes,
    FrozenKernelMachine: _kernel_machine,
}
