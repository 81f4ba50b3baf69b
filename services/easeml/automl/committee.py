"""The budgeted ensemble as one algorithm: a race of the portfolio's first arms, the best of which vote.

Its budget is a number of arms, or of the seconds that their cost hints promise, and not of seconds that pass: so
repeating a trial repeats its result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from easeml.artifacts.compound import Vote
from easeml.automl.ensemble import Codes, Floats, best_vote
from easeml.automl.portfolio import ARMS
from easeml.automl.race import Entry, Examples, Memory, Race, folds_of, refusal
from easeml.errors import BudgetExhaustedError, InvalidDataError
from easeml.stream.payloads import AlgorithmAnnounced

Train = Callable[[AlgorithmAnnounced, int, Floats, Codes], Any]
"""Arm, seed, float64[n, d], int64[n] -> fitted estimator."""

_FEWEST = 18
"""Arms that race at least, where nobody says how many."""
_SECONDS = 5.5
"""CPU seconds that the cost hints of the arms may promise together, where there are more."""
_LEAST_ROWS = 250
"""A training of fewer rows costs no less."""


class Committee:
    """Vote of the best arms.

    Parameters
    ----------
    train : callable
        How an arm is trained.
    seed : int
        Seed of folds and arms, in [0, 2^32).
    arms : int
        How many arms of the portfolio race; 0: as many as ``affordable`` says.
    members : int
        Members of the vote at most.

    Attributes
    ----------
    memory : Memory or None
        What a training that was cut off has judged already.
    judged_rows : int
        Training rows that chose the members; 0 before the fit.
    """

    def __init__(self, train: Train, seed: int, arms: int, members: int) -> None:
        self.memory: Memory | None = None
        self.judged_rows = 0
        self._train = train
        self._seed = seed
        self._arms = arms
        self._members = members

    def fit(self, matrix: Floats, codes: Codes) -> Vote:
        """Return the vote for ``matrix`` float64[n, d] and ``codes`` int64[n].

        Raises
        ------
        InvalidDataError
            When no arm can be trained on these rows.
        """
        examples = Examples(matrix, codes, folds_of(codes, self._seed))
        race = Race(
            examples,
            examples,
            classes=int(codes.max()) + 1,
            fit=lambda arm, rows, labels: self._train(arm, self._seed, rows, labels),
            memory=self.memory,
        )
        entries: list[Entry] = []
        arms = ARMS[: self._arms or affordable(len(codes), race.folds)]
        for arm in arms:
            try:
                entry = race.run(arm)
            except BudgetExhaustedError:  # the limit is that of the whole trial
                raise
            except Exception as error:
                # An algorithm may raise anything on data it was not made for; the others may be fit for it.
                refused = refusal(arm.algorithm, arm.family, error)
                continue
            if entry is not None:
                entries.append(entry)
        if not entries:
            raise InvalidDataError(f"None of {len(arms)} algorithms could be trained, the last:", mend=refused)
        weights = best_vote(np.stack([entry.probabilities for entry in entries]), race.truth, self._members)
        self.judged_rows = len(race.truth)
        chosen = np.flatnonzero(weights)
        return Vote([race.final(entries[place]) for place in chosen.tolist()], weights[chosen])


def affordable(rows: int, folds: int) -> int:
    """Return how many arms race over so many rows: few rows need more kinds of models, and pay for them.

    Examples
    --------
    >>> affordable(100, folds=8), affordable(500, folds=5), affordable(5000, folds=4)
    (37, 25, 18)
    """
    seconds = np.cumsum([arm.cost_hint for arm in ARMS]) * folds * max(rows, _LEAST_ROWS) / 1000
    return max(_FEWEST, int((seconds <= _SECONDS).sum()))
