"""Values as files and back, exactly; relations as Parquet, or as Avro batches where pyarrow is not installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np

from easeml.errors import InvalidDataError
from easeml.lineage.values import Value, canonical
from easeml.relation import Relation
from easeml.stream import codec
from easeml.stream.payloads import Pillar, RelationBatch

_LENGTH = 8
_WHOLE = 2**40
"""Bytes of a batch that is never cut, for it meets no message limit."""


def suffix_of(value: Value) -> str:
    """Return the ending of the file that a value is kept in."""
    if not isinstance(value, Relation):
        return ".json"
    return ".parquet" if importlib.util.find_spec("pyarrow") else ".avro"


def write(value: Value, path: Path) -> None:
    """Write a value to a file of the format that its ending names."""
    if path.suffix == ".json":
        path.write_text(canonical(value), encoding="ascii")
    elif path.suffix == ".parquet":
        value.to_parquet(path)
    else:
        _write_avro(value, path)


def read(path: Path) -> Value:
    """Return the value that ``write`` wrote.

    Raises
    ------
    InvalidDataError, ValueError, OSError
        When the file is not as it was written.
    """
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="ascii"))
    if path.suffix == ".parquet":
        return Relation.from_parquet(path)
    return _read_avro(path)


def _write_avro(relation: Relation, path: Path) -> None:
    """Write the label's name, then each batch with its length; a relation without rows has one empty batch."""
    batches = relation.to_batches("", Pillar.TRAIN, "", max_bytes=_WHOLE) or [
        RelationBatch("", Pillar.TRAIN, "", relation.columns, (), relation.classes)
    ]
    with path.open("wb") as file:
        for part in (canonical(relation.label).encode(), *map(codec.encode, batches)):
            file.write(len(part).to_bytes(_LENGTH))
            file.write(part)


def _read_avro(path: Path) -> Relation:
    parts = []
    with path.open("rb") as file:
        while head := file.read(_LENGTH):
            part = file.read(int.from_bytes(head))
            if len(part) < int.from_bytes(head):
                raise InvalidDataError(f"{path} is cut off.", mend="Delete it.")
            parts.append(part)
    batches = [codec.decode(part) for part in parts[1:]]
    if not parts or not all(isinstance(batch, RelationBatch) for batch in batches):
        raise InvalidDataError(f"{path} holds no relation.", mend="Delete it.")
    whole = Relation.from_batches([batch for batch in batches if isinstance(batch, RelationBatch)])
    own = whole.take(np.arange(len(whole)))
    return Relation(own.block, label=json.loads(parts[0]), classes=whole.classes)
