"""A random sample of rows that come in parts, with a witness for every value of a column of few values."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from easeml.relation.columns import MOST_CATEGORIES


class Drawing:
    """The rows drawn so far.

    Parameters
    ----------
    rows : int
        Rows to draw.
    rng : Generator
        Gives each row a key; the rows of the smallest keys are the sample, so each row is as likely as another.

    Notes
    -----
    A random sample misses rare categories, and a schema learned from it would not know them. So the first row of each
    value of a column with at most 256 values is kept besides. Cost: O(n) and, for such columns, a hash per value.
    """

    def __init__(self, rows: int, rng: np.random.Generator) -> None:
        self._rows = rows
        self._rng = rng
        self._held: pd.DataFrame | None = None
        self._keys: NDArray[np.float64] = np.empty(0)
        self._seen: dict[str, set[object]] = {}
        self._many: set[str] = set()
        self._witnesses: list[pd.DataFrame] = []

    def add(self, frame: pd.DataFrame) -> None:
        """Draw from further rows."""
        self._witness(frame)
        keys = self._rng.random(len(frame))
        bar = self._keys.max() if len(self._keys) >= self._rows else np.inf
        fresh = np.flatnonzero(keys < bar)
        held = frame.iloc[fresh] if self._held is None else pd.concat([self._held, frame.iloc[fresh]])
        keys = np.concatenate([self._keys, keys[fresh]])
        if len(keys) > self._rows:
            kept = np.sort(np.argpartition(keys, self._rows - 1)[: self._rows])
            held, keys = held.iloc[kept], keys[kept]
        self._held, self._keys = held, keys

    def _witness(self, frame: pd.DataFrame) -> None:
        places: set[int] = set()
        for name in frame.columns:
            if name in self._many or _holds_arrays(frame[name]):
                continue
            seen = self._seen.setdefault(name, set())
            first = frame[name].drop_duplicates()
            if len(first) > 2 * MOST_CATEGORIES:
                fresh = first.head(0)
                self._many.add(name)
            else:
                fresh = first[~first.isin(list(seen)) & first.notna()]
                seen.update(fresh)
                if len(seen) > MOST_CATEGORIES:
                    self._many.add(name)
            if name in self._many:
                seen.clear()
            else:
                places.update(frame.index.get_indexer(fresh.index).tolist())
        if places:
            self._witnesses.append(frame.iloc[sorted(places)])

    def frame(self) -> pd.DataFrame:
        """Return the rows drawn and the witnesses, in the order in which they came."""
        parts = [part for part in (self._held, *self._witnesses) if part is not None]
        drawn = pd.concat(parts)
        drawn = drawn[~drawn.index.duplicated()]
        return drawn.sort_index()


def _holds_arrays(cells: pd.Series) -> bool:
    return cells.dtype == object and pd.api.types.infer_dtype(cells, skipna=True) == "mixed"
