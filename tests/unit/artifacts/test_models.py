import io
import json
import pickle
import zipfile

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from easeml.artifacts import dump, load
from easeml.artifacts.archive import normalised
from easeml.artifacts.models import MAX_EXPANDED
from easeml.artifacts.trusted import TRUSTED, TYPES
from easeml.automl.families import FAMILIES
from easeml.errors import ArtifactError

from .conftest import crafted, mixed_frame


def rewrite(data: bytes, change) -> bytes:
    """Return the archive with ``change(schema document)`` applied."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "schema.json":
                document = json.loads(content)
                change(document)
                content = json.dumps(document).encode()
            target.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_survives_its_file(trained, family):
    model = trained(family)
    data = dump(model)
    again = load(data)
    frame, _ = mixed_frame(40, seed=1)
    assert again.classes == model.classes
    assert again.columns == model.columns
    np.testing.assert_allclose(again.predict_proba(frame), model.predict_proba(frame), rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", ["logistic", "random_forest", "boosting", "hoeffding_tree"])
def test_equal_models_are_equal_bytes(trained, family):
    data = dump(trained(family))
    assert dump(trained(family)) == data
    assert dump(load(data)) == data


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_pickles_are_never_read(trained):
    stream = io.BytesIO()
    joblib.dump(trained(), stream)
    for data in (pickle.dumps(Trap()), pickle.dumps(trained()), stream.getvalue()):
        with pytest.raises(ArtifactError, match="no skops archive"):
            load(data)


def test_a_pickle_inside_the_archive_is_never_read(trained):
    array = io.BytesIO()
    np.save(array, np.array([Trap()], dtype=object), allow_pickle=True)
    data = dump(trained())
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            target.writestr(name, array.getvalue() if name.endswith(".npy") else source.read(name))
    with pytest.raises(ArtifactError, match="cannot be read"):
        load(buffer.getvalue())


@pytest.mark.parametrize(
    ("module", "name", "loader"),
    [
        ("os", "system", "FunctionNode"),
        ("builtins", "eval", "TypeNode"),
        ("subprocess", "Popen", "ObjectNode"),
        ("builtins", "getattr", "OperatorFuncNode"),
        ("sklearn.linear_model._logistic", "LogisticRegression", "MethodNode"),
        ("numpy", "ndarray", "ListNode"),
        ("easeml.artifacts.encoder", "Encoder", "DictNode"),
        ("sklearn.preprocessing._function_transformer", "FunctionTransformer", "ObjectNode"),
    ],
)
def test_untrusted_types_and_loaders_are_named_and_refused(trained, module, name, loader):
    def change(document):
        inner = document["content"]["content"]
        inner["trap"] = {"__module__": module, "__class__": name, "__loader__": loader, "content": [], "__id__": 9999}

    with pytest.raises(ArtifactError, match=f"{module}.{name} .{loader}."):
        load(rewrite(dump(trained()), change))


@pytest.mark.parametrize("part", [{"__id__": 7}, {"__id__": 7, "__loader__": "JsonNode", "content": "1"}])
def test_parts_that_stand_for_others_are_refused(trained, part):
    def change(document):
        document["content"]["content"]["trap"] = [part, part]

    with pytest.raises(ArtifactError, match=r"names parts by number|not trusted"):
        load(rewrite(dump(trained()), change))


def test_lists_that_name_each_other_twice_are_refused_before_they_are_followed(trained):
    def change(document):
        inner = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": [], "__id__": 0}
        for number in range(1, 60):
            again = {key: inner[key] for key in ("__class__", "__module__", "__loader__", "__id__")} | {"content": []}
            inner = {**inner, "content": [inner, again], "__id__": number}
        document["content"]["content"]["trap"] = inner

    with pytest.raises(ArtifactError, match="names parts by number"):
        load(rewrite(dump(trained()), change))


def test_a_schema_that_would_fill_the_memory_is_not_read(trained):
    def change(document):
        document["padding"] = " " * (32 * 2**20)

    with pytest.raises(ArtifactError, match="schema of the model file unpacks to"):
        load(rewrite(dump(trained()), change))


def test_a_skops_file_of_another_type_is_refused():
    plain = normalised(skops.io.dumps(LogisticRegression().fit([[0.0], [1.0]], [0, 1])))
    with pytest.raises(ArtifactError, match="LogisticRegression, not a Classifier"):
        load(plain)


def test_a_model_of_untrusted_parts_is_not_written(trained):
    class Stranger:
        classes_ = np.array([0, 1])

    model = load(dump(trained()))
    model.estimator = Stranger()
    with pytest.raises(ArtifactError):
        dump(model)


def test_zip_bombs_are_refused_before_they_unpack(trained):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("schema.json", b" " * 50_000_000)
    assert len(buffer.getvalue()) < 100_000
    with pytest.raises(ArtifactError, match="unpacks to 50000000 bytes"):
        load(buffer.getvalue(), max_expanded=1_000_000)
    with pytest.raises(ArtifactError, match="unpacks to"):
        load(dump(trained()), max_expanded=100)


def test_an_array_header_that_lies_about_its_size_is_refused(trained):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    data = dump(trained())
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            target.writestr(name, array if name == "1.npy" else source.read(name))
    with pytest.raises(ArtifactError, match="cannot be read"):
        load(buffer.getvalue())


def test_strange_entries_are_refused(trained):
    data = dump(trained())
    for name in ("../../evil", "model.pkl", "1.npz"):
        buffer = io.BytesIO(data)
        with zipfile.ZipFile(buffer, "a") as target:
            target.writestr(name, b"x")
        with pytest.raises(ArtifactError, match="unexpected"):
            load(buffer.getvalue())


def test_deep_nesting_is_refused(trained):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("schema.json", b"[" * 200_000 + b"]" * 200_000)
    with pytest.raises(ArtifactError):
        load(buffer.getvalue())


def test_another_protocol_is_refused(trained):
    with pytest.raises(ArtifactError, match="protocol"):
        load(rewrite(dump(trained()), lambda document: document.update(protocol=0)))


@pytest.mark.parametrize("cut", [0, 1, 10, 1000, -1, -30])
def test_cut_files_are_refused(trained, cut):
    with pytest.raises(ArtifactError):
        load(dump(trained())[:cut])


@pytest.mark.parametrize("family", ["decision_tree", "extra_trees", "boosting", "hoeffding_tree"])
@pytest.mark.parametrize("attack", ["child", "feature", "circle"])
def test_trees_that_leave_their_arrays_are_refused(trained, family, attack):
    model = load(dump(trained(family)))
    estimator = model.estimator
    if family == "hoeffding_tree":
        tree = estimator.trees[0]
        tree.feature = np.array([0, -1, -1])
        tree.threshold, tree.votes = np.zeros(3), np.full((3, 3), 1 / 3)
        tree.left, tree.right, tree.bayes = np.array([1, -1, -1]), np.array([2, -1, -1]), np.full(3, -1)
        tree.validate(model.encoder.width)
        if attack == "feature":
            tree.feature[0] = 10**6
        else:
            tree.left[0] = 10**6 if attack == "child" else 0
    elif family == "boosting":
        nodes = estimator._predictors[0][0].nodes
        nodes["feature_idx" if attack == "feature" else "left"][0] = 0 if attack == "circle" else 10**6
    else:
        tree = (estimator if family == "decision_tree" else estimator.estimators_[1]).tree_
        state = tree.__getstate__()
        field = "feature" if attack == "feature" else "left_child"
        state["nodes"][field][0] = 0 if attack == "circle" else 10**6
        tree.__setstate__(state)
    with pytest.raises(ArtifactError, match="tree"):
        load(crafted(model))


def test_an_encoder_of_another_width_is_refused(trained):
    model = load(dump(trained("decision_tree")))
    model.encoder = load(dump(trained("decision_tree"))).encoder
    model.encoder.indicators = np.array([], np.int64)
    model.encoder.fingerprint = model.encoder._digest()
    with pytest.raises(ArtifactError, match="another shape"):
        load(crafted(model))


def test_class_codes_outside_the_domain_are_refused(trained):
    model = load(dump(trained()))
    model.estimator.classes_ = np.array([0, 1, 7])
    with pytest.raises(ArtifactError, match="outside its label domain"):
        load(crafted(model))


def test_the_trusted_list_holds_no_way_to_call_anything():
    assert not {"FunctionNode", "MethodNode", "PartialNode", "OperatorFuncNode"} & set(TRUSTED)
    assert all(name.startswith(("sklearn.", "easeml.artifacts.", "numpy.", "builtins.")) for name in TYPES)
    assert MAX_EXPANDED == 2**30
