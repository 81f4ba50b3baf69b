"""Models leave the house as ONNX graphs, and onnxruntime says of any row what they say here."""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from easeml.artifacts import Classifier, Encoder, dump, load
from easeml.artifacts.compound import Vote
from easeml.artifacts.export import FACTS, ONNX, Target, export
from easeml.artifacts.onnx_export import onnx_file
from easeml.automl.families import FAMILIES, build, fitted
from easeml.errors import ArtifactError, ConfigurationError, ConflictError
from easeml.stream.payloads import Column, ColumnKind

from .conftest import FEWER, mixed_frame

COLUMNS = (
    Column("size", ColumnKind.NUMERIC),
    Column("colour", ColumnKind.CATEGORICAL),
    Column("open", ColumnKind.BOOLEAN),
    Column("pixels", ColumnKind.TENSOR),
)
CLASSES = ("a", "b", "c", "never seen")
UNCONVERTED = {"adaptive_forest", "committee", "hoeffding_tree", "knn"}


def rows(count, seed=0, classes=3):
    """Return rows of every kind that has a converter, with missing, new and extreme values."""
    frame, codes = mixed_frame(count, seed)
    codes %= classes
    rng = np.random.default_rng(seed)
    frame["open"] = (codes == 1) ^ (rng.random(count) < 0.2)
    frame["pixels"] = [np.round(codes[row] + rng.normal(size=3), 2) for row in range(count)]
    frame.loc[1:3, "size"] = [np.inf, 1e30, -1e8]
    frame.loc[4:6, "colour"] = "never seen"
    return frame.drop(columns="words"), codes


def model_of(family, parameters="{}", classes=3):
    frame, codes = rows(150, classes=classes)
    encoder = Encoder().fit(frame, COLUMNS)
    return Classifier(encoder, fitted(build(family, parameters, 3), encoder.transform(frame), codes), CLASSES)


def said(file, frame):
    """Return label and probabilities of each row by onnxruntime."""
    feed = {
        "size": frame[["size"]].to_numpy(np.float64),
        "colour": np.array([["" if value is None else value] for value in frame["colour"]], object),
        "open": frame[["open"]].to_numpy(np.float64),
        "pixels": np.stack(frame["pixels"].to_list()),
    }
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    label, probabilities = session.run(["output_label", "output_probability"], feed)
    return label.tolist(), probabilities


def check_equal(model):
    frame, _ = rows(300, seed=1)
    expected = model.predict_proba(frame)
    label, found = said(onnx_file(load(dump(model))), frame)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert label == [CLASSES[code] for code in expected.argmax(axis=1)]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - UNCONVERTED))
def test_a_family_says_the_same_as_an_onnx_graph(family, classes):
    check_equal(model_of(family, FEWER.get(family, "{}"), classes))


@pytest.mark.parametrize(
    "preparation",
    ['{"scale": "clip"}', '{"products": "pairs"}', '{"select": 0.5}', '{"reduce": 2, "whiten": "yes"}'],
)
def test_a_step_says_the_same_as_an_onnx_graph(preparation):
    check_equal(model_of("logistic", preparation))


def test_a_vote_says_the_same_as_an_onnx_graph():
    members = [model_of("lda"), model_of("boosting"), model_of("svm", '{"scale": "clip"}')]
    vote = Vote([member.estimator for member in members], np.array([0.5, 0.25, 0.25]))
    check_equal(Classifier(members[0].encoder, vote, CLASSES))


def test_a_forest_goes_left_where_scikit_learn_does():
    """Thresholds lie between float32 values that rows have; a tree may also be a single leaf."""
    frame = pd.DataFrame({"x": np.float32(0.1) + np.arange(400) * np.spacing(np.float32(0.1))})
    codes = np.arange(400) % 2
    encoder = Encoder().fit(frame, (Column("x", ColumnKind.NUMERIC),))
    forest = RandomForestClassifier(5, random_state=0).fit(encoder.transform(frame), codes)
    forest.estimators_.append(RandomForestClassifier(1, max_depth=1).fit(np.zeros((4, 1)), [0, 1, 0, 1]).estimators_[0])
    model = Classifier(encoder, forest, ("even", "odd"))
    session = onnxruntime.InferenceSession(onnx_file(model), providers=["CPUExecutionProvider"])
    (found,) = session.run(["output_probability"], {"x": frame.to_numpy(np.float64)})
    np.testing.assert_allclose(found, model.predict_proba(frame), atol=1e-6)


def test_an_export_is_the_graph_and_what_is_known_of_it(tmp_path):
    model, folder = model_of("lda"), tmp_path / "out"
    export(dump(model), {"model": "m", "format": "skops"}, folder, Target.ONNX)
    file, facts = (folder / ONNX).read_bytes(), json.loads((folder / FACTS).read_bytes())
    assert file == onnx_file(model)
    assert (facts["model"], facts["format"], facts["size"]) == ("m", "onnx", len(file))
    assert facts["sha256"] == hashlib.sha256(file).hexdigest()
    with pytest.raises(ConflictError):
        export(dump(model), {}, folder, Target.ONNX)
    with pytest.raises(ArtifactError, match="cannot be written as ONNX"):
        export(dump(model_of("knn")), {}, tmp_path / "knn", Target.ONNX)
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing is left where a model cannot be written"


def test_equal_models_give_equal_files():
    assert onnx_file(model_of("boosting")) == onnx_file(model_of("boosting"))


def words():
    frame, codes = mixed_frame(90)
    encoder = Encoder().fit(frame, (Column("words", ColumnKind.TEXT),))
    return Classifier(encoder, LinearDiscriminantAnalysis().fit(encoder.transform(frame), codes), CLASSES)


def wavy():
    model = model_of("mlp")
    assert isinstance(model.estimator, MLPClassifier)
    model.estimator.activation = "tanh"
    return model


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (words, "the encoding of the words of column 'words'"),
        (wavy, "the network with 'tanh'"),
        (lambda: model_of("logistic", '{"scale": "rank"}'), "the step Ranks"),
        (lambda: model_of("knn"), "the model KNeighborsClassifier"),
        (lambda: model_of("hoeffding_tree"), "the model FrozenForest"),
    ],
)
def test_what_has_no_converter_is_refused_by_name(make, says):
    with pytest.raises(ArtifactError, match=f"cannot be written as ONNX: {says} has no converter") as told:
        onnx_file(make())
    assert "Export it to skops" in told.value.mend


def test_a_column_named_as_an_output_is_refused():
    frame, codes = rows(60)
    frame = frame.rename(columns={"size": "output_label"})
    encoder = Encoder().fit(frame, (Column("output_label", ColumnKind.NUMERIC),))
    estimator = fitted(build("lda", "{}", 0), encoder.transform(frame), codes)
    with pytest.raises(ArtifactError, match="output_label"):
        onnx_file(Classifier(encoder, estimator, CLASSES))


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigurationError, match="ONNX is not installed") as told:
        onnx_file(model_of("lda"))
    assert "easeml-streaming[onnx]" in told.value.mend
