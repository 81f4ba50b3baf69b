"""Arrow tables of other tools as plain relations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from easeml.errors import InvalidDataError
from easeml.relation.arrow_columns import numbers_of, one
from easeml.relation.arrow_schema import ROW_ID
from easeml.relation.relation import Relation

_MEND = "Convert it to numbers, booleans, dates, strings or lists of numbers of one length, or leave it out."


def relation_of_foreign(table: Any, label: str | None, classes: Sequence[str] | None) -> Relation:
    """Return the plain relation of a table without our metadata; rules and errors as in ``arrow.relation_of``."""
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise InvalidDataError(f"Column {twice[0]!r} occurs twice.", mend="Give every column its own name.")
    ids = _row_ids(table)
    kept = [name for name in table.column_names if ids is None or name != ROW_ID]
    data = {name: _series(name, one(table.column(name))) for name in kept}
    frame = pd.DataFrame(data, index=pd.RangeIndex(table.num_rows), columns=pd.Index(kept, dtype=object))
    return Relation.from_frame(frame, label=label, classes=classes, row_ids=ids)


def _row_ids(table: Any) -> list[str] | None:
    if ROW_ID not in table.column_names:
        return None
    array = table.column(ROW_ID)
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)) or array.null_count:
        return None
    row_ids = array.to_pylist()
    return row_ids if len(set(row_ids)) == len(row_ids) else None


def _series(name: str, array: Any) -> Any:
    """Return a column as pandas series of a type that says its kind."""
    kind, types = array.type, pa.types
    if types.is_floating(kind):
        return pd.Series(numbers_of(array, f"Column {name!r}"))
    if types.is_boolean(kind) or types.is_integer(kind):
        # Integers stay integers, so that one that a float cannot hold is found.
        return array.to_pandas(integer_object_nulls=True)
    if types.is_decimal(kind):
        return pd.Series(numbers_of(array, f"Column {name!r}"))
    if types.is_date(kind) or types.is_timestamp(kind):
        zone = getattr(kind, "tz", None)
        moments = array.cast(pa.timestamp("us", tz=zone), safe=False)
        if zone is None:
            moments = moments.cast(pa.timestamp("us", tz="UTC"))
        return pd.Series(moments.cast(pa.timestamp("us", tz="UTC")).to_pandas())
    if types.is_dictionary(kind):
        return _categories(name, array)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind):
        return pd.Series(array.to_pylist(), dtype=object)
    if types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind):
        return _tensors(name, array)
    raise InvalidDataError(f"Column {name!r} holds {kind} values.", mend=_MEND, reason="wrong_kind")


def _categories(name: str, array: Any) -> Any:
    """Return a dictionary of texts as categories; one of other values as those values."""
    values = array.dictionary
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)) or values.null_count:
        return _series(name, array.dictionary_decode())
    words = values.to_pylist()
    domain = list(dict.fromkeys(words))
    codes = pc.fill_null(array.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    places = np.array([*(domain.index(word) for word in words), -1]) if len(domain) < len(words) else None
    codes = codes if places is None else places[codes]
    return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(np.array(domain, object))))


def _tensors(name: str, array: Any) -> Any:
    inner = array.type.value_type
    lengths = pc.unique(pc.drop_null(pc.list_value_length(array))).to_pylist()
    if len(lengths) > 1 or not (pa.types.is_floating(inner) or pa.types.is_integer(inner)):
        what = f"lists of {inner} of several lengths" if len(lengths) > 1 else f"{array.type} values"
        raise InvalidDataError(f"Column {name!r} holds {what}.", mend=_MEND, reason="wrong_kind")
    out = np.empty(len(array), object)
    known = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
    size = lengths[0] if lengths else 0
    cells = numbers_of(array.flatten(), f"Column {name!r}").reshape(-1, size) if size else np.empty((len(known), 0))
    for row, cell in zip(known.tolist(), cells, strict=True):
        out[row] = cell
    return pd.Series(out)
