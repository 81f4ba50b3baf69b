"""Model files of trusted types that were made to do harm: what a loaded model would follow blindly is checked."""

import copy
import io
import json
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from easeml.artifacts import dump, load
from easeml.artifacts.encoder import Encoder
from easeml.errors import ArtifactError
from easeml.stream.payloads import Column, ColumnKind

from .conftest import crafted, small
from .tampering import GROUPS

ROOT = Path(__file__).parents[3]


def refused(model, match: str) -> None:
    with pytest.raises(ArtifactError, match=match):
        load(crafted(model))
    with pytest.raises(ArtifactError, match=match):
        dump(model)  # a trial that makes such a model fails, and no reader of it does


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input", "filename"),
        ("input", "file"),
        ("analyzer", "char"),
        ("ngram_range", (1, 50)),
        ("token_pattern", r"(\w+)+$"),
        ("decode_error", "ignore"),
        ("encoding", "utf-16"),
        ("stop_words", "english"),
        ("tokenizer", str),
        ("preprocessor", str),
        ("strip_accents", str),
        ("dtype", str),
        ("binary", True),
        ("lowercase", False),
        ("norm", "l1"),
        ("analyze", str),
    ],
)
def test_text_is_only_read_as_the_encoder_reads_it(trained, name, value):
    model = load(dump(trained()))
    setattr(model.encoder.words["words"], name, value)
    refused(model, "text")


def test_a_cell_of_text_never_names_a_file(trained, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("kind0 kind0")
    model = load(dump(trained()))
    model.encoder.words["words"].input = "filename"
    refused(model, "text")


@pytest.mark.parametrize("place", [5 * 10**8, -1, 0, 1.0, True, "1"])
def test_words_are_columns_that_exist_and_differ(trained, place):
    model = load(dump(trained()))
    vectorizer = model.encoder.words["words"]
    word = next(word for word, column in vectorizer.vocabulary_.items() if column == 1)
    vectorizer.vocabulary_[word] = place
    refused(model, "text")


def test_words_far_outside_with_no_weights_are_refused(trained):
    model = load(dump(trained()))
    vectorizer = model.encoder.words["words"]
    vectorizer.vocabulary_ = dict.fromkeys(vectorizer.vocabulary_, 5 * 10**8)
    vectorizer.use_idf = vectorizer._tfidf.use_idf = False
    del vectorizer._tfidf.idf_
    refused(model, "text")


@pytest.mark.parametrize("weights", [np.ones(2), np.full(5, np.nan), np.ones((5, 1)), np.ones(5, np.int64)])
def test_every_word_has_one_weight(trained, weights):
    model = load(dump(trained()))
    model.encoder.words["words"]._tfidf.idf_ = weights
    refused(model, "text")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_y", np.full(60, 10**9)),
        ("_y", np.full(60, -1)),
        ("_y", np.zeros(59, np.int64)),
        ("_y", np.zeros(60)),
        ("_fit_X", np.zeros((60, 5))),
        ("_fit_X", np.full((60, 9), np.nan)),
        ("_fit_X", np.zeros((60, 9), np.float32)),
        ("_fit_X", np.zeros(540)),
        ("n_neighbors", 0),
        ("n_neighbors", 61),
        ("n_neighbors", 10**9),
        ("n_samples_fit_", 10**9),
        ("metric", "precomputed"),
        ("effective_metric_", "precomputed"),
        ("effective_metric_params_", {"p": 3}),
        ("metric_params", {"w": np.ones(2)}),
        ("weights", str),
        ("algorithm", "kd_tree"),
        ("_fit_method", "kd_tree"),
        ("_tree", {"data": np.zeros((60, 9))}),
        ("n_jobs", 10**6),
        ("outputs_2d_", True),
        ("n_features_in_", 5),
    ],
)
def test_neighbours_stay_within_their_rows(trained, name, value):
    model = load(dump(trained("knn")))
    model.estimator.metric = model.estimator.effective_metric_ = "manhattan"
    load(dump(model))
    setattr(model.estimator, name, value)
    refused(model, "neighbours|KNeighbors")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("is_categorical_", lambda bins: np.ones(9, np.uint8)),
        ("is_categorical_", lambda bins: np.zeros(3, np.uint8)),
    ],
)
def test_boosting_has_no_categories_whose_bits_would_be_set(trained, name, change):
    model = load(dump(trained("boosting")))
    bins = model.estimator._bin_mapper
    setattr(bins, name, change(bins))
    bins.bin_thresholds_ = [np.full(1, 10.0**9)] * 9
    refused(model, "trees")


def test_a_fingerprint_names_the_encoder_that_it_stands_in(trained):
    # Models with one fingerprint share encoded rows: another's would hand a tree too few columns.
    model = load(dump(trained("decision_tree")))
    frame = pd.DataFrame({"x": [0.0, 1.0]})
    model.encoder.fingerprint = Encoder().fit(frame, (Column("x", ColumnKind.NUMERIC),)).fingerprint
    refused(model, "fingerprint")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("medians", np.full(1, np.nan)),
        ("means", np.zeros(2)),
        ("scales", np.zeros(1)),
        ("indicators", np.array([7])),
        ("indicators", np.array([0, 0])),
        ("columns", ["size", "size", "words"]),
        ("kinds", ["numeric", "categorical", "music"]),
        ("kinds", ["text", "categorical", "text"]),
        ("categories", {"other": ["red"]}),
        ("categories", {"colour": ["red", "red"]}),
        ("categories", {"colour": "red"}),
        ("words", {}),
        ("words", {"words": "row"}),
    ],
)
def test_an_encoder_fits_itself(trained, name, value, monkeypatch):
    monkeypatch.setattr(Encoder, "_digest", lambda self: self.fingerprint)  # whoever changes one can make it fit
    model = load(dump(trained()))
    setattr(model.encoder, name, value)
    refused(model, "encoder|text")


@pytest.mark.parametrize("family", ["logistic", "hoeffding_tree", "boosting", "committee"])
def test_no_attribute_stands_in_for_a_method(trained, family):
    model = load(dump(trained(family)))
    model.estimator.predict_proba = {}
    refused(model, "stands in for a method")
    model = load(dump(trained(family)))
    model.encoder.transform = {}
    refused(model, "stands in for a method")


@pytest.mark.parametrize("part", ["encoder", "vectorizer", "tree", "step"])
def test_only_an_estimator_estimates(trained, part):
    model = load(dump(trained("hoeffding_tree")))
    parts = {
        "encoder": model.encoder,
        "vectorizer": model.encoder.words["words"],
        "tree": model.estimator.trees[0],
        "step": {},
    }
    other = copy.copy(parts[part])
    if part != "step":
        other.classes_ = model.estimator.classes_
    model.estimator = other
    refused(model, "estimator|attribute")


def rewritten(data: bytes, change, **entries: bytes) -> bytes:
    """Return the archive with ``change(node)`` applied to every node of its schema, and further entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "schema.json":
                content = json.dumps(json.loads(content, object_hook=change)).encode()
            target.writestr(name, content)
        for name, content in entries.items():
            target.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("outputs", ["1000000000", "2", "0", "-1", "true", "1.0", '"1"'])
def test_a_tree_is_not_built_over_classes_that_are_not_there(trained, outputs):
    def change(node):  # the third argument: outputs, each of which has its number of classes read
        if node.get("__loader__") == "TreeNode":
            node["__reduce__"]["args"]["content"][2]["content"] = outputs
        return node

    with pytest.raises(ArtifactError, match="tree"):
        load(rewritten(dump(trained("decision_tree")), change))


@pytest.mark.parametrize("part", ["nodes", "values"])
def test_a_tree_is_not_built_of_what_is_no_array(trained, part):
    def change(node):
        if node.get("__loader__") == "TreeNode":
            node["content"]["content"][part] = {
                "__class__": "FrozenLinear",
                "__module__": "easeml.artifacts.frozen",
                "__loader__": "ObjectNode",
            }
        return node

    with pytest.raises(ArtifactError, match="tree"):
        load(rewritten(dump(trained("decision_tree")), change))


def test_one_array_named_many_times_counts_each_time(trained):
    array = io.BytesIO()
    np.save(array, np.zeros(125_000))

    def change(node):
        if node.get("__class__") == "Classifier":
            entry = {"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode"}
            many = [{**entry, "type": "numpy", "file": "999999.npy"}] * 1100
            node["content"]["content"]["encoder"] = {
                "__class__": "list",
                "__module__": "builtins",
                "__loader__": "ListNode",
                "content": many,
            }
        return node

    with pytest.raises(ArtifactError, match="unpacks to 11"):
        load(rewritten(dump(trained()), change, **{"999999.npy": array.getvalue()}))


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_no_tampered_attribute_crashes_or_hangs(group):
    # In a process of its own: a crash of native code is a failure here and not the end of all tests.
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.artifacts.tampering", group],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    last = done.stdout.splitlines()[-1:]
    if done.returncode < 0:
        pytest.fail(f"{signal.Signals(-done.returncode).name} at {last}:\n{done.stderr[-3000:]}")
    assert done.returncode == 0, f"{last}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    tried, passed = map(int, last[0].split()[-2:])
    assert tried > passed > 0  # some are refused, and some do no harm


def test_a_few_bytes_of_columns_do_not_fill_the_memory():
    model = load(dump(small("logistic", '{"select": 0.5}')))
    (selection,) = (step for step in model.estimator.steps if type(step).__name__ == "Selection")
    selection.columns = np.zeros(2_000_000, np.int64)
    refused(model, "prepares rows of 2000000 columns")
