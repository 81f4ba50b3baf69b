"""A classifier as an ONNX file: the app's columns in, label and probabilities out.

Every column is an input of its own, [n, 1]: numbers, booleans (0, 1) and instants (seconds since 1970 UTC) in float64,
NaN for what is missing; categories as strings, where one that training never saw, as "", stands for what is missing;
tensors as [n, items] in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from easeml.artifacts.classifier import Classifier
from easeml.artifacts.encoder import FARTHEST, LARGEST, NUMBERS, Encoder
from easeml.artifacts.onnx_graph import Graph, clipped, probabilities, refused
from easeml.stream.payloads import ColumnKind

LABEL, PROBABILITIES = "output_label", "output_probability"
_DOC = (
    "Inputs are the app's columns, [n, 1]: numbers, booleans and seconds since 1970 UTC as doubles, NaN for a missing "
    "one; categories as strings, an empty one for a missing one; tensors as [n, items]."
)


def onnx_file(model: Classifier) -> bytes:
    """Return the ONNX file of a classifier; equal models give equal bytes.

    Raises
    ------
    ArtifactError
        When a part of it has no converter; names the part.
    ConfigurationError
        When the extra ``onnx`` is not installed.
    """
    graph = Graph()
    matrix = _encoded(graph, model.encoder)
    found = _over_domain(graph, probabilities(graph, model.estimator, matrix), model)
    place = graph.add("ArgMax", found, axis=1, keepdims=0)
    label = graph.add("Gather", np.array(model.classes, object), place, axis=0)
    helper, types = graph.onnx.helper, graph.onnx.TensorProto
    inputs = [
        helper.make_tensor_value_info(
            name,
            types.STRING if kind in (ColumnKind.CATEGORICAL, ColumnKind.TEXT) else types.DOUBLE,
            ["rows", "items" if kind == ColumnKind.TENSOR else 1],
        )
        for name, kind in zip(model.encoder.columns, model.encoder.kinds, strict=True)
    ]
    outputs = {
        label: helper.make_tensor_value_info(LABEL, types.STRING, ["rows"]),
        found: helper.make_tensor_value_info(PROBABILITIES, types.DOUBLE, ["rows", len(model.classes)]),
    }
    return graph.file(inputs, outputs, _DOC)


def _encoded(graph: Graph, encoder: Encoder) -> str:
    """Add the encoder's matrix: float64[n, width]."""
    for name, vectorizer in encoder.words.items():
        if vectorizer is not None:
            raise refused(f"the encoding of the words of column {name!r}")
    numbers = [
        name
        for name, kind in zip(encoder.columns, encoder.kinds, strict=True)
        if kind in NUMBERS or kind == ColumnKind.TENSOR
    ]
    blocks = []
    if numbers:
        matrix = graph.add("Concat", *numbers, axis=1)
        missing = graph.add("Or", graph.add("IsNaN", matrix), graph.add("IsInf", matrix))
        filled = graph.add("Where", missing, encoder.medians, clipped(graph, matrix, LARGEST))
        scaled = graph.add("Div", graph.add("Sub", filled, encoder.means), encoder.scales)
        blocks.append(clipped(graph, scaled, FARTHEST))
        if len(encoder.indicators):
            told = graph.cast(missing, "DOUBLE")
            blocks.append(graph.add("Gather", told, encoder.indicators.astype(np.int64), axis=1))
    for name, known in encoder.categories.items():
        if known:
            blocks.append(graph.cast(graph.add("Equal", name, np.array([known], object)), "DOUBLE"))
    return graph.add("Concat", *blocks, axis=1)


def _over_domain(graph: Graph, seen: str, model: Classifier) -> str:
    """Add the probabilities over the whole label domain, as ``easeml.artifacts.classifier.over_domain``."""
    codes: list[Any] = np.asarray(model.estimator.classes_).tolist()
    whole = graph.add("MatMul", seen, np.eye(len(model.classes))[codes])
    total = graph.add("ReduceSum", whole, np.array([1]), keepdims=1)
    known = graph.add("Greater", total, np.array(0.0))
    shares = graph.add("Div", whole, graph.add("Where", known, total, np.array(1.0)))
    return graph.add("Where", known, shares, np.array(1.0 / len(model.classes)))
