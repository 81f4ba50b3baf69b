"""Columns whose parts are of several types: numbers in one part of a file, words in another."""

from __future__ import annotations

from collections.abc import Sequence

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


def _kind(cells: pd.Series) -> str:
    if cells.isna().all():
        return "empty"
    types = pd.api.types
    if types.is_bool_dtype(cells.dtype):
        return "bool"
    if types.is_numeric_dtype(cells.dtype):
        return "number"
    if types.is_datetime64_any_dtype(cells.dtype):
        return "moment"
    inferred = types.infer_dtype(cells, skipna=True)
    return {"boolean": "bool", "string": "text", "categorical": "text"}.get(inferred, inferred)
