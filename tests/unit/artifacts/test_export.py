"""Models leave the house as skops and as MLflow models, and say the same outside; ``test_onnx`` tests graphs."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from easeml.artifacts import dump
from easeml.artifacts.export import FACTS, MODEL, Target, export, read
from easeml.errors import ArtifactError, ConfigurationError, ConflictError, UnavailableError

from .conftest import mixed_frame

FRAME, _ = mixed_frame(40, seed=5)


@pytest.fixture
def exported(trained, tmp_path):
    """Return how to export the model of a family, and where it went."""

    def run(target, family="logistic"):
        folder = tmp_path / "new" / f"{family}-{target}"
        export(dump(trained(family)), {"model": f"m-{family}", "metrics": {"accuracy": 0.9}}, folder, target)
        return folder

    return run


def test_a_skops_export_is_the_model_and_what_is_known_of_it(exported, trained):
    folder = exported(Target.SKOPS)
    assert sorted(path.name for path in folder.iterdir()) == [FACTS, MODEL]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing is left beside it"
    facts = json.loads((folder / FACTS).read_text())
    assert (facts["model"], facts["classes"], facts["size"]) == ("m-logistic", ["a", "b", "c"], len(dump(trained())))
    assert facts["format"] == "skops"
    assert facts["columns"] == {"size": "numeric", "colour": "categorical", "words": "text"}
    np.testing.assert_array_equal(read(folder).predict_proba(FRAME), trained().predict_proba(FRAME))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / MODEL).write_bytes(b"PK"), "has the digest"),
        (lambda folder: (folder / MODEL).unlink(), "is no export of a model"),
        (lambda folder: (folder / FACTS).write_text("{"), "is no export of a model"),
        (lambda folder: (folder / FACTS).write_text("[]"), "is no export of a model"),
        (lambda folder: (folder / FACTS).write_text("{}"), "is no export of a model"),
    ],
)
def test_an_export_that_was_changed_is_not_read(exported, spoil, says):
    folder = exported(Target.SKOPS)
    spoil(folder)
    with pytest.raises(ArtifactError, match=says):
        read(folder)


def test_what_is_no_model_is_not_exported(tmp_path):
    with pytest.raises(ArtifactError):
        export(b"\x80\x04pickle", {}, tmp_path / "out", Target.SKOPS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", [Target.SKOPS, Target.MLFLOW])
def test_nothing_is_overwritten(exported, target):
    folder = exported(target)
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(ConflictError, match="There is something at"):
        exported(target)
    assert {path.name for path in folder.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_told(trained, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be written"):
        export(dump(trained()), {}, tmp_path / "file" / "out", Target.SKOPS)


def test_without_the_extra_mlflow_says_what_to_install(exported, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    with pytest.raises(ConfigurationError, match="MLflow is not installed") as told:
        exported(Target.MLFLOW)
    assert "easeml-streaming[mlflow]" in told.value.mend
    assert not list(tmp_path.iterdir())


LOADED = """
import json, sys
import pandas as pd
from mlflow.pyfunc import load_model
model = load_model(sys.argv[1])
frame = pd.read_json(sys.argv[2], orient="table")
found = model.predict(frame)
fewer = model.predict(frame[["size"]])
inputs = [(one.name, str(one.type), one.required) for one in model.metadata.signature.inputs]
print(json.dumps({"found": found.to_dict("list"), "fewer": len(fewer), "inputs": inputs}, default=str))
"""


def test_mlflow_loads_it_in_another_process_and_says_the_same(exported, trained, tmp_path):
    folder = exported(Target.MLFLOW)
    assert {"MLmodel", "requirements.txt"} < {path.name for path in folder.iterdir()}
    assert "easeml-streaming==" in (folder / "requirements.txt").read_text()
    assert not [path for path in folder.rglob("*") if path.suffix in {".pkl", ".pickle"}]
    rows = tmp_path / "rows.json"
    FRAME.to_json(rows, orient="table")
    done = subprocess.run([sys.executable, "-c", LOADED, folder, rows], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    expected = trained().predict_proba(FRAME)
    np.testing.assert_allclose(
        np.column_stack([told["found"][f"probability_{name}"] for name in "abc"]), expected, atol=1e-9
    )
    assert told["found"]["label"] == ["abc"[code] for code in expected.argmax(axis=1)]
    assert told["fewer"] == len(FRAME), "a column that is not given is a missing value"
    assert [(name, required) for name, _, required in told["inputs"]] == [
        ("size", False),
        ("colour", False),
        ("words", False),
    ]


def test_mlflow_reads_no_export_that_was_changed(exported):
    from easeml.artifacts.mlflow_flavor import _load_pyfunc

    folder = exported(Target.MLFLOW)
    (data,) = [path.parent for path in folder.rglob(MODEL)]
    (data / MODEL).write_bytes((data / MODEL).read_bytes() + b"x")
    with pytest.raises(ArtifactError, match="has the digest"):
        _load_pyfunc(str(data))
