"""Two models whose true difference is known, and a ledger that judges them."""

import numpy as np


def world(rng, n, changed, both_wrong, gain):
    """Return predictions of an old and a new model whose true n - o is ``gain``; the labels are all 0."""
    kind, old, new = rng.random(n), np.zeros(n, dtype=int), np.zeros(n, dtype=int)
    win, lose = (changed - both_wrong + gain) / 2, (changed - both_wrong - gain) / 2
    old[kind < win] = 1
    new[(kind >= win) & (kind < win + lose)] = 1
    both = (kind >= win + lose) & (kind < changed)
    old[both], new[both] = 1, 2
    return old, new


def judge(book, name, new, old=None, label=0, **known):
    """Return the verdict on a model when every label is ``label``."""
    evaluation = book.propose(name, new, old, **known)
    while (verdict := evaluation.verdict) is None:
        wanted = evaluation.wanted(10**6)
        book.observe_many(wanted, [label] * len(wanted))
    return verdict
