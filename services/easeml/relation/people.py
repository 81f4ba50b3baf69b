"""Candidates and alternatives as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.relation import frames
from easeml.relation.block import Block
from easeml.relation.candidates import LABEL, Candidates
from easeml.relation.columns import moments_of
from easeml.stream.payloads import ColumnKind


def candidate_frame(block: Block, label: str | None, classes: Sequence[str]) -> pd.DataFrame:
    """Return the candidates of cells: row_id, column, value, probability, source."""
    table = block.candidates
    names = np.array([*(column.name for column in block.columns), label], object)
    return pd.DataFrame(
        {
            "row_id": np.array(block.row_ids, object)[table.row],
            "column": names[table.column],
            "value": pd.Series(candidate_values(block, classes, table), dtype=object),
            "probability": table.probability,
            "source": np.array(table.sources, object)[table.source],
        }
    )


def alternative_frame(block: Block) -> pd.DataFrame:
    """Return the alternatives of rows: row_id, alternative (from 0 within its row), probability, source, features."""
    table = block.alternatives
    head = {
        "row_id": np.array(block.row_ids, object)[table.row],
        "alternative": np.arange(len(table)) - np.searchsorted(table.row, table.row),
        "probability": table.probability,
        "source": np.array(table.sources, object)[table.source],
    }
    own = table.block if table.block is not None else block.cells(np.empty(0, np.int64))
    features = frames.people_frame(own, None, ()).reset_index(drop=True)
    return pd.concat([pd.DataFrame(head), features], axis=1)


def candidate_values(block: Block, classes: Sequence[str], table: Candidates) -> NDArray[np.object_]:
    """Return the value of each candidate of cells of a block."""
    values = np.empty(len(table), object)
    for index in (np.flatnonzero(np.bincount(table.column.astype(np.int64) + 1)) - 1).tolist():
        mine = np.flatnonzero(table.column == index)
        numbers = table.value[mine]
        kind = None if index == LABEL else block.columns[index].kind
        if kind is None or kind in (ColumnKind.CATEGORICAL, ColumnKind.TEXT):
            known = classes if kind is None else block.columns[index].categories
            words = np.array(table.texts if kind is ColumnKind.TEXT else known, object)
            values[mine] = words[numbers.astype(np.int64)]
        elif kind is ColumnKind.BOOLEAN:
            values[mine] = [bool(number) for number in numbers.tolist()]
        elif kind is ColumnKind.DATETIME:
            values[mine] = list(pd.Series(moments_of(numbers)).dt.tz_localize("UTC"))
        else:
            values[mine] = numbers.tolist()
    return values
