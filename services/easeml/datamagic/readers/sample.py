"""A file too large for the memory: a sample of it, the schema learned from that, and all its rows read by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from easeml.datamagic.cleaning.schema import Clash, Schema
from easeml.datamagic.readers.account import Account
from easeml.relation import Relation
from easeml.relation.columns import text_of

ROWS = 50_000
"""Rows of a chunk."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a first pass over a large file has found.

    Parameters
    ----------
    frame : DataFrame
        Rows drawn at random, and one row for every value of a column of few values; in the order of the file.
    schema : Schema
        Learned from them.
    rows : int
        Rows of the file.
    account : Account
        What the reader found.
    """

    frame: pd.DataFrame
    schema: Schema
    rows: int
    account: Account
    _again: Callable[[int, frozenset[str]], Iterator[pd.DataFrame]]

    def chunks(self, rows: int = ROWS) -> Iterator[tuple[pd.DataFrame, tuple[Clash, ...]]]:
        """Yield the whole file in frames that are read by the schema, with the values that clash."""
        texts = frozenset(column.name for column in self.schema.columns if str(column.kind) != "numeric")
        for frame in self._again(rows, texts):
            yield self.schema.clean(frame)

    def relations(
        self,
        rows: int = ROWS,
        *,
        classes: Sequence[str] | None = None,
        propose: Callable[[Relation], Relation] | None = None,
    ) -> Iterator[Relation]:
        """Yield the whole file in relations of the same columns; row ids are lines or rows of the file.

        Parameters
        ----------
        rows : int
            Most rows of a relation.
        classes : sequence of str, optional
            Label domain; by default the labels that the first pass has seen.
        propose : callable, optional
            Gives each relation its candidates, e.g. repairs fitted on the sample.
        """
        label = self.schema.label
        known = classes
        if known is None and label is not None:
            known = sorted(set(self.schema.apply(self.frame)[label].dropna().map(text_of)))
        for frame, _ in self.chunks(rows):
            named = frame.set_axis(pd.Index([f"{frame.index.name}-{at}" for at in frame.index], name="row_id"))
            relation = Relation.from_frame(named, label=label, classes=known, columns=self.schema.features)
            yield relation if propose is None else propose(relation)
