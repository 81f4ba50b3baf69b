"""Numbers that stand for the content of rows: to find the same rows in several places."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.relation.block import CODES, TEXTS, Block, layout
from easeml.stream.payloads import ColumnKind

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def row_digests(block: Block) -> NDArray[np.uint64]:
    """Return one number per row, equal for equal features whatever the label, row id or order of categories.

    Two different rows share one by a chance of 2^-64. Cost O(n d).

    Parameters
    ----------
    block : Block
        n rows; candidates do not count.

    Returns
    -------
    uint64[n]
    """
    digests = np.zeros(len(block), np.uint64)
    for index, (column, (part, _)) in enumerate(zip(block.columns, layout(block.columns)[1], strict=True)):
        cells = block.column(index)
        if part == CODES:
            names = column.categories if column.kind is ColumnKind.CATEGORICAL else ("false", "true")
            known = pd.util.hash_array(np.array([*names, ""], object), categorize=False)
            known[-1] = 0  # the last one serves -1: missing
            digests = _mixed(digests, known[cells])
        elif part == TEXTS:
            missing = np.array([text is None for text in cells], bool)
            words = pd.util.hash_array(np.where(missing, "", cells).astype(object))
            digests = _mixed(digests, np.where(missing, np.uint64(0), words))
        else:
            # One bit pattern for every zero and every missing number.
            table = cells if cells.ndim > 1 else cells[:, None]
            numbers = np.where(np.isnan(table), np.nan, table + 0.0)
            for place in range(numbers.shape[1]):
                digests = _mixed(digests, np.ascontiguousarray(numbers[:, place]).view(np.uint64))
    return digests


def _mixed(digests: NDArray[np.uint64], cells: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = (digests ^ (cells + _PRIME)) * _PRIME
    mixed ^= mixed >> _SHIFT
    mixed *= _PRIME | np.uint64(2)
    return np.asarray(mixed ^ (mixed >> np.uint64(32)), np.uint64)
