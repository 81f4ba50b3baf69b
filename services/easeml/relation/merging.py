"""Merging proposals into a block: cells, whole rows, and the rule where the two meet.

Whoever speaks about a row as a whole counts before those who speak about its cells, whatever came first; so a row has
either alternatives or candidates of feature cells. One tool speaks about a row in one of the two ways: what it says
last replaces what it said before. Labels are apart from both.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from easeml.relation.alternatives import Alternatives
from easeml.relation.batches import text_columns
from easeml.relation.block import Block, stack_alternatives
from easeml.relation.candidates import LABEL, Candidates, concatenate, united_sources
from easeml.relation.pooling import Voices, meet, own_distributions, pooled


def merge_cells(block: Block, table: Candidates) -> Block:
    """Return the block with candidates of cells pooled into its own; the table is checked and sorted.

    Cost O(m log m) in the lines of the cells that both speak about, O(m) in all others.
    """
    block = _without_former(block, table)
    if len(block.alternatives):
        whole = block.alternatives.has(len(block))
        table = table.select((table.column == LABEL) | ~whole[table.row])
    old = block.candidates
    if not len(table):
        return block
    if not len(old):
        return replace(block, candidates=table)
    width = len(block.columns) + 1
    sources, source = united_sources([(old.sources, old.source), (table.sources, table.source)])
    keep, before, after = meet(
        Voices(old.keys(width), source[: len(old)], old.probability),
        Voices(table.keys(width), source[len(old) :], table.probability),
        len(sources),
    )
    kept = replace(old.select(keep), probability=before)
    merged = concatenate([kept, replace(table, probability=after)], [0, 0], text_columns(block.columns))
    return replace(block, candidates=merged)


def merge_alternatives(block: Block, table: Alternatives) -> Block:
    """Return the block with alternatives of rows pooled into its own; the table is checked and ordered by row."""
    if not len(table):
        return block
    old, cells = block.alternatives, block.candidates
    if len(cells):
        whole = table.has(len(block))
        cells = cells.select((cells.column == LABEL) | ~whole[cells.row])
    sources, source = united_sources([(old.sources, old.source), (table.sources, table.source)])
    keep, before, after = meet(
        Voices(old.row.astype(np.int64), source[: len(old)], old.probability),
        Voices(table.row.astype(np.int64), source[len(old) :], table.probability),
        len(sources),
    )
    kept = replace(old.select(keep), probability=before)
    merged = stack_alternatives([kept, replace(table, probability=after)], [0, 0])
    return replace(block, candidates=cells, alternatives=merged)


def _without_former(block: Block, table: Candidates) -> Block:
    """Return the block without the alternatives of the tools that now speak about cells of the same rows."""
    old = block.alternatives
    features = table.column != LABEL
    if not len(old) or not features.any():
        return block
    sources, source = united_sources([(old.sources, old.source), (table.sources, table.source)])
    mine = old.row.astype(np.int64) * len(sources) + source[: len(old)]
    now = table.row[features].astype(np.int64) * len(sources) + source[len(old) :][features]
    gone = np.isin(mine, np.unique(now))
    if not gone.any():
        return block
    touched = np.isin(old.row, old.row[gone])
    all_of_them = Voices(old.row[touched].astype(np.int64), source[: len(old)][touched], old.probability[touched])
    left = ~gone[touched]
    rest = all_of_them.select(left)._replace(probability=own_distributions(all_of_them, len(sources))[left])
    priors = old.probability.copy()
    priors[touched & ~gone] = pooled(rest, len(sources))
    return replace(block, alternatives=replace(old, probability=priors).select(~gone))
