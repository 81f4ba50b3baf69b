"""From the annotations of several people to one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from easeml.labels.votes import Vote

Aggregator = Callable[[Mapping[str, Vote]], Vote | None]
"""Votes (by annotator, in the order given) to the answer, or None: ask one more annotator."""


def majority(redundancy: int = 1) -> Aggregator:
    """Return the aggregator that takes the value most annotators gave.

    Parameters
    ----------
    redundancy : int
        Annotators to hear at least; >= 1. With 1 the first one decides. A tie asks one more annotator.

    Raises
    ------
    ValueError
        When ``redundancy`` is not positive.

    Examples
    --------
    >>> majority()({"ada": 2})
    2
    >>> majority(3)({"ada": 2, "bob": 0}) is None
    True
    >>> majority(2)({"ada": 2, "bob": 0, "cy": 0})
    0
    >>> majority(2)({"ada": "31.0", "bob": "31.0"})
    '31.0'
    """
    if redundancy < 1:
        raise ValueError(f"redundancy is {redundancy}; at least one annotator must be heard.")

    def aggregate(votes: Mapping[str, Vote]) -> Vote | None:
        if len(votes) < redundancy:
            return None
        first, *rest = Counter(votes.values()).most_common(2)
        return None if rest and rest[0][1] == first[1] else first[0]

    return aggregate
