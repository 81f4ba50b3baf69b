"""Columns whose parts are of several types: numbers in one part of a file, words in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd


def torn_columns(parts: Sequence[pd.DataFrame]) -> frozenset[str]:
    """Return the columns whose parts are of several types."""
    if len(parts) < 2:
        return frozenset()
    kinds: dict[str, set[str]] = {}
    for part in parts:
        for title in part.columns:
            kinds.setdefault(str(title), set()).add(_kind(part[title]))
    return frozenset(title for title, found in kinds.items() if len(found - {"empty"}) > 1)


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return parts without torn columns as one frame; what is empty in one part takes the type of the others."""
    if len(parts) == 1:
        return parts[0]
    empty = [{title for title in part if _kind(part[title]) == "empty"} for part in parts]
    kinds: dict[Any, Any] = {}
    for part, own in zip(parts, empty, strict=True):
        for title, kind in part.dtypes.items():
            if title not in own and kind.kind not in "iuf":
                kinds[title] = object if kind == "bool" else kind
    # pandas would make numbers of truths beside nothing, and objects of words.
    filled = [
        part.astype({title: kind for title, kind in kinds.items() if title in own})
        for part, own in zip(parts, empty, strict=True)
    ]
    return pd.concat(filled)


def _kind(cells: pd.Series) -> str:
    if cells.isna().all():
        return "empty"
    types = pd.api.types
    if types.is_bool_dtype(cells.dtype):
        return "bool"
    if types.is_unsigned_integer_dtype(cells.dtype):
        return "unsigned"  # with signed numbers, pandas would make fractions of both
    if types.is_numeric_dtype(cells.dtype):
        return "number"
    if types.is_datetime64_any_dtype(cells.dtype):
        return "moment"
    inferred = types.infer_dtype(cells, skipna=True)
    return {"boolean": "bool", "string": "text", "categorical": "text"}.get(inferred, inferred)
