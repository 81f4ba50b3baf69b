"""A model in a folder of its own, for use without the house: as skops, as an MLflow model around that, or as ONNX.

A skops export is ``model.skops`` beside ``model.json``, which tells its digest, columns, classes and where it comes
from; ``read`` checks digest and types as every reader of our store does. An MLflow export holds that folder as its
data and names ``easeml.artifacts.mlflow_flavor`` as its loader, so MLflow unpickles nothing either. An ONNX export is
``model.onnx`` beside ``model.json``; its inputs are told in ``onnx_export``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from easeml.artifacts.classifier import Classifier
from easeml.artifacts.extras import extra
from easeml.artifacts.models import load
from easeml.artifacts.onnx_export import onnx_file
from easeml.errors import ArtifactError, ConflictError, UnavailableError
from easeml.stream.payloads import ColumnKind

MODEL, ONNX, FACTS = "model.skops", "model.onnx", "model.json"
_LOADER = "easeml.artifacts.mlflow_flavor"
_STRINGS = frozenset({ColumnKind.CATEGORICAL, ColumnKind.TEXT})


class Target(StrEnum):
    """What a model is exported as."""

    SKOPS = "skops"
    MLFLOW = "mlflow"
    ONNX = "onnx"


def export(data: bytes, facts: Mapping[str, Any], folder: Path, target: Target) -> None:
    """Write a model file to a folder that does not exist yet, all of it or nothing.

    Parameters
    ----------
    data : bytes
        The model file; its types are checked.
    facts : mapping
        What is known of it, JSON-able; digest, size, columns and classes are added.
    folder : Path
        Where it goes.
    target : Target
        As what.

    Raises
    ------
    ArtifactError
        When the file is not a model of trusted types, or has a part that the target cannot hold.
    ConfigurationError
        When the extra of the target is not installed.
    ConflictError
        When there is something at ``folder`` already.
    UnavailableError
        When it cannot be written.
    """
    model = load(data)
    if target is Target.MLFLOW:
        mlflow()
    name, content = (ONNX, onnx_file(model)) if target is Target.ONNX else (MODEL, data)
    if os.path.lexists(folder):
        raise ConflictError(f"There is something at {folder} already.", mend="Name a folder that does not exist yet.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".easeml-export-") as beside:
            plain = Path(beside, "plain")
            plain.mkdir()
            _write(plain / name, content, facts, model)
            whole = _wrapped(plain, Path(beside, "mlflow"), model) if target is Target.MLFLOW else plain
            shutil.move(whole, folder)
    except OSError as error:
        raise UnavailableError(
            f"The model cannot be written to {folder}: {error}.", mend="Check that it has room and may be written."
        ) from error


def read(folder: Path) -> Classifier:
    """Return the model of a skops export.

    Raises
    ------
    ArtifactError
        When a part is missing, was changed, or is not a model of trusted types.
    """
    try:
        data, facts = (folder / MODEL).read_bytes(), json.loads((folder / FACTS).read_bytes())
        announced = facts["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder} is no export of a model: {error!r}.", mend="Export the model again.") from error
    found = hashlib.sha256(data).hexdigest()
    if found != announced:
        raise ArtifactError(
            f"{folder / MODEL} has the digest {found}, {FACTS} says {announced}.",
            mend="It was changed or cut: export the model again.",
        )
    return load(data)


def mlflow() -> Any:
    """Return the module ``mlflow``.

    Raises
    ------
    ConfigurationError
        When it is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # an export tells nobody
    extra("mlflow.pyfunc", "mlflow", "MLflow")
    return extra("mlflow", "mlflow", "MLflow")


def _write(file: Path, data: bytes, facts: Mapping[str, Any], model: Classifier) -> None:
    own = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "format": file.suffix.removeprefix("."),
        "columns": dict(zip(model.encoder.columns, model.encoder.kinds, strict=True)),
        "classes": list(model.classes),
    }
    file.write_bytes(data)
    file.with_name(FACTS).write_text(json.dumps({**facts, **own}, indent=2) + "\n", encoding="utf-8")


def _wrapped(plain: Path, folder: Path, model: Classifier) -> Path:
    library = mlflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wants an example row to infer a signature that we know
        library.pyfunc.save_model(
            folder,
            loader_module=_LOADER,
            data_path=str(plain),
            signature=_signature(library, model),
            pip_requirements=[f"easeml-streaming=={version('easeml-streaming')}"],
        )
    return folder


def _signature(library: Any, model: Classifier) -> Any:
    """Return the columns in, which may all be missing values, and label and probabilities out."""
    types, schema = library.types.DataType, library.types.schema
    kind_of: dict[str, Any] = dict.fromkeys(ColumnKind, types.double)
    kind_of |= dict.fromkeys(_STRINGS, types.string) | {ColumnKind.TENSOR: schema.AnyType()}
    columns = zip(model.encoder.columns, model.encoder.kinds, strict=True)
    inputs = [schema.ColSpec(kind_of[kind], name, required=False) for name, kind in columns]
    outputs = [schema.ColSpec(types.string, "label")]
    outputs += [schema.ColSpec(types.double, f"probability_{name}") for name in model.classes]
    return library.models.ModelSignature(inputs=schema.Schema(inputs), outputs=schema.Schema(outputs))
