"""What flows along a graph: relations and JSON values, with their canonical text and their address."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from easeml.errors import InvalidDataError
from easeml.relation import Relation

Json = Any
"""None, bool, int, float, str, or lists and string-keyed dicts of them."""
Value = Any
"""A Relation or a JSON value."""
MOST_NESTED = 100
"""Deeper JSON is refused, so that no value can exhaust the stack."""


def plain(value: Any, _depth: int = 0) -> Json:
    """Return a value as JSON: numpy as numbers and lists, tuples as lists, paths as text, keys sorted.

    Raises
    ------
    InvalidDataError
        When something in it has no JSON form, NaN and infinity included; says where.
    """
    if _depth > MOST_NESTED:
        raise InvalidDataError(f"A value nested more than {MOST_NESTED} deep.", mend="Flatten it.")
    if value is None or isinstance(value, bool | int | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist(), _depth)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidDataError(f"{value} has no JSON form.", mend="Use null for what is not known.")
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [plain(item, _depth + 1) for item in value]
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise InvalidDataError(f"The key {odd[0]!r} is no text.", mend="Use text keys, as JSON does.")
        return {str(key): plain(value[key], _depth + 1) for key in sorted(value)}
    raise InvalidDataError(
        f"A {type(value).__name__} is neither a relation nor a JSON value.",
        mend="Use relations, numbers, texts, booleans, null, and lists and dicts of them.",
    )


def canonical(value: Json) -> str:
    """Return the one JSON text of a value: keys sorted, no spaces.

    >>> canonical({"b": 1, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(*parts: Json) -> str:
    """Return the SHA-256 of JSON values, in hexadecimal."""
    return hashlib.sha256(canonical(list(parts)).encode()).hexdigest()


def content_hash(value: Value) -> str:
    """Return the content hash that people compare: the relation's own, or the SHA-256 of the canonical JSON."""
    return value.content_hash() if isinstance(value, Relation) else digest("json", value)


def address_of(value: Value, content: str | None = None) -> str:
    """Return what identifies a value in the cache.

    The content hash of a relation leaves out the label's name, and the columns of a relation without rows; results
    that differ in them must not share a place.

    Parameters
    ----------
    value : Relation or JSON value
        The value.
    content : str, optional
        Its content hash, when known.
    """
    content = content_hash(value) if content is None else content
    if not isinstance(value, Relation):
        return content
    columns = [plain(asdict(column)) for column in value.columns]
    return digest("relation", content, value.label, list(value.classes), columns)


def rows_of(value: Value) -> int:
    """Return the number of rows of a relation, -1 of anything else."""
    return len(value) if isinstance(value, Relation) else -1


def cells_of(value: Value) -> int:
    """Return the number of cells of a relation; 1 of anything else."""
    return len(value) * (len(value.columns) + 1) if isinstance(value, Relation) else 1


def settled(value: Any) -> Value:
    """Return an operator's result as a value that shares nothing with what the operator still holds.

    Raises
    ------
    InvalidDataError
        When it is neither a relation nor JSON.
    """
    return value if isinstance(value, Relation) else plain(value)
