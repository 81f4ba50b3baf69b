"""``easeml models`` lists the models of an app and writes one to a folder."""

from __future__ import annotations

import json
import uuid

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from easeml.artifacts import ArtifactStore, dump
from easeml.artifacts.export import read
from easeml.automl.training import train
from easeml.errors import ArtifactError, ConflictError, NotFoundError
from easeml.stream.payloads import Column, ColumnKind, ModelPublished, ModelRetired
from easeml.stream.publisher import EventPublisher
from easeml.stream.topics import MODELS

COLUMNS, CLASSES = (Column("x", ColumnKind.NUMERIC),), ("no", "yes")


@pytest.fixture
def published(cluster, client):
    """An app with a model of ours, one whose file was changed, an external one and a retired one."""
    name = f"app-{uuid.uuid4().hex[:8]}"
    frame = pd.DataFrame({"x": np.arange(20.0)})
    codes = (np.arange(20) > 9).astype(int)
    rows = (frame, codes, frame, codes)
    trained = train(
        *rows, columns=COLUMNS, classes=CLASSES, family="logistic", parameters="{}", seed=0, clock=lambda: 0.0
    )
    client.create_app(name, label="kind", frame=frame.assign(kind=np.array(CLASSES, object)[codes]))
    store = ArtifactStore(cluster.store_uri, cluster.max_artifact_bytes)
    good = store.put(dump(trained.model))
    publisher = EventPublisher(cluster, "trainer")

    def say(model, uri, sha256):
        publisher.send(
            MODELS,
            ModelPublished(
                name, model, "logistic", uri, sha256, good.size, "skops", ("x",), CLASSES, "v1", "automl",
                {"accuracy": trained.accuracy},
            ),
        )  # fmt: skip

    say("ours", good.uri, good.sha256)
    say("changed", good.uri, "0" * 64)
    say("foreign", "", "")
    say("gone", good.uri, good.sha256)
    publisher.send(MODELS, ModelRetired(name, "gone", "it failed"))
    publisher.flush()
    return name


def test_models_are_listed_and_exported(easeml, invoke, published, tmp_path):
    listed = easeml("models", "list", published)
    assert "ours" in listed
    assert "gone" not in listed
    told = map(json.loads, invoke("models", "list", published, as_json=True).stdout.splitlines())
    assert {row["model"]: row["best"] for row in told} == {"ours": "*", "changed": "", "foreign": ""}
    folder = tmp_path / "out"
    told = easeml("models", "export", published, "ours", folder, as_json=True)
    assert (told["model"], told["format"], told["folder"]) == ("ours", "skops", str(folder))
    labels = np.array(CLASSES)[read(folder).predict(pd.DataFrame({"x": [0.0, 19.0]}))]
    assert labels.tolist() == ["no", "yes"]
    assert "Wrote ours" in easeml("models", "export", published, "ours", tmp_path / "ml", "--to", "mlflow")
    assert (tmp_path / "ml" / "MLmodel").exists()
    assert "as onnx" in easeml("models", "export", published, "ours", tmp_path / "graph", "--to", "onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph" / "model.onnx", providers=["CPUExecutionProvider"])
    assert session.run(["output_label"], {"x": np.array([[0.0], [19.0]])})[0].tolist() == ["no", "yes"]
    with pytest.raises(ConflictError):
        easeml("models", "export", published, "ours", folder)
    assert invoke("models", "export", published, "ours", tmp_path / "x", "--to", "pickle").exit_code == 2


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        ("changed", ArtifactError, "announced was 000"),
        ("foreign", ArtifactError, "is external"),
        ("gone", NotFoundError, "has no model 'gone'"),
        ("never", NotFoundError, "has no model 'never'"),
    ],
)
def test_what_cannot_be_exported_says_why(easeml, published, tmp_path, model, error, says):
    with pytest.raises(error, match=says):
        easeml("models", "export", published, model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
