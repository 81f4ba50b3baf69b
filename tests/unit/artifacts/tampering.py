"""Every attribute of a model file changed, one at a time: ``python -m tests.unit.artifacts.tampering GROUP``.

Prints each case before it is tried, so that a crash names itself, and at last how many were tried and how many loaded.
"""

from __future__ import annotations

import faulthandler
import io
import json
import sys
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from easeml.artifacts import Encoder, dump, load
from easeml.errors import ArtifactError, InvalidDataError

from .conftest import mixed_frame, small

_STEPS = '"products": "pairs", "select": 0.5, "reduce": 4'
GROUPS: dict[str, list[tuple[str, str]]] = {
    "encoder": [("online_logistic", "{}")],
    "linear": [("logistic", "{}"), ("linear_svm", "{}"), ("lda", "{}"), ("qda", "{}"), ("naive_bayes", "{}")],
    "steps": [("logistic", f'{{"scale": "rank", {_STEPS}}}'), ("knn", f'{{"scale": "clip", {_STEPS}}}')],
    "neighbours": [
        ("knn", "{}"),
        ("knn", '{"weights": "uniform", "metric": "manhattan"}'),
        ("knn", '{"metric": "cosine"}'),
        ("svm", "{}"),
    ],
    "trees": [
        ("decision_tree", "{}"),
        ("random_forest", '{"trees": 1}'),
        ("extra_trees", '{"trees": 1}'),
    ],
    "boosting": [("boosting", '{"max_iter": 1}')],
    "online": [
        ("online_naive_bayes", "{}"),
        ("hoeffding_tree", '{"grace_period": 5}'),
        ("adaptive_forest", '{"trees": 1}'),
    ],
    "networks": [("mlp", '{"hidden": 3, "max_iter": 5}'), ("committee", '{"arms": 3}')],
}
"""Name -> families and parameters whose models are changed."""

_ARGUMENTS = 3  # of a tree

_WORDS = ("null", "true", "-1", "1000000000", "1e300", '"filename"', "[]", "{}")


def _places(document: Any, group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and node of each stored value; of a long list the last item speaks for all."""
    stack = [("", document)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, list):
            first = 0 if len(node) <= _ARGUMENTS else len(node) - 1
            stack.extend((f"{path}[{place}]", node[place]) for place in range(first, len(node)))
        elif isinstance(node, dict):
            if node.get("__loader__") in ("NdArrayNode", "JsonNode"):
                yield path, node
            # The encoder is the same in all models.
            hidden = {"key_types"} if group == "encoder" else {"key_types", "encoder"}
            stack.extend((f"{path}.{key}", inner) for key, inner in node.items() if key not in hidden)


def _arrays(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what may be wrong with an array."""
    if array.ndim:
        yield "shorter", array[:-1]
        yield "longer", np.concatenate([array, array[:1]])
        yield "empty", array[:0]
    yield "deeper", array[None]
    yield "turned", np.ascontiguousarray(array.T)
    yield "flat", array.ravel()
    yield "swapped", array.astype(array.dtype.newbyteorder())
    if array.dtype.fields is not None:
        for field, (kind, *_) in array.dtype.fields.items():
            for extreme in _extremes(kind):
                changed = array.copy()
                changed[field] = extreme
                yield f"{field}={extreme}", changed
        return
    for extreme in _extremes(array.dtype):
        yield f"all {extreme}", np.full_like(array, extreme)
    for kind in ("f8", "f4", "i8", "u1", "S3"):
        if array.dtype != kind:
            with np.errstate(invalid="ignore"):
                yield kind, array.astype(kind)


def _extremes(kind: np.dtype) -> tuple[Any, ...]:
    if kind.kind == "f":
        return (np.nan, np.inf, np.finfo(kind).min)
    if kind.kind in "iu":
        return (0, np.iinfo(kind).min, np.iinfo(kind).max)
    return ()


def _changed(entries: dict[str, bytes], group: str) -> Iterator[tuple[str, bytes]]:
    """Yield what was done, and the file after it."""
    document = json.loads(entries["schema.json"])
    for path, node in _places(document, group):
        kept = dict(node)
        if node["__loader__"] == "JsonNode":
            for word in _WORDS:
                node["content"] = word
                yield f"{path} = {word}", _file({**entries, "schema.json": json.dumps(document).encode()})
        else:
            array = np.load(io.BytesIO(entries[node["file"]]))
            node["file"] = "987654.npy"
            schema = json.dumps(document).encode()
            for name, other in _arrays(array):
                buffer = io.BytesIO()
                np.save(buffer, other)
                yield f"{path} {name}", _file({**entries, "schema.json": schema, "987654.npy": buffer.getvalue()})
        node.clear()
        node.update(kept)


def _entries(family: str, parameters: str) -> dict[str, bytes]:
    """Return the parts of the file of a small model."""
    with zipfile.ZipFile(io.BytesIO(dump(small(family, parameters)))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _file(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, content in entries.items():
            target.writestr(name, content)
    return buffer.getvalue()


def main(group: str) -> int:
    """Try all changes to the models of a group; 1 when one raised what it should not."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    entries = {arm: _entries(*arm) for arm in GROUPS[group]}
    Encoder._digest = lambda self: str(self.fingerprint)  # whoever changes an encoder can make its fingerprint fit
    frame, _ = mixed_frame(12)
    tried, loaded, wrong = 0, 0, 0
    for (family, _), files in entries.items():
        for what, data in _changed(files, group):
            print(family, what, flush=True)
            faulthandler.dump_traceback_later(30, exit=True)  # a hang is a failure
            tried += 1
            try:
                other = load(data)
                loaded += 1
                found = other.predict_proba(frame)
                assert found.shape == (12, len(other.classes))
                assert np.isfinite(found).all()
            except (ArtifactError, InvalidDataError):
                pass
            except Exception as error:
                wrong += 1
                print(f"WRONG {family} {what}: {error!r}", file=sys.stderr)
    faulthandler.cancel_dump_traceback_later()
    print("tried and loaded:", tried, loaded)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
