"""Joint alternatives: the possible versions of rows that are uncertain as a whole.

The cells of a drawn alternative belong together (a street with its town), which independent candidates of cells
cannot say. A row either has alternatives or candidates of feature cells, never both: who speaks about the row as a
whole counts, whatever came first. Candidates of the label stand beside both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from easeml.relation.candidates import Floats, Indices, Ints, narrow, shared, united_sources

if TYPE_CHECKING:
    from easeml.relation.block import Block


@dataclass(frozen=True, slots=True, eq=False)
class Alternatives:
    """Alternatives of rows, ordered by row; those of a row by the name of their source, then as the source gave them.

    Parameters
    ----------
    row : ndarray of integers, shape (m,)
        Row that each alternative is a version of.
    probability : ndarray of float64, shape (m,)
        Prior, above 0; sums to 1 per row.
    source : ndarray of integers, shape (m,)
        Index into ``sources``.
    sources : tuple of str
        Names of the tools. Distinct.
    block : Block, optional
        Features of the m alternatives: no labels, no candidates. None: there is no alternative.
    """

    row: Indices = field(default_factory=lambda: np.empty(0, np.int32))
    probability: Floats = field(default_factory=lambda: np.empty(0))
    source: Indices = field(default_factory=lambda: np.empty(0, np.int8))
    sources: tuple[str, ...] = ()
    block: Block | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "row", narrow(self.row, np.int32))
        object.__setattr__(self, "source", shared(narrow(self.source)))

    def __len__(self) -> int:
        return len(self.row)

    def select(self, keep: NDArray[np.bool_] | Ints) -> Alternatives:
        """Return the chosen alternatives."""
        if self.block is None:
            return self
        places = np.flatnonzero(keep) if keep.dtype == bool else np.asarray(keep, np.int64)
        if not len(places):
            return Alternatives()
        return replace(
            self,
            row=self.row[places],
            probability=self.probability[places],
            source=self.source[places],
            block=self.block.cells(places),
        )

    def sort(self) -> Alternatives:
        """Return the table in its order: itself if it is."""
        rank = np.argsort(np.argsort(np.array(self.sources, object))) if self.sources else np.zeros(1, np.int64)
        order = np.lexsort((rank[self.source], self.row)) if len(self) else np.empty(0, np.int64)
        return self if (np.diff(order) == 1).all() else self.select(order)

    def part(self, start: int, stop: int) -> Alternatives:
        """Return the alternatives of the rows from ``start`` to ``stop``, renumbered from 0."""
        first, last = np.searchsorted(self.row, (start, stop)).tolist()
        kept = self if first == 0 and last == len(self) else self.select(np.arange(first, last))
        return replace(kept, row=kept.row - kept.row.dtype.type(start)) if start and len(kept) else kept

    def take(self, rows: Ints, total: int) -> Alternatives:
        """Return the alternatives of the chosen rows, renumbered in their order; ``rows`` are distinct."""
        if not len(self):
            return self
        places = np.full(total, -1, np.int64)
        places[rows] = np.arange(len(rows))
        moved = places[self.row]
        kept = self.select(moved >= 0)
        return replace(kept, row=moved[moved >= 0]).sort() if len(kept) else kept

    def pointer(self, rows: int) -> Ints:
        """Return the CSR pointer: row ``i`` owns the alternatives ``pointer[i]:pointer[i + 1]``."""
        return np.searchsorted(self.row, np.arange(rows + 1))

    def has(self, rows: int) -> NDArray[np.bool_]:
        """Return which of the relation's rows have alternatives."""
        found = np.zeros(rows, bool)
        found[self.row] = True
        return found


def joined(tables: Sequence[Alternatives], offsets: Sequence[int]) -> tuple[Alternatives, list[Block]]:
    """Return several tables as one without its block, and the blocks that are to be stacked for it, in order."""
    filled = [(table, offset) for table, offset in zip(tables, offsets, strict=True) if len(table)]
    blocks = [table.block for table, _ in filled if table.block is not None]
    sources, source = united_sources([(table.sources, table.source) for table, _ in filled])
    row = [table.row.astype(np.int64) + offset for table, offset in filled]
    if not filled:
        return Alternatives(), []
    priors = np.concatenate([table.probability for table, _ in filled])
    return Alternatives(np.concatenate(row), priors, source, sources), blocks
